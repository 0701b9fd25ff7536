"""The one exception that means: what the user gave cannot be used."""

from collections.abc import Iterable


class InputError(Exception):
    """A fault in the user's options, files or photographs, told in one sentence.

    The sentence names the value, the file it stands in and what would be right. Scripts print it and exit with code 2;
    a traceback is kept for faults of this program.
    """


def listing(names: Iterable[object], most: int = 5) -> str:
    """Join the first `most` names with commas and count the rest: `a, b, c and 4 more`.

    Names that are empty or hold line breaks or other control characters are shown quoted and escaped.
    """
    names = [str(name) for name in names]
    shown = ", ".join(name if name and name.isprintable() else ascii(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"

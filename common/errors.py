"""The one exception that means that what the user gave cannot be used, and how a script ends with it."""

import errno
import reprlib
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from distributed import processes


class InputError(Exception):
    """A fault in the user's options, files or photographs, told in one sentence.

    The sentence names the value, the file it stands in and what would be right. Scripts print it and exit with code 2;
    a traceback is kept for faults of this program.
    """


LONGEST = 200  # characters of a name or a value that are shown


def shortened(text: str) -> str:
    """The text, or its beginning and its length if it is too long to be read: a damaged list may have cells of megabytes."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def listing(names: Iterable[object], most: int = 5) -> str:
    """Join the first `most` names with commas and count the rest: `a, b, c and 4 more`.

    Names that are empty or hold line breaks or other control characters are shown quoted and escaped, long ones shortened.
    """
    names = [str(name) for name in names]
    shown = ", ".join(shortened(name if name and name.isprintable() else ascii(name)) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def brief(value: object) -> str:
    """repr(value), cut where it is long or deep, and quickly so: what a message shows of what it was given."""
    return shortened(_Brief().repr(value))


class _Brief(reprlib.Repr):
    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = LONGEST
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxlevel = 4

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() <= 1000 else hex(value)  # Python refuses decimals of 5,000 digits


GO_ON = "the same command with --resume goes on after the last finished epoch"


def run_script(story: Callable[[], Any], go_on: str = GO_ON) -> None:
    """Run a script's main function; a fault of the input or of the disk is one sentence on stderr and exit code 2.

    go_on: what to tell a user who stops it with Ctrl-C. Under torchrun the processes join, and one of them tells.
    What the output's encoding cannot write, such as a Korean path where it is ASCII, is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    path = Path(sys.argv[0])
    name = path.parent.name if path.stem == "__main__" else path.name
    try:
        with processes.joined():
            story()
    except (InputError, processes.JoinError) as error:
        processes.end(2, f"\n{name}: {error}")
    except OSError as error:  # a full disk, a folder without write permission
        processes.end(2, f"\n{name}: {_explain(error)}")
    except KeyboardInterrupt:
        processes.end(130, f"\n{name}: stopped; {go_on}")
    except Exception:
        if processes.world_size() == 1:
            raise
        processes.end(1, traceback.format_exc())


def _explain(error: OSError) -> str:
    """What the system could not do, and with which file; for a write it names none, so then what to look at."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename not in (None, ""):
        return f"{reason}: {listing([error.filename])}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason}; make room where the results, the cache (--data.cache) and temporary files (TMPDIR) are written"
    return f"{reason}; the system does not say which file this is about"

"""Names of runs and of attribute values as a picture can show them: short, and in letters that a font has."""

import functools
import unicodedata
from collections.abc import Iterable

from matplotlib import font_manager

OWN = "DejaVu Sans"  # comes with matplotlib
UNFIT = ("Last Resort", "Emoji")  # a box for every letter; bitmaps, which matplotlib cannot scale


def shown(name: str, most: int) -> str:
    """`name` on one line, in at most `most` characters, with … in place of its middle.

    Letters that no installed font has (see `families`) are written in those that every font has: Korean syllables as in
    their Unicode names (정면 -> jeongmyeon), others as escapes.
    """
    name = _plain(name)
    known = _letters(OWN).union(*map(_letters, families([name])))
    name = "".join(letter if ord(letter) in known else _spelled(letter) for letter in name)
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def families(names: Iterable[str]) -> list[str]:
    """The font families to set `names` in: matplotlib's own, and installed ones that have the letters which it lacks.

    Names in Latin, Greek or Cyrillic letters need its own alone, so that their pictures are the same on every machine.
    """
    foreign = {frozenset(map(ord, _plain(name))) - _letters(OWN) for name in names}
    return [OWN, *sorted({family for family in map(_family_with, foreign) if family})]


@functools.cache
def _family_with(letters: frozenset[int]) -> str | None:
    """A family that has all of the letters, if possible one without serifs; None if there is none, or no letter."""
    fonts = font_manager.fontManager.ttflist if letters else []
    upright = {font.name for font in fonts if font.style == "normal" and font.weight in (400, "normal")}
    for family in sorted(upright, key=lambda family: ("Sans" not in family and "Gothic" not in family, family)):
        if not any(word in family for word in UNFIT) and letters <= _letters(family):
            return family
    return None


@functools.cache
def _letters(family: str) -> frozenset[int]:
    """The code points that a family's upright font has."""
    return frozenset(font_manager.get_font(font_manager.findfont(family)).get_charmap())


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _spelled(letter: str) -> str:
    syllable = unicodedata.name(letter, "").partition("HANGUL SYLLABLE ")[2]
    return syllable.lower() or ascii(letter)[1:-1]

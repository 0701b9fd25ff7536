"""A contact sheet of synthetic people: nine angles across, three expressions down.

python -m datasets.twin.sheet --out sheet.jpg --people 6 --seed 0
"""

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.errors import InputError, run_script
from common.files import write_whole
from common.progress import progress
from datasets.pairs.draw import random_stream
from datasets.readers.competition import ANGLES, EXPRESSIONS
from datasets.twin.generate import open_studio
from datasets.twin.shots import LIGHTS, MOST_PEOPLE, PLAIN, Shot
from datasets.twin.workers import Photographer

NAMES = dict(zip(EXPRESSIONS, ("neutral", "smile", "frown")))
GAP, PAUSE, MARGIN = 2, 12, 10  # pixels between photographs, between people and around the sheet
PAPER, INK, PALE = (255, 255, 255), (40, 40, 44), (120, 120, 126)
MOST_BYTES = 700_000
COLOURS = (256, 192, 128, 96, 64, 48, 32)  # palettes of a PNG to try until the sheet is small enough
QUALITIES = (92, 88, 84, 80, 75, 70, 60, 50)  # the same for a JPEG
SUFFIXES = (".png", ".jpg", ".jpeg")


def make_sheet(
    out: str | Path,
    people: int = 6,
    seed: int = 0,
    image_size: int = 112,
    studio: Callable[[int, int], Photographer] = open_studio,
) -> Path:
    """Photograph the first `people` people of the population `seed` and write the sheet to `out`, a PNG or a JPEG.

    Nobody wears anything, every photograph has a light of its own. The file is kept below 700 KB, at the cost of colours,
    as far as that goes. Raises InputError.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{str(out)!r} should end in one of {', '.join(SUFFIXES)}")
    if not 1 <= people <= MOST_PEOPLE:
        raise InputError(f"people is {people}; it should be 1 to {MOST_PEOPLE:,}")
    lights = random_stream(seed, "sheet").choice(LIGHTS, size=(people, len(EXPRESSIONS), len(ANGLES)))
    photographer = studio(seed, image_size)
    photographs = np.zeros((*lights.shape, image_size, image_size, 3), dtype=np.uint8)
    for place in progress(np.ndindex(lights.shape), "sheet", total=lights.size, unit="photo"):
        person, expression, camera = place
        shot = Shot(PLAIN, str(lights[place]), EXPRESSIONS[expression], list(ANGLES)[camera], 1)
        photographs[place] = photographer.photograph(person, shot)
    write_whole(out, _encode(lay_out(photographs), out.suffix.lower()))
    return out


def lay_out(photographs: np.ndarray) -> Image.Image:
    """uint8 [people, expressions, cameras, S, S, 3] -> one picture, with captions for cameras and expressions."""
    people, expressions, cameras, side = photographs.shape[:4]
    font = ImageFont.load_default(size=max(8, round(side / 9)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # as it is wherever a size may be chosen
    line = sum(font.getmetrics())
    left = MARGIN + round(max(font.getlength(name) for name in NAMES.values())) + 3 * GAP
    top = MARGIN + 2 * line + 3 * GAP
    step = side + GAP
    block = expressions * step - GAP + PAUSE  # of one person
    size = left + cameras * step - GAP + MARGIN, top + people * block - PAUSE + MARGIN
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, (camera, yaw) in enumerate(ANGLES.items()):
        middle = left + column * step + side / 2
        degrees = f"{yaw:+d}°" if yaw else "0°"
        for row, (text, colour) in enumerate(((camera, INK), (degrees, PALE))):
            draw.text((middle, MARGIN + row * line), text, fill=colour, font=font, anchor="ma")
    for person, expression, camera in np.ndindex(people, expressions, cameras):
        y = top + person * block + expression * step
        sheet.paste(Image.fromarray(photographs[person, expression, camera]), (left + camera * step, y))
        if camera == 0:
            draw.text((left - 3 * GAP, y + side / 2), NAMES[EXPRESSIONS[expression]], fill=PALE, font=font, anchor="rm")
    return sheet


def _encode(sheet: Image.Image, suffix: str) -> bytes:
    """The file in the best quality that is small enough, or in the least if none is."""
    content = b""
    for colours, quality in zip(COLOURS, QUALITIES):
        buffer = io.BytesIO()
        if suffix == ".png":
            palette = sheet.quantize(colours)
            sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "PNG", optimize=True)
        else:
            sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        content = buffer.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.twin.sheet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="the picture: a .png (few colours) or a .jpg (all colours)")
    parser.add_argument("--people", type=int, default=6, help="how many people (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which population (default %(default)s)")
    parser.add_argument("--image_size", type=int, default=112, help="side of a photograph in pixels (default %(default)s)")
    out = make_sheet(**vars(parser.parse_args(arguments)))
    print(f"wrote {out}, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_script(main, go_on="nothing was written")

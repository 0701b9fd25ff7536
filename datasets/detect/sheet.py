"""A contact sheet: what was found, drawn on small copies of the photographs; those that should be looked at come first."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.detect.find import Face
from datasets.detect.journal import Found
from datasets.photographs.decoding import read_photograph, upright_size

SUFFIXES = (".jpg", ".jpeg", ".png")
COLUMNS, MOST = 12, 144  # cells
CELL, GAP, LINE = 128, 6, 14  # side of a cell, between cells, height of a caption, in pixels
LETTERS = 24  # of a caption
MARGIN = 16  # of a cell around the photograph, since padded boxes reach beyond it
PAPER, INK, PALE = (255, 255, 255), (40, 40, 44), (205, 205, 210)
USED, OTHER, POINT = (0, 200, 70), (255, 150, 0), (255, 40, 60)


def make_sheet(root: Path, found: Sequence[Found], suffix: str) -> bytes:
    """The picture file of a kind. Boxes: green for the face that is used, orange for the others; landmarks red. At most MOST
    photographs: first those without a face, then those with several, then of the rest as many, evenly."""
    shown = _chosen(found)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (GAP + columns * (CELL + GAP), GAP + rows * (CELL + LINE + GAP)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for place, photograph in enumerate(shown):
        x, y = GAP + place % columns * (CELL + GAP), GAP + place // columns * (CELL + LINE + GAP)
        sheet.paste(_cell(root, photograph), (x, y))
        draw.text((x, y + CELL), _caption(photograph), fill=INK, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG" if suffix == ".png" else "JPEG", quality=90)
    return buffer.getvalue()


def _chosen(found: Sequence[Found]) -> list[Found]:
    readable = [photograph for photograph in found if not photograph.fault]
    odd = sorted((photograph for photograph in readable if len(photograph.faces) != 1), key=lambda one: len(one.faces) > 0)
    plain = [photograph for photograph in readable if len(photograph.faces) == 1]
    room = min(max(0, MOST - len(odd)), len(plain))
    return odd[:MOST] + [plain[number * len(plain) // room] for number in range(room)]


def _caption(photograph: Found) -> str:
    """The number of faces, or the score of a single one, and as much of the name's end as there is room for."""
    count = len(photograph.faces)
    told = f"{photograph.faces[0].score:.2f} " if count == 1 else f"{count}: "
    room = LETTERS - len(told)
    name = photograph.file_name
    return told + (name if len(name) <= room else f"..{name[2 - room :]}")


def _cell(root: Path, photograph: Found) -> Image.Image:
    """A small copy with what was found; a grey square if the file can no longer be read."""
    cell = Image.new("RGB", (CELL, CELL), PALE)
    try:
        content = (root / photograph.file_name).read_bytes()
        picture = Image.fromarray(read_photograph(content, CELL))
    except (OSError, ValueError):
        return cell
    height, width = upright_size(content)
    scale = (CELL - 2 * MARGIN) / max(height, width)
    small = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
    corner = np.array([(CELL - small.width) // 2, (CELL - small.height) // 2])
    cell.paste(small, tuple(corner.tolist()))
    draw = ImageDraw.Draw(cell)
    for number, face in reversed(list(enumerate(photograph.faces))):  # the one that is used lies on top
        _draw(draw, face, corner, scale, OTHER if number else USED)
    return cell


def _draw(draw: ImageDraw.ImageDraw, face: Face, corner: np.ndarray, scale: float, colour: tuple[int, int, int]) -> None:
    """Box and landmarks of a face on a copy that is `scale` times as large and has its first pixel at `corner`, x, y."""
    edges = (np.array(face.box).reshape(2, 2) * scale + corner).round().clip(0, CELL - 1)
    draw.rectangle(edges.flatten().tolist(), outline=colour, width=2)
    for x, y in ((np.array(face.points) + 0.5) * scale + corner).tolist():
        draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=POINT)

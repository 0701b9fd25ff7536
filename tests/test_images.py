"""Photographs of every common kind are read; whatever cannot be is counted and named."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import InputError
from datasets.manifest import Face, Manifest
from datasets.photographs.cutting import square
from datasets.photographs.decoding import read_photograph
from datasets.photographs.photographs import Photographs

RAMP = np.tile(np.arange(0, 240, 6, dtype=np.uint8)[None, :], (30, 1))  # 30 x 40, grey


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return read_photograph((tmp_path / name).read_bytes())


def pgm16(magic: bytes) -> bytes:
    values = RAMP.astype(">u2") * 257
    body = values.tobytes() if magic == b"P5" else b" ".join(str(value).encode() for value in values.ravel())
    return magic + b"\n40 30\n65535\n" + body


def test_grey_alpha_palette_and_cmyk_become_rgb(tmp_path):
    grey = Image.fromarray(RAMP)
    expected = np.repeat(RAMP[..., None], 3, axis=2)
    assert (saved(tmp_path, grey, "grey.png") == expected).all()
    assert (saved(tmp_path, grey.convert("RGBA"), "rgba.png") == expected).all()
    assert (saved(tmp_path, grey.convert("LA"), "la.png") == expected).all()
    assert np.abs(saved(tmp_path, grey.convert("RGB").quantize(256), "palette.png").astype(int) - expected).max() <= 8
    assert saved(tmp_path, grey.convert("CMYK"), "cmyk.jpg").shape == (30, 40, 3)


@pytest.mark.parametrize("magic, maximum", [(b"P2", 255), (b"P5", 255), (b"P2", 65535), (b"P5", 65535)])
def test_plain_and_raw_pgm_of_8_and_16_bits(magic, maximum):
    if maximum == 65535:
        content = pgm16(magic)
    else:
        body = RAMP.tobytes() if magic == b"P5" else b" ".join(str(value).encode() for value in RAMP.ravel())
        content = magic + b"\n40 30\n255\n" + body
    assert (read_photograph(content) == RAMP[..., None]).all()


def test_16_bit_png_is_scaled_not_cut(tmp_path):
    image = Image.fromarray((RAMP.astype(np.uint16) * 257))
    assert (saved(tmp_path, image, "deep.png") == RAMP[..., None]).all()


def test_exif_orientation_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    assert saved(tmp_path, Image.fromarray(RAMP), "turned.jpg", exif=exif).shape == (40, 30, 3)


def test_a_large_jpeg_is_decoded_no_larger_than_needed(tmp_path):
    height, width = np.mgrid[:400, :320]
    waves = np.stack([128 + 100 * np.sin(height / 40), 128 + 100 * np.cos(width / 30), height / 2], axis=2).astype(np.uint8)
    Image.fromarray(waves).save(tmp_path / "waves.jpg", quality=95)
    content = (tmp_path / "waves.jpg").read_bytes()
    whole = read_photograph(content)
    assert whole.shape == (400, 320, 3)
    for enough, shape in {400: (400, 320), 161: (400, 320), 160: (200, 160), 60: (100, 80), 1: (50, 40)}.items():
        assert read_photograph(content, enough).shape == (*shape, 3)
    assert np.abs(square(read_photograph(content, 64), 64).astype(int) - square(whole, 64)).mean() < 1.5
    faces = Manifest.of([Face("waves.jpg", "a", {})], tmp_path)
    faces = replace(faces, table=faces.table.assign(left=0.0, top=0.0, right=64.0, bottom=64.0))
    corner = Photographs(faces, 64, "read")[0]  # a box is in pixels of the whole photograph
    assert np.abs(corner.astype(int) - whole[:64, :64]).mean() < 1.5


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1, -40])
@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_truncated_files_are_refused(tmp_path, name, cut):
    noise = np.random.default_rng(0).integers(0, 256, size=(60, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    content = content[:cut] if cut >= 0 else content[: len(content) * 2 // 3 + cut]
    with pytest.raises(ValueError, match=r"\w") as refused:
        read_photograph(content)
    assert " object at 0x" not in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"P5\n3 3\n255\n", b"%!PS-Adobe EPSF", b"II*\0"]),
)
def test_arbitrary_bytes_give_an_image_or_a_reason(content, magic):
    try:
        image = read_photograph(magic + content)
    except ValueError as error:
        assert str(error) and " object at 0x" not in str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_square_pads_by_the_edge_and_keeps_proportions():
    photograph = np.repeat(RAMP[..., None], 3, axis=2)
    image = square(photograph, 40)
    assert image.shape == (40, 40, 3)
    assert (image[5:35] == photograph).all() and (image[0] == photograph[0]).all()


def test_box_is_cut_even_beyond_the_edges():
    photograph = np.repeat(RAMP[..., None], 3, axis=2)
    assert (square(photograph, 10, (5, 5, 15, 15)) == photograph[5:15, 5:15]).all()
    beyond = square(photograph, 20, (-10, -10, 10, 10))
    assert (beyond[10:, 10:] == photograph[:10, :10]).all() and (beyond[:10, :10] == photograph[0, 0]).all()
    assert (square(photograph, 8, (100, 100, 108, 108)) == photograph[-1, -1]).all()
    with pytest.raises(ValueError, match="empty"):
        square(photograph, 8, (5, 5, 5, 9))
    for box in [(0, 0, 1e9, 1e9), (1e9, 0, 1e9 + 10, 10), (-1e9, 0, 10, 10), (0, 3e9, 10, 3e9 + 10)]:
        with pytest.raises(ValueError, match="far outside the photograph, 40 x 30"):
            square(photograph, 8, box)


@pytest.mark.parametrize("box", [(-1e308, -1e308, 1e308, 1e308), (0, 0, 1e308, 5), (1e307, 0, 1e308, 5), (-1e308, 0, -1e307, 5)])
def test_no_number_is_too_large_for_a_box(box):
    with pytest.raises(ValueError, match="far outside the photograph, 40 x 30"):
        square(np.zeros((30, 40, 3), np.uint8), 8, box)


@pytest.mark.parametrize("shape", [(200_000, 1), (60_000, 1), (1, 60_000), (20_000, 2)])
def test_photographs_too_long_to_be_squared_take_no_memory(tmp_path, shape):
    """One fault for each, beside those of others, and nothing of the size of the square is ever made."""
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "long.png")
    (tmp_path / "broken.png").write_bytes(b"not an image")
    Image.fromarray(RAMP).save(tmp_path / "right.png")
    faces = Manifest.of([Face(f"{name}.png", "1", {}) for name in ("long", "broken", "right")], tmp_path)
    side = max(shape)
    with pytest.raises(
        InputError, match=rf"2 of 3 .*long\.png \(the square .* {side:,} x {side:,} pixels, more than 160,000,000"
    ):
        Photographs(faces, 8, "read")
    boxed = replace(faces, table=faces.table.assign(left=0.0, top=0.0, right=1.0, bottom=1.0)).where(
        np.array([True, False, False])
    )
    assert (Photographs(boxed, 8, "read")[0] == 0).all()


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels should begin."""
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + header + zlib.crc32(header).to_bytes(4) + bytes(4) + b"IDAT"


@pytest.mark.parametrize("size", [(16_001, 10_000), (12_000, 14_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_more_pixels_than_any_camera_has_are_refused(size, recwarn):
    with pytest.raises(ValueError, match="160,000,000"):
        read_photograph(png_header(*size))


def test_a_box_that_is_not_square_grows_instead_of_squeezing_the_face():
    photograph = np.repeat(RAMP[..., None], 3, axis=2)
    assert (square(photograph, 20, (15, 5, 25, 25)) == photograph[5:25, 10:30]).all()
    assert (square(photograph, 20, (10, 10, 30, 20)) == photograph[5:25, 10:30]).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 50))
def test_any_size_becomes_square(height, width, side):
    assert square(np.zeros((height, width, 3), dtype=np.uint8), side).shape == (side, side, 3)


def test_photographs_count_every_unreadable_file(tmp_path):
    names = [f"{number}.png" for number in range(9)]
    for name in names:
        Image.fromarray(RAMP).save(tmp_path / name)
    faces = Manifest.of([Face(name, "1", {}) for name in names], tmp_path)
    digest = Photographs(faces, 8, "read").digest
    for name in names[:7]:
        (tmp_path / name).write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"7 of 9 .*0\.png \(.*4\.png .* and 2 more"):
        Photographs(faces, 8, "read")
    for name in names:
        Image.fromarray(RAMP + 1).save(tmp_path / name)
    assert Photographs(faces, 8, "read").digest != digest

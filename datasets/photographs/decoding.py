"""One photograph from the bytes of its file to upright RGB pixels: any common format, or the reason why not."""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datasets.photographs.cutting import MOST_PIXELS

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MOST_PIXELS is the limit, and an error

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")  # no format whose reader starts another program (EPS)


def read_photograph(content: bytes, enough: int | None = None) -> np.ndarray:
    """Decode a photograph -> uint8 RGB [H, W, 3], upright. Grey, palette, alpha, CMYK and 16-bit images are converted.

    enough: a JPEG larger than needed may come at a half, a quarter or an eighth of its height and width, which is faster by
    far, as long as both have `enough` pixels; without it, at full size.
    Raises ValueError, with the reason, for whatever cannot be decoded whole and, before it takes any memory, for more than
    MOST_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            if file.width * file.height > MOST_PIXELS:
                raise ValueError(f"it has {file.width:,} x {file.height:,} pixels, and at most {MOST_PIXELS:,} are read")
            if enough:
                file.draft(None, (enough, enough))
            file.load()
            image: Image.Image = file
            if image.mode == "F":
                raise ValueError("floating-point pixels have no defined range")
            if image.mode.startswith("I"):  # 16 bits a pixel; 257 = 65535 / 255
                image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Image.DecompressionBombError as error:  # Pillow's own limit lies somewhat higher
        raise ValueError(f"it has more than {MOST_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:  # whose own message shows the object in memory that was read
        raise ValueError(f"its beginning is that of no whole image; what is read: {', '.join(FORMATS)}") from error
    except Exception as error:  # a decoder meets arbitrary bytes here and may raise anything
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def upright_size(content: bytes) -> tuple[int, int]:
    """Height and width that `read_photograph` gives a photograph it can read at full size; its pixels are not decoded."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        # Orientations 5 to 8 swap height and width; of a TIFF Pillow tells the upright size by itself.
        turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)

"""Read one picture safely: within limits, upright, RGB; what cannot be read is named, never skipped in silence."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lookalike.errors import ImageError

ImageSource = str | Path | bytes | Image.Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a picture may cost: a file of a few KiB can unpack to hundreds of MiB, so pixels are bounded too."""

    max_bytes: int = 64 * 2**20
    max_pixels: int = 50_000_000
    min_side_px: int = 4


DEFAULT_LIMITS = ImageLimits()


def read_bytes(source: str | Path | bytes, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The encoded picture.

    Raises:
        ImageError: the file is missing, a folder, empty, or larger than `limits.max_bytes`.
    """
    if not isinstance(source, bytes):
        source = _read_file(Path(source), limits)
    if not source:
        raise ImageError("the picture is empty (0 bytes)")
    if len(source) > limits.max_bytes:
        raise ImageError(f"the picture has {len(source):,} bytes; the limit is {limits.max_bytes:,}")
    return source


def decode(source: ImageSource, short_side_px: int | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Decode the first frame of a picture as upright RGB.

    Args:
        source: a path, the encoded bytes, or an opened picture.
        short_side_px: a hint: a JPEG may be decoded at a reduced size whose short side is still at least this.
        limits: what the picture may cost.

    Raises:
        ImageError: it cannot be read, is damaged, or breaks a limit; the sentence does not repeat the path.
    """
    if isinstance(source, Image.Image):
        return _upright_rgb(source)
    encoded = read_bytes(source, limits)
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as picture:
            _check_size(picture.size, limits)
            if short_side_px is not None:
                _decode_reduced(picture, short_side_px)
            return _upright_rgb(picture)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"the picture has more than {limits.max_pixels:,} pixels; make it smaller") from None
    except UnidentifiedImageError:
        raise ImageError("this is not a picture we can read (JPEG, PNG, WebP, GIF, BMP or TIFF)") from None
    # Pillow's decoders raise many kinds on damaged input (OSError, SyntaxError, struct.error, EOFError ...).
    except Exception as error:
        raise ImageError(f"the picture is damaged ({str(error) or type(error).__name__}); replace the file") from None


def describe_source(source: object) -> str:
    """How a message names a picture: its path, or that it is bytes."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    if str(path).startswith(("http:/", "https:/")):
        raise ImageError("pictures are not fetched from the network; download it and name the file")
    try:
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise ImageError(f"the picture has {size:,} bytes; the limit is {limits.max_bytes:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except OSError as error:
        raise ImageError(f"the file cannot be read ({error.strerror})") from None


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageError(f"the picture has {width} x {height} px; the limit is {limits.max_pixels:,} pixels")
    if min(width, height) < limits.min_side_px:
        raise ImageError(f"the picture has {width} x {height} px; a side must have at least {limits.min_side_px}")


def _decode_reduced(picture: Image.Image, short_side_px: int) -> None:
    # JPEG only (others ignore it): 1/2, 1/4 or 1/8 of the size costs a fraction of the time and memory. Twice the
    # size wanted keeps the final resize sharp.
    picture.draft("RGB", (2 * short_side_px, 2 * short_side_px))


def _upright_rgb(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture) or picture
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _to_eight_bits(upright)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        # A cut-out product on nothing is meant to stand on white, as in a shop.
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    # Pillow clips 16-bit gray at 255 instead of scaling it.
    values = np.asarray(picture, dtype=np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))

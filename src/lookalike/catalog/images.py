"""Read one picture safely: within limits, upright, RGB; what cannot be read is named, never skipped in silence."""

import io
import stat
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from lookalike.errors import ImageError

ImageSource = str | Path | bytes | Image.Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
#: What makes a picture upright, by its EXIF orientation (1 and whatever is not here: nothing).
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    try:
        if isinstance(source, Image.Image):
            _check_size(source.size, limits)
            return _upright_rgb(source)
        encoded = read_bytes(source, limits)
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
        found = path.stat()
        # Reading a device or a pipe might never end.
        if not stat.S_ISREG(found.st_mode):
            raise ImageError("this is a folder or a device, not a file; name the picture itself")
        if found.st_size > limits.max_bytes:
            raise ImageError(f"the picture has {found.st_size:,} bytes; the limit is {limits.max_bytes:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except OSError as error:
        raise ImageError(f"the file cannot be read ({error.strerror})") from None
    except ImageError:
        raise
    except ValueError:
        raise ImageError("the file cannot be read (no file can have such a name)") from None


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
    picture.load()
    turned = TRANSPOSED.get(_orientation(picture))
    rgb = _rgb(picture)
    # The pixels alone: with its EXIF left on it, a picture decoded twice would be turned twice.
    rgb.info.clear()
    return rgb.transpose(turned) if turned is not None else rgb


def _orientation(picture: Image.Image) -> int:
    # Cameras and editors write malformed EXIF; the picture under it is good, and Pillow raises many kinds.
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_eight_bits(picture)
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return picture.convert("RGB")
    # A cut-out product on nothing is meant to stand on white, as in a shop.
    layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer)
    return white


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    # Pillow clips 16-bit gray at 255 instead of scaling it.
    values = picture if picture.mode == "F" else picture.convert("I")
    _, largest = values.getextrema()
    top = 65535 if float(largest) > 255 else 255  # type: ignore[arg-type]
    gray = values.point(lambda value: value * (255 / top) + 0.5).convert("L")
    gray.info.pop("transparency", None)  # a 16-bit number
    return gray

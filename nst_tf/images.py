"""Files to pixels and back.

Everywhere in `nst_tf` a picture is one thing: float32 RGB in [0, 1], of shape (1, height, width, 3).  This module is
the door at which that is made true.
"""

from __future__ import annotations

import http.client
import io
import os
import string
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from nst_tf.engine.files import written_whole

if TYPE_CHECKING:
    import tensorflow as tf

MIN_SIDE = 32
# Resizing and arithmetic overshoot a little; a picture in 0 to 255 overshoots by far more.
OVERSHOOT = 1e-3
DOWNLOAD_LIMIT_BYTES = 64 * 2**20
DOWNLOAD_LIMIT_SECONDS = 60
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95, "use_sharp_yuv": True},
}
# By suffix, what Pillow calls the format.
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}


def load_image(
    source: Any,
    *,
    max_side: int | None = None,
    size: tuple[int, int] | None = None,
    upscale: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Load a picture from almost anywhere.

    A camera's EXIF turn is applied, transparency is laid on white, colours are brought to sRGB, 16-bit pictures are
    rescaled, and only the first frame of an animation is taken.  Resizing is Lanczos with antialiasing.

    Args:
        source: A path, an http(s) URL, the bytes of a picture file, a PIL image, or an array.  Arrays are
            (height, width), (height, width, 1, 3 or 4) or those with a leading 1, as integers in the range of their
            type (uint8, uint16) or as floats in [0, 1].
        max_side: The longest side of the result in pixels; the aspect is kept.  A smaller picture is left as it is.
        size: The exact (height, width) of the result; the aspect is not kept.
        upscale: Whether `max_side` may also enlarge.
        name: What to call the picture in messages, where it has no file name.

    Returns:
        float32 tensor of shape (1, height, width, 3), RGB in [0, 1].

    Raises:
        ValueError: If the source is missing, empty, truncated, not a picture, too large or too small.  The message
            names the file and says what to do.

    Example:
        >>> content_image = load_image("content.jpg", max_side=512)
    """
    # TensorFlow takes seconds to import; a wrong path is reported before that.
    pixels = read_pixels(source, max_side=max_side, size=size, upscale=upscale, name=name)
    import tensorflow as tf

    return tf.constant(pixels[np.newaxis])


def save_image(image: Any, path: str | os.PathLike, *, png_text: dict[str, str] | None = None) -> Path:
    """Save a picture as PNG, JPEG or WebP, by the path's suffix; whole or not at all.

    Args:
        image: (1, height, width, 3) or (height, width, 3), RGB in [0, 1].  Values outside are clipped, and every
            value is rounded to the nearest of 256 levels.
        path: Where to write.  Missing folders are made.
        png_text: Words to keep inside a PNG, by keyword.  Other formats do not carry them.

    Returns:
        The path.

    Raises:
        ValueError: If the suffix is not one of .png, .jpg, .jpeg, .webp, or the picture is not RGB or not finite.
        OSError: If the file cannot be written; nothing is left behind, and a file that stood there is untouched.
    """
    path = Path(path)
    options = dict(save_options(path))
    if options["format"] == "PNG" and png_text:
        options["pnginfo"] = _png_text(png_text)
    picture = Image.fromarray(to_uint8(image))
    with written_whole(path) as temporary:
        picture.save(temporary, **options)
    return path


def save_options(path: str | os.PathLike) -> dict[str, Any]:
    """Return Pillow's options for the format that a path's suffix names.

    Raises:
        ValueError: If the suffix is not one that `save_image` writes.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SAVE_OPTIONS:
        raise ValueError(f"Cannot save {_shown(path)}: the name must end in one of {', '.join(SAVE_OPTIONS)}.")
    return SAVE_OPTIONS[suffix]


def check_animation(path: str | os.PathLike) -> None:
    """Raise ValueError if no animation is written under a name that ends as this one."""
    if Path(path).suffix.lower() not in ANIMATIONS:
        raise ValueError(f"An animation is written as {' or '.join(ANIMATIONS)}; {os.fspath(path)!r} ends otherwise.")


def to_uint8(image: Any) -> np.ndarray:
    """Turn a picture into bytes, rounding to the nearest level.

    Args:
        image: (1, height, width, 3) or (height, width, 3), RGB in [0, 1]; values outside are clipped.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        ValueError: If the shape is another, or a value is not finite.
    """
    pixels = np.asarray(image, np.float32)
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"Expected a picture of shape (1, height, width, 3), got {np.shape(image)}.")
    if not np.isfinite(pixels).all():
        raise ValueError("The picture holds NaN or infinite values; nothing was saved.")
    return np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def check_image(image: Any, name: str) -> None:
    """Refuse what breaks the pixel contract.

    Args:
        image: Should be float32 (1, height, width, 3), RGB in [0, 1], both sides at least 32.
        name: What to call it in the message, such as "content image".

    Raises:
        ValueError: If it is not; the message says what came and how to make it right.
    """
    remedy = "Load it with nst_tf.load_image, which makes it so."
    expected = "float32 of shape (1, height, width, 3), RGB in [0, 1]"
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != 4 or shape[0] != 1 or shape[-1] != 3:
        raise ValueError(f"Expected the {name} as {expected}; got shape {shape}. {remedy}")
    pixels = np.asarray(image)
    if pixels.dtype != np.float32:
        raise ValueError(f"Expected the {name} as {expected}; got {pixels.dtype}. {remedy}")
    if min(shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"The {name} is {shape[2]} × {shape[1]} pixels; each side must have at least {MIN_SIDE}. "
            "Choose a larger picture."
        )
    if not np.isfinite(pixels).all():
        raise ValueError(f"The {name} holds NaN or infinite values. {remedy}")
    if pixels.min() < -OVERSHOOT or pixels.max() > 1 + OVERSHOOT:
        raise ValueError(
            f"Expected the {name} as {expected}; got values from {pixels.min():.3g} to {pixels.max():.3g}. "
            "Divide by 255 if they are bytes."
        )


def read_pixels(
    source: Any,
    *,
    max_side: int | None = None,
    size: tuple[int, int] | None = None,
    upscale: bool = False,
    name: str | None = None,
) -> np.ndarray:
    """Do the work of `load_image` without TensorFlow.

    Returns:
        float32 array of shape (height, width, 3), RGB in [0, 1].

    Raises:
        ValueError: As `load_image`.
    """
    if max_side is not None and size is not None:
        raise ValueError("Give max_side or size, not both.")
    if isinstance(source, (bytes, bytearray)):
        name = name or "the picture given as bytes"
        pixels = _decode(bytes(source), name)
    elif isinstance(source, Image.Image):
        name = name or "the PIL image given"
        pixels = _picture_to_pixels(source, name)
    elif isinstance(source, (str, os.PathLike)):
        name = _shown(source)
        data = _fetch(str(source)) if _is_url(source) else _read_file(Path(source))
        pixels = _decode(data, name)
    elif hasattr(source, "shape"):
        name = name or "the array given"
        pixels = _array_to_pixels(np.asarray(source))
    else:
        raise ValueError(
            f"Cannot load a picture from a {type(source).__name__}; give a path, a URL, bytes, a PIL image or an array."
        )
    _check_sides(pixels.shape[:2], name)
    wanted = _wanted_size(pixels.shape[:2], max_side, size, upscale)
    if min(wanted) < MIN_SIDE:
        raise ValueError(
            f"At the size asked for, {name} would be {wanted[1]} × {wanted[0]} pixels; each side must have at least "
            f"{MIN_SIDE}. Ask for a larger size."
        )
    return _resize(pixels, wanted)


def _shown(path: str | os.PathLike) -> str:
    return repr(os.fspath(path))


def _is_url(source: str | os.PathLike) -> bool:
    return isinstance(source, str) and "://" in source


def _read_file(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ValueError(f"There is no file {_shown(path)}. Check the path and the working folder.")
        if not path.is_file():
            raise ValueError(f"{_shown(path)} is not a file. Give the path of one picture.")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"Cannot read {_shown(path)}: {error.strerror}. Check the path and its permissions."
        ) from error


def _fetch(url: str) -> bytes:
    deadline = time.monotonic() + DOWNLOAD_LIMIT_SECONDS
    advice = "Check the address and the connection, or download the picture by hand and give its path."
    try:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(f"Cannot load {url!r}: only http and https addresses are fetched.")
        ascii_url = urllib.parse.quote(url, safe=string.punctuation)  # as browsers write what is not ASCII
        try:
            urllib.parse.urlsplit(url)
        except ValueError as error:
            raise ValueError(f"Cannot load {url!r}: {error}. {advice}") from error
        request = urllib.request.Request(ascii_url, headers={"User-Agent": "nst_tf (a style transfer tutorial)"})
        with urllib.request.build_opener(_WebOnly).open(request, timeout=10) as response:
            return _read_response(response, url, deadline)
    except urllib.error.HTTPError as error:
        raise ValueError(f"{url!r} answered {error.code} {error.reason}. {advice}") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise ValueError(f"Cannot load {url!r}: {getattr(error, 'reason', error)}. {advice}") from error


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Refuses to be redirected to anything but http and https; Python's own handler would follow to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.lower().startswith(("http://", "https://")):
            raise ValueError(f"{req.full_url!r} leads to {newurl!r}; only http and https addresses are fetched.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read_response(response: Any, url: str, deadline: float) -> bytes:
    received = bytearray()
    while chunk := response.read1(2**16):
        received += chunk
        if len(received) > DOWNLOAD_LIMIT_BYTES:
            raise ValueError(f"{url!r} is larger than {DOWNLOAD_LIMIT_BYTES // 2**20} MiB. Give a smaller picture.")
        if time.monotonic() > deadline:
            raise ValueError(
                f"{url!r} took longer than {DOWNLOAD_LIMIT_SECONDS} s. Download it by hand, give its path."
            )
    return bytes(received)


def _decode(data: bytes, name: str) -> np.ndarray:
    if not data:
        raise ValueError(f"{name} is empty. Copy or download it again.")
    with warnings.catch_warnings():
        # Pillow only warns between its limit and twice its limit; such a picture would exhaust the memory.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
        except UnidentifiedImageError:
            raise ValueError(f"{name} is not a picture that Pillow can read. Give a JPEG, PNG, WebP or TIFF.") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise ValueError(
                f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit. Make it smaller first."
            ) from None
        except Exception as error:  # Pillow's decoders raise many kinds on damaged files
            raise _damaged(name, error) from error
    return _picture_to_pixels(picture, name)


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({error}). Copy or download it again.")


def _picture_to_pixels(picture: Image.Image, name: str) -> np.ndarray:
    try:
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:  # a PIL image may be read only now, and its EXIF data may be damaged
        raise _damaged(name, error) from error
    if picture.mode.startswith("I") or picture.mode == "F":
        return _array_to_pixels(_deep_grey(picture, name))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        transparent = picture.convert("RGBA")
        colours = transparent.convert("RGB")
        colours.info = dict(picture.info)
        return _array_to_pixels(np.dstack([_to_srgb(colours), transparent.getchannel("A")]))
    return _array_to_pixels(np.asarray(_to_srgb(picture.convert("RGB") if picture.mode == "P" else picture)))


def _deep_grey(picture: Image.Image, name: str) -> np.ndarray:
    """Return a 16-bit, 32-bit or float grey picture as float in [0, 1]."""
    grey = np.asarray(picture)
    if picture.mode == "F":
        if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 1:
            raise ValueError(f"{name} holds floating-point values outside [0, 1]. Rescale it to [0, 1] first.")
        return grey
    # Pillow reads 16-bit files into 32-bit integers in some formats.
    whole = 65535 if grey.max() <= 65535 else 2**31 - 1
    return np.clip(grey.astype(np.float64) / whole, 0, 1)


def _to_srgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if isinstance(profile, bytes) and picture.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # A broken profile is common and harmless; the plain conversion is what viewers show then.
    return picture.convert("RGB")


def _array_to_pixels(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(f"Expected an array of shape (height, width, 3), got {array.shape}.")
    if array.dtype in (np.uint8, np.uint16):
        pixels = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif np.issubdtype(array.dtype, np.floating):
        pixels = array.astype(np.float32)
    else:
        raise ValueError(f"Expected an array of uint8, uint16 or float in [0, 1], got {array.dtype}.")
    if not np.isfinite(pixels).all() or pixels.min() < -OVERSHOOT or pixels.max() > 1 + OVERSHOOT:
        raise ValueError("The array's float values must lie in [0, 1]. Divide by 255 if they are bytes.")
    pixels = np.clip(pixels, 0.0, 1.0)
    if pixels.shape[-1] == 4:
        colour, alpha = pixels[..., :3], pixels[..., 3:]
        return colour * alpha + (1 - alpha)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _check_sides(size: tuple[int, int], name: str) -> None:
    height, width = size
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"{name} is {width} × {height} pixels; each side must have at least {MIN_SIDE}. Choose a larger one."
        )


def _wanted_size(
    given: tuple[int, int], max_side: int | None, size: tuple[int, int] | None, upscale: bool
) -> tuple[int, int]:
    if size is not None:
        height, width = size
        return int(height), int(width)
    if max_side is None or (max(given) <= max_side and not upscale):
        return given
    scale = max_side / max(given)
    return max(1, round(given[0] * scale)), max(1, round(given[1] * scale))


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] != size:
        height, width = size
        # One channel at a time, since Pillow resizes floating-point pictures only in grey.
        channels = [
            Image.fromarray(np.ascontiguousarray(pixels[..., channel])).resize(
                (width, height), Image.Resampling.LANCZOS
            )
            for channel in range(3)
        ]
        pixels = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    return np.clip(pixels, 0.0, 1.0).astype(np.float32)


def _png_text(text: dict[str, str]) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, words in text.items():
        info.add_itxt(keyword, words)
    return info

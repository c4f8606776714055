"""Files, bytes, PIL images and arrays to pixels: all that Pillow can misread is put right here."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from nst_tf.ground.checks import MIN_SIDE, OVERSHOOT, whole_number
from nst_tf.ground.download import fetch

logger = logging.getLogger("nst_tf")
# The largest values of 8, 12, 16 and 31 bits.
WHITE = (255, 4095, 65535, 2**31 - 1)


def read_pixels(
    source: Any,
    *,
    max_side: int | None = None,
    size: tuple[int, int] | None = None,
    upscale: bool = False,
    name: str | None = None,
    ground: float = 1.0,
    at_least: int | None = None,
) -> np.ndarray:
    """Do the work of `load_image` without TensorFlow.

    Args:
        source: As for `load_image`.
        max_side: As for `load_image`.
        size: As for `load_image`.
        upscale: As for `load_image`.
        name: As for `load_image`.
        ground: What lies under transparency, from 0 for black to 1 for white.
        at_least: The longest side that is needed, if no size is given: a larger JPEG is read at a half, a quarter or an
            eighth, which takes a fraction of the time and memory.

    Returns:
        float32 array of shape (height, width, 3), RGB in [0, 1].

    Raises:
        ValueError: As `load_image`.
    """
    if max_side is not None and size is not None:
        raise ValueError("Give max_side or size, not both.")
    max_side = max_side if max_side is None else whole_number(max_side, "max_side", least=1)
    if size is not None:
        if np.shape(size) != (2,):
            raise ValueError(f"size is {size!r}; expected (height, width). max_side={size!r} keeps the aspect.")
        size = tuple(whole_number(side, "size", least=1) for side in size)
    if max_side or size:
        at_least = 2 * (max_side or max(size))  # Lanczos makes the last halving, more finely than JPEG does
    at_least = at_least and max(at_least, 8 * MIN_SIDE)  # so that a thin picture is not read too thin
    if isinstance(source, (bytes, bytearray)):
        name = name or "the picture given as bytes"
        pixels = _decode(bytes(source), name, ground, at_least)
    elif isinstance(source, Image.Image):
        name = name or "the PIL image given"
        pixels = _picture_to_pixels(source, name, ground)
    elif isinstance(source, (str, os.PathLike)):
        name = _shown(source)
        data = fetch(str(source)) if _is_url(source) else _read_file(Path(source))
        pixels = _decode(data, name, ground, at_least)
    elif hasattr(source, "shape"):
        name = name or "the array given"
        pixels = _array_to_pixels(np.asarray(source), ground)
    else:
        raise ValueError(
            f"Cannot load a picture from a {type(source).__name__}; give a path, a URL, bytes, a PIL image or an array."
        )
    _check_sides(pixels.shape[:2], name)
    wanted = _wanted_size(pixels.shape[:2], max_side, size, upscale)
    if min(wanted) < MIN_SIDE:
        raise ValueError(
            f"At the size asked for, {name} would be {wanted[1]} × {wanted[0]} pixels; each side must have at least "
            f"{MIN_SIDE}. Ask for a larger size; for a style image, by style_scale (--style-scale)."
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


def _decode(data: bytes, name: str, ground: float, at_least: int | None) -> np.ndarray:
    if not data:
        raise ValueError(f"{name} is empty. Copy or download it again.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                if at_least:
                    picture.draft(picture.mode, (at_least, at_least))
                # Pillow only warns between its limit and twice its limit; such a picture would exhaust the memory.
                if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                    raise Image.DecompressionBombError
                if (count := getattr(picture, "n_frames", 1)) > 1:
                    logger.info("%s holds %d pictures; the first is taken.", name, count)
                picture.load()
        except UnidentifiedImageError:
            raise ValueError(f"{name} is not a picture that Pillow can read. Give a JPEG, PNG, WebP or TIFF.") from None
        except Image.DecompressionBombError:
            raise ValueError(
                f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit. Make it smaller first."
            ) from None
        except Exception as error:  # Pillow's decoders raise many kinds on damaged files
            raise _damaged(name, error) from error
    return _picture_to_pixels(picture, name, ground)


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({error}). Copy or download it again.")


def _picture_to_pixels(picture: Image.Image, name: str, ground: float) -> np.ndarray:
    try:
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:  # a PIL image may be read only now, and its EXIF data may be damaged
        raise _damaged(name, error) from error
    if picture.mode.startswith("I") or picture.mode == "F":
        return _array_to_pixels(_deep_grey(picture, name), ground)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        transparent = picture.convert("RGBA")
        colours = transparent.convert("RGB")
        colours.info = dict(picture.info)
        return _array_to_pixels(np.dstack([_to_srgb(colours), transparent.getchannel("A")]), ground)
    return _array_to_pixels(np.asarray(_to_srgb(picture.convert("RGB") if picture.mode == "P" else picture)), ground)


def _deep_grey(picture: Image.Image, name: str) -> np.ndarray:
    """Return a 16-bit, 32-bit or float grey picture as float in [0, 1]."""
    grey = np.asarray(picture)
    if picture.mode == "F":
        if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 1:
            raise ValueError(f"{name} holds floating-point values outside [0, 1]. Rescale it to [0, 1] first.")
        return grey
    # Files say how many bits a value has room for, and not how many of them a camera or a scanner used.
    whole = next((most for most in WHITE if grey.max() <= most), WHITE[-1])
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


def _array_to_pixels(array: np.ndarray, ground: float) -> np.ndarray:
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
        return colour * alpha + ground * (1 - alpha)
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

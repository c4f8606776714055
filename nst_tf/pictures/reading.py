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

from nst_tf.ground.checks import MIN_SIDE, in_unit_range, whole_number
from nst_tf.ground.download import fetch
from nst_tf.ground.files import user_path

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
    at_least = at_least and max(at_least, 8 * MIN_SIDE)  # so that a thin image is not read too thin
    if isinstance(source, (bytes, bytearray)):
        name = name or "the image given as bytes"
        pixels = _decode(bytes(source), name, ground, at_least)
    elif isinstance(source, Image.Image):
        name = name or "the PIL image given"
        pixels = _to_pixels(source, name, ground)
    elif isinstance(source, (str, os.PathLike)):
        name = repr(os.fspath(source))
        is_url = isinstance(source, str) and "://" in source
        pixels = _decode(fetch(source) if is_url else _read_file(user_path(source), name), name, ground, at_least)
    elif hasattr(source, "shape"):
        name = name or "the array given"
        pixels = _array_to_pixels(np.asarray(source), name, ground)
    else:
        raise ValueError(
            f"Cannot load an image from a {type(source).__name__}; give a path, a URL, bytes, a PIL image or an array."
        )
    given = pixels.shape[:2]
    _check_sides(given, f"{name} is", "Choose a larger one.")
    if size is None:
        scale = max_side / max(given) if max_side and (upscale or max(given) > max_side) else 1
        size = tuple(max(1, round(scale * side)) for side in given)
    remedy = "Ask for a larger size; for a style image, by style_scale (--style-scale)."
    _check_sides(size, f"At the size asked for, {name} would be", remedy)
    return _resize(pixels, size)


def _check_sides(size: tuple[int, int], what: str, remedy: str) -> None:
    if min(size) < MIN_SIDE:
        raise ValueError(f"{what} {size[1]} × {size[0]} pixels; each side must have at least {MIN_SIDE}. {remedy}")


def _read_file(path: Path, name: str) -> bytes:
    try:
        if not path.exists():
            raise ValueError(f"There is no file {name}. Check the path and the working folder.")
        if not path.is_file():
            raise ValueError(f"{name} is not a file. Give the path of one image.")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"Cannot read {name}: {error.strerror}. Check the path and its permissions.") from error


def _decode(data: bytes, name: str, ground: float, at_least: int | None) -> np.ndarray:
    if not data:
        raise ValueError(f"{name} is empty. Copy or download it again.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as image:
                if at_least:
                    image.draft(image.mode, (at_least, at_least))
                # Pillow only warns between its limit and twice its limit; such an image would exhaust the memory.
                if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                    raise Image.DecompressionBombError
                if (count := getattr(image, "n_frames", 1)) > 1:
                    logger.info("%s holds %d images; the first is taken.", name, count)
                image.load()
        except UnidentifiedImageError:
            raise ValueError(f"{name} is not an image that Pillow can read. Give a JPEG, PNG, WebP or TIFF.") from None
        except Image.DecompressionBombError:
            raise ValueError(
                f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit. Make it smaller first."
            ) from None
        except Exception as error:  # Pillow's decoders raise many kinds on damaged files
            raise _damaged(name, error) from error
    return _to_pixels(image, name, ground)


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({error}). Copy or download it again.")


def _to_pixels(image: Image.Image, name: str, ground: float) -> np.ndarray:
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # a PIL image may be read only now, and its EXIF data may be damaged
        raise _damaged(name, error) from error
    if image.mode.startswith("I") or image.mode == "F":
        array = _deep_grey(image)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        transparent = image.convert("RGBA")
        colors = transparent.convert("RGB")
        colors.info = dict(image.info)  # the color profile
        array = np.dstack([_to_srgb(colors), transparent.getchannel("A")])
    else:
        array = np.asarray(_to_srgb(image.convert("RGB") if image.mode == "P" else image))
    return _array_to_pixels(array, name, ground)


def _deep_grey(image: Image.Image) -> np.ndarray:
    """Return a 16-bit, 32-bit or float grey image as float in [0, 1]."""
    grey = np.asarray(image)
    if image.mode == "F":
        return grey
    # Files say how many bits a value has room for, and not how many of them a camera or a scanner used.
    whole = next((most for most in WHITE if grey.max() <= most), WHITE[-1])
    return np.clip(grey.astype(np.float64) / whole, 0, 1)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and image.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # A broken profile is common and harmless; the plain conversion is what viewers show then.
    return image.convert("RGB")


def _array_to_pixels(array: np.ndarray, name: str, ground: float) -> np.ndarray:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(f"Expected {name} in the shape (height, width, 3), got {array.shape}.")
    pixels = np.clip(in_unit_range(array, name), 0.0, 1.0)
    if pixels.shape[-1] == 4:
        color, alpha = pixels[..., :3], pixels[..., 3:]
        return color * alpha + ground * (1 - alpha)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] != size:
        # One channel at a time, since Pillow resizes floating-point images only in grey.
        channels = (Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, -1, 0))
        resized = [channel.resize(size[::-1], Image.Resampling.LANCZOS) for channel in channels]
        pixels = np.stack([np.asarray(channel) for channel in resized], axis=-1)  # (height, width, 3)
    return np.clip(pixels, 0.0, 1.0).astype(np.float32)

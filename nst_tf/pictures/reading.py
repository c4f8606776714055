"""Files, bytes, PIL images and arrays to pixels: all that Pillow can misread is put right here."""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from nst_tf.ground.checks import MAX_SIDE, MIN_SIDE, in_unit_range, shown, whole_number, wrong_shape
from nst_tf.ground.download import fetch
from nst_tf.ground.files import user_path

logger = logging.getLogger("nst_tf")
MOST_OF_32_BITS = (255, 65535, 2**31 - 1)
# A drive's letter is no scheme.
ADDRESS = re.compile(r"data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What a TIFF says of its values, by number of the tag.
BITS, PHOTOMETRIC, MOST, FORMAT = 258, 262, 281, 339
SIGNIFICANT_BITS = re.compile(rb"\x00\x00\x00\x01sBIT(.)", re.DOTALL)
BAND_ROWS = 256
# How an HEIC file says what it is, in its bytes 8 to 12.
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


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
    """Do the work of `load_image`, as it is called, without TensorFlow; return float32 (height, width, 3).

    Besides, `ground` is what lies under transparency, from 0 for black to 1 for white, and `at_least` the longest side
    that is needed if no size is given: a far larger image is reduced by a whole number before there are floats, which
    takes a fraction of the time and memory.
    """
    if max_side is not None and size is not None:
        raise ValueError("Give max_side or size, not both.")
    max_side = max_side if max_side is None else whole_number(max_side, "max_side", least=1)
    if size is not None:
        if np.shape(size) != (2,):
            raise ValueError(f"size is {size!r}; expected (height, width). max_side={size!r} keeps the aspect.")
        size = tuple(whole_number(side, "size", least=1) for side in size)
    if max_side or size:
        at_least = 2 * (max_side or max(size))  # Lanczos makes the last halving, more finely
    at_least = at_least and max(at_least, 8 * MIN_SIDE)  # so that a thin image is not read too thin
    if isinstance(source, (str, os.PathLike)):
        name = shown(source)
        is_url = isinstance(source, str) and ADDRESS.match(source)
        source = fetch(source) if is_url else _read_file(user_path(source), name)
    name = name or f"the image given as {type(source).__name__}"
    if isinstance(source, (bytes, bytearray)):
        source = _decode(bytes(source), name, at_least)
    if isinstance(source, Image.Image):
        name = f"{name}, read by np.asarray(PIL.Image.open(path))," if source.mode == "F" else name
        source = _to_array(source, name, at_least)
    if not hasattr(source, "shape"):
        kind = type(source).__name__
        raise ValueError(f"Cannot load an image from a {kind}; give a path, a URL, bytes, a PIL image or an array.")
    pixels = _array_to_pixels(np.asarray(source), name, ground)
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
    if max(size) > MAX_SIDE:
        raise ValueError(f"{what} {size[1]} × {size[0]} pixels; a side has at most {MAX_SIDE}. Choose a smaller one.")


def _read_file(path: Path, name: str) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        wrong = f"{name} is not a file" if path.exists() else f"There is no file {name}"
    except OSError as error:
        wrong = f"Cannot read {name}: {error.strerror}"
    raise ValueError(
        f"{wrong}. Check the path (if it has spaces, put it in quotes), its permissions and the working folder."
    )


def _decode(data: bytes, name: str, at_least: int | None) -> Image.Image:
    if not data:
        raise ValueError(f"{name} is empty. Copy or download it again.")
    remedy = "Give a JPEG, PNG, WebP or TIFF; a program that shows it can save it as one."
    if data[4:8] == b"ftyp" and data[8:12] in HEIC:
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
            remedy = "It is a HEIC that is damaged or cut off. Copy or download it again."
        except ImportError:
            remedy = "It is a phone's HEIC: `pip install pillow-heif` reads it, or save it as a JPEG."
    elif data[:2] in (b"II", b"MM"):
        remedy = (
            "It seems to be a TIFF of floating-point colors or the like. Save it with 8 or 16 bits; or read it with "
            "another package, such as tifffile, and give load_image the array, with numbers in [0, 1]."
        )
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
            raise ValueError(f"{name} is not an image that Pillow can read. {remedy}") from None
        except Image.DecompressionBombError:
            most = f"{Image.MAX_IMAGE_PIXELS:,}"
            raise ValueError(f"{name} has more than {most} pixels, Pillow's limit. Make it smaller first.") from None
        except Exception as error:  # Pillow's decoders raise many kinds on damaged files
            raise _damaged(name, error) from error
    if said := SIGNIFICANT_BITS.search(data, 0, max(0, data.find(b"IDAT"))):  # in a PNG, which Pillow passes over
        image.info["significant_bits"] = said[1][0]
    return image


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({error}). Copy or download it again.")


def _to_array(image: Image.Image, name: str, at_least: int | None) -> np.ndarray:
    """Return an image in sRGB, upright, as an array that `_array_to_pixels` takes."""
    try:
        most = _most(image) if image.mode.startswith("I") else 1
        is_negative = most > 1 and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0
        image = ImageOps.exif_transpose(_reduced(image, max(1, min(image.size) // at_least) if at_least else 1))
    except Exception as error:  # a PIL image may be read only now, and its EXIF data may be damaged
        raise _damaged(name, error) from error
    if image.mode in ("I", "F"):
        return _deep_gray(image.point(lambda value: value * -1 + most) if is_negative else image, most, name)
    if image.mode in ("LA", "RGBA", "La", "RGBa"):
        transparent = image.convert("RGBA")
        colors = transparent.convert("L" if image.mode in ("LA", "La") else "RGB")
        colors.info = dict(image.info)  # the color profile
        return np.dstack([_to_srgb(colors), transparent.getchannel("A")])
    return np.asarray(_to_srgb(image))


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Return an image in a mode whose values can be averaged, and of every factor × factor pixels the mean."""
    if factor == 1:
        return _averageable(image)
    size = -(-image.width // factor), -(-image.height // factor)
    rows, reduced = -(-BAND_ROWS // factor) * factor, None
    for top in range(0, image.height, rows):  # in bands, since some modes are converted, which takes memory
        band = _averageable(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(factor)
        if reduced is None:
            reduced = Image.new(band.mode, size)
            reduced.info = band.info
        reduced.paste(band, (0, top // factor))
    return reduced


def _averageable(image: Image.Image) -> Image.Image:
    """Return an image with colors for indices, alpha for a color that is transparent, and 32 bits for 16."""
    mode = {"1": "L", "P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode)
    if mode.startswith("I"):
        mode = "I"
    elif "transparency" in image.info:
        mode = "LA" if mode == "L" else "RGBA"
    return image if mode == image.mode else image.convert(mode)


def _most(image: Image.Image) -> int:
    """Return the largest value of deep gray: what the file says, else the largest for which it has room."""
    tags = getattr(image, "tag_v2", {})
    is_png = image.format == "PNG" or "significant_bits" in image.info  # whose 16 bits older Pillows call "I"
    bits = tags.get(BITS, [16 if is_png or "16" in image.mode else 32])[0]
    if bits > 16:  # which no camera or scanner has, so the values themselves must tell
        return next(most for most in MOST_OF_32_BITS if image.getextrema()[1] <= most)
    most = 2 ** (bits - (tags.get(FORMAT) == (2,))) - 1  # one bit less if it has a sign
    said = int(np.ravel(tags.get(MOST, 2 ** image.info.get("significant_bits", bits) - 1))[0])
    # Some programs write the largest value there is as the largest there may be; only the latter is all ones.
    if said >= most or said & (said + 1):
        return most
    levels = np.unique(np.asarray(image.convert("I")))
    # PNG's own rule is to spread few bits over all 16, and such values lie further apart.
    spread = not tags and np.diff(levels).min(initial=most) * (said + 1) > most
    return most if levels[-1] > said or spread else said


def _deep_gray(image: Image.Image, most: int, name: str) -> np.ndarray:
    """Return 16-bit, 32-bit or floating-point gray in sRGB: as uint16, or as float in [0, 1]."""
    gray = np.asarray(image)
    if most > 1:
        gray = np.clip(gray, 0, most).astype(np.uint16) if most == 65535 else np.clip(gray / most, 0, 1)
    if "icc_profile" in image.info:
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
        ramp.info = image.info
        curve = np.asarray(_to_srgb(ramp))[0, :, 0]  # of gray, so the three colors are one
        gray = np.interp(in_unit_range(gray, name), np.linspace(0, 1, 256), curve / 255)
    return gray


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
        raise wrong_shape(name, array.shape)
    pixels = np.clip(in_unit_range(array, name), 0.0, 1.0)
    if pixels.shape[-1] == 4:
        color, alpha = pixels[..., :3], pixels[..., 3:]
        return color * alpha + ground * (1 - alpha)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] != size:
        # One channel at a time, since Pillow resizes floating-point images only in gray.
        channels = (Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, -1, 0))
        resized = [channel.resize(size[::-1], Image.Resampling.LANCZOS) for channel in channels]
        pixels = np.stack([np.asarray(channel) for channel in resized], axis=-1)  # (height, width, 3)
    return np.clip(pixels, 0.0, 1.0).astype(np.float32)

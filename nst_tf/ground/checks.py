"""Checks of what comes from outside: images by the pixel contract, numbers, and words from a list.

The pixel contract: an image is float32 of shape (1, height, width, 3), RGB in [0, 1].
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

MIN_SIDE, MAX_SIDE = 32, 65_535  # the longest that a JPEG can have
LARGEST_STYLE_SCALE = 8
# What a float and a signed integer of 32 bits hold.
LARGEST_NUMBER, LARGEST_COUNT = sys.float_info.max, 2**31 - 1
# Resizing and arithmetic overshoot a little; an image in 0 to 255 overshoots by far more.
OVERSHOOT = 1e-3
LONGEST_SHOWN = 240
AS_LOADED = "Give it as it was before it was preprocessed, as nst_tf.load_image returns it"
# What was done to an image and how to undo it, by the least of its values, from and to, and by the largest, up to.
UNDO = (
    (-0.2, 1.2, 1.2, "Clip it: tf.clip_by_value(image, 0, 1)"),
    (-0.51, -0.2, 0.6, AS_LOADED),
    (-1.01, 1.0, 1.01, "Add 1 and divide by 2: (image + 1) / 2"),
    (-2.2, -0.2, 2.7, "torchvision normalizes so; undo it: image * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]"),
    (-124, -1, 152, "keras.applications.vgg19.preprocess_input makes such numbers, BGR less its mean, and nst_tf "
     "does that itself; undo it: (image[..., ::-1] + [123.68, 116.779, 103.939]) / 255"),
    (-20, 280, 280, "Divide by 255: image / 255"),
    (-5000, 7e4, 7e4, "Divide by its white, which is 65535 in 16 bits: image / 65535"),
)  # fmt: skip


def as_image(image: Any, name: str, dtype: type = np.float32) -> np.ndarray:
    """Return an image as the pixel contract has it, both sides at least 32; in float64 for checking gradients.

    It may come without the leading 1, in another floating-point type, or as bytes of 0 to 255.  All else is a
    ValueError that calls it by its name and says what came and how to make it right.
    """
    if isinstance(image, (str, bytes)) or not hasattr(image, "shape"):
        raise ValueError(f"The {name} is a {type(image).__name__}, not an image. Load it with nst_tf.load_image.")
    pixels = np.asarray(image)
    pixels = pixels[np.newaxis] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[0] != 1 or pixels.shape[-1] != 3:
        raise wrong_shape(f"the {name}", np.shape(image))
    if min(pixels.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"The {name} is {pixels.shape[2]} × {pixels.shape[1]} pixels; each side must have at least {MIN_SIDE}. "
            "Choose a larger image."
        )
    return in_unit_range(pixels, f"the {name}", dtype)


def in_unit_range(pixels: np.ndarray, name: str, dtype: type = np.float32) -> np.ndarray:
    """Return unsigned integers of 8 or 16 bits, or floating-point numbers in [0, 1], as such numbers in [0, 1].

    Raises ValueError if the type is another, or a value is not finite or outside by more than rounding explains.
    """
    if pixels.dtype in (np.uint8, np.uint16):
        white, most = np.iinfo(pixels.dtype).max, int(pixels.max())
        if white > 255 and 0 < most < 2**14:
            fewer = next(2**bits - 1 for bits in (8, 10, 12, 14) if most < 2**bits)
            warnings.warn(
                f"{name} is dark: its largest value is {most} of {white}. If white is {fewer} in it, divide its array "
                f"(that of PIL.Image.open(path) if it is a file) and load that: np.asarray(image) / {fewer}",
                stacklevel=2,
            )
        return np.divide(pixels, white, dtype=dtype)
    if not np.issubdtype(pixels.dtype, np.floating):
        kind = "float32"
        if np.issubdtype(pixels.dtype, np.integer) and pixels.min() >= 0 and 1 < pixels.max() < 65536:
            kind = "uint8" if pixels.max() < 256 else "uint16"
        raise ValueError(
            f"Expected {name} as uint8, uint16 or float in [0, 1]; got {pixels.dtype}. Convert it: "
            f"tf.cast(image, tf.{kind})."
        )
    pixels = pixels.astype(dtype, copy=False)
    if not np.isfinite(pixels).all():
        raise ValueError(f"Expected finite numbers in {name}; got NaN or infinite ones. Look at how it was made.")
    least, most = float(pixels.min()), float(pixels.max())
    if least < -OVERSHOOT or most > 1 + OVERSHOOT:
        undo = next((undo for low, to, high, undo in UNDO if low <= least <= to and most <= high), AS_LOADED)
        raise ValueError(f"Expected {name} in [0, 1]; got values from {least:.3g} to {most:.3g}. {undo}.")
    if 0 < most < 1.1 / 255:
        warnings.warn(
            f"{name} is as good as black: its largest value is {most:.3g}. If it was divided by 255 twice: image * 255",
            stacklevel=2,
        )
    return pixels


def wrong_shape(name: str, shape: tuple[int, ...]) -> ValueError:
    """Return what to raise for an image of a wrong shape: it says what makes it right."""
    remedy = "Look at how it was made"
    if len(shape) in (3, 4) and shape[-3] in (1, 3, 4) and shape[-1] > 4:
        remedy = "Its channels come first; move them to the end: np.moveaxis(np.asarray(image), -3, -1)"
    elif len(shape) == 4 and shape[0] > 1:
        remedy = "It is a batch; take one of it: image[:1]"
    elif 0 not in shape and (len(shape) == 2 or shape[-1:] in ((1,), (4,))):
        remedy = "Load it, which makes it so: nst_tf.load_image(image)"
    return ValueError(f"Expected {name} in the shape (1, height, width, 3); got {shape}. {remedy}.")


def shown(source: str | os.PathLike) -> str:
    """Return a path or an address as it stands in messages: in quotes, and at most some lines long."""
    text = repr(os.fspath(source))
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN // 2]} … {text[-LONGEST_SHOWN // 4 :]}"


def to_uint8(image: Any) -> np.ndarray:
    """Turn an image into bytes, uint8 (height, width, 3), rounding to the nearest level.

    It is (1, height, width, 3) or (height, width, 3), RGB in [0, 1], values outside are clipped; or bytes already.
    Raises ValueError if the shape is another, or a value is not finite.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise wrong_shape("an image", np.shape(image))
    if pixels.dtype == np.uint8:
        return pixels
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("The image holds NaN or infinite values; nothing was saved.")
    return np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def whole_number(value: Any, name: str, *, least: int) -> int:
    """Return a whole number of at least `least`, be it an int, NumPy's, or a float such as 12.0; reject all else."""
    plain = _plain(value)
    if plain is not None and plain > LARGEST_COUNT:
        raise ValueError(f"{name} is {value!r}; expected at most {LARGEST_COUNT}.")
    if plain is None or not least <= plain or plain != plain // 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}.")
    return int(plain)


def number(value: Any, name: str, *, least: float = 0.0, most: float = LARGEST_NUMBER) -> float:
    """Return a number from `least` to `most`; reject all else."""
    plain = _plain(value)
    if plain is None or not least <= plain <= most:
        limit = f", at most {most:g}" if plain is not None and plain > most else ""
        raise ValueError(f"{name} is {value!r}; expected a finite number of at least {least:g}{limit}.")
    return float(plain)


def _plain(value: Any) -> int | float | None:
    """Return a number of Python's, NumPy's or TensorFlow's as Python's; None for anything else."""
    plain = value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
    return plain if isinstance(plain, (int, float)) and not isinstance(plain, bool) else None


def one_of(value: Any, known: Iterable[Any], what: str) -> Any:
    """Return a value that is among those known; reject others with a list of these."""
    known = list(known)
    if value not in known:
        raise ValueError(f"Unknown {what} {value!r}; expected one of {', '.join(map(str, known))}.")
    return value


def suggestions(name: str, names: Iterable[str]) -> str:
    """Return the names that one may have been meant for, all of them if none is like it, for a message."""
    names = list(names)
    return ", ".join(get_close_matches(name, names) or names)

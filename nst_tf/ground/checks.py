"""The pixel contract: a picture is float32 of shape (1, height, width, 3), RGB in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

MIN_SIDE = 32
# Resizing and arithmetic overshoot a little; a picture in 0 to 255 overshoots by far more.
OVERSHOOT = 1e-3


def as_image(image: Any, name: str, dtype: type = np.float32) -> np.ndarray:
    """Return a picture as the pixel contract has it.

    Args:
        image: float32 (1, height, width, 3), RGB in [0, 1], both sides at least 32; or what can only mean such a
            picture: without the leading 1, with another floating-point type, or with bytes of 0 to 255.
        name: What to call it in the message, such as "content image".
        dtype: What it is to be; float64 is for checking gradients.

    Raises:
        ValueError: If it is anything else; the message says what came and how to make it right.
    """
    if isinstance(image, (str, bytes)) or not hasattr(image, "shape"):
        raise ValueError(f"The {name} is a {type(image).__name__}, not a picture. Load it with nst_tf.load_image.")
    pixels = np.asarray(image)
    pixels = pixels[np.newaxis] if pixels.ndim == 3 else pixels
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(dtype) / 255
    elif np.issubdtype(pixels.dtype, np.floating):
        pixels = pixels.astype(dtype, copy=False)
    remedy = "Load it with nst_tf.load_image, which makes it so."
    expected = "float32 of shape (1, height, width, 3), RGB in [0, 1]"
    shape = pixels.shape
    if len(shape) != 4 or shape[0] != 1 or shape[-1] != 3:
        raise ValueError(f"Expected the {name} as {expected}; got shape {np.shape(image)}. {remedy}")
    if pixels.dtype != dtype:
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
            + _advice(float(pixels.min()), float(pixels.max()))
        )
    return pixels


def _advice(least: float, most: float) -> str:
    if least > -0.5 and most < 1.5:
        return "Clip it: tf.clip_by_value(image, 0, 1)."
    return "Add 1 and divide by 2." if least > -1.01 and most < 1.01 else "Divide by 255."


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy or TensorFlow as Python's."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


def suggestions(name: str, names: Iterable[str]) -> str:
    """Return the names that one may have been meant for, all of them if none is like it, for a message."""
    names = list(names)
    return ", ".join(get_close_matches(name, names) or names)


def whole_number(value: Any, name: str, *, least: int) -> int:
    """Return a whole number, be it an int, NumPy's, or a float such as 12.0.

    Raises:
        ValueError: If it is none, or less than `least`.
    """
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or plain != plain // 1 or not plain >= least:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}.")
    return int(plain)


def number(value: Any, name: str, *, least: float = 0.0) -> float:
    """Return a finite number of at least `least`.

    Raises:
        ValueError: If it is none.
    """
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or not least <= plain < float("inf"):
        raise ValueError(f"{name} is {value!r}; expected a finite number of at least {least:g}.")
    return float(plain)


def to_uint8(image: Any) -> np.ndarray:
    """Turn a picture into bytes, rounding to the nearest level.

    Args:
        image: (1, height, width, 3) or (height, width, 3), RGB in [0, 1], values outside are clipped; or bytes.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        ValueError: If the shape is another, or a value is not finite.
    """
    pixels = np.asarray(image)
    pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"Expected a picture of shape (1, height, width, 3), got {np.shape(image)}.")
    if pixels.dtype == np.uint8:
        return pixels
    if not np.isfinite(pixels).all():
        raise ValueError("The picture holds NaN or infinite values; nothing was saved.")
    return np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def one_of(value: Any, known: Iterable[Any], what: str) -> Any:
    """Return a value that is among those known.

    Raises:
        ValueError: If it is not; the message lists them.
    """
    known = list(known)
    if value not in known:
        raise ValueError(f"Unknown {what} {value!r}; expected one of {', '.join(map(str, known))}.")
    return value

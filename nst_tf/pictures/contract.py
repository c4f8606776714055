"""The pixel contract: a picture is float32 of shape (1, height, width, 3), RGB in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np

MIN_SIDE = 32
# Resizing and arithmetic overshoot a little; a picture in 0 to 255 overshoots by far more.
OVERSHOOT = 1e-3


def check_image(image: Any, name: str) -> None:
    """Reject a picture that breaks the pixel contract.

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

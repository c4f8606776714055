"""Animations of how an image came to be, or of a video's frames."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nst_tf.ground.checks import to_uint8
from nst_tf.ground.files import atomic_write

# By suffix, how Pillow writes the format.
ANIMATIONS = {".gif": {"format": "GIF"}, ".webp": {"format": "WEBP", "quality": 80, "method": 4}}


def check_animation(path: str | os.PathLike) -> None:
    """Raise ValueError if no animation is written under a name that ends as this one."""
    if Path(path).suffix.lower() not in ANIMATIONS:
        raise ValueError(f"An animation is written as {' or '.join(ANIMATIONS)}; {os.fspath(path)!r} ends otherwise.")


def timelapse(
    images: Sequence[Any],
    path: str | os.PathLike,
    *,
    seconds: float = 4.0,
    hold_seconds: float = 1.5,
    max_side: int = 320,
    max_frames: int = 40,
) -> Path:
    """Write an animation that loops: how the image came to be.

    Args:
        images: Images in order, each (1, height, width, 3), RGB in [0, 1]; those from a smaller size are enlarged.
        path: Ends in .gif, or in .webp for a smaller file with all colors.
        seconds: How long one round takes, before the last image is held.
        hold_seconds: How long the last image stays.
        max_side: Longest side of the animation in pixels; with `max_frames` it bounds the file's size.
        max_frames: Evenly chosen among the images; the first and last are always there.

    Returns:
        The path.

    Raises:
        ValueError: If there is no image, or the path ends otherwise.
    """
    path = Path(path)
    check_animation(path)
    if not len(images):
        raise ValueError("There is no image to animate.")
    chosen = np.unique(np.linspace(0, len(images) - 1, max_frames).round().astype(int))
    pixels = [to_uint8(images[index]) for index in chosen]  # each (height, width, 3)
    height, width = pixels[-1].shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = round(width * scale), round(height * scale)
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in pixels]
    options = ANIMATIONS[path.suffix.lower()]
    if options["format"] == "GIF":
        # Pillow's own choice, median cut, is a little truer and takes fifty times as long.
        frames = [frame.quantize(method=Image.Quantize.FASTOCTREE) for frame in frames]
    durations = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [round(1000 * hold_seconds)]
    animation = io.BytesIO()
    frames[0].save(animation, save_all=True, append_images=frames[1:], duration=durations, loop=0, **options)
    with atomic_write(path) as temporary:
        temporary.write_bytes(animation.getvalue())
    return path

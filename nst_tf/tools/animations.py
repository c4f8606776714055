"""Animations of how a picture came to be, or of a video's frames."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from nst_tf.ground.checks import to_uint8
from nst_tf.ground.files import atomic_write

# By suffix, what Pillow calls the format.
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
SMALLEST_SIDE = 64
LINE, DOT = "#1f1f1f", "#d55e00"


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
    max_megabytes: float | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    steps: Sequence[int] | None = None,
) -> Path:
    """Write an animation that loops: how the picture came to be.

    Args:
        images: Pictures in order, each (1, height, width, 3), RGB in [0, 1]; those from a smaller size are enlarged.
        path: Ends in .gif, or in .webp for a smaller file with all colours.
        seconds: How long one round takes, before the last picture is held.
        hold_seconds: How long the last picture stays.
        max_side: Longest side of the animation in pixels; with `max_frames` it bounds the file's size.
        max_frames: Evenly chosen among the pictures; the first and last are always there.
        max_megabytes: Make the frames fewer and smaller until the file is no larger.
        history: `Result.history`, to draw its total loss into a corner of each frame, with a dot where the frame is.
        steps: With `history`, after how many steps each picture was taken; evenly spread if not given.

    Returns:
        The path.

    Raises:
        ValueError: If there is no picture, the path ends otherwise, or no animation is as small as asked for.
    """
    path = Path(path)
    check_animation(path)
    if not len(images):
        raise ValueError("There is no picture to animate.")
    pixels = [to_uint8(image) for image in images]
    if steps is None:
        taken = len(history["total"]) - 1 if history else 0
        steps = np.linspace(0, taken, len(images)).round().astype(int)
    while True:
        chosen = np.unique(np.linspace(0, len(images) - 1, max_frames).round().astype(int))
        frames = _frames([pixels[index] for index in chosen], max_side)
        if history:
            frames = [_with_curve(frame, history["total"], steps[i]) for frame, i in zip(frames, chosen, strict=True)]
        durations = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [round(1000 * hold_seconds)]
        animation = _animation(frames, durations, path.suffix.lower())
        if not max_megabytes or len(animation) <= 1e6 * max_megabytes:
            with atomic_write(path) as temporary:
                temporary.write_bytes(animation)
            return path
        if max_side <= SMALLEST_SIDE:
            raise ValueError(f"No time-lapse is as small as {max_megabytes:g} MB; allow more.")
        max_side, max_frames = max(SMALLEST_SIDE, round(max_side * 0.85)), max(6, round(max_frames * 0.85))


def _frames(pixels: Sequence[np.ndarray], max_side: int) -> list[Image.Image]:
    height, width = pixels[-1].shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (round(width * scale), round(height * scale))
    return [Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS) for picture in pixels]


def _animation(frames: list[Image.Image], durations: list[int], suffix: str) -> bytes:
    options = {} if suffix == ".gif" else {"quality": 80, "method": 4}
    if suffix == ".gif":
        # Pillow's own choice, median cut, is a little truer and takes fifty times as long.
        frames = [frame.quantize(method=Image.Quantize.FASTOCTREE) for frame in frames]
    options |= {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    animation = io.BytesIO()
    frames[0].save(animation, format=ANIMATIONS[suffix], **options)
    return animation.getvalue()


def _with_curve(frame: Image.Image, losses: Sequence[float], step: int) -> Image.Image:
    """Draw the loss over the steps into the lower left corner of a frame, with a dot at a step."""
    width, height = round(frame.width * 0.34), round(frame.height * 0.26)
    scale = 4  # drawn so many times as large, for smooth lines
    inset = Image.new("RGBA", (scale * width, scale * height), (255, 255, 255, 184))
    losses = np.asarray(losses, float)
    drawn = np.flatnonzero(np.isfinite(losses) & (losses > 0))  # what is not a number has no height
    if len(drawn):
        logs = np.log10(losses[drawn])
        heights = (logs.max() - logs) / max(float(np.ptp(logs)), 1e-9)
        across = np.linspace(0.06, 0.94, len(losses))[drawn] * inset.width
        points = list(zip(across, (0.1 + 0.8 * heights) * inset.height, strict=True))
        pen = ImageDraw.Draw(inset)
        pen.line(points, fill=LINE, width=scale)
        x, y = points[max(0, np.searchsorted(drawn, step, side="right") - 1)]
        pen.ellipse((x - 2 * scale, y - 2 * scale, x + 2 * scale, y + 2 * scale), fill=DOT)
    joined = frame.convert("RGBA")
    place = round(frame.width * 0.02), frame.height - height - round(frame.height * 0.02)
    joined.alpha_composite(inset.resize((width, height), Image.Resampling.LANCZOS), place)
    return joined.convert("RGB")

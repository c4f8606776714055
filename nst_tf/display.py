"""Figures and animations; the only module that imports matplotlib.

Every function returns what it made and shows nothing by itself: a notebook shows a returned figure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation
from PIL import Image

from nst_tf.engine.files import written_whole
from nst_tf.images import to_uint8

LOSS_COLORS = {"total": "#1f1f1f", "content": "#0072b2", "style": "#d55e00", "total_variation": "#009e73"}
LOSS_NAMES = {"total": "total", "content": "content", "style": "style", "total_variation": "total variation"}


def show_images(
    images: Mapping[str, Any] | Sequence[Any], *, columns: int | None = None, height: float = 3.2, title: str = ""
) -> Figure:
    """Draw pictures side by side.

    Args:
        images: Pictures by caption, or without captions; each (1, height, width, 3) or (height, width, 3), RGB in
            [0, 1].
        columns: How many stand in a row; all of them if not given.
        height: Of one row, in inches.
        title: Above all of them.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no picture, or one is not RGB.
    """
    captioned = dict(images) if isinstance(images, Mapping) else {index: image for index, image in enumerate(images)}
    if not captioned:
        raise ValueError("There is no picture to show.")
    pixels = [to_uint8(image) for image in captioned.values()]
    columns = min(columns or len(pixels), len(pixels))
    rows = -(-len(pixels) // columns)
    aspect = np.mean([picture.shape[1] / picture.shape[0] for picture in pixels])
    figure = Figure(figsize=(columns * height * aspect, rows * (height + 0.3)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, (caption, _), picture in zip(axes, captioned.items(), pixels, strict=False):
        axis.imshow(picture)
        if isinstance(caption, str):
            axis.set_title(caption, fontsize=10)
    if title:
        figure.suptitle(title)
    return figure


def plot_history(history: Mapping[str, Sequence[float]], *, title: str = "Loss at each step") -> Figure:
    """Draw the total loss and its three parts over the steps, on a logarithmic scale.

    Args:
        history: `Result.history`: by name, one value a step.
        title: Above the axes.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, values in history.items():
        values = np.asarray(values, float)
        if np.any(values > 0):
            axis.plot(
                np.arange(len(values)),
                np.where(values > 0, values, np.nan),
                color=LOSS_COLORS.get(name),
                label=LOSS_NAMES.get(name, name),
                linewidth=2.2 if name == "total" else 1.4,
            )
    axis.set(yscale="log", xlabel="steps taken", ylabel="weighted loss", title=title)
    axis.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(1, 0.5)))
    axis.grid(alpha=0.3, which="both")
    axis.legend(frameon=False)
    return figure


def timelapse(
    images: Sequence[Any],
    path: str | os.PathLike,
    *,
    seconds: float = 4.0,
    hold_seconds: float = 1.5,
    max_side: int = 320,
    max_frames: int = 40,
) -> Path:
    """Write an animated GIF that loops: how the picture came to be.

    Args:
        images: Pictures in order, each (1, height, width, 3), RGB in [0, 1]; those from a smaller size are enlarged.
        path: Ends in .gif.
        seconds: How long one round takes, before the last picture is held.
        hold_seconds: How long the last picture stays.
        max_side: Longest side of the animation in pixels; with `max_frames` it bounds the file's size.
        max_frames: Evenly chosen among the pictures; the first and last are always there.

    Returns:
        The path.

    Raises:
        ValueError: If there is no picture, or the path does not end in .gif.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"A time-lapse is written as GIF; {str(path)!r} does not end in .gif.")
    if not len(images):
        raise ValueError("There is no picture to animate.")
    chosen = np.unique(np.linspace(0, len(images) - 1, max_frames).round().astype(int))
    pixels = [to_uint8(images[index]) for index in chosen]
    height, width = pixels[-1].shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (round(width * scale), round(height * scale))
    frames = [Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS) for picture in pixels]
    durations = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [round(1000 * hold_seconds)]
    with written_whole(path) as temporary:
        frames[0].save(
            temporary, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
        )
    return path

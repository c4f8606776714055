"""Figures and animations; the only module that imports matplotlib.

Every function returns what it made and shows nothing by itself: a notebook shows a returned figure.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation
from PIL import Image

from nst_tf.images import ANIMATIONS, check_animation, to_uint8
from nst_tf.pictures.files import written_whole

LOSS_COLORS = {"total": "#1f1f1f", "content": "#0072b2", "style": "#d55e00", "total_variation": "#009e73"}
SMALLEST_ANIMATION = 64
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


def contact_sheet(
    pictures: Sequence[Sequence[Any]],
    *,
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    height: float = 1.9,
) -> Figure:
    """Draw pictures over two settings, with the settings' names and values beside the rows and above the columns.

    Args:
        pictures: By row and column, each (1, height, width, 3), RGB in [0, 1].
        rows: Name of the setting, and a label for each row.
        columns: The same for the columns.
        height: Of one row, in inches.

    Returns:
        The figure.
    """
    pixels = [[to_uint8(picture) for picture in line] for line in pictures]
    aspect = np.mean([picture.shape[1] / picture.shape[0] for line in pixels for picture in line])
    size = (len(pixels[0]) * height * aspect + 1.1, len(pixels) * height + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(pixels), len(pixels[0]), squeeze=False)
    for line, row_axes, row_label in zip(pixels, axes, rows[1], strict=True):
        row_axes[0].set_ylabel(row_label, fontsize=10)
        for picture, axis in zip(line, row_axes, strict=True):
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, label in zip(axes[0], columns[1], strict=True):
        axis.set_title(label, fontsize=10)
    figure.supylabel(rows[0], fontsize=11, weight="bold")
    figure.suptitle(columns[0], fontsize=11, weight="bold")
    return figure


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
            with written_whole(path) as temporary:
                temporary.write_bytes(animation)
            return path
        if max_side <= SMALLEST_ANIMATION:
            raise ValueError(f"No time-lapse is as small as {max_megabytes:g} MB; allow more.")
        max_side, max_frames = max(SMALLEST_ANIMATION, round(max_side * 0.85)), max(6, round(max_frames * 0.85))


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
    figure = Figure(figsize=(width / 50, height / 50), dpi=50)
    axis = figure.add_axes((0.06, 0.1, 0.88, 0.8))
    losses = np.asarray(losses, float)
    axis.plot(losses, color="#1f1f1f", linewidth=1.6)
    reached = min(int(step), len(losses) - 1)
    axis.plot([reached], [losses[reached]], "o", color="#d55e00", markersize=6)
    axis.set(yscale="log", xticks=[], yticks=[])
    axis.minorticks_off()
    axis.spines[:].set_visible(False)
    axis.patch.set_alpha(0)
    figure.patch.set(facecolor="white", alpha=0.72)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    inset = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    joined = frame.convert("RGBA")
    joined.alpha_composite(inset, (round(frame.width * 0.02), frame.height - inset.height - round(frame.height * 0.02)))
    return joined.convert("RGB")

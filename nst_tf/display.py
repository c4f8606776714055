"""Figures; the only module that imports matplotlib.

Every function returns what it made and shows nothing by itself: a notebook shows a returned figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation

from nst_tf.ground.checks import to_uint8

LOSS_COLORS = {"total": "#1f1f1f", "content": "#0072b2", "style": "#d55e00", "total_variation": "#009e73"}


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
    captioned = dict(images) if isinstance(images, Mapping) else dict(enumerate(images))
    if not captioned:
        raise ValueError("There is no picture to show.")
    pixels = [to_uint8(image) for image in captioned.values()]
    columns = min(columns or len(pixels), len(pixels))
    rows = -(-len(pixels) // columns)
    aspect = np.mean([picture.shape[1] / picture.shape[0] for picture in pixels])
    figure = Figure(figsize=(columns * height * aspect, rows * (height + 0.3)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, caption, picture in zip(axes, captioned, pixels, strict=False):
        _draw(axis, picture)
        if isinstance(caption, str):
            axis.set_title(caption, fontsize=10)
    for axis in axes[len(pixels) :]:
        axis.axis("off")
    if title:
        figure.suptitle(title)
    return figure


def plot_history(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the total loss and its three parts over the steps, on a logarithmic scale.

    Args:
        history: `Result.history`: by name, one value a step.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, values in history.items():
        values = np.asarray(values, float)
        if np.any(values > 0):
            shown, width = np.where(values > 0, values, np.nan), 2.2 if name == "total" else 1.4
            axis.plot(shown, color=LOSS_COLORS.get(name), label=name.replace("_", " "), linewidth=width)
    axis.set(yscale="log", xlabel="steps taken", ylabel="weighted loss", title="Loss at each step")
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
    figure = Figure(figsize=(len(pixels[0]) * height * aspect + 1.1, len(pixels) * height + 0.8), layout="constrained")
    axes = figure.subplots(len(pixels), len(pixels[0]), squeeze=False)
    for line, row_axes, row_label in zip(pixels, axes, rows[1], strict=True):
        row_axes[0].set_ylabel(row_label, fontsize=10)
        for picture, axis in zip(line, row_axes, strict=True):
            _draw(axis, picture)
    for axis, label in zip(axes[0], columns[1], strict=True):
        axis.set_title(label, fontsize=10)
    figure.supylabel(rows[0], fontsize=11, weight="bold")
    figure.suptitle(columns[0], fontsize=11, weight="bold")
    return figure


def _draw(axis: Axes, picture: np.ndarray) -> None:
    """Draw a picture inside a hairline frame, so that a white one shows."""
    axis.imshow(picture)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color("0.75")
    axis.spines[:].set_linewidth(0.5)

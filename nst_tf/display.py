"""Figures; the only module that imports matplotlib.

Every function returns what it made and shows nothing by itself: a notebook shows a returned figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color="0.75", linewidth=0.5)  # so that a white one shows
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
) -> Figure:
    """Draw pictures over two settings, with the settings' names and values beside the rows and above the columns.

    Args:
        pictures: By row and column, each (1, height, width, 3), RGB in [0, 1].
        rows: Name of the setting, and a label for each row.
        columns: The same for the columns.

    Returns:
        The figure.
    """
    width = len(columns[1])
    figure = show_images(
        [picture for line in pictures for picture in line], columns=width, height=2.2, title=columns[0]
    )
    for axis, label in zip(figure.axes[::width], rows[1], strict=True):
        axis.set_ylabel(label, fontsize=10)
    for axis, label in zip(figure.axes, columns[1], strict=False):
        axis.set_title(label, fontsize=10)
    figure.supylabel(rows[0])
    return figure

"""Sweeps: small images over two settings side by side, of which one is then made at full size."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from nst_tf.ground.files import atomic_write, check_no_overwrite, user_path
from nst_tf.images import load_image
from nst_tf.tools.jobs import Job, is_image, read_column, with_column
from nst_tf.tools.many import stylize_many
from nst_tf.tools.running import check_jobs

SHEET, LIST = "contact_sheet.png", "contact_sheet.txt"
CELL = re.compile(r"^\d+_\d+\.png$", re.MULTILINE)
SIZE, LARGE = 192, 1024
MOST_CELLS = 100


@dataclass(frozen=True)
class Axis:
    """A setting and the values it takes along one side of the sheet.

    Args:
        name: A field of the recipe, or a column of a job file such as "style" (paths), "style_weights", "mask",
            "start", "recipe", "features", "solver", "steps" or "seed".
        values: One for each row or column.
    """

    name: str
    values: tuple[Any, ...]


def parse_axis(text: str) -> Axis:
    """Return the axis of "style_weight=1,5,25"; raise ValueError if it is none, or a value is not the setting's."""
    name, equals, values = text.partition("=")
    name, parts = name.strip(), [part.strip() for part in values.split(",") if part.strip()]
    if not equals or not parts:
        raise ValueError(f"Expected a setting and its values, such as style_weight=1,5,25; got {text!r}.")
    return Axis(name, tuple(read_column(name, part) for part in parts))


def sweep(
    job: Job,
    folder: str | os.PathLike,
    *,
    rows: Axis,
    columns: Axis,
    callback: Callable[[int, int], None] | None = None,
) -> list[list[tf.Tensor]]:
    """Make a small image for every pair of two settings, and one figure of all of them.

    The folder then holds each image as `ROW_COLUMN.png`, and the figure as `contact_sheet.png`.  Each PNG carries its
    settings, so `Job.like("grid/2_3.png", content=…, styles=…, size=1024)` makes it again, larger.  Images that are
    already there, made with the same settings, are kept: a second call after an interruption goes on.

    Args:
        job: What all images have in common; they are 192 pixels in size if it does not say.
        folder: Where to put all of it.
        rows: Setting and values by row.
        columns: Setting and values by column.
        callback: Called after each image with how many are done, and how many there will be.

    Returns:
        The images by row and column, float32 (1, height, width, 3); one that could not be made is white, and a warning
        says why.

    Raises:
        ValueError: If the axes have one name, there are too many cells, a cell's settings are not valid, or no image
            could be made.
        KeyboardInterrupt: If it was interrupted; the images that were finished stay in the folder.
    """
    from nst_tf.display import contact_sheet

    folder = user_path(folder)
    cells = cells_of(job, folder, rows=rows, columns=columns)
    for _, _, problem in check_jobs(cells):  # before the first image
        if problem:
            raise problem
    check_no_overwrite([folder / SHEET, folder / LIST], {source for cell in cells for source in cell.sources()})
    _remove_earlier(folder, {os.path.basename(cell.output) for cell in cells})
    images: list[tf.Tensor | None] = []
    for outcome in stylize_many(cells):
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        images.append(None if outcome.status == "failed" else load_image(outcome.job.output))
        if outcome.status == "failed":
            warnings.warn(f"{outcome.job.output!r} could not be made: {outcome.reason}", stacklevel=2)
        if callback:
            callback(len(images), len(cells))
    made = [image for image in images if image is not None]
    if not made:
        raise ValueError(f"No image could be made: {outcome.reason}")
    images = [tf.ones_like(made[0]) if image is None else image for image in images]
    width = len(columns.values)
    sheet = [images[first : first + width] for first in range(0, len(images), width)]
    beside, above = ((axis.name, [_label(axis.name, value) for value in axis.values]) for axis in (rows, columns))
    with atomic_write(folder / SHEET) as temporary:
        contact_sheet(sheet, rows=beside, columns=above).savefig(temporary, dpi=110, format="png")
    return sheet


def cells_of(job: Job, folder: str | os.PathLike, *, rows: Axis, columns: Axis) -> list[Job]:
    """Return the jobs of a sweep, row by row; arguments and errors are those of `sweep`."""
    if rows.name == columns.name:
        raise ValueError(f"Rows and columns are both {rows.name!r}; sweep over two different settings.")
    if (count := len(rows.values) * len(columns.values)) > MOST_CELLS:
        raise ValueError(f"{count} images are too many for one sheet; expected at most {MOST_CELLS}.")
    cells = []
    for number, row in enumerate(rows.values, 1):
        for column_number, column in enumerate(columns.values, 1):
            cell = _with(_with(job, rows.name, row), columns.name, column)
            output = os.path.join(folder, f"{number}_{column_number}.png")
            cells.append(replace(cell, output=output, size=job.size or SIZE))
    return cells


def large_again(cell: Job) -> str:
    """Return the command that makes an image of a sweep again, at full size; its PNG does not hold its files."""
    command = f"python -m nst_tf stylize --size {LARGE} -o large.png".split()
    command += ["--like", cell.output, cell.content, *cell.styles]
    command += [part for mask in cell.masks for part in ("--mask", mask)]
    command += [part for mask in cell.style_masks for part in ("--style-mask", mask)]
    command += ["--softness", str(cell.softness)] if cell.softness else []
    command += ["--start", cell.start] if is_image(cell.start) else []
    command += ["--features", cell.features] if os.path.isfile(cell.features) else []
    return shlex.join(command)


def _with(job: Job, name: str, value: Any) -> Job:
    if name in ("size", "content", "output"):
        raise ValueError(f"All images of a sheet have one {name}; sweep over another setting.")
    return with_column(job, name, value)


def _remove_earlier(folder: Path, names: set[str]) -> None:
    """Remove the sheet of an earlier sweep and the images that it lists and this one has not; list this one's."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for name in {SHEET, *CELL.findall((folder / LIST).read_text())} - names:
            (folder / name).unlink(missing_ok=True)
    with atomic_write(folder / LIST) as temporary:
        temporary.write_text("\n".join(sorted(names)))


def _label(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{layer} × {weight:.3g}" for layer, weight in value.items())
    if name in ("style", "mask", "style_mask"):
        return " + ".join(Path(path).stem for path in ([value] if isinstance(value, (str, Path)) else value))
    return f"{value:g}" if isinstance(value, float) else str(value)

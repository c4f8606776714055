"""Sweeps: small images over two settings side by side, of which one is then made at full size."""

from __future__ import annotations

import json
import os
import shlex
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from nst_tf.ground.files import atomic_write, check_no_overwrite, user_path
from nst_tf.images import load_image
from nst_tf.pictures.settings import plain
from nst_tf.tools.jobs import Job, is_image, read_column, with_column
from nst_tf.tools.many import stylize_many
from nst_tf.tools.running import check_jobs

SHEET, JOBS = "contact_sheet.png", "sweep.json"
SIZE, LARGE = 192, 1024
MOST_CELLS = 100


@dataclass(frozen=True)
class Axis:
    """A setting and the values it takes along one side of the sheet.

    Args:
        name: A field of the recipe, a column of a job file such as "style" (paths), "mask", "start", "recipe",
            "features", "solver", "steps" or "seed", or "mix" (how much of the second of two styles, 0 to 1).
        values: One for each row or column.
    """

    name: str
    values: tuple[Any, ...]

    def labels(self) -> list[str]:
        """Return what is written beside the rows or above the columns."""
        return [_label(self.name, value) for value in self.values]


def parse_axis(text: str) -> Axis:
    """Return the axis of "style_weight=1,5,25".

    Raises:
        ValueError: If it is not of this form, or a value is not of the setting's kind.
    """
    name, equals, values = text.partition("=")
    name, parts = name.strip(), [part.strip() for part in values.split(",") if part.strip()]
    if not equals or not parts:
        raise ValueError(f"Expected a setting and its values, such as style_weight=1,5,25; got {text!r}.")
    # mix, which is no column, is a number of at least 0, as softness is.
    return Axis(name, tuple(read_column("softness" if name == "mix" else name, part) for part in parts))


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
    folder = user_path(folder)
    cells = cells_of(job, folder, rows=rows, columns=columns)
    for _, _, problem in check_jobs(cells):  # before the first image
        if problem:
            raise problem
    check_no_overwrite([folder / SHEET, folder / JOBS], {source for cell in cells for source in cell.sources()})
    _remove_earlier(folder, {cell.output for cell in cells})
    with atomic_write(folder / JOBS) as temporary:
        temporary.write_text(json.dumps([asdict(cell) for cell in cells], default=plain, indent=1) + "\n")
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
    _draw(sheet, rows, columns, folder / SHEET)
    return sheet


def cells_of(job: Job, folder: str | os.PathLike, *, rows: Axis, columns: Axis) -> list[Job]:
    """Return the jobs of a sweep, row by row; arguments as for `sweep`.

    Raises:
        ValueError: If the axes have one name, there are too many cells, or a setting does not exist.
    """
    if rows.name == columns.name:
        raise ValueError(f"Rows and columns are both {rows.name!r}; sweep over two different settings.")
    if (count := len(rows.values) * len(columns.values)) > MOST_CELLS:
        raise ValueError(f"{count} images are too many for one sheet; expected at most {MOST_CELLS}.")
    job = replace(job, size=job.size or SIZE)
    return [
        replace(
            _with(_with(job, rows.name, row), columns.name, column),
            output=os.path.join(folder, f"{row_number}_{column_number}.png"),
        )
        for row_number, row in enumerate(rows.values, 1)
        for column_number, column in enumerate(columns.values, 1)
    ]


def large_again(cell: Job) -> str:
    """Return the command that makes an image of a sweep again, at full size; its PNG does not hold its files."""
    command = ["python", "-m", "nst_tf", "stylize", cell.content, *cell.styles, "--like", cell.output]
    command += ["--size", str(LARGE), "-o", "large.png"]
    command += [part for mask in cell.masks for part in ("--mask", mask)]
    command += [part for mask in cell.style_masks for part in ("--style-mask", mask)]
    command += ["--softness", str(cell.softness)] if cell.softness else []
    command += ["--start", cell.start] if is_image(cell.start) else []
    command += ["--features", cell.features] if os.path.isfile(cell.features) else []
    return shlex.join(command)


def _with(job: Job, name: str, value: Any) -> Job:
    """Return a job with one setting changed."""
    if name in ("size", "content", "output"):
        raise ValueError(f"All images of a sheet have one {name}; sweep over another setting.")
    if name == "mix":
        if len(job.styles) != 2 or not 0 <= value <= 1:
            raise ValueError(f"mix goes from 0 to 1 between two styles; got {value} and {len(job.styles)} styles.")
        return replace(job, style_weights=[1 - value, value])
    return with_column(job, name, value)


def _remove_earlier(folder: Path, kept: set[str]) -> None:
    """Remove the sheet of a sweep that stood in the folder before, and those of its images that this one has not."""
    try:
        earlier = [cell["output"] for cell in json.loads((folder / JOBS).read_text())]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    for path in {folder / Path(output).name for output in earlier} - set(map(Path, kept)):
        path.unlink(missing_ok=True)
    (folder / SHEET).unlink(missing_ok=True)


def _label(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{layer} × {weight:.3g}" for layer, weight in value.items())
    if name in ("style", "mask", "style_mask"):
        return " + ".join(Path(path).stem for path in ([value] if isinstance(value, (str, Path)) else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _draw(images: list[list[tf.Tensor]], rows: Axis, columns: Axis, path: Path) -> None:
    from nst_tf.display import contact_sheet

    figure = contact_sheet(images, rows=(rows.name, rows.labels()), columns=(columns.name, columns.labels()))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")

"""Sweeps: small pictures over two settings side by side, of which one is then made at full size."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from nst_tf.engine.run import Engine
from nst_tf.ground.files import atomic_write, check_no_overwrite
from nst_tf.pictures.settings import plain
from nst_tf.published.fields import parse_value
from nst_tf.tools.jobs import Job, absolute_source
from nst_tf.tools.running import cached_inputs, check_job, recipe_of, run
from nst_tf.transfer import Result

SHEET, JOBS = "contact_sheet.png", "sweep.json"
SIZE = 192
MOST_CELLS = 100
# Settings that are no fields of the recipe.
OTHERS = ("recipe", "style", "mix", "features", "solver", "steps", "seed")


@dataclass(frozen=True)
class Axis:
    """A setting and the values it takes along one side of the sheet.

    Args:
        name: A field of the recipe, or "recipe", "style" (paths), "mix" (how much of the second of two styles, 0 to
            1), "features", "solver", "steps" or "seed".
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
    parts = [part.strip() for part in values.split(",") if part.strip()]
    if not equals or not parts:
        raise ValueError(f"Expected a setting and its values, such as style_weight=1,5,25; got {text!r}.")
    return Axis(name.strip(), tuple(_parsed(name.strip(), part) for part in parts))


def _parsed(name: str, text: str) -> Any:
    if name not in OTHERS:
        return parse_value(name, text)
    try:
        return {"mix": float, "seed": int, "steps": int}.get(name, str)(text)
    except ValueError:
        raise ValueError(f"{name} takes numbers; got {text!r}.") from None


def sweep(
    content: str | os.PathLike,
    styles: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    rows: Axis,
    columns: Axis,
    recipe: str = "studio",
    features: str = "auto",
    solver: str = "fast",
    steps: int | None = None,
    seed: int = 0,
    size: int = SIZE,
    engine: Engine | None = None,
    callback: Callable[[int, int], None] | None = None,
    **changes: Any,
) -> list[list[tf.Tensor]]:
    """Make a small picture for every pair of two settings, and one figure of all of them.

    The folder then holds each picture as `ROW_COLUMN.png`, the figure as `contact_sheet.png`, and in `sweep.json` what
    `promote` needs.

    Args:
        content: Path or URL of the content image.
        styles: Paths or URLs of the style images, as a rule one.
        folder: Where to put all of it.
        rows: Setting and values by row.
        columns: Setting and values by column.
        recipe: Name of a recipe.
        features: As for `stylize`, but a word or a path of weights.
        solver: As for `stylize`.
        steps: As for `stylize`.
        seed: As for `stylize`.
        size: Of the small pictures, as `load_images` takes it.
        engine: As for `stylize`.
        callback: Called after each picture with how many are done, and how many there will be.
        **changes: Fields of the recipe that are the same in all.

    Returns:
        The pictures by row and column, float32 (1, height, width, 3).

    Raises:
        ValueError: If the axes have one name, there are too many cells, or as `stylize`.
        KeyboardInterrupt: If it was interrupted; the pictures that were finished stay in the folder.
    """
    if rows.name == columns.name:
        raise ValueError(f"Rows and columns are both {rows.name!r}; sweep over two different settings.")
    cells = len(rows.values) * len(columns.values)
    if cells > MOST_CELLS:
        raise ValueError(f"{cells} pictures are too many for one sheet; expected at most {MOST_CELLS}.")
    folder = Path(folder)
    common = Job(
        content=absolute_source(content),
        styles=[absolute_source(style) for style in styles],
        style_weights=None,
        recipe=recipe,
        changes=changes,
        features=str(features),
        solver=solver,
        steps=steps,
        seed=seed,
        size=size,
        engine=engine.given() if engine else {},
    )
    jobs = [
        [_with(_with(common, rows.name, row), columns.name, column) for column in columns.values] for row in rows.values
    ]
    for job in (job for line in jobs for job in line):
        check_job(job)  # an invalid cell is found before the first picture
    inputs = {source for line in jobs for job in line for source in (job.content, *job.styles)}
    earlier = _earlier_pictures(folder)
    check_no_overwrite(sorted({folder / SHEET, folder / JOBS, *_pictures(folder, jobs), *earlier}), inputs)
    for path in earlier:  # which would be taken for this sweep's
        path.unlink(missing_ok=True)
    with atomic_write(folder / JOBS) as temporary:
        temporary.write_text(
            json.dumps([[asdict(job) for job in line] for line in jobs], default=plain, indent=1) + "\n"
        )
    pictures, done = [], 0
    with cached_inputs():
        for row, line in enumerate(jobs, 1):
            pictures.append([])
            for column, job in enumerate(line, 1):
                result = run(job)
                if result.status == "interrupted":
                    raise KeyboardInterrupt
                result.save(folder / f"{row}_{column}.png")
                pictures[-1].append(result.image)
                done += 1
                if callback:
                    callback(done, cells)
    _draw(pictures, rows, columns, folder / SHEET)
    return pictures


def promote(
    folder: str | os.PathLike,
    row: int,
    column: int,
    *,
    size: int | None = None,
    engine: Engine | None = None,
    callback: Callable | None = None,
) -> Result:
    """Make one picture of a sweep again, with the same settings and seed, at another size.

    Args:
        folder: Of the sweep.
        row: Counted from 1, from the top.
        column: Counted from 1, from the left.
        size: As `load_images` takes it; the recipe's own if not given.
        engine: What it sets is set, the rest is as in the sweep.
        callback: As for `stylize`.

    Returns:
        The result; at the sweep's own size it is the sweep's picture, bit for bit on one CPU.

    Raises:
        ValueError: If there is no such sweep or cell, or as `stylize`.
    """
    job = job_of(folder, row, column)
    job = replace(job, size=size or recipe_of(job).pictures.size, engine={**job.engine, **(engine or Engine()).given()})
    with cached_inputs():
        return run(job, callback)


def job_of(folder: str | os.PathLike, row: int, column: int) -> Job:
    """Return what one picture of a sweep was made from; arguments as for `promote`.

    Raises:
        ValueError: If there is no such sweep or cell.
    """
    jobs = _read_jobs(Path(folder))
    if not (1 <= row <= len(jobs) and 1 <= column <= len(jobs[0])):
        raise ValueError(f"The sweep has {len(jobs)} rows and {len(jobs[0])} columns; got row {row}, column {column}.")
    return jobs[row - 1][column - 1]


def _read_jobs(folder: Path) -> list[list[Job]]:
    path = folder / JOBS
    if not path.is_file():
        raise ValueError(f"There is no sweep in {os.fspath(folder)!r}: {JOBS} is missing.")
    try:
        jobs = [[Job(**job) for job in line] for line in json.loads(path.read_text())]
        if not jobs or not jobs[0]:
            raise ValueError("it is empty")
        return jobs
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is damaged; make the sweep again.") from error


def _pictures(folder: Path, jobs: list[list[Job]]) -> list[Path]:
    return [folder / f"{row}_{column}.png" for row, line in enumerate(jobs, 1) for column, _ in enumerate(line, 1)]


def _earlier_pictures(folder: Path) -> list[Path]:
    """Return the pictures and the sheet of a sweep that stood in the folder before, if there was one."""
    try:
        return [*_pictures(folder, _read_jobs(folder)), folder / SHEET]
    except ValueError:
        return []


def _with(job: Job, name: str, value: Any) -> Job:
    """Return a job with one setting changed."""
    if name == "size":
        raise ValueError("All pictures of a sheet have one size; promote makes one of them larger.")
    if name == "style":
        return replace(job, styles=[absolute_source(value)])
    if name == "mix":
        if len(job.styles) != 2 or not 0 <= value <= 1:
            raise ValueError(f"mix goes from 0 to 1 between two styles; got {value} and {len(job.styles)} styles.")
        return replace(job, style_weights=[1 - value, value])
    if name in OTHERS:
        return replace(job, **{name: value})
    return replace(job, changes={**job.changes, name: value})


def _label(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{layer} × {weight:.3g}" for layer, weight in value.items())
    if name == "style":
        return Path(value).stem
    return f"{value:g}" if isinstance(value, float) else str(value)


def _draw(pictures: list[list[tf.Tensor]], rows: Axis, columns: Axis, path: Path) -> None:
    from nst_tf.display import contact_sheet

    figure = contact_sheet(pictures, rows=(rows.name, rows.labels()), columns=(columns.name, columns.labels()))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")

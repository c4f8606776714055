"""Jobs: all that one picture is made from, given in Python, in a file, or by two folders."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# Columns of a job file that are no fields of a recipe.
COLUMNS = ("content", "style", "output", "style_weights", "recipe", "features", "solver", "steps", "seed", "size")
SEPARATOR = "|"
LONGEST_LINE = 1_000_000


@dataclass(frozen=True)
class Job:
    """All that one picture is made from; paths and numbers only, so that JSON can hold it.

    Args:
        content: Path or URL of the content image.
        styles: Paths or URLs of the style images, as a rule one.
        output: Path of the PNG, if the job says it.
        style_weights: Shares of the styles; equal if not given.
        recipe: Name of a recipe.
        changes: Fields of the recipe that are changed.
        features: As for `stylize`, but a word or a path of weights.
        solver: As for `stylize`.
        steps: As for `stylize`.
        seed: As for `stylize`.
        size: As `load_images` takes it; the recipe's own if not given.
        engine: Fields of `Engine`.
    """

    content: str
    styles: list[str]
    output: str = ""
    style_weights: list[float] | None = None
    recipe: str = "studio"
    changes: dict[str, Any] = field(default_factory=dict)
    features: str = "auto"
    solver: str = "fast"
    steps: int | None = None
    seed: int = 0
    size: int | None = None
    engine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        """Take one style for a list of one."""
        if isinstance(self.styles, (str, os.PathLike)):
            object.__setattr__(self, "styles", [os.fspath(self.styles)])


def is_address(source: str) -> bool:
    """Whether this is a URL."""
    return source.lower().startswith(("http://", "https://"))


def absolute_source(source: str | os.PathLike) -> str:
    """Return a path that means the same from every folder; an address as it is."""
    source = os.fspath(source)
    return source if is_address(source) else os.path.abspath(source)


def read_jobs(path: str | os.PathLike, **defaults: Any) -> Iterator[Job]:
    """Read a job file, line by line.

    Args:
        path: A CSV with a header, or JSON Lines (.jsonl).  Its columns or keys are "content", "style" (several joined
            by "|" in a CSV, a list in JSON), "output", and whatever else differs: "recipe", "features", "solver",
            "steps", "seed", "size", "style_weights", or a field of the recipe such as "style_weight".  Paths are
            relative to the file's folder.
        **defaults: Of the fields of `Job`, for what the file does not say.

    Yields:
        A job for each line.

    Raises:
        ValueError: If there is no such file, or a line is no job; the message gives its number.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no job file {str(path)!r}.")
    rows = _json_rows if path.suffix.lower() in (".jsonl", ".ndjson", ".json") else _csv_rows
    folder = path.resolve().parent
    try:
        for number, row in rows(path):
            try:
                job = _job(row, folder, defaults)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from None
            yield job
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not in UTF-8 ({error}); save it as that.") from None
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV: {error}.") from None


def pairs(
    content_folder: str | os.PathLike,
    style_folder: str | os.PathLike,
    output_folder: str | os.PathLike,
    *,
    by_name: bool = False,
    **defaults: Any,
) -> Iterator[Job]:
    """Return a job for every content and every style of two folders, or for those of one name.

    Args:
        content_folder: A folder of pictures, or a pattern such as "photos/2024-*.jpg".
        style_folder: The same.
        output_folder: Where the results go, as CONTENT__STYLE.png.
        by_name: Pair only pictures whose names are equal but for the suffix; the result is NAME.png.
        **defaults: Of the fields of `Job`.

    Raises:
        ValueError: If a folder holds no picture, or no two names are equal.
    """
    contents, styles = pictures_of(content_folder), pictures_of(style_folder)
    for place, pictures in ((content_folder, contents), (style_folder, styles)):
        check_names(place, pictures)
    if by_name:
        named = {path.stem: path for path in styles}
        matched = [(path, named[path.stem], path.stem) for path in contents if path.stem in named]
        if not matched:
            raise ValueError(f"No picture of {content_folder} has the name of one of {style_folder}.")
    else:
        matched = [(content, style, f"{content.stem}__{style.stem}") for content in contents for style in styles]
    for content, style, name in matched:
        output = os.path.join(os.path.abspath(output_folder), f"{name}.png")
        yield Job(str(content.resolve()), [str(style.resolve())], output, **defaults)


def check_names(place: str | os.PathLike, pictures: list[Path]) -> None:
    """Raise ValueError if two pictures of a folder have one name but for the suffix."""
    (name, count), *_ = Counter(path.stem for path in pictures).most_common(1)
    if count > 1:
        raise ValueError(f"Two pictures of {os.fspath(place)!r} are called {name!r}; their results would share a name.")


def pictures_of(place: str | os.PathLike) -> list[Path]:
    """Return the pictures of a folder or a pattern, sorted by name.

    Raises:
        ValueError: If there is none.
    """
    place = Path(place)
    found = place.iterdir() if place.is_dir() else place.parent.glob(place.name)
    pictures = sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    if not pictures:
        raise ValueError(f"There is no picture in {str(place)!r}.")
    return pictures


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        if not {"content", "style", "output"} <= set(reader.fieldnames):
            raise ValueError(f"{path.name}: the first line must name the columns content, style and output.")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path.name}, line {reader.line_num}: it has not as many fields as the first line.")
            row = {name: text.strip() for name, text in row.items() if text.strip()}
            if row:
                yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path.name}, line {number}: this is not JSON ({error}).") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}, line {number}: expected an object in braces.")
            yield number, row


def _job(row: dict[str, Any], folder: Path, defaults: dict[str, Any]) -> Job:
    """Return the job of a row of texts (CSV) or of values (JSON)."""
    missing = [name for name in ("content", "style", "output") if not row.get(name)]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    given: dict[str, Any] = {}
    changes = dict(defaults.get("changes", {}))
    for name, value in row.items():
        if name in ("content", "output"):
            given[name] = _below(folder, _text(name, value))
        elif name == "style":
            styles = value.split(SEPARATOR) if isinstance(value, str) else value
            if not isinstance(styles, list):
                raise ValueError(f"style is text or a list of texts; got {value!r}")
            given["styles"] = [_below(folder, _text(name, style)) for style in styles]
        elif name == "features" and str(value).endswith(".h5"):
            given[name] = _below(folder, _text(name, value))
        elif name == "style_weights":
            weights = value.split(SEPARATOR) if isinstance(value, str) else value
            given[name] = [float(weight) for weight in weights]
        elif name in ("steps", "seed", "size"):
            given[name] = _whole(name, value)
        elif name in COLUMNS:
            given[name] = _text(name, value)
        else:
            changes[name] = _changed(name, value)
    return replace(Job("", []), **{**defaults, **given, "changes": changes})


def _changed(name: str, value: Any) -> Any:
    from nst_tf.published.fields import parse_value

    return parse_value(name, value) if isinstance(value, str) else value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is text; got {value!r}")
    return value.strip()


def _whole(name: str, value: Any) -> int:
    try:
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return int(value)
    except ValueError:
        pass
    raise ValueError(f"{name} is a whole number; got {value!r}")


def _below(folder: Path, source: str) -> str:
    return source if is_address(source) else os.path.abspath(folder / source)

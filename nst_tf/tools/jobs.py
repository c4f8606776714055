"""Jobs: all that one image is made from, given in Python, on the command line, in a file, or by two folders."""

from __future__ import annotations

import csv
import functools
import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import Any

# Formats that Pillow knows by name, and reads only with the help of other programs or not at all.
ONLY_KNOWN = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# The mask of what the other masks leave.
REST = "rest"
SEPARATOR = "|"
# In a number that is alone, one of several, or the weight of a layer.
DECIMAL_COMMA = re.compile(r"(?<![^|:+\s])(-?\d+),(\d+)(?![^|:+\s])")


@dataclass(frozen=True)
class Job:
    """All that one image is made from; paths, words and numbers only, so that JSON can hold it.

    Args:
        content: Path or URL of the content image.
        styles: Paths or URLs of the style images, as a rule one.
        output: Where the result goes, if the job says it.
        style_weights: Shares of the styles; equal if not given.
        masks: Paths or URLs of the content masks, white where each style is wanted, none or one for each style.  The
            word "rest" is what the others leave.
        style_masks: Paths or URLs of the style masks, white where each style is taken from, none or one for each.
        softness: How many pixels the edges of the masks are blurred by.
        start: As for `stylize`, but a word, a path or a URL.
        recipe: Name of a recipe.
        changes: Fields of the recipe that are changed.
        features: As for `stylize`, but a word or a path of weights.
        solver: As for `stylize`, but a word.
        steps: As for `stylize`.
        seed: As for `stylize`.
        size: As `load_images` takes it; the recipe's own if not given.
        engine: Fields of `Engine`.
    """

    content: str
    styles: list[str]
    output: str = ""
    style_weights: list[float] | None = None
    masks: list[str] = field(default_factory=list)
    style_masks: list[str] = field(default_factory=list)
    softness: float = 0.0
    start: str | None = None
    recipe: str = "studio"
    changes: dict[str, Any] = field(default_factory=dict)
    features: str = "auto"
    solver: str = "fast"
    steps: int | None = None
    seed: int = 0
    size: int | None = None
    engine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        """Take one style for a list of one, and paths for what JSON can hold."""
        for name, value in vars(self).items():
            if name in ("styles", "masks", "style_masks"):
                paths = [value] if isinstance(value, (str, os.PathLike)) else value
                object.__setattr__(self, name, [os.path.expanduser(path) for path in paths])
            elif isinstance(value, (str, os.PathLike)):
                object.__setattr__(self, name, os.path.expanduser(value))

    @classmethod
    def like(cls, path: str | os.PathLike, **given: Any) -> Job:
        """Return a job with the settings inside a saved PNG, and the images that it is to be made from.

        Args:
            path: A PNG that nst_tf saved.
            **given: Fields of `Job`: content, styles, output, and what is to be different.

        Raises:
            ValueError: If the file carries no settings, or was made with masks and none are given.

        Example:
            >>> job = Job.like("grid/2_3.png", content="c.jpg", styles=["s.jpg"], size=1024)
        """
        from nst_tf.controls.sizes import size_of
        from nst_tf.pictures.settings import settings_of
        from nst_tf.published.fields import changed_by_json
        from nst_tf.recipes import find_recipe

        found = settings_of(path)
        held = {name: found[name] for name in ("recipe", "features", "solver", "steps", "seed")}
        changes = found["changes"] if given.get("recipe", found["recipe"]) == found["recipe"] else {}
        job = cls(**{**held, **given, "changes": {**changes, **given.get("changes", {})}})
        masks, was_masked = job.masks or job.style_masks, bool(found.get("masks"))
        if was_masked and not masks:
            raise ValueError(f"{str(path)!r} was made with masks, which it does not hold; give them again (--mask).")
        weights = job.style_weights
        # Without masks weights are shares, with masks factors.
        if weights is None and was_masked == bool(masks) and len(found.get("style_weights", [])) == len(job.styles):
            weights = found["style_weights"]
        recipe = changed_by_json(find_recipe(job.recipe), job.changes)
        return replace(job, style_weights=weights, size=job.size or size_of(recipe, *found["size"]))

    def sources(self) -> list[str]:
        """Return the paths and addresses of all images that the job reads."""
        masks = [mask for mask in (*self.masks, *self.style_masks) if mask != REST]
        return [self.content, *self.styles, *masks, *([self.start] if is_image(self.start) else [])]


def is_address(source: str) -> bool:
    """Whether this is a URL, be it one that is fetched or not."""
    from nst_tf.pictures.reading import ADDRESS

    return ADDRESS.match(source) is not None


def is_image(start: str | None) -> bool:
    """Whether a job's start is an image, rather than a word of the recipe or nothing."""
    return start is not None and (is_address(start) or os.path.isfile(start))


def absolute(job: Job, folder: str | os.PathLike = ".") -> Job:
    """Return a job whose paths, relative to a folder (the working folder if not given), mean the same in every one."""

    def below(source: str, *, may_be_a_word: bool = False) -> str:
        path = os.path.abspath(os.path.join(folder, source))
        if not source or is_address(source) or source == REST or (may_be_a_word and not os.path.isfile(path)):
            return source
        return path

    paths = {name: list(map(below, getattr(job, name))) for name in ("styles", "masks", "style_masks")}
    words = {name: below(getattr(job, name) or "", may_be_a_word=True) or None for name in ("start", "features")}
    return replace(job, content=below(job.content), output=below(job.output), **paths, **words)


# Columns of a job file that are called otherwise than the field of `Job` that they fill, for they hold one as a rule;
# a file may call them by the field too.
COLUMNS = {"style": "styles", "mask": "masks", "style_mask": "style_masks"}
# By column, the type of what it holds; all other columns are fields of the recipe.
KINDS = {each.name: each.type for each in fields(Job) if each.name not in ("changes", "engine")}
KINDS |= {column: KINDS.pop(name) for column, name in COLUMNS.items()}


def read_column(name: str, value: Any) -> Any:
    """Return what a column of a job file holds, from its text or JSON; raise ValueError if it cannot hold that."""
    from nst_tf.ground.checks import suggestions
    from nst_tf.published.fields import FIELDS, parse_value, read_as

    if name not in KINDS:
        if name not in FIELDS:
            raise ValueError(f"A job has no field {name!r}; it has {suggestions(name, [*KINDS, *FIELDS])}.")
        return parse_value(name, value) if isinstance(value, str) else value
    kind = KINDS[name]
    if not kind.startswith("list"):
        return read_as(kind, name, value)
    parts = value.split(SEPARATOR) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError(f"{name} is {value!r}; expected text or a list.")
    kind = kind.removeprefix("list[").removesuffix(" | None").removesuffix("]")
    return [read_as(kind, name, part) for part in parts]


def with_column(job: Job, name: str, value: Any) -> Job:
    """Return a job with what a column of a job file says; raises as `read_column`."""
    value = read_column(name, value)
    if name in KINDS:
        return replace(job, **{COLUMNS.get(name, name): value})
    return replace(job, changes={**job.changes, name: value})


def read_jobs(path: str | os.PathLike, **defaults: Any) -> Iterator[Job]:
    """Read a job file, line by line.

    Args:
        path: A CSV with a header, or JSON Lines (.jsonl).  Its columns or keys are "content", "style", "output", and
            whatever else differs: "mask", "style_mask", "softness", "start", "style_weights", "recipe", "features",
            "solver", "steps", "seed", "size", or a field of the recipe such as "style_weight".  Several styles,
            weights or masks are joined by "|" in a CSV, and a list in JSON.  Paths are relative to the file's folder.
            Where columns are parted by semicolons or tabs, 0,5 is a half; a column without a name is passed over.
        **defaults: Of the fields of `Job`, for what the file does not say.

    Yields:
        A job for each line.

    Raises:
        ValueError: If there is no such file, or a line is no job; the message gives its number.
    """
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise ValueError(f"There is no job file {str(path)!r}.")
    rows = _json_rows if path.suffix.lower() in (".jsonl", ".ndjson", ".json") else _csv_rows
    common, folder = absolute(Job("", [], **defaults)), path.resolve().parent
    try:
        for line, row in rows(path):
            try:
                row = {**{column: row.pop(name) for column, name in COLUMNS.items() if name in row}, **row}
                if missing := [name for name in ("content", "style", "output") if not row.get(name)]:
                    raise ValueError(f"{', '.join(missing)} missing; every job has content, style and output")
                job = common
                for name, value in row.items():
                    job = with_column(job, name, value)
                job = absolute(job, folder)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path.name}, line {line}: {error}") from None
            yield job
    except UnicodeDecodeError as error:
        raise ValueError(f'{path.name} is not in UTF-8 ({error}); save it as that, in Excel as "CSV UTF-8".') from None
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV: {error}.") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        delimiter = max(",;\t", key=file.readline().count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path.name}, line {reader.line_num}: it has not as many fields as the first line.")
            if delimiter != ",":  # where Excel writes decimals with a comma, it has to part columns otherwise
                row = {name: DECIMAL_COMMA.sub(r"\1.\2", text) for name, text in row.items()}
            row = {name: text.strip() for name, text in row.items() if name and text.strip()}
            if row:
                yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path.name}, line {line}: this is not JSON ({error}).") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}, line {line}: expected an object in braces.")
            yield line, {name: value for name, value in row.items() if value is not None}


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
        content_folder: A folder of images, or a pattern such as "photos/2024-*.jpg"; see `images_of`.
        style_folder: The same.
        output_folder: Where the results go, as CONTENT__STYLE.png.
        by_name: Pair only images whose names are equal but for the suffix; the result is NAME.png.
        **defaults: Of the fields of `Job`.

    Raises:
        ValueError: If a folder holds no image, no two names are equal, or the results would be among the images.
    """
    contents, styles = images_of(content_folder), images_of(style_folder)
    if by_name:
        matched = [(name, path, styles[name]) for name, path in contents.items() if name in styles]
        if not matched:
            raise ValueError(f"No image of {content_folder} has the name of one of {style_folder}.")
    else:
        matched = [
            (f"{one}__{other}", content, style) for one, content in contents.items() for other, style in styles.items()
        ]
    for name, content, style in matched:
        output = result_path(output_folder, name, content_folder, style_folder)
        yield absolute(Job(content, [style], output, **defaults))


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Return how the names of the files end that Pillow reads, with the help of pillow-heif too, in lower case."""
    from PIL import Image

    formats = Image.registered_extensions()  # also of formats that it only writes
    read = (each for each, name in formats.items() if name in Image.OPEN and name not in ONLY_KNOWN)
    return frozenset((*read, ".heic", ".heif"))  # where pillow-heif is missing, a sentence names it


def images_of(place: str | os.PathLike) -> dict[str, Path]:
    """Return the images of a folder or a pattern by their names without suffix, after the folder's if it differs.

    A pattern is "photos/2024-*.jpg", "*/photo.jpg", or "frames/%05d.png", as ffmpeg has it.  Raises ValueError if there
    is no image, or two have one name but for the suffix.
    """
    found = [Path(path) for path in glob.glob(_pattern(place), recursive=True)]
    found = [path for path in found if path.suffix.lower() in image_suffixes() and path.is_file()]
    if not found:
        raise ValueError(f"There is no image in {os.fspath(place)!r}.")
    above, images = os.path.commonpath([path.parent for path in found]), {}
    for path in sorted(found):
        name = "_".join(path.relative_to(above).with_suffix("").parts)
        if name in images:
            raise ValueError(f"Two images of {place} are called {name!r}; their results would share a name.")
        images[name] = path
    return images


def result_path(folder: str | os.PathLike, name: str, *places: str | os.PathLike) -> str:
    """Return the path of a result; raise ValueError if it would be taken for one of the images of the places."""
    path = os.path.join(os.path.abspath(os.path.expanduser(folder)), f"{name}.png")
    for place in places:
        if PurePath(path).match(_pattern(place)):
            raise ValueError(f"{path!r} would be taken for one of {place} the next time; choose another output folder.")
    return path


def _pattern(place: str | os.PathLike) -> str:
    """Return by what `glob` finds the files of a folder or a pattern."""
    path = os.path.abspath(os.path.expanduser(place))
    if os.path.isdir(path):
        return os.path.join(glob.escape(path), "*")
    folder, name = os.path.split(re.sub(r"%(?:0(\d))?d", lambda digits: "[0-9]" * int(digits[1] or 1) + "*", path))
    return os.path.join(glob.escape(folder) if os.path.isdir(folder) else folder, name)

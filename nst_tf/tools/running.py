"""How the image of a job is made: checked, loaded, and handed to `stylize`."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import tensorflow as tf
from PIL import Image

from nst_tf.controls.masks import load_mask, rest_of
from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import Scene
from nst_tf.controls.sizes import load_images
from nst_tf.controls.styles import Style
from nst_tf.engine.extractors import check_features, find_features
from nst_tf.engine.run import Engine, check_run
from nst_tf.ground.checks import MIN_SIDE, number, one_of, whole_number
from nst_tf.ground.files import OverwriteGuard, check_writable
from nst_tf.images import load_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import credits_of, plain, settings_of
from nst_tf.published.fields import changed_by_json, recipe_settings
from nst_tf.recipes import Recipe, find_recipe
from nst_tf.tools.inputs import check_counts, check_files, read_inputs, resolve_features
from nst_tf.tools.jobs import REST, Job, is_address, is_image
from nst_tf.transfer import Result, stylize


def run(job: Job, callback: Callable | None = None, *, previous: Previous | None = None) -> Result:
    """Make the image of a job.

    Args:
        job: What it is made from, checked by `check_job`.
        callback: As for `stylize`.
        previous: As for `stylize`.

    Raises:
        ValueError: As `stylize`, or if an image cannot be read.
    """
    recipe = recipe_of(job)
    content_image, styles, start = load(job)
    result = stylize(
        content_image,
        styles,
        recipe=recipe,
        features=find_features(resolve_features(job.features), recipe),
        solver=job.solver,
        steps=job.steps,
        seed=job.seed,
        start=start,
        previous=previous,
        callback=callback,
        **job.engine,
    )
    own = {"features": _features_in_settings(job), "credits": credits_of(job.content)}
    return replace(result, settings={**result.settings, **own})


def _features_in_settings(job: Job) -> str:
    return os.path.basename(job.features)  # of a weights file; whoever gets the image need not know its folder


def load(job: Job) -> tuple[tf.Tensor, list[Style], tf.Tensor | None]:
    """Return the content image, the styles with their masks, and the image to start from, in the recipe's sizes."""
    inputs = read_inputs(job)
    content_image, style_images = load_images(inputs.content, inputs.styles, recipe=recipe_of(job), size=job.size)
    count, options = len(style_images), {"softness": job.softness}
    masks = [
        mask if path == REST else load_mask(mask, size=tuple(content_image.shape[1:3]), name=path, **options)
        for path, mask in zip(job.masks, inputs.masks, strict=True)
    ]
    if REST in job.masks:
        masks[job.masks.index(REST)] = rest_of(*(mask for mask in masks if not isinstance(mask, str)))
    style_masks = [
        load_mask(mask, size=tuple(image.shape[1:3]), name=path, **options)
        for path, mask, image in zip(job.style_masks, inputs.style_masks, style_images, strict=False)
    ]
    none = [None] * count
    parts = style_images, job.style_weights or none, masks or none, style_masks or none
    start = None if inputs.start is None else load_image(inputs.start, name="the start image")
    return content_image, [Style(*part) for part in zip(*parts, strict=True)], start


def is_made(job: Job, previous: Previous | None = None) -> bool:
    """Return whether a job's output is there, made from the same images with the same settings."""
    try:
        found = settings_of(job.output)
    except ValueError:
        return False
    recipe = recipe_of(job)
    wanted = {
        **recipe_settings(recipe),
        "features": _features_in_settings(job),
        "solver": job.solver,
        "steps": check_run(recipe, job.solver, job.steps, job.seed),
        "seed": job.seed,
    }
    if not _agree(found, wanted):
        return False
    content_image, styles, start = load(job)
    return _agree(found, Scene.of(recipe, content_image, styles, start=start, previous=previous).fingerprints())


def _agree(found: dict, wanted: dict) -> bool:
    return all(found.get(name) == value for name, value in json.loads(json.dumps(wanted, default=plain)).items())


def recipe_of(job: Job) -> Recipe:
    """Return the recipe of a job, with its changes and its word for the start."""
    word = {} if job.start is None or is_image(job.start) else {"start": job.start}
    return _recipe(job.recipe, json.dumps({**job.changes, **word}, default=plain))


@functools.lru_cache(maxsize=64)
def _recipe(name: str, changes: str) -> Recipe:
    # Kept, since a list of a million jobs asks for few recipes.
    return changed_by_json(find_recipe(name), json.loads(changes))


def check_job(job: Job) -> None:
    """Raise ValueError for a job that cannot be run."""
    check_counts(job)
    check_run(recipe_of(job), job.solver, job.steps, job.seed)
    for name in job.engine:
        one_of(name, Engine.__dataclass_fields__, "field of the engine")
    Engine(**job.engine)
    check_features(job.features)
    number(job.softness, "softness")
    if job.size is not None:
        whole_number(job.size, "size", least=MIN_SIDE)
    check_files(job)


def check_jobs(jobs: Iterable[Job]) -> Iterator[tuple[int, Job, ValueError | None]]:
    """Go through a list of jobs without making one, and find what would make each fail.

    Args:
        jobs: Read one by one; what is remembered of each are hashes, so that a million are fine.

    Yields:
        The number of each job, counted from 0, the job, and what is wrong with it: a setting, an input that is not
        there or no image, an output that is another job's too.  It is an `OverwriteError` if the output would replace
        what this job or another is made from.
    """
    guard, folders, unreadable = OverwriteGuard(), set(), {}
    for number_of_job, job in enumerate(jobs):
        problem = None
        try:
            if not job.output.lower().endswith(".png"):
                raise ValueError(f"output is {job.output!r}; expected a .png, which carries its settings.")
            for source in job.sources():
                guard.reads(source)
            guard.writes(job.output)
            check_job(job)
            for source in job.sources():
                key = hash(source)
                if key not in unreadable:
                    unreadable[key] = "" if is_address(source) else _unreadable(source)
                if unreadable[key]:
                    raise ValueError(unreadable[key])
            if (folder := os.path.dirname(job.output)) not in folders:
                check_writable(job.output)
                folders.add(folder)
        except ValueError as error:
            problem = error
        except Exception as error:  # whatever is wrong with one job, the others go on
            problem = ValueError(f"{type(error).__name__}: {error}")
        yield number_of_job, job, problem


def _unreadable(path: str) -> str:
    """Return why a file is no image, "" if it seems to be one; only its beginning is read, as a rule."""
    with contextlib.suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError), Image.open(path):
        return ""
    try:
        read_pixels(path)
    except ValueError as error:  # which says what to do
        return str(error)
    return ""

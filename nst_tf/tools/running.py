"""How the image of a job is made: checked, loaded, and handed to `stylize`."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf
from PIL import Image

from nst_tf.controls.masks import load_mask, rest_of
from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import Scene
from nst_tf.controls.sizes import load_images
from nst_tf.controls.styles import Style
from nst_tf.engine.extractors import check_features
from nst_tf.engine.run import Engine, check_run
from nst_tf.ground.checks import MIN_SIDE, number, one_of, whole_number
from nst_tf.ground.files import OverwriteGuard, check_writable
from nst_tf.images import load_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import credits_of, plain, settings_of
from nst_tf.published.fields import changed_by_json, recipe_settings
from nst_tf.recipes import Recipe, find_recipe
from nst_tf.tools.inputs import check_counts, read_inputs, resolve_features
from nst_tf.tools.jobs import Job, is_address, is_image
from nst_tf.transfer import Result, stylize


def run(job: Job, callback: Callable | None = None, *, previous: Previous | None = None) -> Result:
    """Make the image of a job that `check_job` has checked; callback and previous are as for `stylize`."""
    content_image, styles, start = load(job)
    own = {"features": _features_in_settings(job), "credits": credits_of(job.content)}
    result = stylize(
        content_image,
        styles,
        recipe=recipe_of(job),
        features=resolve_features(job.features),
        solver=job.solver,
        steps=job.steps,
        seed=job.seed,
        start=start,
        previous=previous,
        callback=callback,
        **job.engine,
    )
    return replace(result, settings={**result.settings, **own})


def _features_in_settings(job: Job) -> str:
    return os.path.basename(job.features)  # of a weights file; whoever gets the image need not know its folder


def load(job: Job) -> tuple[tf.Tensor, list[Style], tf.Tensor | None]:
    """Return the content image, the styles with their masks, and the image to start from, in the recipe's sizes."""
    inputs = read_inputs(job)
    content_image, style_images = load_images(inputs.content, inputs.styles, recipe=recipe_of(job), size=job.size)
    none = [None] * len(style_images)
    masks = _masks(job.masks, inputs.masks, [content_image] * len(style_images), job.softness) or none
    style_masks = _masks(job.style_masks, inputs.style_masks, style_images, job.softness) or none
    parts = zip(style_images, job.style_weights or none, masks, style_masks, strict=True)
    start = None if inputs.start is None else load_image(inputs.start, name="the start image")
    return content_image, [Style(*part) for part in parts], start


def _masks(
    paths: Sequence[str], masks: Sequence[np.ndarray | None], images: Sequence[tf.Tensor], softness: float
) -> list[np.ndarray]:
    """Return the masks of images, which come in their order, in the images' sizes; none if there are none."""
    loaded = [
        mask if mask is None else load_mask(mask, size=tuple(image.shape[1:3]), name=path, softness=softness)
        for path, mask, image in zip(paths, masks, images, strict=False)
    ]
    given = [mask for mask in loaded if mask is not None]
    return [rest_of(*given) if mask is None else mask for mask in loaded]


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
    if job.features.endswith(".h5") and not os.path.isfile(job.features):
        raise ValueError(f"There is no file {job.features!r}.")
    number(job.softness, "softness")
    if job.size is not None:
        whole_number(job.size, "size", least=MIN_SIDE)


def check_jobs(jobs: Iterable[Job]) -> Iterator[tuple[int, Job, ValueError | None]]:
    """Yield the number of each job, counted from 0, the job, and what would make it fail.

    That is a setting, an input that is not there or no image, or an output that is another job's too; an
    `OverwriteError` if the output would replace what this job or another is made from.  Of a million jobs little more
    than hashes is remembered.
    """
    guard, folders, unreadable = OverwriteGuard(), set(), functools.lru_cache(10_000)(_unreadable)
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
                if why := unreadable(source):
                    raise ValueError(why)
            if (folder := os.path.dirname(job.output)) not in folders:
                check_writable(job.output)
                folders.add(folder)
        except Exception as error:  # whatever is wrong with one job, the others go on
            problem = error if isinstance(error, ValueError) else ValueError(f"{type(error).__name__}: {error}")
        yield number_of_job, job, problem


def _unreadable(source: str) -> str:
    """Return why a file is no image, "" if it seems to be one, or is an address; as a rule its beginning is read."""
    if is_address(source):
        return ""
    with contextlib.suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError), Image.open(source):
        return ""
    try:
        read_pixels(source)
    except ValueError as error:  # which says what to do
        return str(error)
    return ""

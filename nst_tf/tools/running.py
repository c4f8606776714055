"""How the picture of a job is made, with the pictures and the network of earlier jobs of its list."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import tensorflow as tf

from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import Scene
from nst_tf.controls.sizes import load_images
from nst_tf.controls.styles import Style
from nst_tf.engine.extractors import check_features, find_features, resolve_auto
from nst_tf.engine.run import Engine
from nst_tf.ground.checks import MIN_SIDE
from nst_tf.ground.files import file_signature
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import plain, settings_of
from nst_tf.published.fields import changed_by_json, recipe_settings
from nst_tf.recipes import Recipe, find_recipe
from nst_tf.tools.jobs import Job, is_address
from nst_tf.transfer import Result, check_run, stylize


@functools.lru_cache(maxsize=16)
def _read(version: str, path: str) -> np.ndarray:
    return read_pixels(path)


_resolve_auto = functools.cache(resolve_auto)


@contextlib.contextmanager
def cached_inputs() -> Iterator[None]:
    """Read each picture once, and decide what "auto" stands for once, inside the block; forget both at its end.

    A worker process, which knows no end of a list, keeps them as long as it lives.
    """
    try:
        yield
    finally:
        _read.cache_clear()
        _resolve_auto.cache_clear()


def run(job: Job, callback: Callable | None = None, *, previous: Previous | None = None) -> Result:
    """Make the picture of a job.

    Args:
        job: What it is made from.
        callback: As for `stylize`.
        previous: As for `stylize`.

    Raises:
        ValueError: As `stylize`.
    """
    recipe = recipe_of(job)
    content_image, given = load(job, recipe)
    extractor = find_features(_resolve_auto(job.features), recipe)
    result = stylize(
        content_image,
        given,
        recipe=recipe,
        features=extractor,
        solver=job.solver,
        steps=job.steps,
        seed=job.seed,
        previous=previous,
        callback=callback,
        **job.engine,
    )
    return replace(result, settings={**result.settings, "features": job.features})


def load(job: Job, recipe: Recipe) -> tuple[tf.Tensor, list[Style]]:
    """Return the content image and the styles of a job, in the sizes of its recipe."""
    content, *styles = (_read(file_signature(path), path) for path in (job.content, *job.styles))
    content_image, style_images = load_images(content, styles, recipe=recipe, size=job.size)
    weights = job.style_weights or [None] * len(style_images)
    return content_image, [Style(image, weight) for image, weight in zip(style_images, weights, strict=True)]


def is_made(job: Job, previous: Previous | None = None) -> bool:
    """Return whether a job's output is there, made from the same pictures with the same settings."""
    try:
        found = settings_of(job.output)
    except ValueError:
        return False
    recipe = recipe_of(job)
    wanted = {
        **recipe_settings(recipe),
        "features": job.features,
        "solver": job.solver,
        "steps": check_run(recipe, job.solver, job.steps, job.seed),
        "seed": job.seed,
    }
    if any(found.get(name) != value for name, value in json.loads(json.dumps(wanted, default=plain)).items()):
        return False
    content_image, given = load(job, recipe)
    scene = Scene.of(recipe, content_image, given, previous=previous)
    inputs = json.loads(json.dumps(scene.fingerprints(), default=plain))
    return all(found.get(name) == value for name, value in inputs.items())


def recipe_of(job: Job) -> Recipe:
    """Return the recipe of a job, with its changes."""
    return _recipe(job.recipe, json.dumps(job.changes, default=plain))


@functools.lru_cache(maxsize=64)
def _recipe(name: str, changes: str) -> Recipe:
    # Kept, since a list of a million jobs asks for few recipes.
    return changed_by_json(find_recipe(name), json.loads(changes))


def check_job(job: Job) -> None:
    """Raise ValueError for a job that cannot be run."""
    recipe = recipe_of(job)
    if job.style_weights and len(job.style_weights) != len(job.styles):
        raise ValueError(f"There are {len(job.style_weights)} style weights for {len(job.styles)} styles.")
    check_run(recipe, job.solver, job.steps, job.seed)
    known = Engine.__dataclass_fields__
    if unknown := set(job.engine) - set(known):
        raise ValueError(f"An engine has no {', '.join(sorted(unknown))}; it has {', '.join(known)}.")
    Engine(**job.engine)
    check_features(job.features)
    if job.features.endswith(".h5") and not os.path.isfile(job.features):
        raise ValueError(f"There is no weights file {job.features!r}.")
    if job.size is not None and job.size < MIN_SIDE:
        raise ValueError(f"size is {job.size}; expected at least {MIN_SIDE} pixels.")
    for source in (job.content, *job.styles):
        if not is_address(source) and not os.path.isfile(source):
            raise ValueError(f"There is no file {source!r}.")
    if job.output:
        _check_output(job)


def _check_output(job: Job) -> None:
    if not job.output.lower().endswith(".png"):
        raise ValueError(f"output is {job.output!r}; expected a .png, which carries its settings.")
    if os.path.realpath(job.output) in map(os.path.realpath, (job.content, *job.styles)):
        raise ValueError(f"The output {job.output!r} would replace a picture that it is made from; choose another.")

"""How the picture of a job is made, with what earlier jobs left in the cache."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from nst_tf.controls.scene import Scene
from nst_tf.controls.sizes import load_images
from nst_tf.controls.styles import Style
from nst_tf.engine.descent import Engine
from nst_tf.engine.held import Previous
from nst_tf.features import FeatureExtractor
from nst_tf.networks.finding import check_features, find_features
from nst_tf.pictures.contract import MIN_SIDE
from nst_tf.pictures.files import version_of
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import plain, settings_of
from nst_tf.published.fields import changed_by_json, recipe_settings
from nst_tf.recipes import Recipe, find_recipe
from nst_tf.tools.jobs import Job, is_address
from nst_tf.transfer import Result, check_run, stylize


@dataclass
class Cache:
    """What earlier jobs leave for later ones: networks with what was traced for them, and pictures as they were read.

    Args:
        most_networks: How many feature extractors are kept, with what was traced for them.
        most_sources: How many pictures are kept as they were read.
    """

    most_networks: int = 8
    most_sources: int = 16
    networks: dict[str, FeatureExtractor] = field(default_factory=dict)
    sources: dict[str, np.ndarray] = field(default_factory=dict)

    def source(self, path: str) -> np.ndarray:
        """Return the pixels of a path or URL, read again if the file has changed."""
        key = version_of(path)
        pixels = self.sources.pop(key, None)
        if pixels is None:
            pixels = read_pixels(path)
        while len(self.sources) >= self.most_sources:
            self.sources.pop(next(iter(self.sources)))
        self.sources[key] = pixels
        return pixels

    def network(self, key: str, make: Callable[[], FeatureExtractor]) -> FeatureExtractor:
        """Return the extractor of a key, made if it is not there.

        Args:
            key: What tells it from others.
            make: Makes one.
        """
        extractor = self.networks.pop(key, None)
        if extractor is None:
            while len(self.networks) >= self.most_networks:  # one refers to itself through what was traced
                self.networks.pop(next(iter(self.networks))).forget()
            extractor = make()
            extractor.style_grams = {} if extractor.style_grams is None else extractor.style_grams
        self.networks[key] = extractor
        return extractor


def run(
    job: Job,
    cache: Cache,
    callback: Callable | None = None,
    *,
    extractor: FeatureExtractor | None = None,
    previous: Previous | None = None,
) -> Result:
    """Make the picture of a job.

    Args:
        job: What it is made from.
        cache: What earlier jobs left; added to.
        callback: As for `stylize`.
        extractor: Instead of the one that the job would get.
        previous: As for `stylize`.

    Raises:
        ValueError: As `stylize`.
    """
    recipe = recipe_of(job)
    content_image, given = load(job, recipe, cache)
    extractor = extractor or extractor_of(job, cache)
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


def extractor_of(job: Job, cache: Cache) -> FeatureExtractor:
    """Return the feature extractor of a job."""
    recipe = recipe_of(job)
    return cache.network(network_of(job, recipe), lambda: find_features(job.features, recipe))


def load(job: Job, recipe: Recipe, cache: Cache) -> tuple[tf.Tensor, list[Style]]:
    """Return the content image and the styles of a job, in the sizes of its recipe."""
    styles = [cache.source(style) for style in job.styles]
    content_image, style_images = load_images(cache.source(job.content), styles, recipe=recipe, size=job.size)
    weights = job.style_weights or [None] * len(style_images)
    return content_image, [Style(image, weight) for image, weight in zip(style_images, weights, strict=True)]


def is_made(job: Job, cache: Cache, previous: Previous | None = None) -> bool:
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
    content_image, given = load(job, recipe, cache)
    scene = Scene.of(recipe, content_image, given, previous=previous)
    inputs = json.loads(json.dumps(scene.fingerprints(), default=plain))
    return all(found.get(name) == value for name, value in inputs.items())


def network_of(job: Job, recipe: Recipe) -> str:
    """Return what tells the network of a job from others."""
    return repr((version_of(job.features), recipe.network))


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

"""stylize(): the one loop that repaints the content image in the style of the style image."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf import __version__
from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import Scene, resized
from nst_tf.controls.styles import Style
from nst_tf.engine.descent import Descent, Engine, engine_among
from nst_tf.features import FeatureExtractor
from nst_tf.ground.checks import one_of, whole_number
from nst_tf.ground.keras_defaults import check_process, keras, neutral_keras
from nst_tf.images import save_image
from nst_tf.networks.finding import FEATURES, find_features
from nst_tf.objective import Losses
from nst_tf.pictures.settings import settings_text
from nst_tf.published.fields import recipe_settings
from nst_tf.recipes import Recipe, find_recipe

SOLVERS = ("fast", "published")


@dataclass(frozen=True)
class Step:
    """What a callback is told: how far the run is, and how to look at it.

    Args:
        step: How many steps are done.
        steps: How many there will be.
        losses: Of the last step, as floats.
        seconds: Since the run began.
    """

    step: int
    steps: int
    losses: Losses
    seconds: float
    _image: tf.Variable = field(repr=False)
    _postprocess: Callable[[tf.Tensor], tf.Tensor] = field(repr=False, default=tf.identity)

    def image(self) -> tf.Tensor:
        """Return a copy of the generated image as it is now, (1, height, width, 3); nothing is copied before."""
        return self._postprocess(self._image)


@dataclass(frozen=True)
class Result:
    """What `stylize` returns.

    Args:
        image: The stylized picture: the best by total loss, float32 (1, height, width, 3), RGB in [0, 1].  A recipe
            that does not clip while it optimises has its picture clipped at the end, as when it is saved.
        history: By part ("total", "content", "style", "total_variation"), the weighted loss before each step and, if
            the run came to its end, after the last.
        features: Which network it was made with.
        precision: What the network computed in: "float32", "bfloat16" or "float16".
        status: "done", "interrupted", or "diverged" if the loss ceased to be a number.
        recipe: The recipe that was followed.
        steps: How many steps were taken.
        seconds: How long the descent took, the first trace included and the loading of the network not.
        settings: What `nst_tf.settings_of` reads from a saved PNG.
    """

    image: tf.Tensor = field(repr=False)
    history: dict[str, np.ndarray] = field(repr=False)
    features: str
    precision: str
    status: str
    recipe: Recipe = field(repr=False)
    steps: int
    seconds: float
    settings: dict[str, Any] = field(repr=False, default_factory=dict)

    def save(self, path: str | os.PathLike, *, png_text: dict[str, str] | None = None) -> Path:
        """Save the picture; see `nst_tf.save_image`.  A PNG carries its settings, for `nst_tf.settings_of`."""
        return save_image(self.image, path, png_text={**settings_text(self.settings), **(png_text or {})})


def stylize(
    content_image: tf.Tensor,
    style_image: tf.Tensor | Style | Sequence[tf.Tensor | Style],
    *,
    recipe: str | Recipe = "studio",
    features: str | os.PathLike | FeatureExtractor = "auto",
    solver: str = "fast",
    steps: int | None = None,
    seed: int = 0,
    start: str | tf.Tensor | None = None,
    engine: Engine | None = None,
    previous: Previous | None = None,
    callback: Callable[[Step], None] | None = None,
    **changes: Any,
) -> Result:
    """Repaint the content image in the style of the style image.

    Args:
        content_image: float32 (1, height, width, 3), RGB in [0, 1]; what `load_image` returns.
        style_image: The same, of any size.  Or several of them, which are blended in equal parts; or `Style`s, which
            have weights, and masks that say where each is wanted.
        recipe: Name of a recipe, or a `Recipe`.
        features: "auto" (VGG19 where TensorFlow has a GPU, the slim network on a CPU), "slim" (VGG19 with fewer
            channels, which comes with the package), "vgg19" or "vgg16" (with ImageNet's weights from the cache, else
            downloaded), the path of a Keras weights file of VGG19 without its top (.h5), or a `FeatureExtractor`.
        solver: "fast", or "published" for the optimiser, learning rate and number of steps of the recipe's source.
        steps: How many; the recipe's own number if not given.
        seed: For everything that is drawn at random.
        start: "content", "noise", "style" or "content_with_noise" instead of the recipe's own; or a picture, float32
            (1, height, width, 3), RGB in [0, 1], which is brought to the content image's size.
        engine: How the run is computed and kept safe: precision, tiles, checkpoints; see `Engine`.  The default suits
            the device.
        previous: Start from this picture where it is unchanged, elsewhere as the recipe says, and be held to it if it
            has a weight, which adds to the total loss alone.  It is for the frames of a video, which `stylize_frames`
            makes one after the other.
        callback: Called with a `Step` about four times a second, or after every step where one takes longer.
        **changes: Fields of the recipe to change for this run, such as `style_weight=3.0`, `color="luminance"` or
            `style_scale=1.5`; or fields of the engine, such as `checkpoint="run.nst"`.

    Returns:
        The result, whose `image` has the content image's size.  An interrupt (Ctrl-C, or a notebook's stop button)
        returns the best picture until then, with `status="interrupted"`.

    Raises:
        ValueError: If a picture breaks the pixel contract, a name is unknown or a number out of range, a mask does not
            fit its picture, two controls contradict each other, a checkpoint is damaged or of another run, or the
            loss was never a number.

    Reference:
        Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.

    Example:
        >>> result = stylize(content_image, style_image, features="slim")
        >>> result.save("stylized.png")
    """
    check_process()
    seed = 0 if seed is None else seed
    engine, changes = engine_among(changes, engine or Engine())
    if isinstance(start, str):
        changes, start = {**changes, "start": start}, None
    recipe = find_recipe(recipe).changed(**changes)
    steps = check_run(recipe, solver, steps, seed)
    scene = Scene.of(recipe, content_image, style_image, start=start, previous=previous)
    network = find_features(features, recipe)
    inputs = scene.fingerprints()

    # Only the pixels are variable.  Each step: their features, the losses against P and A, the gradient, a step down.
    run = Descent(scene, network, solver, steps, engine, {**inputs, "seed": seed})
    with contextlib.closing(run.descend(run.scene.start(seed))) as progress:
        try:
            for losses in progress:
                if callback:
                    latest = Losses(*map(float, losses[-1]))
                    callback(Step(run.step, steps, latest, run.seconds, run.picture, run.scene.postprocess))
        except KeyboardInterrupt:
            run.status = "interrupted"

    history = dict(zip(Losses._fields, run.history().T, strict=True))
    _check_finite(history["total"], recipe)
    settings = {
        **recipe_settings(recipe),
        "features": features if features in FEATURES else network.name,
        "network": network.name,
        "solver": solver,
        "steps": steps,
        "seed": seed,
        "precision": run.precision,
        "size": [int(side) for side in scene.content_image.shape[1:3]],
        "versions": {"nst_tf": __version__, "tensorflow": tf.__version__},
        **inputs,
    }
    image = tf.clip_by_value(scene.postprocess(resized(run.image, scene.content_image.shape[1:3])), 0.0, 1.0)
    taken = min(run.step, steps)
    return Result(image, history, network.name, run.precision, run.status, recipe, taken, run.seconds, settings)


def descend_plainly(
    objective: Callable[[tf.Tensor], Losses],
    start: tf.Tensor,
    *,
    steps: int,
    learning_rate: float,
    callback: Callable[[int, Losses], None] | None = None,
) -> tf.Tensor:
    """Minimise an objective over the pixels with Keras's Adam: the loop of the tutorials, written out.

    Args:
        objective: Returns the losses of a picture, as `make_objective` makes it.
        start: Where to begin, float32 (1, height, width, 3), RGB in [0, 1].
        steps: How many.
        learning_rate: Adam's, for pictures in [0, 1]; 0.02 is usual.
        callback: Called after each step with its number, from 1, and the losses before it.

    Returns:
        The last picture.

    Reference:
        Gatys, Ecker, Bethge 2015, equation 7; Kingma, Ba: "Adam", ICLR 2015.
    """
    image = tf.Variable(start)
    with neutral_keras():
        optimizer = keras.optimizers.Adam(learning_rate)

    @tf.function
    def step() -> Losses:
        with tf.GradientTape() as tape:
            losses = objective(image)
        optimizer.apply_gradients([(tape.gradient(losses.total, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return losses

    for number in range(1, steps + 1):
        losses = step()
        if callback:
            callback(number, losses)
    return tf.convert_to_tensor(image)


def check_run(recipe: Recipe, solver: str, steps: int | None, seed: int) -> int:
    """Return how many steps a run takes, None meaning the recipe's own number.

    Raises:
        ValueError: If there is no such solver, or a number is out of range.
    """
    one_of(solver, SOLVERS, "solver")
    if solver == "published" and recipe.stepping.optimizer is None:
        raise ValueError(f"The recipe {recipe.name!r} was published with no optimiser of its own; use solver='fast'.")
    whole_number(seed, "seed", least=0)
    if steps is None:
        steps = (recipe.stepping.published_steps if solver == "published" else None) or recipe.stepping.steps
    return whole_number(steps, "steps", least=1)


def _check_finite(totals: np.ndarray, recipe: Recipe) -> None:
    """Raise ValueError if steps were taken and no loss was ever a number."""
    if len(totals) and not np.isfinite(totals).any():
        raise ValueError(
            f"The loss of the recipe {recipe.name!r} was never finite, so there is no picture. Its weights may be too "
            f"large: content_weight is {recipe.loss.content_weight:g}, style_weight is {recipe.loss.style_weight:g}."
        )

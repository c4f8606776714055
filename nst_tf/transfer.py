"""stylize(): the one loop that repaints the content image in the style of the style image."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf import __version__
from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import FLAT, Scene, resized
from nst_tf.controls.styles import Style
from nst_tf.engine.extractors import FEATURES, find_features
from nst_tf.engine.run import Engine, Run, engine_among
from nst_tf.features import FeatureExtractor
from nst_tf.ground.checks import number, one_of, whole_number
from nst_tf.ground.keras_defaults import check_process, keras
from nst_tf.images import save_image
from nst_tf.objective import Losses
from nst_tf.pictures.settings import settings_text
from nst_tf.published.fields import recipe_settings
from nst_tf.recipes import RECIPES, Recipe, find_recipe

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

    @classmethod
    def of(cls, run: Run, losses: Losses, image: tf.Variable, postprocess: Callable[[tf.Tensor], tf.Tensor]) -> Step:
        """Return what there is to tell after the last step of a run."""
        return cls(run.step, run.steps, Losses(*map(float, losses)), run.seconds, image, postprocess)

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

    def save(
        self, path: str | os.PathLike, *, png_text: dict[str, str] | None = None, dpi: float | None = None
    ) -> Path:
        """Save the picture; see `nst_tf.save_image`.  A PNG carries its settings, for `nst_tf.settings_of`."""
        credits = {**self.settings.get("credits", {}), **({} if dpi is None else {"dpi": number(dpi, "dpi", least=1)})}
        return save_image(
            self.image, path, png_text={**settings_text(self.settings), **(png_text or {})}, credits=credits
        )


def stylize(
    content_image: tf.Tensor,
    style_image: tf.Tensor | Style | Sequence[tf.Tensor | Style],
    *,
    recipe: str | Recipe = "studio",
    features: str | os.PathLike | FeatureExtractor = "auto",
    solver: str | keras.optimizers.Optimizer = "fast",
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
        solver: "fast"; "published" for the optimiser, learning rate and number of steps of the recipe's source; or a
            Keras optimiser, whose learning rate is for images in [0, 1].
        steps: How many; the recipe's own number if not given.
        seed: For everything that is drawn at random.
        start: "content", "recolored", "noise", "style" or "content_with_noise" instead of the recipe's own; or an
            image, float32 (1, height, width, 3), RGB in [0, 1], which is brought to the content image's size.
        engine: How the run is computed and kept safe: precision, tiles, checkpoints; see `Engine`.  The default suits
            the device.
        previous: Start from this picture where it is unchanged, elsewhere as the recipe says, and be held to it if it
            has a weight, which adds to the total loss alone.  It is for the frames of a video, which `stylize_frames`
            makes one after the other.
        callback: Called with a `Step` after every step.
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
    whole = Scene.of(recipe, content_image, style_image, start=start, previous=previous)
    extractor = find_features(features, recipe)
    settings = _settings(whole, features if features in FEATURES else extractor.name, extractor, solver, steps, seed)
    run = Run(extractor, solver, steps, engine, settings)

    # The image x is all that changes, from x₀ on.  Around each step stand what protects it and what keeps account.
    try:
        for scene, last_step in run.sizes(whole, seed):  # from small to large; most recipes have one size
            for attempt in run.attempts(scene):  # a second one in float32 or in tiles, where the first could not end
                with attempt:
                    objective = run.objective(scene)
                    # 1. The targets, once: P of the content image, and the Gram matrices A of the style image.
                    targets = objective.find_targets(scene)
                    optimizer = run.solver(scene, last_step)
                    while run.step < last_step and not optimizer.stuck:
                        # 2. The features F of x, and L = α · content(F, P) + β · style(FᵀF, A) + total variation(x).
                        # 3. ∂L/∂x, the gradient with respect to the pixels; the network's weights never change.
                        losses, gradient = objective.losses_and_gradient(optimizer.image, targets)
                        # 4. A step down, clipped to [0, 1]; the best image so far is kept.
                        optimizer.step(losses.total, gradient)
                        # 5. The account, and whoever watches.
                        run.record(losses)
                        run.tell(callback, Step.of(run, losses, optimizer.image, scene.postprocess))
                    run.finish(objective.losses(optimizer.image, targets))
    except KeyboardInterrupt:
        run.status = "interrupted"

    history = run.history()
    _check_finite(history["total"], recipe)
    image = resized(run.progress.image, whole.content_image.shape[1:3])
    image = tf.clip_by_value(whole.postprocess(image), 0.0, 1.0)
    _check_weights(recipe, history, np.abs(image - whole.content_image).mean())
    precision = run.engine.precision
    settings["precision"] = precision
    taken = min(run.step, steps)
    return Result(image, history, extractor.name, precision, run.status, recipe, taken, run.seconds, settings)


def _settings(
    scene: Scene, features: str, extractor: FeatureExtractor, solver: Any, steps: int, seed: int
) -> dict[str, Any]:
    """Return what defines a run, as a PNG and a checkpoint carry it."""
    return {
        **recipe_settings(scene.recipe),
        "features": features,
        "network": extractor.name,
        "solver": solver if isinstance(solver, str) else keras.optimizers.serialize(solver),
        "steps": steps,
        "seed": seed,
        "size": [int(side) for side in scene.content_image.shape[1:3]],
        "versions": {"nst_tf": __version__, "tensorflow": tf.__version__},
        **scene.fingerprints(),
    }


def check_run(recipe: Recipe, solver: str | keras.optimizers.Optimizer, steps: int | None, seed: int) -> int:
    """Return how many steps a run takes, None meaning the recipe's own number.

    Raises:
        ValueError: If there is no such solver, or a number is out of range.
    """
    if not isinstance(solver, keras.optimizers.Optimizer):
        one_of(solver, SOLVERS, "solver")
    if solver == "published" and recipe.stepping.optimizer is None:
        raise ValueError(f"The recipe {recipe.name!r} was published with no optimiser of its own; use solver='fast'.")
    whole_number(seed, "seed", least=0)
    if steps is None:
        steps = (recipe.stepping.published_steps if solver == "published" else None) or recipe.stepping.steps
    return whole_number(steps, "steps", least=1)


def _check_weights(recipe: Recipe, history: dict[str, np.ndarray], moved: float) -> None:
    """Warn if weights that are not the recipe's own, such as those of another tool, left the style no say."""
    weights = {name: (each.loss.content_weight, each.loss.style_weight) for name, each in RECIPES.items()}
    given = recipe.loss.content_weight, recipe.loss.style_weight
    own = weights.get(recipe.name, given)
    if given == own or not given[1] or (moved > FLAT and (history["style"] > 1e-3 * history["total"]).any()):
        return
    others = " or ".join(f"recipe={name!r}" for name in weights if weights[name] == given)
    warnings.warn(
        f"With content_weight={given[0]:g} and style_weight={given[1]:g} the style counts for next to nothing in the "
        f"recipe {recipe.name!r}, whose own are content_weight={own[0]:g} and style_weight={own[1]:g}. Take these"
        f"{f', or yours with {others}' if others else ''}.",
        stacklevel=3,
    )


def _check_finite(totals: np.ndarray, recipe: Recipe) -> None:
    """Raise ValueError if steps were taken and no loss was ever a number."""
    if len(totals) and not np.isfinite(totals).any():
        raise ValueError(
            f"The loss of the recipe {recipe.name!r} was never finite, so there is no picture. Its weights may be too "
            f"large: content_weight is {recipe.loss.content_weight:g}, style_weight is {recipe.loss.style_weight:g}."
        )

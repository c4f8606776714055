"""stylize(): the one loop that repaints the content image in the style of the style image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.controls.previous import Previous
from nst_tf.controls.scene import Scene, resized
from nst_tf.controls.styles import Style
from nst_tf.engine.extractors import find_features
from nst_tf.engine.run import Run, check_outcome, check_run, describe, engine_among
from nst_tf.features import FeatureExtractor
from nst_tf.ground.checks import number
from nst_tf.ground.keras_defaults import check_process, keras
from nst_tf.images import save_image
from nst_tf.objective import Losses
from nst_tf.pictures.settings import MOST_DPI
from nst_tf.recipes import Recipe, find_recipe


@dataclass(frozen=True)
class Step:
    """What a callback receives: how far the run is, and access to the image.

    Args:
        step: How many steps are done.
        steps: How many there will be.
        losses: Of the image before this step, as floats.
        seconds: Since the run began.
    """

    step: int
    steps: int
    losses: Losses
    seconds: float
    _image: tf.Variable = field(repr=False)
    _postprocess: Callable[[tf.Tensor], tf.Tensor] = field(repr=False)

    @classmethod
    def of(cls, run: Run, losses: Losses, image: tf.Variable, postprocess: Callable[[tf.Tensor], tf.Tensor]) -> Step:
        """Return what there is to tell after the last step of a run."""
        return cls(run.step, run.steps, Losses(*map(float, losses)), run.seconds, image, postprocess)

    def image(self) -> tf.Tensor:
        """Return a copy of the generated image as it is now, (1, height, width, 3); copied when asked for."""
        return self._postprocess(self._image)


@dataclass(frozen=True)
class Result:
    """What `stylize` returns.

    Args:
        image: The stylized image: the best by total loss, float32 (1, height, width, 3), RGB in [0, 1].  A recipe
            that does not clip while it optimizes has its image clipped at the end, as when it is saved.
        history: By part ("total", "content", "style", "total_variation"), the weighted loss before each step and, if
            the run came to its end, after the last.
        features: Which network it was made with.
        precision: What the network computed in: "float32", "bfloat16" or "float16".
        status: "done", "interrupted", or "diverged" if the loss became NaN or infinite.
        recipe: The recipe that was followed.
        steps: How many steps were taken.
        seconds: How long the run took, tracing included, loading the network not.
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

    def save(self, path: str | os.PathLike, *, dpi: float | None = None) -> Path:
        """Save the image; see `nst_tf.save_image`.  A PNG carries its settings, for `nst_tf.settings_of`."""
        settings = self.settings
        if dpi is not None:
            settings = {
                **settings,
                "credits": {**settings.get("credits", {}), "dpi": number(dpi, "dpi", least=1, most=MOST_DPI)},
            }
        return save_image(self.image, path, settings=settings)


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
        solver: "fast"; "published" for the optimizer, learning rate and number of steps of the recipe's source; or a
            Keras optimizer, whose learning rate is for images in [0, 1].
        steps: How many; the recipe's own number if not given.
        seed: For everything that is drawn at random.
        start: "content", "recolored", "noise", "style" or "content_with_noise" instead of the recipe's own; or an
            image, float32 (1, height, width, 3), RGB in [0, 1], which is brought to the content image's size.
        previous: For the frames of a video, as `stylize_frames` makes them: start from this image where the scene has
            not changed, and as the recipe says elsewhere.  A weight penalizes departing from it; that counts in the
            total loss alone.
        callback: Called with a `Step` after every step.
        **changes: Fields of the recipe to change for this run, such as `style_weight=3.0`, `color="luminance"` or
            `style_scale=1.5`; or fields of `Engine`, which says how the run is computed and kept safe, such as
            `checkpoint="run.nst"`.

    Returns:
        The result, whose `image` has the content image's size.  An interrupt (Ctrl-C, or a notebook's stop button)
        returns the best image until then, with `status="interrupted"`.

    Raises:
        ValueError: If an image breaks the pixel contract, a name is unknown or a number out of range, a mask does not
            fit its image, two controls contradict each other, a checkpoint is damaged or of another run, or the
            loss was never a number.

    Reference:
        Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.

    Example:
        >>> result = stylize(content_image, style_image, features="slim")
        >>> result.save("stylized.png")
    """
    check_process()
    seed = 0 if seed is None else seed
    engine, changes = engine_among(changes)
    if isinstance(start, str):
        changes, start = {**changes, "start": start}, None
    recipe = find_recipe(recipe).changed(**changes)
    steps = check_run(recipe, solver, steps, seed)
    whole = Scene.of(recipe, content_image, style_image, start=start, previous=previous)
    extractor = find_features(features, recipe)
    settings = describe(whole, features, extractor, solver, steps, seed)
    run = Run(extractor, solver, steps, engine, settings)

    # Only the image x changes, from x₀ on.  What stands around the inner loop recovers from failures.
    try:
        for scene, last_step in run.sizes(whole, seed):  # from small to large; most recipes have one size
            for attempt in run.attempts(scene):  # again in float32, or in smaller tiles, if an attempt fails
                with attempt:
                    objective = run.objective(scene)
                    # 1. The targets, once: P, the features of the content image, and A, the Gram matrices of the style
                    #    image, or its means and covariances.
                    targets = objective.find_targets(scene.content_image, scene.styles, scene.held(), gray=scene.gray)
                    optimizer = run.optimizer(scene, last_step)
                    while run.step < last_step and not optimizer.stuck:
                        # 2. The features F of x, and L = α · content(F, P) + β · style(FᵀF, A) + total variation(x).
                        # 3. ∂L/∂x, the gradient with respect to the pixels; the network's weights never change.
                        losses, gradient = objective.losses_and_gradient(optimizer.image, targets)
                        # 4. Keep x if it is the best so far; then a step down, clipped to [0, 1] if the recipe says so.
                        optimizer.step(losses.total, gradient)
                        # 5. Record the losses, save a checkpoint if one is due, and call the callback.
                        run.record(losses)
                        run.tell(callback, Step.of(run, losses, optimizer.image, scene.postprocess))
                    run.finish(objective.losses(optimizer.image, targets))
    except KeyboardInterrupt:
        if run.progress.image is None:  # there is nothing to keep yet
            raise
        run.status = "interrupted"

    history = run.history()
    image = resized(run.progress.image, whole.content_image.shape[1:3])
    check_outcome(recipe, history, moved=np.abs(image - whole.content_image).mean())
    image = tf.clip_by_value(whole.postprocess(image), 0.0, 1.0)
    precision = run.engine.precision
    settings["precision"] = precision
    taken = min(run.step, steps)
    return Result(image, history, extractor.name, precision, run.status, recipe, taken, run.seconds, settings)

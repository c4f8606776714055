"""stylize(): the one loop that repaints the content image in the style of the style image."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf import __version__
from nst_tf.color import luminance, match_colors, match_luminance, with_luminance
from nst_tf.engine.checkpoints import (
    VERSION,
    Checkpoint,
    Pacer,
    check_settings,
    fingerprint,
    read_checkpoint,
    write_checkpoint,
)
from nst_tf.engine.determinism import deterministic_operations
from nst_tf.engine.files import check_writable
from nst_tf.engine.gradient import Tiles, WholePicture
from nst_tf.engine.held import Held, Previous, held_targets
from nst_tf.engine.lbfgs import LBFGS
from nst_tf.engine.memory import TILES, can_estimate, choose_tile, estimate_memory, free_memory
from nst_tf.engine.precision import (
    PRECISIONS,
    Precision,
    choose_precision,
    extractor_in_precision,
    this_device,
)
from nst_tf.engine.published import KerasSolver, SciPySolver, keras_optimizer
from nst_tf.engine.solver import Evaluation, MultiresolutionAdam, Solver
from nst_tf.features import FeatureExtractor, slim_features, vgg16_features, vgg19_features
from nst_tf.images import MIN_SIDE, check_image, save_image
from nst_tf.networks.weights import WeightsUnavailableError
from nst_tf.objective import UNITS, Losses, Objective, Targets
from nst_tf.recipes import RECIPES, Recipe, find_recipe
from nst_tf.settings import changes_of, settings_text
from nst_tf.styles import Style, any_mask, as_styles, check_styles, counted

FEATURES = ("auto", "slim", "vgg19", "vgg16")
SOLVERS = ("fast", "published")
# An interrupt is answered between two calls into TensorFlow, so a call should be over before anyone wonders.
SECONDS_PER_CALL = 0.25
REPORTS_PER_RUN = 20
KEPT_SOLVERS = 4
SMALLEST_TILE = 64


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
    _finished: Callable[[tf.Tensor], tf.Tensor] = field(repr=False, default=tf.identity)

    def image(self) -> tf.Tensor:
        """Return a copy of the generated image as it is now, (1, height, width, 3); nothing is copied before."""
        return self._finished(self._image)


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
        seconds: How long it took.
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
    precision: str = "auto",
    tile: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
    deterministic: bool = False,
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
        precision: What the network computes in: "float32", "bfloat16", "float16" (on a GPU), or "auto" for the fastest
            that the device has hardware for.  The picture, Gram matrices, losses and the solver are always in float32
            (which TensorFlow multiplies as TF32 on GPUs that can, unless told otherwise).  A loss that is not a number
            makes the run go on in float32.
        tile: Compute the picture in tiles of so many pixels a side, which takes longer and bounds the memory; the
            result is the same.  If not given, in tiles where it would not fit into the memory that is free (on a CPU)
            or did not fit (on a GPU).
        checkpoint: A file to which all that the run needs to go on is written from time to time, whole or not at all,
            and in about 4 % of the run's time.
        resume: Such a file of an earlier run, given the same pictures and settings: the run goes on from there, in the
            precision it had, and keeps writing to the file if `checkpoint` is not given.  It comes to the same picture
            as a run that was never interrupted, bit for bit on one CPU if oneDNN is on in both or off in both (the
            command line turns it on); only `solver="published"` with L-BFGS starts its memory anew.
        deterministic: Ask TensorFlow for the same bits each time on a GPU too, which takes longer; on a CPU two runs of
            one seed are always equal.
        previous: Start from this picture where it is unchanged, elsewhere as the recipe says, and be held to it if it
            has a weight, which adds to the total loss alone.  It is for the frames of a video, which `stylize_frames`
            makes one after the other.
        callback: Called with a `Step` about four times a second, or after every step where one takes longer.
        **changes: Fields of the recipe to change for this run, such as `start="noise"`, `style_weight=3.0`,
            `color="luminance"` or `style_scale=1.5`.

    Returns:
        The result, whose `image` has the content image's size.  An interrupt (Ctrl-C, or a notebook's stop button)
        returns the best picture until then, with `status="interrupted"`.

    Raises:
        ValueError: If a picture breaks the pixel contract, a name or number is not one that can be meant, a mask does
            not fit its picture, two controls contradict each other, a checkpoint is damaged or of another run, or the
            loss was never a number.

    Reference:
        Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.

    Example:
        >>> result = stylize(content_image, style_image, features="slim")
        >>> result.save("stylized.png")
    """
    begun = time.perf_counter()
    recipe = find_recipe(recipe).changed(**changes)
    check_image(content_image, "content image")
    content_image = tf.convert_to_tensor(content_image)
    check_styles(style_image)
    given = as_styles(style_image, content_image)
    if given[0].content_mask is not None and not recipe.style_weight:
        raise ValueError("These make no sense together: masks with style_weight=0. Leave one of them out.")
    if previous and previous.image.shape != content_image.shape:
        raise ValueError(
            f"The previous picture has the shape {previous.image.shape}, the content {content_image.shape}."
        )
    earlier = read_checkpoint(resume) if resume else None
    if solver not in SOLVERS:
        raise ValueError(f"Unknown solver {solver!r}; expected one of {', '.join(SOLVERS)}.")
    if solver == "published" and recipe.optimizer is None:
        raise ValueError(f"The recipe {recipe.name!r} was published with no optimiser of its own; use solver='fast'.")
    steps = steps_of(recipe, solver, steps)
    levels = recipe.levels if solver == "fast" else 1
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected a whole number of at least 0.")
    if steps < levels:
        raise ValueError(f"steps is {steps}; expected at least {levels}.")
    if tile is not None and tile < SMALLEST_TILE:
        raise ValueError(f"tile is {tile}; expected at least {SMALLEST_TILE} pixels, or None.")
    chosen = choose_precision(this_device(), precision)
    repainted, styles = prepared(recipe, content_image, counted(given))
    extractor = find_features(features, recipe)
    if precision == "auto" and not extractor.geometry:
        chosen = Precision("float32", f"{extractor.name} is used as it was given")

    def finished(image: tf.Tensor) -> tf.Tensor:
        return _finished(image, recipe, content_image, counted(given))

    inputs = fingerprints(content_image, given, previous)
    saver = _Saver(checkpoint or resume, recipe, extractor, inputs, solver, steps, seed)
    progress = _Progress(steps, callback, begun, finished)
    shown = previous
    if previous and recipe.color == "luminance":
        shown = replace(previous, image=tf.image.grayscale_to_rgb(luminance(previous.image)))
    run = _Run(recipe, extractor, repainted, styles, solver, steps, levels, tile, chosen.name, progress, saver, shown)
    if earlier:
        saver.check(earlier, resume)
        run.go_on_from(earlier)
    else:
        start = _start_image(recipe.start, repainted, styles[0].image, seed)
        start = tf.image.grayscale_to_rgb(luminance(start)) if recipe.color == "luminance" else start
        run.image = shown.over(start) if shown else start
    if deterministic:
        extractor.traced.clear()  # which operations were chosen is part of what was traced
        with deterministic_operations():
            status = run.descend()
        extractor.traced.clear()
    else:
        status = run.descend()
    progress.check_finite(recipe)
    if not isinstance(features, FeatureExtractor):
        # Nobody else will use it, and it refers to itself through what was traced.
        extractor.traced.clear()
        extractor.kept.clear()
    return Result(
        image=tf.clip_by_value(finished(_resized(run.image, content_image.shape[1:3])), 0.0, 1.0),
        history=progress.history(),
        features=extractor.name,
        precision=run.precision,
        status=status,
        recipe=recipe,
        steps=progress.step,
        seconds=progress.seconds(),
        settings={
            "recipe": recipe.name,
            "changes": changes_of(recipe, RECIPES[recipe.name]) if recipe.name in RECIPES else {},
            "features": features if features in FEATURES else extractor.name,
            "network": extractor.name,
            "solver": solver,
            "steps": steps,
            "seed": seed,
            "precision": run.precision,
            "size": [int(side) for side in content_image.shape[1:3]],
            "versions": {"nst_tf": __version__, "tensorflow": tf.__version__},
            **inputs,
        },
    )


def steps_of(recipe: Recipe, solver: str, steps: int | None) -> int:
    """Return how many steps a run takes if so many were asked for, None for the recipe's own number."""
    if steps is not None:
        return steps
    return (recipe.published_steps if solver == "published" else None) or recipe.steps


def fingerprints(content_image: tf.Tensor, styles: Sequence[Style], previous: Previous | None = None) -> dict[str, Any]:
    """Return what tells these inputs from others, as JSON can hold it."""
    masks = [mask for style in styles for mask in (style.content_mask, style.style_mask)]
    none = np.zeros(0, np.float32)
    return {
        "content": fingerprint(content_image.numpy()),
        "style": fingerprint(*(style.image.numpy() for style in styles)),
        "style_weights": [style.weight for style in styles],
        "masks": fingerprint(*(none if mask is None else mask for mask in masks)) if any_mask(styles) else None,
        "previous": _fingerprint_of(previous) if previous else None,
    }


def _fingerprint_of(previous: Previous) -> str:
    unchanged = np.zeros(0, np.float32) if previous.unchanged is None else previous.unchanged
    return fingerprint(previous.image.numpy(), unchanged, np.float64(previous.weight))


def prepared(recipe: Recipe, content_image: tf.Tensor, styles: Sequence[Style]) -> tuple[tf.Tensor, tuple[Style, ...]]:
    """Return the content image and the styles as the network is to see them, in the recipe's sizes and colours."""
    sized = tuple(_prepared(style, recipe, content_image) for style in styles)
    if recipe.color == "luminance":
        return tf.image.grayscale_to_rgb(luminance(content_image)), sized
    return content_image, sized


def _prepared(style: Style, recipe: Recipe, content_image: tf.Tensor) -> Style:
    image, size = style.image, tuple(content_image.shape[1:3])
    if recipe.style_size == "content":
        image = _resized(image, size)
    elif recipe.style_scale is not None:
        scale = recipe.style_scale * max(size) / max(image.shape[1:3])
        scaled = [round(side * scale) for side in image.shape[1:3]]
        if min(scaled) < MIN_SIDE:
            raise ValueError(
                f"With style_scale={recipe.style_scale:g} the style image would be {scaled[1]} × {scaled[0]} pixels; "
                f"each side must have at least {MIN_SIDE}. Choose a larger style_scale."
            )
        image = _resized(image, scaled)
    style_mask = _mask_resized(style.style_mask, image.shape[1:3])
    if recipe.color == "matching":
        image = match_colors(image, content_image, mask=style_mask, reference_mask=style.content_mask)
    elif recipe.color == "luminance":
        image = match_luminance(image, content_image)
    return replace(style, image=image, style_mask=style_mask)


def _finished(image: tf.Tensor, recipe: Recipe, content_image: tf.Tensor, styles: Sequence[Style]) -> tf.Tensor:
    """Put the content's colours back if asked to, and the content itself where no style is wanted."""
    if recipe.color == "style" and styles[0].content_mask is None:
        return tf.identity(image)
    size = image.shape[1:3]
    content = _resized(content_image, size)
    if recipe.color == "luminance":
        image = with_luminance(content, luminance(tf.clip_by_value(image, 0.0, 1.0)))
    masks = [_mask_resized(style.content_mask, size) for style in styles]
    if recipe.color == "matching" and np.isfinite(image).all():
        # A network that sees colours only roughly lets tints come in that neither picture has.
        matched = [match_colors(image, content, mask=mask, reference_mask=mask) for mask in masks]
        image = tf.clip_by_value(_by_region(matched, masks), 0.0, 1.0)
    if styles[0].content_mask is None:
        return image
    covered = np.minimum(np.sum(masks, axis=0), 1.0)[np.newaxis, :, :, np.newaxis]
    return covered * image + (1 - covered) * content


def _by_region(images: Sequence[tf.Tensor], masks: Sequence[np.ndarray | None]) -> tf.Tensor:
    """Return a picture that is in each region the one of that region; the first where there are no regions."""
    if masks[0] is None:
        return images[0]
    shares = np.stack(masks) / np.maximum(np.sum(masks, axis=0), 1e-6)
    return tf.add_n([share[np.newaxis, :, :, np.newaxis] * image for share, image in zip(shares, images, strict=True)])


def find_features(features: str | os.PathLike | FeatureExtractor, recipe: Recipe) -> FeatureExtractor:
    """Return the extractor that a word stands for; see `stylize`.

    Raises:
        ValueError: If the word is unknown, the weights cannot be had, or an extractor lacks one of the recipe's layers.
    """
    if isinstance(features, FeatureExtractor):
        missing = [layer for layer in recipe.layers if layer not in features.layers]
        if missing:
            raise ValueError(
                f"The recipe {recipe.name!r} needs {', '.join(missing)}, which {features.name} does not give; "
                f"make the extractor with layers={list(recipe.layers)}."
            )
        return features
    features = os.fspath(features) if isinstance(features, os.PathLike) else features
    check_features(features)
    options = {"pooling": recipe.pooling, "preprocessing": recipe.preprocessing, "border": recipe.border}
    if features == "auto" and this_device().kind == "GPU":
        try:
            return vgg19_features(recipe.layers, **options)
        except WeightsUnavailableError as error:
            warnings.warn(f"Going on with the slim network. {error}", stacklevel=3)
    if features in ("auto", "slim"):
        return slim_features(recipe.layers, **options)
    if features == "vgg16":
        return vgg16_features(recipe.layers, **options)
    return vgg19_features(recipe.layers, weights="imagenet" if features == "vgg19" else features, **options)


def check_features(features: str) -> None:
    """Raise ValueError for a word that stands for no features."""
    if features == "offline":
        raise ValueError("features='offline' is no more; use features='slim', which needs no download either.")
    if features not in FEATURES and not (isinstance(features, str) and features.endswith(".h5")):
        raise ValueError(
            f"Unknown features {features!r}; expected one of {', '.join(FEATURES)}, the path of a weights file (.h5), "
            "or a FeatureExtractor."
        )


def _tile_that_fits(
    extractor: FeatureExtractor, recipe: Recipe, precision: str, solver: str, size: tuple[int, int]
) -> int | None:
    """Return None if a picture fits into the memory that is free, else the side of the tiles it is computed in."""
    network = extractor.name.split()[0]
    # What a GPU has free is not known before it is asked for.
    if not extractor.geometry or not can_estimate(network, recipe) or this_device().kind == "GPU":
        return None
    free = free_memory()
    options = {"features": network, "solver": solver}
    tile = choose_tile(*size, recipe, precision, free=free, **options)
    if tile:
        gibibytes = estimate_memory(*size, recipe, precision, **options) / 2**30
        in_tiles = estimate_memory(*size, recipe, precision, tile=tile, **options) / 2**30
        warnings.warn(
            f"{size[1]} × {size[0]} pixels need about {gibibytes:.1f} GiB at once, and {free / 2**30:.1f} are free; so "
            f"they are computed in tiles of {tile}, which need about {in_tiles:.1f} GiB, give the same result and take "
            "longer. A smaller picture (max_side, or --size) would need less.",
            stacklevel=3,
        )
    return tile


@dataclass
class _Run:
    """A run over all its sizes: what it was asked to do, and how far it is."""

    recipe: Recipe
    extractor: FeatureExtractor
    content_image: tf.Tensor
    styles: tuple[Style, ...]
    solver: str
    steps: int
    levels: int
    tile: int | None
    precision: str
    progress: _Progress
    saver: _Saver
    previous: Previous | None = None
    image: tf.Tensor | None = None
    resumed: Checkpoint | None = None
    left: int = 0  # of the steps of the size it is at
    failures: int = 0  # losses of this size that were not numbers, if there were too many

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take up where a checkpoint was written.

        Raises:
            ValueError: If it holds what no run can have written.
        """
        state, shape = checkpoint.state, tuple(self.content_image.shape)
        image = checkpoint.variables["best_image"]
        plausible = 0 <= state["level"] < self.levels and state["precision"] in PRECISIONS
        plausible &= checkpoint.history.shape[1:] == (len(Losses._fields),) and image.dtype == np.float32
        if not plausible or (state["level"] == self.levels - 1 and image.shape != shape):
            raise ValueError("The checkpoint is damaged: its state is not one that a run can be in.")
        self.resumed = checkpoint
        self.precision = checkpoint.state["precision"]
        self.progress.take_up(checkpoint.history, checkpoint.state["seconds"])
        self.image = tf.constant(checkpoint.variables["best_image"])

    def descend(self) -> str:
        """Take all steps; return "done", "interrupted" or "diverged"."""
        try:
            for level, (share, scale) in enumerate(_coarse_to_fine(self.steps, self.levels)):
                if self.resumed and level < self.resumed.state["level"]:
                    continue
                self.left = share
                final = self._descend_level_in_memory(level, scale)
                if self.failures and self.precision != "float32":
                    warnings.warn(f"In {self.precision} the loss was not a number; going on in float32.", stacklevel=3)
                    self.precision = "float32"
                    self.left = max(self.left, self.failures)
                    final = self._descend_level_in_memory(level, scale)
                if self.failures:
                    warnings.warn(self._divergence(), stacklevel=3)
                    return "diverged"
            self.progress.add_final(final.numpy())
        except KeyboardInterrupt:
            return "interrupted"
        return "done"

    def _descend_level_in_memory(self, level: int, scale: float) -> tf.Tensor:
        """Take the steps of one size, in smaller and smaller tiles where the device runs out of memory."""
        while True:
            try:
                return self._descend_level(level, scale)
            except tf.errors.ResourceExhaustedError as error:
                self.extractor.traced.clear()  # what is kept of earlier runs takes memory too
                largest = min(self.tile or max(self.content_image.shape[1:3]), max(self.content_image.shape[1:3]))
                smaller = [tile for tile in TILES if tile < largest]
                if not smaller or not self.extractor.geometry:
                    raise ValueError(
                        "The device ran out of memory. Choose a smaller picture (max_side, or --size), or close what "
                        "else runs on it."
                    ) from error
                self.tile = smaller[0]
                warnings.warn(
                    f"The device ran out of memory; going on in tiles of {self.tile} pixels, with the same result in "
                    "more time.",
                    stacklevel=4,
                )

    def _descend_level(self, level: int, scale: float) -> tf.Tensor:
        """Take the steps of one size, and return the losses of its last picture; what could not be taken is left."""
        content_image = _scaled(self.content_image, scale)
        size = content_image.shape[1:3]
        styles = [_style_scaled(style, scale, size) for style in self.styles]
        largest_style = max((style.image.shape[1:3] for style in styles), key=np.prod)
        larger = max(size, largest_style, key=np.prod)
        tile = self.tile or _tile_that_fits(self.extractor, self.recipe, self.precision, self.solver, larger)
        held = bool(self.previous and self.previous.weight)
        kind = _Kind(self.solver, self.recipe, self.precision, tile, tuple(content_image.shape), held)
        with _lent(kind, self.extractor, content_image) as (evaluation, solver):
            if tile and max(largest_style) > tile and isinstance(evaluation, WholePicture):
                targets = Tiles(evaluation.objective, tile).targets(content_image, styles)
            else:
                targets = evaluation.targets(content_image, styles)
            if held:
                targets = held_targets(targets, _previous_resized(self.previous, size))
            solver.start(_resized(self.image, size), self.left)
            if self.resumed:
                self._restore(solver)
                self.left = int(solver.steps) - int(solver.step)

            def report(losses: np.ndarray) -> None:
                self.left -= len(losses)
                self.progress.add(losses, solver.image)
                self.saver.offer(solver, self, level)

            try:
                _descend(solver, targets, self.left, self.recipe, report)
                final = solver.finish(targets)
                hopeless = solver.stuck or not np.isfinite(solver.best_loss.numpy())
                self.failures = int(solver.failures) if hopeless else 0
                return final
            except KeyboardInterrupt:
                if int(solver.steps) - int(solver.step) == self.left:  # else a call was cut off from its report
                    self.saver.save(solver, self, level)
                raise
            finally:
                self.image = tf.identity(solver.best_image)

    def _restore(self, solver: Solver) -> None:
        """Give a solver the variables of the checkpoint."""
        saved, self.resumed = self.resumed.variables, None
        for name, variable in solver.variables().items():
            if name not in saved or saved[name].shape != tuple(variable.shape):
                raise ValueError(f"The checkpoint is damaged: its {name} is missing or of another shape.")
            variable.assign(saved[name])

    def _divergence(self) -> str:
        easier = " or solver='fast'" if self.solver == "published" else ""
        return (
            f"The loss was no longer a number after step {self.progress.step} of {self.steps}, in float32 too, so the "
            "run stopped there; the best picture until then is kept. Try a smaller style_weight or content_weight"
            f"{easier}."
        )


class _Saver:
    """Writes checkpoints of a run, and reads those of the same run."""

    def __init__(
        self,
        path: str | os.PathLike | None,
        recipe: Recipe,
        extractor: FeatureExtractor,
        inputs: dict[str, Any],
        solver: str,
        steps: int,
        seed: int,
    ):
        self._path = path
        self._pacer = Pacer()
        if path:
            check_writable(path)
            self._settings = {
                "version": str(VERSION),
                **{name: str(value) for name, value in inputs.items()},
                "recipe": repr(recipe),
                "network": _network_text(extractor),
                "solver": solver,
                "steps": str(steps),
                "seed": str(seed),
            }

    def check(self, checkpoint: Checkpoint, path: str | os.PathLike) -> None:
        """Raise ValueError if a checkpoint is of another run."""
        check_settings(path, checkpoint.settings, self._settings)

    def offer(self, solver: Solver, run: _Run, level: int) -> None:
        """Write a checkpoint if one is due."""
        if self._path and self._pacer.due():
            self.save(solver, run, level)

    def save(self, solver: Solver, run: _Run, level: int) -> None:
        """Write a checkpoint; where that fails, say so and let the run go on."""
        if not self._path:
            return
        begun = time.perf_counter()
        state = {"level": level, "precision": run.precision, "seconds": run.progress.seconds()}
        # Unlike `variable.numpy()`, this copies L-BFGS's pairs once and not twice, and the rest not at all.
        variables = {name: np.asarray(variable.value()) for name, variable in solver.variables().items()}
        try:
            write_checkpoint(self._path, Checkpoint(self._settings, state, run.progress.losses(), variables))
        except OSError as error:
            warnings.warn(
                f"The checkpoint {os.fspath(self._path)!r} could not be written ({error.strerror}); the run goes on.",
                stacklevel=2,
            )
        self._pacer.wrote(time.perf_counter() - begun)


def _network_text(extractor: FeatureExtractor) -> str:
    """Return all that decides what an extractor makes of a picture."""
    steps = [type(step).__name__ for step in extractor.model.operations]
    weights = fingerprint(*extractor.model.get_weights())
    return repr((extractor.name, extractor.preprocessing, extractor.layers, steps, weights))


class _Progress:
    """Counts the steps of a run over all its sizes, keeps their losses, and tells the callback."""

    def __init__(
        self,
        steps: int,
        callback: Callable[[Step], None] | None,
        begun: float,
        finished: Callable[[tf.Tensor], tf.Tensor],
    ):
        self._steps = steps
        self._callback = callback
        self._begun = begun
        self._finished = finished
        self._losses: list[np.ndarray] = []
        self.step = 0

    def take_up(self, losses: np.ndarray, seconds: float) -> None:
        """Count what an earlier part of the run did."""
        self._losses.append(losses)
        self.step = len(losses)
        self._begun -= seconds

    def seconds(self) -> float:
        return time.perf_counter() - self._begun

    def add(self, losses: np.ndarray, image: tf.Variable) -> None:
        self._losses.append(losses)
        self.step += len(losses)
        if self._callback:
            latest = Losses(*(float(loss) for loss in losses[-1]))
            self._callback(Step(self.step, self._steps, latest, self.seconds(), image, self._finished))

    def add_final(self, losses: np.ndarray) -> None:
        self._losses.append(losses[np.newaxis])

    def check_finite(self, recipe: Recipe) -> None:
        """Raise ValueError if steps were taken and no loss was ever a number."""
        totals = self.history()["total"]
        if len(totals) and not np.isfinite(totals).any():
            raise ValueError(
                f"The loss of the recipe {recipe.name!r} was never finite, so there is no picture. Its weights may be "
                f"too large: content_weight is {recipe.content_weight:g}, style_weight is {recipe.style_weight:g}."
            )

    def losses(self) -> np.ndarray:
        """Return all losses so far, float32 (steps, parts)."""
        return np.concatenate([np.zeros((0, len(Losses._fields)), np.float32), *self._losses])

    def history(self) -> dict[str, np.ndarray]:
        return dict(zip(Losses._fields, self.losses().T, strict=True))


class _Kind(NamedTuple):
    """All that decides which functions a run needs traced."""

    solver: str
    recipe: Recipe
    precision: str
    tile: int | None
    shape: tuple[int, ...]
    held: bool = False

    def key(self) -> str:
        loss = self.recipe.changed(name="", title="", source="", url="", quirks=(), steps=1, start="content")
        return repr(self._replace(recipe=loss))


@contextlib.contextmanager
def _lent(kind: _Kind, extractor: FeatureExtractor, image: tf.Tensor) -> Iterator[tuple[WholePicture | Tiles, Solver]]:
    """Lend what evaluates pictures and what moves them, those of an earlier run of the same kind if there are any.

    While they are lent the extractor does not keep them, since a run inside a callback or another thread needs its own.
    """
    lent = extractor.traced.pop(kind.key(), None) or _make(kind, extractor, image)
    try:
        yield lent
    finally:
        extractor.traced[kind.key()] = lent
        while len(extractor.traced) > KEPT_SOLVERS:
            extractor.traced.pop(next(iter(extractor.traced)), None)


def _make(kind: _Kind, extractor: FeatureExtractor, image: tf.Tensor) -> tuple[WholePicture | Tiles, Solver]:
    objective = Objective(kind.recipe, extractor_in_precision(extractor, kind.precision, image))
    scaled = kind.precision == "float16"
    if kind.tile is None or max(kind.shape[1:3]) <= kind.tile:
        evaluation = WholePicture(objective, scaled=scaled)
    else:
        evaluation = Tiles(objective, kind.tile, scaled=scaled)
    minimised = Held(evaluation) if kind.held else evaluation
    return evaluation, _make_solver(kind.solver, kind.recipe, minimised, kind.shape)


def _make_solver(solver: str, recipe: Recipe, evaluation: Evaluation, shape: tuple[int, ...]) -> Solver:
    if solver == "fast":
        method = {"adam": MultiresolutionAdam, "lbfgs": LBFGS}[recipe.method]
        return method(evaluation, shape, clip=recipe.clip)
    published = recipe.optimizer
    if published.name == "lbfgs":
        return SciPySolver(evaluation, shape, clip=recipe.clip)
    optimizer = keras_optimizer(
        published.name,
        published.learning_rate,
        beta_1=published.beta_1,
        beta_2=published.beta_2,
        epsilon=published.epsilon,
        decay_rate=published.decay_rate,
        decay_steps=published.decay_steps,
    )
    return KerasSolver(evaluation, shape, clip=recipe.clip, optimizer=optimizer, scale=_units(recipe))


def _units(recipe: Recipe) -> tuple[float, float, float]:
    """Return the units of the published optimiser by channel; the same for all where the picture stays grey."""
    units = UNITS[recipe.optimizer.units]
    return units if recipe.color != "luminance" else (sum(units) / len(units),) * len(units)


def _descend(
    solver: Solver, targets: Targets, steps: int, recipe: Recipe, report: Callable[[np.ndarray], None]
) -> None:
    """Take the steps of one size, a quarter of a second's worth at a time, fewer if the solver is stuck."""
    if isinstance(solver, SciPySolver):
        solver.run(targets, steps, _units(recipe), report)
        return
    done, count = 0, 1
    while done < steps and not solver.stuck:
        begun = time.perf_counter()
        losses = solver.advance(targets, tf.constant(count)).numpy()
        # The first call also traces, and so does not tell how long a step takes.
        affordable = 2 if done == 0 else int(count * SECONDS_PER_CALL / (time.perf_counter() - begun))
        report(losses)
        done += len(losses)
        count = max(1, min(affordable, 2 * count, -(-steps // REPORTS_PER_RUN), steps - done))


def _coarse_to_fine(steps: int, levels: int) -> Iterator[tuple[int, float]]:
    """Share the steps out among sizes, each twice the one before; yield (steps, scale)."""
    for level in range(levels):
        share = steps // levels + (level < steps % levels)
        yield share, 0.5 ** (levels - 1 - level)


def _start_image(start: str, content_image: tf.Tensor, style_image: tf.Tensor, seed: int) -> tf.Tensor:
    if start == "content":
        return content_image
    if start == "style":
        return _resized(style_image, content_image.shape[1:3])
    noise = np.random.default_rng(seed).uniform(size=content_image.shape).astype(np.float32)
    if start == "noise":
        return tf.constant(noise)
    return tf.clip_by_value(content_image + (noise - 0.5) / 2, 0.0, 1.0)


def _scaled(image: tf.Tensor, scale: float) -> tf.Tensor:
    height, width = image.shape[1:3]
    return _resized(image, (max(MIN_SIDE, round(height * scale)), max(MIN_SIDE, round(width * scale))))


def _style_scaled(style: Style, scale: float, size: tuple[int, int]) -> Style:
    """Return a style for a content image of another size."""
    image = _scaled(style.image, scale)
    content_mask, style_mask = (
        _mask_resized(style.content_mask, size),
        _mask_resized(style.style_mask, image.shape[1:3]),
    )
    return replace(style, image=image, content_mask=content_mask, style_mask=style_mask)


def _previous_resized(previous: Previous, size: tuple[int, int]) -> Previous:
    unchanged = _mask_resized(previous.unchanged, size)
    return replace(previous, image=_resized(previous.image, size), unchanged=unchanged)


def _mask_resized(mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    if mask is None or mask.shape == tuple(size):
        return mask
    return np.clip(tf.image.resize(mask[:, :, np.newaxis], size, antialias=True).numpy()[:, :, 0], 0.0, 1.0)


def _resized(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    if tuple(image.shape[1:3]) == tuple(size):
        return image
    return tf.clip_by_value(tf.image.resize(image, size, "bicubic", antialias=True), 0.0, 1.0)

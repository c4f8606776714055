"""One descent, in whatever precision, tiles and pieces the machine allows; `stylize` sees only its losses go by."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.controls.scene import Scene, resized
from nst_tf.engine.checkpoints import VERSION, Checkpoint, Saver, check_settings, read_checkpoint
from nst_tf.engine.gradient import WholePicture
from nst_tf.engine.lbfgs import LBFGS, PUBLISHED_PAIRS
from nst_tf.engine.memory import TILES, can_estimate, choose_tile, estimate_memory, free_memory
from nst_tf.engine.precision import (
    PRECISIONS,
    check_precision,
    choose_precision,
    extractor_in_precision,
    this_device,
)
from nst_tf.engine.published import KerasSolver, keras_optimizer
from nst_tf.engine.solver import NO_LOSS, Evaluation, MultiresolutionAdam, Solver
from nst_tf.engine.tiles import Tiles
from nst_tf.features import FeatureExtractor
from nst_tf.ground.checks import whole_number
from nst_tf.ground.files import fingerprint
from nst_tf.objective import Losses, Objective
from nst_tf.published.sources import UNITS
from nst_tf.recipes import Recipe

KEPT_EVALUATIONS = 4
SMALLEST_TILE = 64


@dataclass(frozen=True)
class Engine:
    """How a run is computed and kept safe; none of it changes which picture is asked for.

    Args:
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
            command line turns it on).  With more steps than the earlier run had, it takes those that are missing.
        deterministic: Ask TensorFlow for the same bits each time on a GPU too, which takes longer; on a CPU two runs of
            one seed are always equal.

    Raises:
        ValueError: If the precision is unknown, or the tile smaller than 64 pixels.
    """

    precision: str = "auto"
    tile: int | None = None
    checkpoint: str | os.PathLike | None = None
    resume: str | os.PathLike | None = None
    deterministic: bool = False

    def __post_init__(self):
        """Reject unknown precisions and tiles that are too small."""
        check_precision(self.precision)
        if self.tile is not None:
            object.__setattr__(self, "tile", whole_number(self.tile, "tile", least=SMALLEST_TILE))

    def given(self) -> dict[str, Any]:
        """Return the fields that are not as by default."""
        return {name: value for name, value in vars(self).items() if value != getattr(Engine, name)}


def engine_among(changes: dict[str, Any], engine: Engine) -> tuple[Engine, dict[str, Any]]:
    """Return the engine with its own fields among the changes set, and the other changes."""
    own = {name: value for name, value in changes.items() if name in Engine.__dataclass_fields__}
    return replace(engine, **own), {name: value for name, value in changes.items() if name not in own}


class Descent:
    """The steps of one run, and how far it is.

    Args:
        scene: The pictures.
        network: The features.
        solver: "fast" or "published".
        steps: How many.
        engine: How they are computed and kept safe.
        settings: What a checkpoint of this run must say.

    Raises:
        ValueError: If the checkpoint to go on from is damaged or of another run.
    """

    def __init__(
        self,
        scene: Scene,
        network: FeatureExtractor,
        solver: str,
        steps: int,
        engine: Engine,
        settings: dict[str, Any],
    ):
        self.scene, self.network, self.solver, self.steps, self.engine = scene, network, solver, steps, engine
        self.tile = engine.tile
        self.precision = "float32"
        if network.geometry or engine.precision != "auto":
            self.precision = choose_precision(this_device(), engine.precision).name
        self.status = "done"
        self.losses: list[np.ndarray] = []
        self.image: tf.Tensor | None = None  # the best so far
        self.picture: tf.Variable | None = None  # as it is now
        self._failures, self._begun = 0, time.perf_counter()
        self._sizes = _with_steps(scene.sizes(), steps)
        self._size = 0  # of these, that which is at work
        self._earlier = read_checkpoint(engine.resume) if engine.resume else None
        path = engine.checkpoint or engine.resume
        self._saver = Saver(path) if path else None
        self._settings = _checkpoint_settings(scene.recipe, network, solver, steps, settings) if path else {}
        if self._earlier:
            check_settings(engine.resume, self._earlier.settings, self._settings)
            self._take_up(self._earlier)
        self.scene = self._sizes[self._size][0]

    @property
    def step(self) -> int:
        """How many steps are done."""
        return sum(map(len, self.losses))

    @property
    def seconds(self) -> float:
        """Since the run began, an interrupted part of it included."""
        return time.perf_counter() - self._begun

    def history(self) -> np.ndarray:
        """Return all losses so far, float32 (steps, parts)."""
        return np.concatenate([np.zeros((0, len(Losses._fields)), np.float32), *self.losses])

    def descend(self, start: tf.Tensor) -> Iterator[np.ndarray]:
        """Take all steps; yield the losses before each, float32 (count, parts), a quarter of a second's at a time."""
        self.image = start if self.image is None else self.image
        if self.engine.deterministic:
            tf.config.experimental.enable_op_determinism()  # for the rest of the process
        for size in range(self._size, len(self._sizes)):
            self._size, (self.scene, self._left) = size, self._sizes[size]
            self.image = self.scene.with_content_outside_masks(resized(self.image, self.scene.content_image.shape[1:3]))
            yield from self._at_this_size()
            if self._failures:
                warnings.warn(self._divergence(), stacklevel=3)
                self.status = "diverged"
                return
        self.losses.append(self._final[np.newaxis])

    def _at_this_size(self) -> Iterator[np.ndarray]:
        """Take the steps of one size, in smaller tiles or in float32 where it does not go otherwise."""
        while True:
            try:
                yield from self._attempt()
            except tf.errors.ResourceExhaustedError as error:
                self._use_smaller_tiles(error)
                continue
            if not self._failures or self.precision == "float32":
                return
            warnings.warn(f"In {self.precision} the loss was not a number; going on in float32.", stacklevel=4)
            self.precision, self._left = "float32", max(self._left, self._failures)

    def _attempt(self) -> Iterator[np.ndarray]:
        """Take the steps that are left, in one precision and one size of tiles."""
        scene, content_image = self.scene, self.scene.content_image
        tile = self._tile_that_fits()
        evaluation = _evaluation(scene, self.network, self.precision, tile)
        solver = make_solver(self.solver, scene.recipe, evaluation, tuple(content_image.shape), grey=scene.grey)
        targets = _targets(evaluation, tile, scene)
        solver.start(self.image, self._left)
        if self._earlier:
            self._restore(solver)
        self.picture = solver.image
        try:
            while self._left > 0 and not solver.stuck:
                self.losses.append(solver.take_step(targets)[np.newaxis])
                self._left -= 1
                yield self.losses[-1]
                self._save(solver, if_due=True)
            self._final = solver.finish(targets)
            hopeless = solver.stuck or float(solver.best_loss) >= NO_LOSS
            self._failures = int(solver.failures) if hopeless else 0
            if not hopeless and self._size == len(self._sizes) - 1:
                self._save(solver)  # from which a run with more steps can go on
        except (KeyboardInterrupt, GeneratorExit):
            if int(solver.steps) - int(solver.step) == self._left:  # else a step was cut off from its report
                self._save(solver)
            raise
        finally:
            self.image = tf.identity(solver.best_image)

    def _take_up(self, earlier: Checkpoint) -> None:
        image = earlier.variables["best_image"]
        plausible = earlier.state["precision"] in PRECISIONS
        plausible &= earlier.history.shape[1:] == (len(Losses._fields),) and image.dtype == np.float32
        self._size = len(self._sizes) + earlier.state["size"]
        plausible &= 0 <= self._size < len(self._sizes)
        if not plausible or image.shape != tuple(self._sizes[self._size][0].content_image.shape):
            raise ValueError("The checkpoint is damaged: its state is not one that a run can be in.")
        self.precision = earlier.state["precision"]
        self._begun -= earlier.state["seconds"]
        self.losses = [earlier.history]
        self.image = tf.constant(image)

    def _restore(self, solver: Solver) -> None:
        """Give a solver the variables of the checkpoint."""
        saved, asked_for = self._earlier.variables, int(self._earlier.settings["steps"])
        self._earlier = None
        for name, variable in solver.variables().items():
            if name not in saved or saved[name].shape != tuple(variable.shape):
                raise ValueError(f"The checkpoint is damaged: its {name} is missing or of another shape.")
            variable.assign(saved[name])
        if asked_for != self.steps:  # more than then: all that are missing, but for those of the sizes to come
            to_come = sum(count for _, count in self._sizes[self._size + 1 :])
            solver.steps.assign(solver.step + max(0, self.steps - self.step - to_come))
        self._left = max(0, int(solver.steps) - int(solver.step))

    def _save(self, solver: Solver, *, if_due: bool = False) -> None:
        if self._saver and (self._saver.due() or not if_due):
            state = {"precision": self.precision, "seconds": self.seconds, "size": self._size - len(self._sizes)}
            # Unlike `variable.numpy()`, this copies L-BFGS's pairs once and not twice, and the rest not at all.
            variables = {name: np.asarray(variable.value()) for name, variable in solver.variables().items()}
            self._saver.save(Checkpoint(self._settings, state, self.history(), variables))

    def _use_smaller_tiles(self, error: Exception) -> None:
        self.network.clear_caches()  # what is kept of earlier runs takes memory too
        side = max(self.scene.content_image.shape[1:3])
        smaller = [tile for tile in TILES if tile < min(self.tile or side, side)]
        if not smaller or not self.network.geometry:
            raise ValueError(
                "The device ran out of memory. Choose a smaller picture (max_side, or --size), or close what else runs "
                "on it."
            ) from error
        self.tile = smaller[0]
        warnings.warn(
            f"The device ran out of memory; going on in tiles of {self.tile} pixels, with the same result in more "
            "time.",
            stacklevel=4,
        )

    def _tile_that_fits(self) -> int | None:
        """Return None if the pictures fit into the memory that is free, else the side of the tiles."""
        network, recipe = self.network.name.split()[0], self.scene.recipe
        # What a GPU has free is not known before it is asked for.
        unknown = not self.network.geometry or not can_estimate(network, recipe) or this_device().kind == "GPU"
        if self.tile or unknown:
            return self.tile
        size = max((image.shape[1:3] for image in self.scene.images()), key=np.prod)
        free, options = free_memory(), {"features": network, "solver": self.solver}
        tile = choose_tile(*size, recipe, self.precision, free=free, **options)
        if tile:
            whole, tiled = (estimate_memory(*size, recipe, self.precision, tile=t, **options) for t in (None, tile))
            warnings.warn(
                f"{size[1]} × {size[0]} pixels need about {whole / 2**30:.1f} GiB at once, and {free / 2**30:.1f} are "
                f"free; so they are computed in tiles of {tile}, which need about {tiled / 2**30:.1f} GiB, give the "
                "same result and take longer. A smaller picture (max_side, or --size) would need less.",
                stacklevel=5,
            )
        return tile

    def _divergence(self) -> str:
        easier = " or solver='fast'" if self.solver == "published" else ""
        return (
            f"The loss was no longer a number after step {self.step} of {self.steps}, in float32 too, so the run "
            f"stopped there; the best picture until then is kept. Try a smaller style_weight or content_weight{easier}."
        )


def _with_steps(scenes: list[Scene], steps: int) -> list[tuple[Scene, int]]:
    """Return how many steps each size takes, the first twice as many as each other; too few leave small ones out."""
    scenes = scenes[-max(1, steps // 2) :]
    shares = np.cumsum([2.0 if number == 0 else 1.0 for number in range(len(scenes))])
    ends = np.round(steps * shares / shares[-1]).astype(int)
    return list(zip(scenes, np.diff(ends, prepend=0).tolist(), strict=True))


def _targets(evaluation: WholePicture | Tiles, tile: int | None, scene: Scene) -> Any:
    largest = max(max(style.image.shape[1:3]) for style in scene.styles)
    if tile and largest > tile and isinstance(evaluation, WholePicture):
        evaluation = Tiles(evaluation.objective, tile)
    targets = evaluation.targets(scene.content_image, scene.styles)
    held = scene.previous and scene.previous.weight
    return targets._replace(held=(scene.previous.image, scene.previous.weights()) if held else None, grey=scene.grey)


def _checkpoint_settings(
    recipe: Recipe, network: FeatureExtractor, solver: str, steps: int, settings: dict[str, Any]
) -> dict[str, str]:
    operations = [type(step).__name__ for step in network.model.operations]
    weights = fingerprint(*network.model.get_weights())
    return {
        **{name: str(value) for name, value in settings.items()},
        "version": str(VERSION),
        "recipe": repr(recipe),
        "network": repr((network.name, network.preprocessing, network.layers, operations, weights)),
        "solver": solver,
        "steps": str(steps),
    }


def _evaluation(scene: Scene, network: FeatureExtractor, precision: str, tile: int | None) -> WholePicture | Tiles:
    """Return what evaluates pictures, that of an earlier run of the same kind if there was one."""
    recipe, masked = scene.recipe, scene.styles and scene.styles[0].content_mask is not None
    loss = recipe.changed(name="", title="", source="", url="", quirks=(), steps=1, start="content")
    tile = tile if tile and max(scene.content_image.shape[1:3]) > tile else None
    held = bool(scene.previous and scene.previous.weight)
    key = repr((loss, precision, tile, masked and len(scene.styles), held, scene.grey))
    if not (known := network.evaluations.get(key)):
        while len(network.evaluations) >= KEPT_EVALUATIONS:
            network.evaluations.pop(next(iter(network.evaluations)), None)
        objective = Objective(recipe, extractor_in_precision(network, precision, scene.content_image))
        scaled = precision == "float16"
        known = Tiles(objective, tile, scaled=scaled) if tile else WholePicture(objective, scaled=scaled)
        network.evaluations[key] = known
    return known


def make_solver(
    solver: str, recipe: Recipe, evaluation: Evaluation, shape: tuple[int, ...], *, grey: bool = False
) -> Solver:
    """Return what moves the picture: ours, or the optimiser that the recipe was published with."""
    clip = recipe.stepping.clip
    if solver == "fast":
        return {"adam": MultiresolutionAdam, "lbfgs": LBFGS}[recipe.stepping.method](evaluation, shape, clip=clip)
    published = recipe.stepping.optimizer
    if published.name == "lbfgs":
        return LBFGS(evaluation, shape, clip=clip, pairs=PUBLISHED_PAIRS)
    units = UNITS[published.units]
    if grey:  # one unit for all channels keeps grey grey
        units = (sum(units) / len(units),) * len(units)
    optimizer, averaging = keras_optimizer(published), published.averaging
    return KerasSolver(evaluation, shape, clip=clip, optimizer=optimizer, scale=units, averaging=averaging)

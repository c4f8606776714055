"""What stands around the loop of `stylize`: sizes, precision, tiles, checkpoints, and the account of the run."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nst_tf import __version__
from nst_tf.controls.scene import FLAT, Scene, resized
from nst_tf.engine.checkpoints import Checkpoint, Saver
from nst_tf.engine.extractors import FEATURES
from nst_tf.engine.keras_solver import KerasSolver, keras_optimizer
from nst_tf.engine.memory import TILES, can_estimate, choose_tile, estimate_memory, free_memory
from nst_tf.engine.precision import PRECISIONS, WORDS, choose_precision, extractor_in_precision, this_device
from nst_tf.engine.solver import NO_LOSS, Solver
from nst_tf.engine.tiles import TargetsInTiles, Tiles
from nst_tf.features import FeatureExtractor
from nst_tf.ground.checks import one_of, suggestions, whole_number
from nst_tf.ground.keras_defaults import neutral_keras
from nst_tf.objective import Losses, Objective
from nst_tf.published.fields import recipe_settings
from nst_tf.published.sources import METHODS, OPTIMIZERS, UNITS
from nst_tf.recipes import FIELDS, RECIPES, Recipe

SOLVERS = ("fast", "published")
KEPT_OBJECTIVES = 4
SMALLEST_TILE = 64


@dataclass(frozen=True)
class Engine:
    """How a run is computed and kept safe; none of it changes which image is asked for.

    Args:
        precision: What the network computes in: "float32", "bfloat16", "float16" (on a GPU), or "auto" for the fastest
            that the device has hardware for.  The image, Gram matrices, losses and the solver are always in float32
            (which TensorFlow multiplies as TF32 on GPUs that can, unless told otherwise).  After losses
            that are not numbers the run goes on in float32, from its best image.
        tile: Compute the image in tiles of `tile` pixels a side, which takes longer and bounds the memory; the
            result is the same.  If not given, in tiles where it would not fit into the memory that is free (on a CPU)
            or did not fit (on a GPU).
        checkpoint: A file to which all that the run needs to go on is written from time to time, whole or not at all,
            and in about 4 % of the run's time.
        resume: Such a file of an earlier run, given the same images and settings: the run goes on from there, in the
            precision it had (where that was a GPU's float16, a CPU takes its own), and keeps writing to the file if
            `checkpoint` is not given.  It comes to the same image as a run that was never interrupted, bit for bit on
            one CPU if oneDNN is on in both or off in both (the command line turns it on).  With more steps than the
            earlier run had, it takes those that are missing.
        deterministic: Ask TensorFlow for the same bits each time on a GPU too, which takes longer, from then on in the
            whole process; on a CPU two runs of one seed are always equal.

    Raises:
        ValueError: If the precision is unknown, the tile smaller than 64 pixels, or another field of a wrong type.
    """

    precision: str = "auto"
    tile: int | None = None
    checkpoint: str | os.PathLike | None = None
    resume: str | os.PathLike | None = None
    deterministic: bool = False

    def __post_init__(self):
        """Reject unknown precisions, tiles that are too small, and wrong types."""
        one_of(self.precision, WORDS, "precision")
        if not isinstance(self.deterministic, bool):
            raise ValueError(f"deterministic is {self.deterministic!r}; expected True or False.")
        for name in ("checkpoint", "resume"):
            if not isinstance(getattr(self, name), (str, os.PathLike, NoneType)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected the path of a file.")
        if self.tile is not None:
            object.__setattr__(self, "tile", whole_number(self.tile, "tile", least=SMALLEST_TILE))


def engine_among(changes: dict[str, Any]) -> tuple[Engine, dict[str, Any]]:
    """Return the engine that has its own fields among the changes, and the other changes; reject fields of neither."""
    known = [*FIELDS, *Engine.__dataclass_fields__]
    for name in changes:
        if name not in known:
            raise ValueError(
                f"Neither a recipe nor the engine has a field {name!r}; they have {suggestions(name, known)}."
            )
    own = {name: value for name, value in changes.items() if name in Engine.__dataclass_fields__}
    return Engine(**own), {name: value for name, value in changes.items() if name not in own}


@dataclass
class Progress:
    """How far a run is."""

    image: tf.Tensor | None = None  # the best so far, (1, height, width, 3), of the size at work
    history: list[np.ndarray] = field(default_factory=list)  # losses before each step, float32 (parts,) each
    size: int | None = None  # which of the sizes is at work: −1 for the whole, −2 for the one before
    began: float = field(default_factory=time.perf_counter)  # as if the run had never been interrupted
    before: int = 0  # steps done before the current solver started


class Run:
    """One run: tracks its progress, and recovers from failures.

    Its settings are what a checkpoint of it must say; ValueError if one to go on from is damaged or of another run.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        solver: str | keras.optimizers.Optimizer,
        steps: int,
        engine: Engine,
        settings: dict[str, Any],
    ):
        precision = "float32"
        if extractor.geometry or engine.precision != "auto":
            precision = choose_precision(this_device(), engine.precision).name
        self.extractor, self.method, self.steps = extractor, solver, steps
        self.engine = replace(engine, precision=precision)
        self.status = "done"
        self.progress = Progress()
        self._solver: Solver | None = None
        self._again = self._telling = False  # whether another attempt is needed, and whether a callback is at work
        path = engine.checkpoint or engine.resume
        self._saver = Saver(path, settings, extractor) if path else None
        if engine.resume:
            self._saver.read(engine.resume)
            self._restore_run(self._saver.earlier)
        if engine.deterministic:
            tf.config.experimental.enable_op_determinism()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.progress.history)

    @property
    def seconds(self) -> float:
        """Since the run began, an interrupted part of it included."""
        return time.perf_counter() - self.progress.began

    def history(self) -> dict[str, np.ndarray]:
        """Return all losses so far by part, float32 (steps,) each."""
        history = np.array(self.progress.history, np.float32).reshape(-1, len(Losses._fields))  # (steps, parts)
        return dict(zip(Losses._fields, history.T, strict=True))

    def sizes(self, scene: Scene, seed: int) -> Iterator[tuple[Scene, int]]:
        """Yield the scene at each size, from small to large, and the number of the step that is the last at it.

        The first begins at x₀, each other with what came of the size before.
        """
        progress, sizes = self.progress, with_last_steps(scene.sizes(), self.steps)
        first = progress.size or -len(sizes)
        if first < -len(sizes):
            raise ValueError("The checkpoint is damaged: this run has fewer sizes. Start without resume.")
        for progress.size in range(first, 0):
            scene, last_step = sizes[progress.size]
            image = scene.start(seed) if progress.image is None else progress.image
            progress.image = scene.with_content_outside_masks(resized(image, scene.content_image.shape[1:3]))
            yield scene, last_step
            if self.status != "done":
                return

    def attempts(self, scene: Scene) -> Iterator[contextlib.AbstractContextManager]:
        """Yield one attempt at a size, and another as long as it failed in a way that can be mended."""
        self._again = True
        while self._again:
            yield self._attempt(scene)

    @contextlib.contextmanager
    def _attempt(self, scene: Scene) -> Iterator[None]:
        self._solver, self._again = None, False
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            if self._telling:
                raise
            self._use_smaller_tiles(scene, error)
        except BaseException:  # an interrupt, or whatever a callback raised
            self._save()
            raise
        finally:
            if self._solver is not None:
                self.progress.image = tf.identity(self._solver.best.image)

    def objective(self, scene: Scene) -> Objective:
        """Return what computes losses and gradient, that of an earlier run of the same kind if there was one."""
        recipe, precision, kept = scene.recipe, self.engine.precision, self.extractor.objectives
        tile = self.engine.tile or tile_that_fits(scene, self.extractor, self.method, precision)
        content_side, *style_sides = (max(image.shape[1:3]) for image in scene.images())
        kind, sizes = Objective, {}
        if tile and max(content_side, *style_sides) > tile:
            kind, sizes = (Tiles if content_side > tile else TargetsInTiles), {"tile": tile}
        loss = recipe.changed(name="", title="", source="", url="", quirks=(), steps=1, start="content")
        key = repr((loss, precision, kind, sizes))
        if key not in kept:
            while len(kept) >= KEPT_OBJECTIVES:
                kept.pop(next(iter(kept)), None)
            kept[key] = kind(recipe, extractor_in_precision(self.extractor, precision, scene.content_image), **sizes)
        return kept[key]

    def optimizer(self, scene: Scene, last_step: int) -> Solver:
        """Return the solver that runs up to `last_step`, restored from the checkpoint if the run resumes."""
        steps = max(0, last_step - self.step)
        solver = make_solver(self.method, scene.recipe, self.progress.image, steps, gray=scene.gray)
        if self._saver and self._saver.earlier:
            self._restore_solver(solver)
            # A run with more steps than the earlier one had takes those that are missing.
            solver.steps.assign(solver.taken + steps)
        self.progress.before = self.step - int(solver.taken)
        self._solver = solver
        return solver

    def record(self, losses: Losses) -> None:
        """Write down the losses of a step, and a checkpoint if it is time for one."""
        self.progress.history.append(np.array(losses, np.float32))
        if self._saver and self._saver.due():
            self._save()

    def tell(self, callback: Callable[[Any], None] | None, step: Any) -> None:
        """Call a callback if there is one; whatever it raises is the caller's own."""
        if callback:
            self._telling = True
            callback(step)
            self._telling = False

    def finish(self, losses: Losses) -> None:
        """Take the losses of the last image of a size; where no loss was a number, go on in float32, or give up."""
        solver, progress = self._solver, self.progress
        solver.keep_best(losses.total)
        if not solver.stuck and float(solver.best.loss) < NO_LOSS:
            if progress.size == -1:
                self._save()  # from which a run with more steps can go on
                progress.history.append(np.array(losses, np.float32))
        elif self.engine.precision != "float32":
            warnings.warn(f"In {self.engine.precision} the loss was not a number; going on in float32.", stacklevel=3)
            self.engine, self._again = replace(self.engine, precision="float32"), True
            progress.history = [losses for losses in progress.history if np.isfinite(losses).all()]
        else:
            self.status = "diverged"
            easier = " or solver='fast'" if self.method == "published" else ""
            warnings.warn(
                f"The loss was no longer a number after step {self.step} of {self.steps}, in float32 too, so the run "
                f"stopped there; the best picture until then is kept. Try a smaller style_weight or content_weight"
                f"{easier}.",
                stacklevel=3,
            )

    def _restore_run(self, earlier: Checkpoint) -> None:
        image, state, device = earlier.variables["best_image"], earlier.state, this_device()
        plausible = state["precision"] in PRECISIONS and state["size"] < 0
        plausible &= earlier.history.shape[1:] == (len(Losses._fields),)
        if not plausible or image.dtype != np.float32 or image.ndim != 4:
            raise ValueError(
                "The checkpoint is damaged: its history, size or precision is out of range. Start without resume."
            )
        precision = state["precision"]
        if precision == "float16" and device.kind == "CPU":
            precision = choose_precision(device).name
            warnings.warn(f"float16 is for GPUs; on this CPU the run goes on in {precision}.", stacklevel=4)
        self.engine = replace(self.engine, precision=precision)
        began = self.progress.began - state["seconds"]
        self.progress = Progress(tf.constant(image), list(earlier.history), state["size"], began)

    def _restore_solver(self, solver: Solver) -> None:
        saved, self._saver.earlier = self._saver.earlier.variables, None
        for name, variable in solver.variables().items():
            if name not in saved or saved[name].shape != tuple(variable.shape):
                raise ValueError(f"The checkpoint is damaged: its {name} is missing or of another shape.")
            variable.assign(saved[name])

    def _save(self) -> None:
        solver = self._solver
        if not self._saver or solver is None or self.progress.before + int(solver.taken) != self.step:
            return  # there is nothing to save, or a step was cut off before it was recorded
        state = {"precision": self.engine.precision, "seconds": self.seconds, "size": self.progress.size}
        # Unlike `variable.numpy()`, this copies L-BFGS's pairs once and not twice, and the rest not at all.
        variables = {name: np.asarray(variable.value()) for name, variable in solver.variables().items()}
        self._saver.save(state, np.stack(list(self.history().values()), axis=1), variables)

    def _use_smaller_tiles(self, scene: Scene, error: Exception) -> None:
        self.extractor.objectives.clear()  # what is kept of earlier runs takes memory too
        side = max(max(image.shape[1:3]) for image in scene.images())
        smaller = [tile for tile in TILES if tile < min(self.engine.tile or side, side)]
        if not smaller or not self.extractor.geometry:
            raise ValueError(
                "The device ran out of memory. Choose a smaller picture (max_side, or --size), or close what else runs "
                "on it."
            ) from error
        self.engine, self._again = replace(self.engine, tile=smaller[0]), True
        warnings.warn(
            f"The device ran out of memory; going on in tiles of {smaller[0]} pixels, with the same result in more "
            "time.",
            stacklevel=5,
        )


def check_run(recipe: Recipe, solver: str | keras.optimizers.Optimizer, steps: int | None, seed: int) -> int:
    """Return how many steps a run takes, None meaning the recipe's own number; reject unknown solvers and numbers."""
    if not isinstance(solver, keras.optimizers.Optimizer):
        one_of(solver, SOLVERS, "solver")
    if solver == "published" and recipe.stepping.optimizer is None:
        raise ValueError(f"The recipe {recipe.name!r} was published with no optimizer of its own; use solver='fast'.")
    whole_number(seed, "seed", least=0)
    if steps is None:
        steps = (recipe.stepping.published_steps if solver == "published" else None) or recipe.stepping.steps
    return whole_number(steps, "steps", least=1)


def check_outcome(recipe: Recipe, history: dict[str, np.ndarray], *, moved: float) -> None:
    """Warn if weights that are not the recipe's own, such as those of another tool, made the style negligible.

    `moved` is by how much the image differs from the content image, in the mean.  Raises ValueError if steps were taken
    and no loss was ever a number.
    """
    given = recipe.loss.content_weight, recipe.loss.style_weight
    if len(history["total"]) and not np.isfinite(history["total"]).any():
        raise ValueError(
            f"The loss of the recipe {recipe.name!r} was never finite, so there is no picture. Its weights may be too "
            f"large: content_weight is {given[0]:g}, style_weight is {given[1]:g}."
        )
    weights = {name: (each.loss.content_weight, each.loss.style_weight) for name, each in RECIPES.items()}
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


def describe(
    scene: Scene, features: Any, extractor: FeatureExtractor, solver: Any, steps: int, seed: int
) -> dict[str, Any]:
    """Return what defines a run, as a PNG and a checkpoint carry it."""
    return {
        **recipe_settings(scene.recipe),
        "features": features if features in FEATURES else extractor.name,
        "network": extractor.name,
        "solver": solver if isinstance(solver, str) else keras.optimizers.serialize(solver),
        "steps": steps,
        "seed": seed,
        "size": [int(side) for side in scene.content_image.shape[1:3]],
        "versions": {"nst_tf": __version__, "tensorflow": tf.__version__},
        **scene.fingerprints(),
    }


def with_last_steps(scenes: list[Scene], steps: int) -> list[tuple[Scene, int]]:
    """Pair each size with the number of its last step; the first gets twice as many steps as each other one.

    Too few steps leave small sizes out.
    """
    scenes = scenes[-max(1, steps // 2) :]
    shares = np.cumsum([2.0 if number == 0 else 1.0 for number in range(len(scenes))])
    return list(zip(scenes, np.round(steps * shares / shares[-1]).astype(int).tolist(), strict=True))


@neutral_keras()
def make_solver(
    method: str | keras.optimizers.Optimizer, recipe: Recipe, image: tf.Tensor, steps: int, *, gray: bool = False
) -> Solver:
    """Return what moves the image, float32 (1, height, width, 3), from where it is, in `steps` steps.

    That is a method of ours, the optimizer that the recipe was published with, or one that is given, whose learning
    rate is for images in [0, 1].  A gray image is to stay without colors.
    """
    stepping = recipe.stepping
    if isinstance(method, keras.optimizers.Optimizer):
        fresh = type(method).from_config(method.get_config())  # which remembers nothing of earlier runs
        return KerasSolver(image, steps, clip=stepping.clip, optimizer=fresh)
    published = stepping.optimizer
    found = METHODS[stepping.method] if method == "fast" else OPTIMIZERS[published.name]
    if not found.solver.startswith("keras"):
        options = {"remembers": found.remembers} if found.remembers else {}
        return pkgutil.resolve_name(found.solver)(image, steps, clip=stepping.clip, **options)
    units = UNITS[published.units]
    if gray:  # one unit for all channels keeps gray gray
        units = (sum(units) / len(units),) * len(units)
    optimizer, averaging = keras_optimizer(published), published.averaging
    return KerasSolver(image, steps, clip=stepping.clip, optimizer=optimizer, units=units, averaging=averaging)


def tile_that_fits(scene: Scene, extractor: FeatureExtractor, method: Any, precision: str) -> int | None:
    """Return None if the images fit into the memory that is free, else the side of the tiles, and say so."""
    network, recipe = extractor.name.partition(" ")[0], scene.recipe
    # What a GPU has free is not known before it is asked for.
    if not extractor.geometry or not can_estimate(network, recipe) or this_device().kind == "GPU":
        return None
    size = max((image.shape[1:3] for image in scene.images()), key=np.prod)
    free, options = free_memory(), {"features": network, "solver": method}
    tile = choose_tile(*size, recipe, precision, free=free, **options)
    if tile:
        whole, tiled = (estimate_memory(*size, recipe, precision, tile=t, **options) for t in (None, tile))
        warnings.warn(
            f"{size[1]} × {size[0]} pixels need about {whole / 2**30:.1f} GiB at once, and {free / 2**30:.1f} are "
            f"free; so they are computed in tiles of {tile}, which need about {tiled / 2**30:.1f} GiB, give the "
            "same result and take longer. A smaller picture (max_side, or --size) would need less.",
            stacklevel=4,
        )
    return tile

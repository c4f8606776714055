"""The optimisers that the recipes were published with, in the units that their constants are given in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import Bounds, minimize

from nst_tf.engine.solver import FAILURES, Evaluation, Solver, traced

# How many pairs of steps and gradients L-BFGS remembers.
CORRECTIONS = 20


class KerasSolver(Solver):
    """Lets a Keras optimiser move the picture, in the units of a recipe's source.

    The variable it moves is the picture in those units, as in the source, so that the learning rate and Adam's epsilon
    mean what they meant there.

    Args:
        evaluation: As for `Solver`.
        shape: As for `Solver`.
        clip: As for `Solver`.
        optimizer: Made for this solver alone, since it remembers what it did before.
        scale: What the span from black to white is in the source's units, by channel.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        shape: tuple[int, ...],
        *,
        clip: bool,
        optimizer: keras.optimizers.Optimizer,
        scale: tuple[float, float, float],
    ):
        super().__init__(evaluation, shape, clip=clip)
        self._optimizer = optimizer
        self._scale = tf.constant(scale)
        self._scaled_image = tf.Variable(tf.zeros(shape))
        optimizer.build([self._scaled_image])

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        super().start(image, steps)
        self._scaled_image.assign(image * self._scale)
        for variable in self._optimizer.variables:
            if variable is not self._optimizer.learning_rate:
                variable.assign(tf.zeros_like(variable.value))

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        memory = {f"optimizer_{index}": variable.value for index, variable in enumerate(self._optimizer.variables)}
        return {**super().variables(), "scaled_image": self._scaled_image, **memory}

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: tf.Tensor) -> None:
        if finite:
            self._optimizer.apply([gradient / self._scale], [self._scaled_image])
            if self._clip:
                self._scaled_image.assign(tf.clip_by_value(self._scaled_image, 0.0, self._scale))
            self.image.assign(self._scaled_image / self._scale)


class SciPySolver(Solver):
    """SciPy's L-BFGS-B, which calls the losses when it likes, so it runs as a whole.

    Args:
        evaluation: As for `Solver`.
        shape: As for `Solver`.
        clip: As for `Solver`.
    """

    def __init__(self, evaluation: Evaluation, shape: tuple[int, ...], *, clip: bool):
        super().__init__(evaluation, shape, clip=clip)
        evaluate = evaluation.losses_and_gradient
        self._evaluate = traced(evaluate) if evaluation.traceable else evaluate
        self._keep = traced(self.keep_best)

    def run(
        self,
        targets: Any,
        steps: int,
        scale: tuple[float, float, float],
        report: Callable[[np.ndarray], None],
    ) -> None:
        """Take up to so many iterations from the start picture.

        Args:
            targets: Handed to the losses.
            steps: At most; L-BFGS stops sooner where it cannot lower the loss any further.
            scale: What the span from black to white is in the source's units, by channel.
            report: Called after each iteration with the losses before it, float32 (1, parts).
        """
        if steps < 1:
            return  # SciPy would take one all the same
        latest: dict[str, Any] = {}
        accepted: list[np.ndarray] = []

        def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            image = tf.constant((flat.reshape(self.image.shape) / scale).astype(np.float32))
            losses, gradient = self._evaluate(image, targets)
            self._keep(losses[0], image)
            latest["losses"] = np.stack([part.numpy() for part in losses])
            latest["image"] = image
            if not np.isfinite(latest["losses"][0]) or not np.isfinite(gradient).all():
                self.failures.assign(FAILURES)
                raise _NotANumber
            if not accepted:
                accepted.append(latest["losses"])
            return float(losses[0]), (gradient.numpy() / scale).astype(np.float64).ravel()

        white = np.broadcast_to(np.asarray(scale, np.float64), self.image.shape).ravel()
        bounds = Bounds(np.zeros_like(white), white) if self._clip else None

        def after_iteration(flat: np.ndarray) -> None:
            self.image.assign(latest["image"])
            self.step.assign_add(1)
            accepted.append(latest["losses"])
            report(accepted[-2][np.newaxis])

        with contextlib.suppress(_NotANumber):
            minimize(
                loss_and_gradient,
                (self.image.numpy() * scale).astype(np.float64).ravel(),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                callback=after_iteration,
                options={"maxiter": steps, "maxfun": 4 * steps, "maxcor": CORRECTIONS, "ftol": 0.0, "gtol": 0.0},
            )


class _NotANumber(Exception):  # noqa: N818 - it is no error, but the way out of SciPy
    pass


def keras_optimizer(
    name: str,
    learning_rate: float,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    decay_rate: float,
    decay_steps: int,
) -> keras.optimizers.Optimizer:
    """Return Keras's "adam" or "sgd"; the learning rate falls by `decay_rate` over every `decay_steps` steps."""
    if decay_rate != 1:
        learning_rate = keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps, decay_rate)
    if name == "sgd":
        return keras.optimizers.SGD(learning_rate)
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)

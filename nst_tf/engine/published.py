"""The optimisers that the recipes were published with, in the units that their constants are given in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from nst_tf.engine.solver import Evaluation, Solver, traced
from nst_tf.ground.keras_defaults import in_neutral_keras, neutral_keras

if TYPE_CHECKING:
    from nst_tf.published.sources import Optimizer


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
        averaging: How much of the running average is kept at each step; if not 0, the average is the best picture.

    Reference:
        For the average and its bias correction: Kingma, Ba: "Adam", ICLR 2015, sections 3 and 7.2.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        shape: tuple[int, ...],
        *,
        clip: bool,
        optimizer: keras.optimizers.Optimizer,
        scale: tuple[float, float, float],
        averaging: float = 0.0,
    ):
        super().__init__(evaluation, shape, clip=clip)
        self._averaging = averaging
        self._average = tf.Variable(tf.zeros(shape if averaging else ()), trainable=False)  # of all pictures so far
        self._optimizer = optimizer
        self._scale = tf.constant(scale)
        self._scaled_image = tf.Variable(tf.zeros(shape))
        with neutral_keras():
            optimizer.build([self._scaled_image])
        self._apply = traced(self._take_its_step)

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        super().start(image, steps)
        self._scaled_image.assign(image * self._scale)
        self._average.assign(tf.zeros_like(self._average))
        for variable in self._optimizer.variables:
            if variable is not self._optimizer.learning_rate:
                variable.assign(tf.zeros_like(variable.value))

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        memory = {f"optimizer_{index}": variable.value for index, variable in enumerate(self._optimizer.variables)}
        own = {"scaled_image": self._scaled_image, "average": self._average}
        return {**super().variables(), **own, **memory}

    def _keep(self, image: tf.Tensor) -> None:
        if not self._averaging:
            super()._keep(image)

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        if finite:
            self._apply(gradient)

    def _take_its_step(self, gradient: tf.Tensor) -> None:
        self._optimizer.apply([gradient / self._scale], [self._scaled_image])
        if self._clip:
            self._scaled_image.assign(tf.clip_by_value(self._scaled_image, 0.0, self._scale))
        self.image.assign(self._scaled_image / self._scale)
        if self._averaging:
            self._average.assign(self._averaging * self._average + (1 - self._averaging) * self.image)
            # The average began at 0, and so is too small by as much as 0 still counts in it.
            taken = tf.cast(self._optimizer.iterations.value, tf.float32)
            self.best_image.assign(self._average / (1 - self._averaging**taken))


@in_neutral_keras
def keras_optimizer(published: Optimizer) -> keras.optimizers.Optimizer:
    """Return Keras's optimiser of a recipe; the learning rate falls by `decay_rate` over every `decay_steps` steps."""
    rate = published.learning_rate
    if published.decay_rate != 1:
        rate = keras.optimizers.schedules.ExponentialDecay(rate, published.decay_steps, published.decay_rate)
    if published.name == "sgd":
        return keras.optimizers.SGD(rate)
    return keras.optimizers.Adam(rate, published.beta_1, published.beta_2, published.epsilon)

"""Keras's optimizers as solvers: those that the recipes were published with, or any that is given."""

from __future__ import annotations

import pkgutil

import keras
import tensorflow as tf

from nst_tf.engine.solver import Solver
from nst_tf.ground.keras_defaults import neutral_keras
from nst_tf.published.sources import OPTIMIZERS, Optimizer


class KerasSolver(Solver):
    """Lets a Keras optimizer move the image, in the units of a recipe's source.

    The variable it moves is the image in those units, as in the source, so that the learning rate and Adam's epsilon
    mean what they meant there.

    Args:
        image: As for `Solver`, and so are `steps` and `clip`.
        optimizer: Made for this solver alone, since it remembers what it did before.
        units: What the span from black to white is in the source's units, by channel.
        averaging: How much of the running average is kept at each step; if not 0, the average is the best image.

    Reference:
        For the average and its bias correction: Kingma, Ba: "Adam", ICLR 2015, sections 3 and 7.2.
    """

    def __init__(
        self,
        image: tf.Tensor,
        steps: int,
        *,
        clip: bool = True,
        optimizer: keras.optimizers.Optimizer,
        units: tuple[float, float, float] = (1.0, 1.0, 1.0),
        averaging: float = 0.0,
    ):
        super().__init__(image, steps, clip=clip)
        self._averaging = averaging
        self._optimizer = optimizer
        self._units = tf.constant(units)
        # By name: the image in the source's units, and with averaging the sum that the average is made of.
        self._in_units = {"scaled_image": tf.Variable(image * self._units)}
        if averaging:
            self._in_units["average"] = tf.Variable(tf.zeros_like(image), trainable=False)
        with neutral_keras():
            optimizer.build([self._in_units["scaled_image"]])

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        memory = {f"optimizer_{index}": variable.value for index, variable in enumerate(self._optimizer.variables)}
        return {**super().variables(), **self._in_units, **memory}

    def _keep_image(self) -> None:
        if not self._averaging:
            super()._keep_image()

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        if not finite:
            return
        scaled_image, units = self._in_units["scaled_image"], self._units
        self._optimizer.apply([gradient / units], [scaled_image])
        if self._clip:
            scaled_image.assign(tf.clip_by_value(scaled_image, 0.0, units))
        self.image.assign(scaled_image / units)
        if self._averaging:
            average = self._in_units["average"]
            average.assign(self._averaging * average + (1 - self._averaging) * self.image)
            # The average began at 0, and so is too small by as much as 0 still counts in it.
            taken = tf.cast(self._optimizer.iterations.value, tf.float32)
            self.best.image.assign(average / (1 - self._averaging**taken))


@neutral_keras()
def keras_optimizer(published: Optimizer) -> keras.optimizers.Optimizer:
    """Return Keras's optimizer of a recipe; the learning rate falls by `decay_rate` over every `decay_steps` steps."""
    arguments, decay = dict(published.arguments), published.decay_rate
    if decay != 1:
        rate = keras.optimizers.schedules.ExponentialDecay(published.learning_rate, published.decay_steps, decay)
        arguments["learning_rate"] = rate
    return pkgutil.resolve_name(OPTIMIZERS[published.name].solver)(**arguments)

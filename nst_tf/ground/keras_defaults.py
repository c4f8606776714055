"""Keras as this package needs it, whatever the user's process has set."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator

from nst_tf.ground.startup import check_backend, check_fork

check_backend()
check_fork()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402


def check_process() -> None:
    """Raise ValueError where TensorFlow is set up so that no image can be optimized."""
    check_fork()
    if not tf.executing_eagerly():
        raise ValueError(
            "TensorFlow is not executing eagerly here: stylize cannot run inside a tf.function, nor after "
            "tf.compat.v1.disable_eager_execution(). Call it outside, or start Python again."
        )
    if tf.distribute.has_strategy():
        raise ValueError("stylize runs on one device; call it outside of the strategy's scope.")


@contextlib.contextmanager
def neutral_keras() -> Iterator[None]:
    """Build layers and optimizers in float32, channels last; afterwards all is as before, Python's `random` too.

    As a context, or as a decorator of what builds them.
    Layers keep what they were built with, so it matters while they are built and not when they are used.
    """
    before = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy(), random.getstate()
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_image_data_format(before[1])
        keras.config.set_dtype_policy(before[2])
        random.setstate(before[3])


def traced(function: Callable) -> Callable:
    """Return a function that TensorFlow traces once for each kind of arguments; conditions in it must be Python's."""
    # TensorFlow counts traces by the code traced and warns of many, though each caller rightly has its own; for a
    # partial it counts each by itself.  Looking for what AutoGraph would convert takes a second, and there is nothing.
    return tf.function(functools.partial(function), reduce_retracing=True, autograph=False)

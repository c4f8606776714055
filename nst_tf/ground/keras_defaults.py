"""Keras as this package needs it, whatever the user's process has set."""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Callable, Iterator

from nst_tf.ground.startup import check_backend

check_backend()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.eager import context  # noqa: E402

# In a forked process, whether TensorFlow had started before: then it lacks the threads that it waits for.
_hangs = []
if hasattr(os, "register_at_fork"):  # Windows has none; and TensorFlow has no public word for whether it has started
    os.register_at_fork(after_in_child=lambda: _hangs.append(getattr(context.context(), "_context_handle", None)))


def check_process() -> None:
    """Raise ValueError where TensorFlow is set up so that no image can be optimised."""
    if any(_hangs):
        raise ValueError(
            "This process was forked from one in which TensorFlow had started, and would hang. Use "
            "nst_tf.worker_processes(count), or multiprocessing.get_context('spawn')."
        )
    if not tf.executing_eagerly():
        raise ValueError(
            "TensorFlow is not executing eagerly here: stylize cannot run inside a tf.function, nor after "
            "tf.compat.v1.disable_eager_execution(). Call it outside, or start Python again."
        )
    if tf.distribute.has_strategy():
        raise ValueError("stylize runs on one device; call it outside of the strategy's scope.")


@contextlib.contextmanager
def neutral_keras() -> Iterator[None]:
    """Build layers and optimisers in float32, channels last; afterwards all is as before, Python's `random` too.

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


def in_neutral_keras(function: Callable) -> Callable:
    """Let a function run in `neutral_keras`."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with neutral_keras():
            return function(*args, **kwargs)

    return wrapped

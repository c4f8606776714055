"""Asking TensorFlow for operations that give the same bits each time, for as long as one run lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def deterministic_operations() -> Iterator[None]:
    """Make TensorFlow choose only operations that give the same bits each time; afterwards all is as before.

    It matters on a GPU, where the order of a sum may differ from run to run.  While it lasts, it holds for the whole
    process.

    Raises:
        ValueError: If this version of TensorFlow cannot be asked, or an operation has no deterministic form.
    """
    # TensorFlow's public function only turns it on, and a library has no business leaving it on.
    try:
        from tensorflow.python.framework.config import (
            disable_op_determinism,
            enable_op_determinism,
            is_op_determinism_enabled,
        )
    except ImportError as error:
        raise ValueError(
            "This version of TensorFlow cannot switch determinism on and off again. Leave deterministic out, or call "
            "tf.config.experimental.enable_op_determinism() once, before anything else."
        ) from error
    if is_op_determinism_enabled():
        yield
        return
    enable_op_determinism()
    try:
        yield
    except tf.errors.UnimplementedError as error:
        raise ValueError(
            f"This device has no deterministic form of an operation ({error.message}); leave deterministic out."
        ) from error
    finally:
        disable_op_determinism()

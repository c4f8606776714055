"""TensorFlow without the lines its C++ half writes while it starts, with oneDNN's operations; and the processor."""

import contextlib
import functools
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# TensorFlow reads it once, when it is imported.
ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep file descriptor 2 silent inside the block; if the block raises, what was held back is written after all.

    TensorFlow reports missing GPU drivers and CPU features there before any log level applies, and a person who
    mistyped a path should not have to find the one line that matters among them.
    """
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def show_log() -> None:
    """Print what the library reports of long waits, such as a download, as plain lines."""
    logger = logging.getLogger("nst_tf")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.handleError = lambda record: None  # a reader who has gone is no reason for a traceback
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def _note_fork() -> None:
    """Note in a forked process whether TensorFlow had started before: then it lacks the threads that it waits for."""
    module = sys.modules.get("tensorflow.python.eager.context")  # there is no public word for it
    _lost_threads.append(module is not None and getattr(module.context(), "_context_handle", None) is not None)


_lost_threads: list[bool] = []
if hasattr(os, "register_at_fork"):  # Windows has none
    os.register_at_fork(after_in_child=_note_fork)


def check_fork() -> None:
    """Raise ValueError in a process that was forked from one in which TensorFlow had started."""
    if any(_lost_threads):
        raise ValueError(
            "This process was forked from one in which TensorFlow had started, and would hang. Use "
            "nst_tf.worker_processes(count), or multiprocessing.get_context('spawn')."
        )


def check_backend() -> None:
    """Raise ImportError if Keras computes, or would compute, with anything but TensorFlow."""
    if "keras" in sys.modules:
        backend = sys.modules["keras"].config.backend()
    else:
        backend = os.environ.get("KERAS_BACKEND") or keras_settings().get("backend", "tensorflow")
    if backend != "tensorflow":
        raise ImportError(
            f"nst_tf needs Keras with TensorFlow, and here it is set to {backend!r}. Start Python again with "
            "KERAS_BACKEND=tensorflow in its environment."
        )


def keras_settings() -> dict[str, Any]:
    """Return what the user's keras.json says, nothing if there is none that can be read."""
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        settings = json.loads((folder / "keras.json").read_text())
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def start_tensorflow() -> None:
    """Import TensorFlow and look for its devices, quietly, with oneDNN's operations on.

    TensorFlow turns these on by itself under Windows and on processors with instructions made for neural networks.
    On the others they are faster as well, and take less memory.  The switch holds for the whole process, so this is for
    whoever owns it: the command line, a notebook, a worker.  What the environment already says stays.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(ONEDNN_VARIABLE, "1")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    with quiet_start():
        import tensorflow as tf

        tf.config.list_logical_devices()
        # The first half-precision operation writes a line of its own on some processors.
        tf.constant(1.0, tf.float16) * tf.constant(1.0, tf.float16)


def onednn_is_on() -> bool:
    """Say whether TensorFlow computes with oneDNN's operations on the CPU, which are faster and take less memory."""
    # TensorFlow has no public word for it.
    try:
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
    except ImportError:
        return False
    return IsMklEnabled()


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """Return the CPU's name, and the extensions it has in Linux's words, such as "avx512f"; none on other systems."""
    information = Path("/proc/cpuinfo")
    fields = {}
    if information.is_file():
        fields = dict(line.split(":", 1) for line in information.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
    name = fields.get("model name", platform.processor() or platform.machine())
    return name, frozenset(fields.get("flags", "").split())

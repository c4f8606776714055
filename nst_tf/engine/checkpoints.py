"""Checkpoints: all that a run needs to go on after an interrupt, in one file.

The file is NumPy's .npz, read with pickles forbidden, so that opening someone else's cannot run code.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from nst_tf.features import FeatureExtractor
from nst_tf.ground.files import atomic_write, check_writable, fingerprint, user_path
from nst_tf.pictures.settings import plain

VERSION = 9
# Share of the run time that writing checkpoints may take.
SHARE_OF_TIME = 0.04
LEAST_SECONDS_BETWEEN = 2.0
# Where a run was; its size is that at work: −1 for the whole, −2 for the one before.
STATE = {"precision": str, "seconds": float, "size": int}
# What the settings of a run are called in messages.
NAMES = {
    "content": "the content image",
    "style": "the style image",
    "style_weights": "the weights of the styles",
    "masks": "the masks",
    "start": "the start picture",
    "previous": "the previous picture",
    "recipe": "the recipe",
    "changes": "the recipe's changes",
    "network": "the network",
    "solver": "the solver",
    "steps": "the number of steps",
    "seed": "the seed",
}


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was at some step."""

    settings: dict[str, str]  # what the run was asked to do, by name of `NAMES`; and "version", that of the file
    state: dict[str, Any]  # by name of `STATE`
    history: np.ndarray  # losses before each step, float32 (steps, parts)
    variables: dict[str, np.ndarray]  # the solver's, by name


def write_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole, or leave what stood there and raise OSError."""
    facts = json.dumps({"settings": checkpoint.settings, "state": checkpoint.state})
    arrays = {f"variable/{name}": values for name, values in checkpoint.variables.items()}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, facts=np.frombuffer(facts.encode(), np.uint8), history=checkpoint.history, **arrays)


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint; raise ValueError if there is none, or it is damaged."""
    path = user_path(path)
    if not path.is_file():
        raise ValueError(f"There is no checkpoint {os.fspath(path)!r}; start the run without resume.")
    try:
        with zipfile.ZipFile(path) as file:
            # Nothing of ours is compressed, and a few bytes could unpack to more than the memory holds.
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                raise ValueError("it is compressed")
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes().decode())
            variables = {name.removeprefix("variable/"): file[name] for name in file.files if "/" in name}
            variables["best_image"]  # without which there is nothing to go on from
            state = {name: kind(facts["state"][name]) for name, kind in STATE.items()}
            return Checkpoint(dict(facts["settings"]), state, file["history"], variables)
    except Exception as error:  # the file may be anybody's, and no failure to read it is any other than this
        raise ValueError(
            f"{os.fspath(path)!r} is damaged or is no checkpoint ({error}); start the run without resume."
        ) from error


def _check_replaceable(path: str | os.PathLike) -> None:
    """Raise ValueError if a file stands there that is no checkpoint."""
    with contextlib.suppress(FileNotFoundError), open(user_path(path), "rb") as file:
        if file.read(1) and not (zipfile.is_zipfile(file) and "facts.npy" in zipfile.ZipFile(file).namelist()):
            raise ValueError(f"{os.fspath(path)!r} is there and is no checkpoint, so it stays. Choose another name.")


class Saver:
    """Writes a run's checkpoints into one file, at most so often that it takes a bounded share of the time.

    They say by name what the run is asked to do, its settings, and with which network and weights.
    """

    def __init__(self, path: str | os.PathLike, settings: dict[str, Any], extractor: FeatureExtractor):
        check_writable(path)
        _check_replaceable(path)
        self.settings = {name: json.dumps(value, default=plain) for name, value in settings.items()}
        operations = [type(step).__name__ for step in extractor.model.operations]
        network = extractor.name, extractor.preprocessing, extractor.layers, operations
        weights = fingerprint(*extractor.model.get_weights())
        self.settings |= {"version": str(VERSION), "network": repr((*network, weights))}
        self.earlier: Checkpoint | None = None  # that of the run to go on from
        self._path = path
        self._last = time.perf_counter()
        self._cost = 0.0  # of the last, in seconds

    def read(self, path: str | os.PathLike) -> None:
        """Read the checkpoint of the run to go on from; raise ValueError if it is damaged or of another run."""
        self.earlier = read_checkpoint(path)
        found, wanted, name = self.earlier.settings, self.settings, repr(os.fspath(path))
        if found.get("version") != wanted["version"]:
            raise ValueError(f"The checkpoint {name} was written by another version of nst_tf; start without resume.")
        differing = [words for key, words in NAMES.items() if found.get(key) != wanted[key]]
        # A run with more steps than the earlier one takes those that are missing.
        if found.get("steps", "").isdecimal() and int(wanted["steps"]) > int(found["steps"]):
            differing.remove(NAMES["steps"])
        if differing:
            raise ValueError(
                f"The checkpoint {name} is of another run: {', '.join(differing)} "
                f"{'differs' if len(differing) == 1 else 'differ'}. Give what the first run was given, or start "
                "without resume."
            )

    def due(self) -> bool:
        """Whether enough time has passed since the last."""
        waited = time.perf_counter() - self._last
        return waited >= max(LEAST_SECONDS_BETWEEN, self._cost / SHARE_OF_TIME)

    def save(self, state: dict[str, Any], history: np.ndarray, variables: dict[str, np.ndarray]) -> None:
        """Write a checkpoint; where that fails, say so and let the run go on."""
        begun = time.perf_counter()
        try:
            write_checkpoint(self._path, Checkpoint(self.settings, state, history, variables))
        except OSError as error:
            warnings.warn(
                f"The checkpoint {os.fspath(self._path)!r} could not be written ({error.strerror}); the run goes on.",
                stacklevel=2,
            )
        self._last = time.perf_counter()
        self._cost = self._last - begun

"""What could keep a run from going well here: python -m nst_tf doctor."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nst_tf.ground.files import check_writable
from nst_tf.ground.startup import ONEDNN_VARIABLE, keras_settings
from nst_tf.networks.weights import IMAGENET, cache_folder, state_of_cache
from nst_tf.tools.notebook import in_colab

OK, NOTE, PROBLEM = "ok", "note", "problem"
PYTHON = (3, 10)
START_LIMIT_SECONDS = 180
SIDES = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
# TensorFlow is asked in a process of its own: a broken one may end the process that imports it.
ASK_TENSORFLOW = """
import json
from nst_tf.ground.startup import start_tensorflow
start_tensorflow()
import tensorflow as tf
from nst_tf.engine.memory import choose_tile, free_memory
from nst_tf.engine.precision import choose_precision, this_device
from nst_tf.ground.startup import onednn_is_on
device, free = this_device(), free_memory()
precision = choose_precision(device)
def largest(network):
    tiles = {side: choose_tile(side, side, "studio", precision.name, features=network, free=free) for side in SIDES}
    return max((side for side, tile in tiles.items() if tile is None), default=0)
print(json.dumps({"device": device.kind + " " + device.name, "precision": precision.name, "why": precision.reason,
                  "onednn": onednn_is_on(), "largest": {network: largest(network) for network in ("vgg19", "slim")},
                  "free": free, "tensorflow": tf.__version__}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        level: "ok", "note" (something to know) or "problem" (would stop a run).
        text: What was found.
        remedy: What to do about it; empty where nothing is to be done.
    """

    level: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:8}{self.text}" + (f"\n        -> {self.remedy}" if self.remedy else "")


def examine(output_folder: str = ".") -> Iterator[Finding]:
    """Look at everything a run depends on; yield a finding as soon as it is made.

    Args:
        output_folder: Where results are to be written.
    """
    yield _python()
    yield from _packages()
    yield from _keras_settings()
    yield from _tensorflow()
    yield from (_weights(network) for network in IMAGENET)
    yield from (_folder(Path(output_folder), "results"), _folder(Path(tempfile.gettempdir()), "temporary files"))
    yield Finding(NOTE, "This is Google Colab.") if in_colab() else Finding(OK, "This is not Google Colab.")


def _python() -> Finding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < PYTHON:
        return Finding(PROBLEM, found, f"Install Python {'.'.join(map(str, PYTHON))} or newer.")
    return Finding(OK, found)


def _packages() -> Iterator[Finding]:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding(PROBLEM, "packaging is not installed, which comes with Keras.", "pip install tensorflow")
        return
    found = []
    try:
        requirements = importlib.metadata.requires("nst_tf") or ()
    except importlib.metadata.PackageNotFoundError:
        yield Finding(NOTE, "nst_tf runs from its folder and is not installed.", "pip install -e . installs it.")
        return
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(PROBLEM, f"{requirement.name} is not installed.", f"pip install '{requirement}'")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} {version}")
        else:
            text = f"{requirement.name} {version} is installed, and {requirement.specifier} is needed."
            yield Finding(PROBLEM, text, f"pip install '{requirement}'")
    yield Finding(OK, ", ".join(found))


def _keras_settings() -> Iterator[Finding]:
    """Look at what keras.json and the environment say of Keras."""
    said = keras_settings()
    said["backend"] = os.environ.get("KERAS_BACKEND", said.get("backend", "tensorflow"))
    regardless = "Nothing: nst_tf builds its networks regardless of it."
    backend = "Commands and notebooks go on as usual; your own programs need KERAS_BACKEND=tensorflow."
    usual = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}
    unusual = [name for name, value in usual.items() if said.get(name, value) != value]
    for name in unusual:
        remedy = backend if name == "backend" else regardless
        yield Finding(NOTE, f"Keras is set to {name} {said[name]} (by keras.json or the environment)", remedy)
    if not unusual:
        yield Finding(OK, "Keras is set as it comes: TensorFlow, float32, channels last")


def _tensorflow() -> Iterator[Finding]:
    command = [sys.executable, "-c", f"SIDES = {SIDES}\n{ASK_TENSORFLOW}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        yield Finding(PROBLEM, f"TensorFlow did not start within {START_LIMIT_SECONDS} s.", "Try again when less runs.")
        return
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or [f"it ended with status {asked.returncode}"])[-1]
        remedy = "pip install --upgrade tensorflow, in a fresh environment if that does not help."
        yield Finding(PROBLEM, f"TensorFlow does not start: {last}", remedy)
        return
    facts = json.loads(asked.stdout.splitlines()[-1])
    yield Finding(OK, f"TensorFlow {facts['tensorflow']} starts, and computes on the {facts['device']}")
    yield Finding(OK, f"precision {facts['precision']}, because {facts['why']}")
    if facts["device"].startswith("CPU"):
        yield _onednn(facts["onednn"])
    yield _memory(facts["free"], facts["largest"])


def _onednn(on: bool) -> Finding:
    if on:
        text = f"oneDNN's operations are on; your own programs may have to ask for them: {ONEDNN_VARIABLE}=1"
        return Finding(OK, text)
    text = "oneDNN's operations are off, {}; with them a step takes less time and memory"
    setting = os.environ.get(ONEDNN_VARIABLE, "")
    if setting.lower() not in ("0", "false"):
        return Finding(NOTE, text.format("which this TensorFlow does not have"))
    remedy = f"Take {ONEDNN_VARIABLE} out of the environment."
    return Finding(NOTE, text.format(f"as {ONEDNN_VARIABLE}={setting} says"), remedy)


def _memory(free: int, largest: dict[str, int]) -> Finding:
    text = f"{free / 2**30:.1f} GiB of memory free"
    vgg19, slim = (f"{side} × {side}" if side else "nothing" for side in (largest["vgg19"], largest["slim"]))
    if not largest["slim"]:
        return Finding(PROBLEM, f"{text}, not enough for {SIDES[0]} × {SIDES[0]} pixels", "Close other programs.")
    text += f": enough for {vgg19} pixels at once with VGG19 and {slim} with the slim network"
    return Finding(OK, f"{text}; larger images are computed in tiles")


def _weights(network: str) -> Finding:
    state, name = state_of_cache(network), f"ImageNet weights of {network.upper()}"
    if state in ("exact", "8 bits"):
        words = "exact" if state == "exact" else "in 8 bits, which differ by less than 1 %"
        return Finding(OK, f"{name} in the cache ({cache_folder()}), {words}")
    sizes = " or ".join(f"{file.megabytes} MB from {source}" for source, file in IMAGENET[network].items())
    remedy = f"python -m nst_tf weights --network {network} gets them: {sizes}. features='slim' needs none."
    try:
        check_writable(cache_folder() / "vgg.h5")
    except ValueError:
        remedy = f"{cache_folder()} cannot be written to: set KERAS_HOME to a folder that can. Then {remedy}"
    return Finding(NOTE, f"{name} {'not in the cache' if state == 'missing' else 'in the cache are damaged'}.", remedy)


def _folder(folder: Path, purpose: str) -> Finding:
    try:
        check_writable(folder / "nst_tf-writable")
    except ValueError:
        return Finding(PROBLEM, f"{folder.resolve()} cannot be written to, for {purpose}.", "Choose another folder.")
    return Finding(OK, f"{folder.resolve()} can be written to, for {purpose}")

"""What could keep a run from going well here: python -m nst_tf doctor."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from nst_tf.ground.files import check_writable
from nst_tf.ground.startup import ONEDNN_VARIABLE, keras_settings, onednn_is_on, start_tensorflow
from nst_tf.networks.weights import IMAGENET, cache_folder, state_of_cache
from nst_tf.tools.notebook import in_colab

OK, NOTE, PROBLEM = "ok", "note", "problem"
START_LIMIT_SECONDS = 180
SIDES = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    level: str  # "ok", "note" (something to know) or "problem" (would stop a run)
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:8}{self.text}" + (f"\n        -> {self.remedy}" if self.remedy else "")


def examine(output_folder: str = ".") -> Iterator[Finding]:
    """Look at everything a run depends on, such as the folder of results; yield a finding as soon as it is made."""
    yield Finding(OK, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _keras_settings()
    yield from _tensorflow()
    yield from (_weights(network) for network in IMAGENET)
    yield from (_folder(Path(output_folder), "results"), _folder(Path(tempfile.gettempdir()), "temporary files"))
    yield Finding(NOTE, "This is Google Colab.") if in_colab() else Finding(OK, "This is not Google Colab.")


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
        remedy = f"pip install '{requirement}'"
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(PROBLEM, f"{requirement.name} is not installed.", remedy)
            continue
        found.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding(PROBLEM, f"{found.pop()} is installed, and {requirement.specifier} is needed.", remedy)
    yield Finding(OK, ", ".join(found))


def _keras_settings() -> Iterator[Finding]:
    """Look at what keras.json and the environment say of Keras."""
    usual = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}
    said = {**usual, **keras_settings()}
    said["backend"] = os.environ.get("KERAS_BACKEND", said["backend"])
    unusual = [name for name, value in usual.items() if said[name] != value]
    for name in unusual:
        remedy = "Nothing: nst_tf builds its networks regardless of it."
        if name == "backend":
            remedy = "Commands and notebooks go on as usual; your own programs need KERAS_BACKEND=tensorflow."
        yield Finding(NOTE, f"Keras is set to {name} {said[name]} (by keras.json or the environment)", remedy)
    if not unusual:
        yield Finding(OK, "Keras is set as it comes: TensorFlow, float32, channels last")


def _tensorflow() -> Iterator[Finding]:
    # In a process of its own: a broken TensorFlow may end the process that imports it.
    command = [sys.executable, "-c", "from nst_tf.tools.doctor import tell_of_tensorflow; tell_of_tensorflow()"]
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
    yield from (Finding(*found) for found in json.loads(asked.stdout.splitlines()[-1]))


def tell_of_tensorflow() -> None:
    """Start TensorFlow, and print what is found as JSON."""
    start_tensorflow()
    import tensorflow as tf

    from nst_tf.engine.precision import choose_precision, this_device

    device = this_device()
    precision = choose_precision(device)
    found = [
        Finding(OK, f"TensorFlow {tf.__version__} starts, and computes on the {device.kind} {device.name}"),
        Finding(OK, f"precision {precision.name}, because {precision.reason}"),
        *([_onednn(onednn_is_on())] if device.kind == "CPU" else []),
        _memory(precision.name),
    ]
    print(json.dumps([astuple(finding) for finding in found]))


def _onednn(on: bool) -> Finding:
    if on:
        return Finding(OK, f"oneDNN's operations are on; your own programs may need {ONEDNN_VARIABLE}=1 for them")
    why, remedy, setting = "which this TensorFlow does not have", "", os.environ.get(ONEDNN_VARIABLE, "")
    if setting.lower() in ("0", "false"):
        why, remedy = f"as {ONEDNN_VARIABLE}={setting} says", f"Take {ONEDNN_VARIABLE} out of the environment."
    return Finding(NOTE, f"oneDNN's operations are off, {why}; with them a step takes less time and memory", remedy)


def _memory(precision: str) -> Finding:
    from nst_tf.engine.memory import choose_tile, free_memory

    free = free_memory()
    text, largest = f"{free / 2**30:.1f} GiB of memory free", {"vgg19": "nothing", "slim": "nothing"}
    for network, side in itertools.product(largest, SIDES):
        if choose_tile(side, side, "studio", precision, features=network, free=free) is None:
            largest[network] = f"{side} × {side}"
    if largest["slim"] == "nothing":
        return Finding(PROBLEM, f"{text}, not enough for {SIDES[0]} × {SIDES[0]} pixels", "Close other programs.")
    text += ": enough for {vgg19} pixels at once with VGG19 and {slim} with the slim network".format(**largest)
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

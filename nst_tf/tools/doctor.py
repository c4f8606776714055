"""What could keep a run from going well here: python -m nst_tf doctor."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
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
device = this_device()
precision = choose_precision(device)
free = free_memory()
options = {"free": free, "solver": "fast"}
fitting = {
    network: [s for s in SIDES if not choose_tile(s, s, "studio", precision.name, features=network, **options)]
    for network in ("vgg19", "slim")
}
print(json.dumps({"device": device.kind + " " + device.name, "precision": precision.name, "why": precision.reason,
                  "onednn": onednn_is_on(), "fitting": fitting, "free": free, "tensorflow": tf.__version__}))
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
    found = []
    try:
        requirements = importlib.metadata.requires("nst_tf") or ()
    except importlib.metadata.PackageNotFoundError:
        yield Finding(NOTE, "nst_tf runs from its folder and is not installed.", "pip install -e . installs it.")
        return
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name, floor = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", requirement).groups()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(PROBLEM, f"{name} is not installed.", f"pip install '{requirement}'")
            continue
        if floor and _numbers(version) < _numbers(floor):
            yield Finding(PROBLEM, f"{name} {version} is older than {floor}.", f"pip install '{requirement}'")
        else:
            found.append(f"{name} {version}")
    yield Finding(OK, ", ".join(found))


def _keras_settings() -> Iterator[Finding]:
    """Look at what keras.json and the environment say of Keras."""
    said = {**keras_settings(), **({"backend": os.environ["KERAS_BACKEND"]} if "KERAS_BACKEND" in os.environ else {})}
    found = False
    for name, usual in (("backend", "tensorflow"), ("floatx", "float32"), ("image_data_format", "channels_last")):
        if said.get(name, usual) != usual:
            found = True
            remedy = "Commands and notebooks go on as usual; your own programs need KERAS_BACKEND=tensorflow."
            remedy = remedy if name == "backend" else "Nothing: nst_tf builds its networks regardless of it."
            yield Finding(NOTE, f"Keras is set to {name} {said[name]} (by keras.json or the environment)", remedy)
    if not found:
        yield Finding(OK, "Keras is set as it comes: TensorFlow, float32, channels last")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _tensorflow() -> Iterator[Finding]:
    try:
        asked = subprocess.run(
            [sys.executable, "-c", f"SIDES = {SIDES}\n{ASK_TENSORFLOW}"],
            capture_output=True,
            text=True,
            timeout=START_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        yield Finding(PROBLEM, f"TensorFlow did not start within {START_LIMIT_SECONDS} s.", "Try again when less runs.")
        return
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or [f"it ended with status {asked.returncode}"])[-1]
        yield Finding(
            PROBLEM,
            f"TensorFlow does not start: {last}",
            "pip install --upgrade tensorflow, in a fresh environment if that does not help.",
        )
        return
    facts = json.loads(asked.stdout.splitlines()[-1])
    yield Finding(OK, f"TensorFlow {facts['tensorflow']} starts, and computes on the {facts['device']}")
    yield Finding(OK, f"precision {facts['precision']}, because {facts['why']}")
    if facts["device"].startswith("CPU"):
        yield _onednn(facts["onednn"])
    yield _memory(facts)


def _onednn(on: bool) -> Finding:
    if on:
        return Finding(
            OK, f"oneDNN's operations are on; your own programs may have to ask for them: {ONEDNN_VARIABLE}=1"
        )
    setting = os.environ.get(ONEDNN_VARIABLE, "")
    turned_off = setting.lower() in ("0", "false")
    why = f"as {ONEDNN_VARIABLE}={setting} says" if turned_off else "which this TensorFlow does not have"
    remedy = f"Take {ONEDNN_VARIABLE} out of the environment." if turned_off else ""
    return Finding(NOTE, f"oneDNN's operations are off, {why}; with them a step takes less time and memory", remedy)


def _memory(facts: dict) -> Finding:
    fitting = {network: max(sides, default=0) for network, sides in facts["fitting"].items()}
    text = f"{facts['free'] / 2**30:.1f} GiB of memory free"
    if not fitting["slim"]:
        return Finding(PROBLEM, f"{text}, not enough for {SIDES[0]} × {SIDES[0]} pixels", "Close other programs.")
    at_once = f"{fitting['vgg19']} × {fitting['vgg19']}" if fitting["vgg19"] else "nothing"
    return Finding(
        OK,
        f"{text}: enough for {at_once} pixels at once with VGG19 and {fitting['slim']} × {fitting['slim']} with "
        "the slim network; larger pictures are computed in tiles",
    )


def _weights(network: str) -> Finding:
    state, name = state_of_cache(network), f"ImageNet weights of {network.upper()}"
    if state == "exact":
        return Finding(OK, f"{name} in the cache ({cache_folder()}), exact")
    if state == "8 bits":
        return Finding(OK, f"{name} in the cache ({cache_folder()}), in 8 bits, which differ by less than 1 %")
    sizes = " or ".join(f"{file.megabytes} MB from {way}" for way, file in IMAGENET[network].items())
    remedy = f"python -m nst_tf weights --network {network} gets them: {sizes}. features='slim' needs none."
    return Finding(NOTE, f"{name} {'not in the cache' if state == 'missing' else 'in the cache are damaged'}.", remedy)


def _folder(folder: Path, purpose: str) -> Finding:
    try:
        check_writable(folder / "nst_tf-writable")
    except ValueError:
        return Finding(PROBLEM, f"{folder.resolve()} cannot be written to, for {purpose}.", "Choose another folder.")
    return Finding(OK, f"{folder.resolve()} can be written to, for {purpose}")

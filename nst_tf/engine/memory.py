"""How much memory a run will need, how much there is, and how large tiles may be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from nst_tf.engine.lbfgs import MOST_PAIRS, PUBLISHED_PAIRS, pairs_for
from nst_tf.engine.precision import this_device
from nst_tf.ground.checks import one_of
from nst_tf.ground.startup import onednn_is_on
from nst_tf.networks.slim import read_slim
from nst_tf.networks.vgg import channels_of, down_to_deepest, layer_names, stages, tile_of_stage
from nst_tf.recipes import Recipe, find_recipe

MEBIBYTE = 2**20
# The constants below are fitted to peaks measured on a CPU; docs/speed.md has them.
# What Python, TensorFlow and Keras take before there is a picture, and what loading and tracing a network takes.
PROCESS_BYTES = 590 * MEBIBYTE
NETWORK_BYTES = {"vgg19": 300 * MEBIBYTE, "vgg16": 300 * MEBIBYTE, "slim": 290 * MEBIBYTE}
# Of each layer's output, what the forward and the backward pass hold at once, with oneDNN's operations and without.
COPIES = {"vgg19": 1.5, "vgg16": 1.5, "slim": 2.3}
COPIES_WITHOUT_ONEDNN = 2.4
# Float32 pictures held by the run besides the solver's own.
PICTURES = 9
TILES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128)
# Where Linux says what a container may take and has taken, in both versions of its control groups; the cache of files
# counts as taken, but is given up when needed.
CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# Of the memory that is free, what a run may take.
SHARE = 0.8


def estimate_memory(
    height: int,
    width: int,
    recipe: str | Recipe = "studio",
    precision: str = "float32",
    *,
    features: str = "vgg19",
    solver: str = "fast",
    tile: int | None = None,
) -> int:
    """Predict the most memory that a run will hold at once.

    Args:
        height: Of the content image, in pixels.
        width: Of the content image, in pixels.
        recipe: Its layers and its solver count.
        precision: "float32", "bfloat16" or "float16".
        features: "vgg19", "vgg16" or "slim".
        solver: "fast" or "published".
        tile: Side of a tile in pixels, or None for the whole picture at once.

    Returns:
        Bytes, of the whole process on a CPU.  On a GPU the process's own share of them (about 600 MiB) lies in the
        host's memory, the rest in the GPU's.

    Raises:
        ValueError: If the recipe, its layers or the features are unknown.
    """
    recipe = find_recipe(recipe)
    one_of(features, NETWORK_BYTES, "features")
    if not can_estimate(features, recipe):
        raise ValueError(f"Memory is known for VGG's layers only, not for all of {', '.join(recipe.network.layers)}.")
    outputs = _outputs(features, recipe.network.layers)
    with_onednn = onednn_is_on() and this_device().kind == "CPU"
    copies = COPIES[features] if with_onednn else COPIES_WITHOUT_ONEDNN
    if tile and tile < max(height, width):
        activations = _bytes_in_tiles(outputs, height, width, tile, copies, precision)
    else:
        activations = copies * height * width * _bytes_per_pixel(outputs, precision)
    pixels = height * width
    remembered = 12 * pixels * _remembered_pictures(recipe, solver, height, width)
    # Adam has two moments at each resolution, and both methods a direction.
    pictures = 12 * pixels * (PICTURES + 4) + remembered
    targets = sum(_bytes_of(outputs[layer], precision) * pixels for layer in recipe.network.content_layers)
    # While a checkpoint is written, L-BFGS's pairs are there twice, and the network holds nothing.
    network = NETWORK_BYTES[features] + max(activations, remembered) + pictures + targets
    return round(PROCESS_BYTES + network)


def can_estimate(features: str, recipe: Recipe) -> bool:
    """Whether the memory of a network and a recipe's layers is known."""
    return features in NETWORK_BYTES and set(recipe.network.layers) <= set(layer_names(_channels(features)))


def _remembered_pictures(recipe: Recipe, solver: str, height: int, width: int) -> int:
    """Return how many float32 pictures L-BFGS remembers, two in each pair; 0 of another method."""
    stepping = recipe.stepping
    method = stepping.method if solver == "fast" else stepping.optimizer and stepping.optimizer.name
    if method != "lbfgs":
        return 0
    return 2 * min(pairs_for((1, height, width, 3)), MOST_PAIRS if solver == "fast" else PUBLISHED_PAIRS)


def free_memory() -> int:
    """Return how many bytes this process could still take, by the machine or by its container, whichever is less."""
    free = psutil.virtual_memory().available
    for folder, limit, used, cache in CGROUPS:
        try:
            text = (folder / limit).read_text().strip()
            counters = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(counters.get(cache, 0))
        except (OSError, ValueError):
            continue
        if text.isdecimal():
            free = min(free, int(text) - taken)
    return max(free, 0)


def choose_tile(
    height: int, width: int, recipe: Recipe, precision: str, *, features: str, free: int, solver: str = "fast"
) -> int | None:
    """Return None if the whole picture fits into the memory that is free, else the largest tile that does.

    Where not even the smallest fits, it is returned all the same, if it is smaller than the picture.
    """
    for tile in (None, *TILES):
        if tile and tile >= max(height, width):
            continue
        wanted = estimate_memory(height, width, recipe, precision, features=features, solver=solver, tile=tile)
        if wanted - PROCESS_BYTES <= SHARE * free:
            return tile
    return TILES[-1] if TILES[-1] < max(height, width) else None


class _Output(NamedTuple):
    """What a layer gives: its stride in pixels, and its channels."""

    stride: int
    channels: int


def _channels(features: str) -> dict[str, int]:
    """Return how many channels each convolution of a network has."""
    if features == "slim":
        return {name: len(bias) for name, (_, bias) in read_slim().convolutions.items()}
    return channels_of(features)


def _outputs(features: str, layers: Iterable[str]) -> dict[str, _Output]:
    """Return what each layer gives, down to the deepest of those asked for."""
    channels = _channels(features)
    names = layer_names(channels)
    outputs, before = {}, _Output(1, 0)
    for name in down_to_deepest(names, layers):
        pool = name.endswith("_pool")
        before = _Output(2 * before.stride, before.channels) if pool else _Output(before.stride, channels[name])
        outputs[name] = before
    return outputs


def _bytes_of(output: _Output, precision: str) -> float:
    """Return what a layer's output takes, per pixel of the picture."""
    return output.channels / output.stride**2 * (4 if precision == "float32" else 2)


def _bytes_per_pixel(outputs: dict[str, _Output], precision: str) -> float:
    """Return what layers' outputs take, per pixel of the picture."""
    # The first layer works on the picture's own channels, and so in float32 whatever the precision.
    return sum(
        _bytes_of(output, "float32" if name == "block1_conv1" else precision) for name, output in outputs.items()
    )


def _bytes_in_tiles(
    outputs: dict[str, _Output], height: int, width: int, tile: int, copies: float, precision: str
) -> float:
    """Return what one stage's tile takes at most, and what goes from stage to stage."""
    stride, largest, onward = 1, 0.0, []
    for names in stages(outputs):
        own = {name: outputs[name] for name in names}
        reach = sum(output.stride for name, output in own.items() if not name.endswith("_pool"))
        seen = math.prod(min(side, stride * tile_of_stage(tile, stride) + 2 * reach) for side in (height, width))
        largest = max(largest, copies * seen * _bytes_per_pixel(own, precision))
        stride = own[names[-1]].stride
        onward.append(own[names[-1]])
    # On the way back, a stage has what entered it and those before, and the gradient by that and by what goes on.
    entered = [0.0, *(_bytes_of(output, precision) for output in onward[:-1])]
    gradients = [0.0, *(_bytes_of(output, "float32") for output in onward[:-1]), 0.0]
    kept = max(sum(entered[: k + 1]) + gradients[k] + gradients[k + 1] for k in range(len(entered)))
    return largest + kept * height * width

"""How much memory a run will need, how much there is, and how large tiles may be."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

from nst_tf.engine.lbfgs import pairs_for
from nst_tf.engine.precision import this_device
from nst_tf.ground.checks import one_of
from nst_tf.ground.startup import onednn_is_on
from nst_tf.networks.slim import read_slim
from nst_tf.networks.table import NETWORKS, with_poolings
from nst_tf.networks.vgg import Geometry, down_to_deepest, geometry_of, stages, tile_of_stage
from nst_tf.published.sources import METHODS, OPTIMIZERS
from nst_tf.recipes import Recipe, find_recipe

MEBIBYTE = 2**20
# The constants below are fitted to peaks measured on a CPU; docs/speed.md has them.
# What Python, TensorFlow and Keras take before there is an image.
PROCESS_BYTES = 590 * MEBIBYTE
# Of each layer's output, what the forward and the backward pass hold at once without oneDNN's operations; with them it
# is `Network.copies`.
COPIES_WITHOUT_ONEDNN = 2.4
# Float32 images that a run holds at once: nine besides the solver's own, Adam's two moments at each resolution, and a
# direction.
IMAGES = 13
TILES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128)
# Where Linux says what a container may take and has taken, in both versions of its control groups; the cache of files
# counts as taken, but is given up when needed.
CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# Share of the free memory that a run may take.
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
        features: A name in `NETWORKS`, or the name of an extractor that begins with one, such as "vgg19 (imagenet)".
        solver: "fast" or "published".
        tile: Side of a tile in pixels, or None for the whole image at once.

    Returns:
        Bytes, of the whole process on a CPU.  On a GPU the process's own share of them (about 600 MiB) lies in the
        host's memory, the rest in the GPU's.

    Raises:
        ValueError: If the recipe, its layers or the features are unknown.
    """
    recipe = find_recipe(recipe)
    network = NETWORKS[one_of(features.partition(" ")[0], NETWORKS, "features")]
    if not can_estimate(features, recipe):
        raise ValueError(f"Memory is known for VGG's layers only, not for all of {', '.join(recipe.network.layers)}.")
    channels = network.channels
    if network.bundled:
        channels = with_poolings({name: len(bias) for name, (_, bias) in read_slim().convolutions.items()})
    geometry = geometry_of(down_to_deepest(channels, recipe.network.layers))
    half = precision != "float32"
    # Of each layer's output, bytes per pixel of the image.  The first layer works on the image's own channels, and so
    # in float32 whatever the precision.
    outputs = {
        layer: channels[layer] / lies.stride**2 * (2 if half and index else 4)
        for index, (layer, lies) in enumerate(geometry.items())
    }
    pixels = height * width
    copies = network.copies if onednn_is_on() and this_device().kind == "CPU" else COPIES_WITHOUT_ONEDNN
    if tile and tile < max(height, width):
        activations = _bytes_in_tiles(outputs, geometry, height, width, tile, copies, 2 if half else 1)
    else:
        activations = copies * pixels * sum(outputs.values())
    most = METHODS[recipe.stepping.method].remembers if solver == "fast" else 0
    if solver == "published" and recipe.stepping.optimizer:
        most = OPTIMIZERS[recipe.stepping.optimizer.name].remembers
    remembered = 12 * pixels * min(most, 2 * pairs_for((1, height, width, 3)))
    targets = pixels * sum(outputs[layer] for layer in recipe.network.content_layers)
    # While a checkpoint is written, what the solver remembers is there twice, and the network holds nothing.
    at_work = max(activations, remembered) + remembered + targets + 12 * pixels * IMAGES
    return round(PROCESS_BYTES + network.megabytes * MEBIBYTE + at_work)


def can_estimate(features: str, recipe: Recipe) -> bool:
    """Whether the memory of a network and a recipe's layers is known."""
    network = NETWORKS.get(features.partition(" ")[0])
    return network is not None and set(recipe.network.layers) <= set(network.channels)


def _bytes_in_tiles(
    outputs: dict[str, float],
    geometry: dict[str, Geometry],
    height: int,
    width: int,
    tile: int,
    copies: float,
    gradient: float,
) -> float:
    """Return what one stage's tile takes, a float32 gradient being `gradient` times as large as what it is by."""
    before, largest, entered = Geometry(1, 0), 0.0, [0.0]
    for names in stages(outputs):
        last = geometry[names[-1]]
        own = before.stride * tile_of_stage(tile, before.stride)
        seen = math.prod(min(side, own + 2 * (last.reach - before.reach)) for side in (height, width))
        largest = max(largest, copies * seen * sum(outputs[name] for name in names))
        entered.append(outputs[names[-1]])
        before = last
    entered[-1] = 0.0  # nothing enters a stage after the last
    # On the way back, a stage has what entered it and those before, and the gradient by that and by what goes on.
    kept = max(sum(entered[: k + 1]) + gradient * (entered[k] + entered[k + 1]) for k in range(len(entered) - 1))
    return largest + kept * height * width


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
    """Return None if the whole image fits into the memory that is free, else the largest tile that does.

    Where not even the smallest fits, it is returned all the same, if it is smaller than the image.
    """
    for tile in (None, *(tile for tile in TILES if tile < max(height, width))):
        wanted = estimate_memory(height, width, recipe, precision, features=features, solver=solver, tile=tile)
        if wanted - PROCESS_BYTES <= SHARE * free:
            break
    return tile

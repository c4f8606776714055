"""How much memory a run will need, how much there is, and how large tiles may be."""

from __future__ import annotations

import math
import re
from pathlib import Path

import psutil

from nst_tf.engine.lbfgs import pairs_for
from nst_tf.engine.precision import onednn_is_on, this_device
from nst_tf.recipes import Recipe, find_recipe

MEBIBYTE = 2**20
# The constants below are fitted to peaks measured on a CPU; tests/benchmarks/README.md has the measurements.
# What Python, TensorFlow and Keras take before there is a picture, and what loading or learning a network takes; by the
# pixels of the content image, with a style image of 512 pixels.
PROCESS_BYTES = 590 * MEBIBYTE
NETWORK_BYTES = {"vgg19": 300 * MEBIBYTE, "vgg16": 300 * MEBIBYTE, "slim": 290 * MEBIBYTE, "offline": 290 * MEBIBYTE}
OFFLINE_LEARNING_BYTES, OFFLINE_LEARNING_BYTES_PER_PIXEL = 560 * MEBIBYTE, 85
# Of each layer's output, what the forward and the backward pass hold at once, with oneDNN's operations and without.
COPIES = {"vgg19": 1.5, "vgg16": 1.5, "slim": 2.3, "offline": 2.3}
COPIES_WITHOUT_ONEDNN = 2.4
# Of all that L-BFGS remembers, what a checkpoint holds besides while it is written and the network holds nothing.
LBFGS_COPIES = 1
# Float32 pictures held by the run besides the solver's own.
PICTURES = 9
# By block: how many convolutions and channels.
NETWORKS = {
    "vgg19": ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
    "vgg16": ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "slim": ((2, 24), (2, 48), (4, 80), (4, 176), (4, 208)),
    "offline": ((1, 32), (1, 64), (1, 128), (1, 128), (1, 128)),
}
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
        features: "vgg19", "vgg16", "slim" or "offline".
        solver: "fast" or "published".
        tile: Side of a tile in pixels, or None for the whole picture at once.

    Returns:
        Bytes, of the whole process on a CPU.  On a GPU the process's own share of them (about 600 MiB) lies in the
        host's memory, the rest in the GPU's.

    Raises:
        ValueError: If the recipe, its layers or the features are unknown.
    """
    recipe = find_recipe(recipe)
    if features not in NETWORKS:
        raise ValueError(f"Unknown features {features!r}; expected one of {', '.join(NETWORKS)}.")
    if not can_estimate(features, recipe):
        raise ValueError(f"Memory is known for VGG's layers only, not for all of {', '.join(recipe.layers)}.")
    depth = max(_block_and_convolution(layer) for layer in recipe.layers)
    seen = height * width
    if tile and tile < max(height, width):
        halo = 2 * _halo(depth, features)
        seen = min(tile + halo, height) * min(tile + halo, width)
    with_onednn = onednn_is_on() and this_device().kind == "CPU"
    copies = COPIES[features] if with_onednn else COPIES_WITHOUT_ONEDNN
    activations = copies * seen * _bytes_per_pixel(depth, features, precision)
    pixels = height * width
    copied = 12 * pixels * LBFGS_COPIES * _remembered_pictures(recipe, solver, height, width)
    pictures = 12 * pixels * (PICTURES + _pictures_of_solver(recipe, solver, height, width))
    targets = sum(_target_bytes(layer, pixels, features, precision) for layer in recipe.content_layers)
    network = NETWORK_BYTES[features] + max(activations, copied) + pictures + targets
    learning = OFFLINE_LEARNING_BYTES + OFFLINE_LEARNING_BYTES_PER_PIXEL * pixels if features == "offline" else 0
    return round(PROCESS_BYTES + max(network, learning))


def can_estimate(features: str, recipe: Recipe) -> bool:
    """Whether the memory of a network and a recipe's layers is known."""
    return features in NETWORKS and all(re.fullmatch(r"block[1-5]_(conv[1-4]|pool)", layer) for layer in recipe.layers)


def _pictures_of_solver(recipe: Recipe, solver: str, height: int, width: int) -> int:
    """Return how many float32 pictures a solver holds."""
    if solver == "published":
        # SciPy's L-BFGS-B keeps 2 · 20 + 5 pictures in float64.
        return 90 if recipe.optimizer and recipe.optimizer.name == "lbfgs" else 4
    # Adam has two moments at each resolution, L-BFGS its pairs, and both a direction.
    return 4 + _remembered_pictures(recipe, solver, height, width)


def _remembered_pictures(recipe: Recipe, solver: str, height: int, width: int) -> int:
    """Return how many float32 pictures our L-BFGS remembers, two in each pair; 0 of another method."""
    return 2 * pairs_for((1, height, width, 3)) if solver == "fast" and recipe.method == "lbfgs" else 0


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


def _block_and_convolution(layer: str) -> tuple[int, int]:
    """Return (4, 2) for block4_conv2; a pooling layer counts as its block's last convolution."""
    block, kind = layer.split("_")
    return int(block[-1]), int(kind[-1]) if kind.startswith("conv") else 4


def _layers(depth: tuple[int, int], features: str) -> list[tuple[int, int]]:
    """Return (block, channels) of every convolution down to the deepest."""
    deepest_block, deepest_convolution = depth
    layers = []
    for block, (convolutions, channels) in enumerate(NETWORKS[features][:deepest_block], start=1):
        count = min(convolutions, deepest_convolution) if block == deepest_block else convolutions
        layers += [(block, channels)] * count
    return layers


def _bytes_per_pixel(depth: tuple[int, int], features: str, precision: str) -> float:
    """Return what all layers' outputs take, per pixel of the picture."""
    size = 4 if precision == "float32" else 2
    layers = _layers(depth, features)
    convolutions = sum(channels / 4 ** (block - 1) for block, channels in layers) * size
    poolings = sum(channels / 4**block for block, (_, channels) in enumerate(NETWORKS[features][: depth[0] - 1], 1))
    first_in_float32 = layers[0][1] * (4 - size)
    return convolutions + poolings * size + first_in_float32


def _halo(depth: tuple[int, int], features: str) -> int:
    grid = 2 ** (depth[0] - 1)
    return math.ceil(sum(2 ** (block - 1) for block, _ in _layers(depth, features)) / grid) * grid


def _target_bytes(layer: str, pixels: int, features: str, precision: str) -> float:
    block, _ = _block_and_convolution(layer)
    halvings = block if layer.endswith("_pool") else block - 1
    return pixels / 4**halvings * NETWORKS[features][block - 1][1] * (4 if precision == "float32" else 2)

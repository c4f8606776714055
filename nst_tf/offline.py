"""A feature extractor learned from the two pictures themselves, in seconds, with nothing to download.

The network has the outline of VGG19: five blocks, halved in size after each, but one narrow convolution a block.  Its
filters come from spherical k-means on whitened 3 × 3 patches, block after block, so that each filter answers to one
kind of patch that these two pictures hold.  Whitening throws away the flat colour of a patch, so every block has a
second output beside its features: the picture itself, averaged down to the block's size.

A name of VGG19 maps onto this network by its block: `block4_conv1` to `block4_conv4` are all block 4's one
convolution, and `block4_pool` is what block 5 is given.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy import sparse
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from nst_tf.features import FeatureExtractor
from nst_tf.networks.vgg import Geometry

WIDTHS = (32, 64, 128, 128, 128)
CONVOLUTIONS = (2, 2, 4, 4, 4)  # of VGG19's blocks, whose names are understood
KERNEL = 3
# The order of magnitude of trained VGG19's activations (root mean square on photographs, caffe preprocessing).
ACTIVATION_SIZES = (
    (50, 200),
    (250, 300),
    (350, 350, 600, 1000),
    (700, 350, 200, 150),
    (60, 30, 20, 8),
)
# What the features of a unit picture are of those of one in caffe's range.
RANGES = {"caffe": 1.0, "torch": 1 / 57, "none": 1 / 255}
# One pixel more on every side, repeating the outermost: zeros would draw a dark frame around the picture.
BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))
PATCHES = 20_000
ROUNDS = 10
# Directions with less than this fraction of the largest variance are not amplified to full strength by whitening.
WHITENING_FLOOR = 0.01
KEPT_DIRECTIONS = 256
# A picture goes through a block in strips that give at most so many numbers each.  So the memory that a convolution
# takes is bounded, and only what a block hands to the next grows with the picture.
STRIP_NUMBERS = 2**25
# One thread learns at a time.
LEARNING = threading.Lock()


def offline_features(
    images: Sequence[tf.Tensor], layers: Iterable[str], *, seed: int = 0, imitate: str | None = None
) -> FeatureExtractor:
    """Learn a small VGG-shaped network from the pictures given, and freeze it.

    Args:
        images: The pictures to learn from, as a rule the content and the style image: each float32
            (1, height, width, 3), RGB in [0, 1].
        layers: Names of VGG19's layers; see the module's text for how they map onto this network.
        seed: Which patches are drawn and where k-means starts.  The same seed and pictures give the same network.
        imitate: "caffe", "torch" or "none" multiplies the features to about the size that trained VGG19's have under
            this preprocessing, for recipes whose constants were tuned to that; by default they have variance 1 before
            the ReLU.

    Returns:
        An extractor whose features have 32, 64, 128, 128 and 128 channels in blocks 1 to 5.  Each layer that is not a
        pooling layer has a companion (`extractor.companions`), the colours at its scale with a constant channel, whose
        Gram matrix holds the mean and covariance of the colours.

    Raises:
        ValueError: If a layer is not one of VGG19's, or `imitate` is unknown.

    Reference:
        Learning filters by k-means on whitened patches: Coates, Ng, "Learning Feature Representations with K-means",
        2012.  Scaling each unit to unit variance on the data: Krähenbühl et al., "Data-dependent Initializations of
        Convolutional Neural Networks", ICLR 2016.  That Gram matrices of untrained or random filters suffice for
        style and texture: He, Wang, Hopcroft, "A Powerful Generative Model Using Random Weights for the Deep Image
        Representation", NeurIPS 2016; Ustyuzhaninov et al., "What does it take to generate natural textures?",
        ICLR 2017.  Joining them for style transfer, and the low-pass colour term, are this project's.
    """
    layers = tuple(layers)
    if not layers:
        raise ValueError("Name at least one layer of VGG19, such as block4_conv2.")
    depth = max(_block_of(layer) for layer in layers)
    kernels = _learn_kernels([np.asarray(image) for image in images], depth, seed)
    return _extractor(kernels, layers, imitate)


def relearn(extractor: FeatureExtractor, images: Sequence[tf.Tensor], *, seed: int = 0) -> None:
    """Learn an offline extractor anew from other pictures, in place.

    What was traced for it stays good, which saves seconds for each picture after the first of a size.

    Args:
        extractor: What `offline_features` returned.
        images: As for `offline_features`.
        seed: As for `offline_features`.
    """
    depth = max(_block_of(layer) for layer in set(extractor.layers) - set(extractor.companions.values()))
    kernels = _learn_kernels([np.asarray(image) for image in images], depth, seed)
    for copy in (extractor, *extractor.kept.values()):
        if copy.style_grams is not None:
            copy.style_grams.clear()
        for block, weights in enumerate(kernels, start=1):
            copy.model.get_layer(f"block{block}_conv1").set_weights(list(weights))


def _block_of(layer: str) -> int:
    """Return 1 to 5 for a name of VGG19."""
    match = re.fullmatch(r"block([1-5])_(?:conv([1-4])|pool)", layer)
    if not match or (match[2] and int(match[2]) > CONVOLUTIONS[int(match[1]) - 1]):
        raise ValueError(
            f"The offline network has no layer {layer!r}; it takes VGG19's names, block1_conv1 to block5_conv4 and "
            "block1_pool to block5_pool."
        )
    return int(match[1])


def _learn_kernels(inputs: list[np.ndarray], depth: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Learn one kernel (3, 3, channels in, width) and bias (width,) a block, each on what the one before gives."""
    generator = np.random.default_rng(seed)
    learned = []
    # NumPy and SciPy on one thread: several spin while they wait for each other, which takes ten times longer on a
    # shared processor.  The limit is the whole process's, and so would be lifted by whoever is done first.
    with LEARNING, threadpool_limits(1):
        for width in WIDTHS[:depth]:
            share = PATCHES // len(inputs)
            patches = np.concatenate([_random_patches(block_input, share, generator) for block_input in inputs])
            filters, bias = _learn_filters(patches, width, generator)
            kernel = filters.reshape(KERNEL, KERNEL, -1, width)
            learned.append((kernel, bias))
            inputs = [_block(block_input, kernel, bias) for block_input in inputs]
    return learned


def _random_patches(block_input: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return (count, 3 · 3 · channels) patches from random places of (1, height, width, channels)."""
    rows, columns = (
        np.clip(generator.integers(0, side, count)[:, np.newaxis] + np.arange(-1, KERNEL - 1), 0, side - 1)
        for side in block_input.shape[1:3]
    )
    return block_input[0, rows[:, :, np.newaxis], columns[:, np.newaxis, :]].reshape(count, -1)


def _learn_filters(patches: np.ndarray, width: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return filters (patch size, width) and bias (width,) whose answers to the patches have mean 0 and variance 1."""
    mean = patches.mean(axis=0)
    centred = tf.constant(patches - mean)  # once, since every conversion copies a hundred megabytes
    whitening = _whitening(centred)  # (patch size, directions)
    centroids = _spherical_kmeans(_unit_rows(_product(centred, whitening)), width, generator)
    filters = _product(whitening, centroids.T)
    filters /= _product(centred, filters).std(axis=0) + 1e-8
    return filters.astype(np.float32), (-mean @ filters).astype(np.float32)


def _whitening(centred: tf.Tensor) -> np.ndarray:
    """Return the map onto the strongest principal directions, each scaled towards unit variance."""
    covariance = tf.matmul(centred, centred, transpose_a=True).numpy() / len(centred)
    size = len(covariance)
    variances, directions = eigh(covariance, subset_by_index=(max(0, size - KEPT_DIRECTIONS), size - 1))
    floor = WHITENING_FLOOR * variances[-1] + 1e-12
    return directions / np.sqrt(np.maximum(variances, 0) + floor)


def _spherical_kmeans(points: np.ndarray, clusters: int, generator: np.random.Generator) -> np.ndarray:
    """Cluster unit vectors by their cosine; return unit centroids (clusters, dimensions)."""
    centroids = points[generator.choice(len(points), clusters, replace=False)]
    points_tensor = tf.constant(points)
    for _ in range(ROUNDS):
        cosines = tf.matmul(points_tensor, centroids, transpose_b=True).numpy()
        nearest = cosines.argmax(axis=1)
        # A point counts by its cosine, so that one between two centroids pulls less on either.
        weights = cosines[np.arange(len(points)), nearest]
        membership = sparse.csr_array((weights, (nearest, np.arange(len(points)))), shape=(clusters, len(points)))
        sums = membership @ points
        empty = np.bincount(nearest, minlength=clusters) == 0
        sums[empty] = points[generator.integers(0, len(points), empty.sum())]
        centroids = _unit_rows(sums)
    return centroids


def _product(left: np.ndarray | tf.Tensor, right: np.ndarray) -> np.ndarray:
    """Multiply two matrices."""
    # By TensorFlow, whose idle threads sleep where NumPy's spin.
    return tf.matmul(left, right).numpy()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-8)


def _block(block_input: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return what a block hands to the next: convolution, ReLU, 2 × 2 average pooling."""
    height, width = block_input.shape[1:3]
    pooled = np.empty((1, height // 2, width // 2, len(bias)), np.float32)
    rows = max(2, STRIP_NUMBERS // (width * len(bias)) // 2 * 2)
    for top in range(0, height - 1, rows):
        seen = np.clip(np.arange(top - 1, min(top + rows, height) + 1), 0, height - 1)
        strip = np.pad(block_input[:, seen], ((0, 0), (0, 0), (1, 1), (0, 0)), "symmetric")
        features = tf.nn.relu(tf.nn.conv2d(strip, kernel, 1, "VALID") + bias)
        pooled[:, top // 2 : (top + rows) // 2] = tf.nn.avg_pool2d(features, 2, 2, "VALID")
    return pooled


def _activation_size(layer: str, imitate: str | None) -> float:
    """Return what a layer's features are multiplied by."""
    if imitate is None:
        return 1.0
    if imitate not in RANGES:
        raise ValueError(f"Cannot imitate {imitate!r}; expected one of {', '.join(RANGES)}.")
    number = CONVOLUTIONS[_block_of(layer) - 1] if layer.endswith("_pool") else int(layer[-1])
    return ACTIVATION_SIZES[_block_of(layer) - 1][number - 1] * RANGES[imitate]


def _extractor(
    kernels: list[tuple[np.ndarray, np.ndarray]], layers: tuple[str, ...], imitate: str | None
) -> FeatureExtractor:
    """Build the Keras model of the learned kernels, with the colours of each block beside its features."""
    image = keras.Input((None, None, 3))
    outputs: dict[str, keras.KerasTensor] = {}
    geometry: dict[str, Geometry] = {}
    features = colours = image
    reach = 0
    for block, (kernel, bias) in enumerate(kernels, start=1):
        stride = 2 ** (block - 1)
        reach += stride
        convolution = keras.layers.Conv2D(
            kernel.shape[-1], KERNEL, activation="relu", trainable=False, name=f"block{block}_conv1"
        )
        features = convolution(keras.ops.pad(features, BORDER, "symmetric"))
        convolution.set_weights([kernel, bias])
        for number in range(1, CONVOLUTIONS[block - 1] + 1):
            outputs[f"block{block}_conv{number}"] = features
            geometry[f"block{block}_conv{number}"] = Geometry(stride, reach)
        constant = keras.ops.ones_like(colours[..., :1])
        outputs[f"block{block}_colours"] = keras.ops.concatenate([colours, constant], axis=-1)
        features = keras.layers.AveragePooling2D(2, name=f"block{block}_pool")(features)
        outputs[f"block{block}_pool"] = features
        geometry[f"block{block}_pool"] = Geometry(2 * stride, reach)
        colours = keras.layers.AveragePooling2D(2)(colours)

    sized = {layer: _sized(outputs[layer], layer, imitate) for layer in layers}
    companions = {layer: f"{layer}_colours" for layer in layers if not layer.endswith("_pool")}
    for layer, companion in companions.items():
        sized[companion] = _sized(outputs[f"block{_block_of(layer)}_colours"], layer, imitate)
        geometry[companion] = Geometry(geometry[layer].stride, 0)
    return FeatureExtractor("offline", keras.Model(image, sized), companions=companions, geometry=geometry)


def _sized(output: keras.KerasTensor, layer: str, imitate: str | None) -> keras.KerasTensor:
    """Multiply an output to the size that a layer's features are to have, in float32 whatever it comes in."""
    size = _activation_size(layer, imitate)
    return output if size == 1 else keras.layers.Rescaling(size, dtype="float32")(output)

"""Networks of VGG's shape, built as Keras models from kernels and biases."""

from __future__ import annotations

import functools
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.ground.checks import one_of
from nst_tf.ground.files import user_path
from nst_tf.ground.keras_defaults import keras, neutral_keras
from nst_tf.ground.startup import onednn_is_on, processor
from nst_tf.networks.eight_bits import read_eight_bits
from nst_tf.networks.table import NETWORKS, with_poolings
from nst_tf.networks.weights import IMAGENET, digest_of, find_imagenet_weights

Convolution = tuple[np.ndarray, np.ndarray]  # kernel (3, 3, channels in, channels) and bias (channels,), float32
POOLING = ("max", "average")
BORDERS = ("zeros", "replicate", "replicate_first")
# Where an image in tiles is put together again.  What block 1 leaves would take more memory than this saves.
CUTS = ("block2_pool", "block3_pool", "block4_pool")


class Geometry(NamedTuple):
    """How the positions of a layer lie on the image."""

    stride: int  # how many pixels from one position to the next
    reach: int  # how many pixels a position sees beyond its own stride × stride pixels, on every side
    partial: bool = False  # whether the last pixels of a side have a position too, where they do not fill a stride

    def positions(self, pixels: Any) -> Any:
        """Return how many positions a side of `pixels` pixels has; an int or a tensor."""
        return -(-pixels // self.stride) if self.partial else pixels // self.stride

    def after(self, earlier: Geometry) -> Geometry:
        """Return how they lie on the positions of an earlier layer."""
        return Geometry(self.stride // earlier.stride, (self.reach - earlier.reach) // earlier.stride, self.partial)


class ReplicateBorder(keras.layers.Layer):
    """Adds one position on every side, repeating the outermost."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Return (batch, height + 2, width + 2, channels)."""
        return keras.ops.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")


class FrozenConvolution(keras.layers.Conv2D):
    """A convolution that is never trained, computed as the gradient of its mirror image where that is faster.

    A convolution's gradient by its input is a convolution again, with the kernel turned by 180° and its channels
    exchanged.  With a kernel that is a variable, on an x86 processor with AVX2 and without AVX-512, oneDNN computes
    gradients with its fastest convolution, but the forward pass with one that takes up to seven times as long.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return (batch, height, width, channels), after the activation."""
        if self.compute_dtype != "float32" or not _gradients_are_faster():
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel.value)
        turned = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))

        @tf.custom_gradient
        def convolve(tensor: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            height, width = tf.unstack(tf.shape(tensor)[1:3])
            same = _input_gradient(tensor, turned, (height, width), "SAME")
            outputs = same if self.padding == "same" else same[:, 1:-1, 1:-1]
            return outputs, lambda above: _input_gradient(above, kernel, (height, width), self.padding.upper())

        return self.activation(tf.nn.bias_add(convolve(inputs), self.bias.value))


@functools.cache
def _gradients_are_faster() -> bool:
    """Whether oneDNN computes here, on an x86 processor that is not known to have AVX-512."""
    on_x86 = platform.machine().lower() in ("x86_64", "amd64") and "avx512f" not in processor()[1]
    return on_x86 and onednn_is_on() and not tf.config.list_physical_devices("GPU")


def _input_gradient(above: tf.Tensor, kernel: tf.Tensor, size: tuple[Any, Any], padding: str) -> tf.Tensor:
    """Return the gradient of a convolution by its input of a size, from that by its output."""
    shape = (tf.shape(above)[0], *size, kernel.shape[2])
    return tf.nn.conv2d_transpose(above, kernel, shape, 1, padding)


def down_to_deepest(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return those of a network's layers, in order, that are needed for the ones wanted."""
    names = list(names)
    return names[: 1 + max(names.index(layer) for layer in wanted)]


def stages(names: Iterable[str]) -> list[list[str]]:
    """Divide layers, in order, after each of `CUTS`; one that nothing follows divides nothing."""
    divided: list[list[str]] = [[]]
    for name in names:
        if divided[-1] and divided[-1][-1] in CUTS:
            divided.append([])
        divided[-1].append(name)
    return divided


def geometry_of(names: Iterable[str], border: str = "zeros") -> dict[str, Geometry]:
    """Return the geometry of a network's layers, given in order from the first."""
    geometry, stride, reach = {}, 1, 0
    for name in names:
        if name.endswith("_pool"):
            stride *= 2
        else:
            reach += stride
        geometry[name] = Geometry(stride, reach, border == "replicate")
    return geometry


def tile_of_stage(tile: int, stride: int) -> int:
    """Return the side of a stage's tiles, in positions of what enters it, for tiles of `tile` pixels."""
    # Later ones cover four times the area: block 3 holds a third of what blocks 1 and 2 do, and others less.
    return tile if stride == 1 else 2 * tile // stride


def check_layers(layers: tuple[str, ...], known: list[str], network: str) -> None:
    """Raise ValueError unless there is a layer, and all of them are known."""
    if not layers:
        raise ValueError(f"Name at least one layer of {network}: {', '.join(known)}.")
    for layer in layers:
        one_of(layer, known, f"layer of {network}")


@neutral_keras()
def build_network(
    convolutions: Mapping[str, Convolution],
    layers: Iterable[str],
    *,
    pooling: str = "max",
    border: str = "zeros",
    taps: Mapping[str, np.ndarray] | None = None,
) -> tuple[keras.Model, dict[str, Geometry]]:
    """Build a network down to the deepest layer asked for.

    Args:
        convolutions: By Keras's name, in order: kernel (3, 3, channels in, channels) and bias (channels,), float32.
        layers: Which of them, and of the pooling layers, are the model's outputs.
        pooling: "max" or "average".
        border: What the convolutions see beyond the edge: "zeros"; "replicate", the outermost values again; or
            "replicate_first", these at the first convolution and zeros at the others.
        taps: By layer, a linear map (channels, outputs) that its features go through on their way out.

    Returns:
        The model, from preprocessed images (batch, height, width, 3) to features by layer; and the geometry of its
        layers, in order.
    """
    layers = tuple(layers)
    geometry = geometry_of(down_to_deepest(with_poolings(convolutions), layers), border)
    tensor = image = keras.Input((None, None, 3))
    outputs = {}
    for name in geometry:
        if name in convolutions:
            kernel, bias = convolutions[name]
            replicated = border == "replicate" or (border == "replicate_first" and tensor is image)
            if replicated:
                tensor = ReplicateBorder(name=f"{name}_border")(tensor)
            padding = "valid" if replicated else "same"
            layer = FrozenConvolution(kernel.shape[-1], 3, padding=padding, activation="relu", name=name)
            tensor = layer(tensor)
            layer.set_weights([kernel, bias])
        else:
            pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
            # Without zeros around it an image has no outermost pixels that count for less, nor any left out.
            tensor = pool(2, padding="same" if border == "replicate" else "valid", name=name)(tensor)
        if name in layers:
            outputs[name] = tensor
            if taps:
                tap = keras.layers.Conv2D(taps[name].shape[-1], 1, use_bias=False, name=f"{name}_tap")
                outputs[name] = tap(tensor)
                tap.set_weights([taps[name][np.newaxis, np.newaxis]])
    model = keras.Model(image, {layer: outputs[layer] for layer in layers})
    model.trainable = False
    return model, geometry


@neutral_keras()
def read_vgg(network: str, weights: str | os.PathLike | None) -> tuple[dict[str, Convolution], str]:
    """Return the convolutions of a network by name, in order, and a word for where they are from.

    The weights are "imagenet", the path of a Keras weights file, or None for random ones, He-normal from a fixed seed.
    """
    channels = NETWORKS[network].channels
    if weights is None:
        return _drawn(channels), "random"
    found = find_imagenet_weights(network) if weights == "imagenet" else None
    path = found.path if found else user_path(weights)
    if not path.is_file():
        raise ValueError(
            f"There is no weights file {str(path)!r}. Give a path, 'imagenet', or None for random weights."
        )
    # As `keras.applications` has it, whose files say by the order of layers which weights are whose, but without
    # drawing random ones first, which takes half a second.
    tensor = image = keras.Input((None, None, 3))
    for name, count in channels.items():
        convolution = keras.layers.Conv2D(count, 3, padding="same", kernel_initializer="zeros", name=name)
        tensor = (keras.layers.MaxPooling2D(2, name=name) if name.endswith("_pool") else convolution)(tensor)
    model = _loaded(keras.Model(image, tensor), network, path)
    convolutions = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    origin = path.name if not found else "imagenet" if found.exact else "imagenet, 8 bits"
    return convolutions, origin


@neutral_keras()
def keras_vgg19() -> keras.Model:
    """Return Keras's own VGG19 without its top, with ImageNet's weights.

    It equals `keras.applications.VGG19(include_top=False)`, but takes the weights from Keras's cache or fetches them,
    exact or in 8 bits, as `features="vgg19"` does.

    Returns:
        Model from images (batch, height, width, 3), preprocessed as "caffe" (see `preprocess`), to what block5_pool
        gives, (batch, height // 32, width // 32, 512).

    Raises:
        ValueError: If the weights cannot be had or read.
    """
    path = find_imagenet_weights("vgg19").path
    return _loaded(keras.applications.VGG19(include_top=False, weights=None), "vgg19", path)


def _loaded(model: keras.Model, network: str, path: Path) -> keras.Model:
    """Return the model of a network without its top, with weights from a file of Keras or one in 8 bits."""
    refusal = f"{str(path)!r} does not hold the weights of {network.upper()} without its top"
    # Keras leaves a layer that the file lacks as it was, and only warns; NaN shows which those are.
    model.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in model.weights])
    try:
        if path.suffix == ".bin":
            in_8_bits = [file for file in IMAGENET[network].values() if not file.exact]
            if not any(digest_of(path, file) == file.digest for file in in_8_bits):
                raise ValueError("it is not the published file; delete it, and run `python -m nst_tf weights`")
            model.set_weights([array for layer in read_eight_bits(path).values() for array in layer])
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{refusal} ({error}).") from error
    missing = [layer.name for layer in model.layers if any(np.isnan(values).any() for values in layer.get_weights())]
    if missing:
        raise ValueError(f"{refusal}: {', '.join(missing)} are missing.")
    return model


def _drawn(channels: Mapping[str, int]) -> dict[str, Convolution]:
    generator, before, convolutions = np.random.default_rng(0), 3, {}
    for name, count in channels.items():
        if not name.endswith("_pool"):
            kernel = generator.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, count)).astype(np.float32)
            convolutions[name] = kernel, np.zeros(count, np.float32)
            before = count
    return convolutions

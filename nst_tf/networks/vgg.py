"""Networks of VGG's shape, built as Keras models from kernels and biases: VGG19, VGG16 and the slim network.

Five blocks of 3 × 3 convolutions with ReLU, a 2 × 2 pooling after each (Simonyan and Zisserman 2015, table 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

POOLING = ("max", "average")
BORDERS = ("zeros", "replicate")


class Geometry(NamedTuple):
    """How the positions of a layer lie on the picture.

    Args:
        stride: How many pixels from one position to the next.
        reach: How many pixels a position sees beyond its own stride × stride pixels, on every side.
    """

    stride: int
    reach: int


class ReplicateBorder(keras.layers.Layer):
    """Adds one position on every side, repeating the outermost."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Return (batch, height + 2, width + 2, channels)."""
        return keras.ops.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), "symmetric")


def layer_names(convolutions: Iterable[str]) -> list[str]:
    """Return the names of convolutions in order, such as block1_conv2, with each block's pooling layer after them."""
    names: list[str] = []
    for name in convolutions:
        if names and names[-1].split("_")[0] != name.split("_")[0]:
            names.append(f"{names[-1].split('_')[0]}_pool")
        names.append(name)
    return [*names, f"{names[-1].split('_')[0]}_pool"]


def build_network(
    convolutions: Mapping[str, tuple[np.ndarray, np.ndarray]],
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
        border: What the convolutions see beyond the edge: "zeros", or "replicate", the outermost values again.
        taps: By layer, a linear map (channels, outputs) that its features go through on their way out.

    Returns:
        The model, from preprocessed pictures (batch, height, width, 3) to features by layer; and the geometry of each
        of these layers.
    """
    names, layers = layer_names(convolutions), tuple(layers)
    tensor = image = keras.Input((None, None, 3))
    outputs, geometry, stride, reach = {}, {}, 1, 0
    for name in names[: 1 + max(names.index(layer) for layer in layers)]:
        if name in convolutions:
            kernel, bias = convolutions[name]
            reach += stride
            if border == "replicate":
                tensor = ReplicateBorder(name=f"{name}_border")(tensor)
            padding = "valid" if border == "replicate" else "same"
            layer = keras.layers.Conv2D(kernel.shape[-1], 3, padding=padding, activation="relu", name=name)
            tensor = layer(tensor)
            layer.set_weights([kernel, bias])
        else:
            stride *= 2
            pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
            tensor = pool(2, name=name)(tensor)
        if name in layers:
            outputs[name] = _tapped(tensor, name, taps[name]) if taps else tensor
            geometry[name] = Geometry(stride, reach)
    model = keras.Model(image, {layer: outputs[layer] for layer in layers})
    model.trainable = False
    return model, geometry


def _tapped(features: keras.KerasTensor, name: str, tap: np.ndarray) -> keras.KerasTensor:
    layer = keras.layers.Conv2D(tap.shape[-1], 1, use_bias=False, name=f"{name}_tap")
    output = layer(features)
    layer.set_weights([tap[np.newaxis, np.newaxis]])
    return output

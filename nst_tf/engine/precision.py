"""Which floating-point type the network computes in, chosen by what the device has, and networks made to compute in it.

Only the convolutions and poolings of the network are ever in half precision.  The image, the convolution that reads
it, Gram matrices, losses and the optimizer stay in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nst_tf.controls.scene import shrunk
from nst_tf.engine.solver import SMALLEST_GRADIENT
from nst_tf.features import FeatureExtractor, preprocess
from nst_tf.ground.checks import one_of
from nst_tf.ground.keras_defaults import neutral_keras
from nst_tf.ground.startup import processor
from nst_tf.losses import float32_at_least
from nst_tf.networks.vgg import ReplicateBorder

PRECISIONS = ("float32", "bfloat16", "float16")
WORDS = ("auto", *PRECISIONS)
CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")
IMAGE_CHANNELS = 3
CONVERTED = (keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, ReplicateBorder)
# Powers of two, far below float16's largest number (65504) and far above where it loses digits (6e-5).
LARGEST_ACTIVATION = 2.0**8
SAMPLE_SIDE = 256
# The largest entry of a gradient before it goes back through a network in float16.
LARGEST_GRADIENT = 2.0**6


@dataclass(frozen=True)
class Device:
    """What the choice of a precision depends on."""

    kind: str  # "CPU" or "GPU"
    name: str  # as the system gives it
    instructions: frozenset[str] = frozenset()  # of a CPU, its extensions in Linux's words, such as "avx512_bf16"
    compute_capability: tuple[int, int] | None = None  # of an NVIDIA GPU, such as (7, 5); None if unknown


@dataclass(frozen=True)
class Precision:
    """A floating-point type, and why it is the one to use."""

    name: str
    reason: str


def this_device() -> Device:
    """Return the device that TensorFlow will compute on: its first GPU, else the CPU."""
    for gpu in tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        name = details.get("device_name", gpu.name)
        return Device("GPU", name, compute_capability=details.get("compute_capability"))
    name, instructions = processor()
    return Device("CPU", name, instructions=instructions)


def choose_precision(device: Device, wanted: str = "auto") -> Precision:
    """Return the fastest precision that a device has the hardware for, or the one asked for.

    Args:
        device: As from `this_device`.
        wanted: "auto", "float32", "bfloat16" or "float16".

    Raises:
        ValueError: If `wanted` is none of these, or float16 is wanted on a CPU.
    """
    one_of(wanted, WORDS, "precision")
    if wanted == "float16" and device.kind == "CPU":
        raise ValueError("float16 is for GPUs; on a CPU choose precision='auto', 'bfloat16' or 'float32'.")
    if wanted != "auto":
        return Precision(wanted, "asked for")
    if device.kind == "CPU":
        found = [name for name in CPU_BFLOAT16 if name in device.instructions]
        if found:
            return Precision("bfloat16", f"this CPU has {found[0]}")
        return Precision("float32", "this CPU has no bfloat16 instructions")
    if device.compute_capability is None:
        return Precision("float32", "the GPU does not report its compute capability")
    capability = ".".join(map(str, device.compute_capability))
    if device.compute_capability >= (8, 0):
        return Precision("bfloat16", f"the GPU has compute capability {capability}")
    if device.compute_capability >= (7, 0):
        return Precision("float16", f"the GPU has compute capability {capability}, and no bfloat16")
    return Precision("float32", f"the GPU has compute capability {capability}, and no fast half precision")


def extractor_in_precision(extractor: FeatureExtractor, precision: str, image: tf.Tensor) -> FeatureExtractor:
    """Copy an extractor in float32 so that it computes in a precision; in float32 it is itself.

    The image, float32 (1, height, width, 3), RGB in [0, 1], is a sample of what it will be given.
    """
    if precision == "float32":
        return extractor
    sample = None
    if precision == "float16":
        # Of a large image a small one, whose activations fit into memory all at once in float32.
        small = shrunk(image, min(1.0, SAMPLE_SIDE / max(image.shape[1:3])))
        sample = preprocess(small, extractor.preprocessing)
    copied = copy.copy(extractor)
    copied.model, copied.objectives = in_precision(extractor.model, precision, sample), {}
    return copied


@neutral_keras()
def in_precision(model: keras.Model, precision: str, sample: tf.Tensor | None = None) -> keras.Model:
    """Copy a functional network with a dictionary of outputs so that its convolutions and poolings are in a precision.

    What works on the image's own channels stays in float32, since an image in half precision is a coarser image, and
    that error reaches every layer.

    With a sample of what the model takes, preprocessed, its activations are kept in float16's range.  Convolution, ReLU
    and pooling commute with a positive factor, so a layer's activations are multiplied by any s if its kernel is
    multiplied by s and divided by the s of the layer before, and its bias multiplied by s.  Each s is a power of two,
    which loses nothing in floating point, and the outputs are divided by it in float32.
    """

    def converted(layer: keras.Operation) -> keras.Operation:
        if not isinstance(layer, keras.Layer):
            return layer
        half = isinstance(layer, CONVERTED) and layer.input.shape[-1] > IMAGE_CHANNELS
        return layer.__class__.from_config({**layer.get_config(), **({"dtype": precision} if half else {})})

    copied = keras.models.clone_model(model, clone_function=converted)
    factors = {} if sample is None else _factors(model, sample)
    for layer in model.layers:
        if weights := layer.get_weights():
            if factors:
                before, after = factors[id(layer.input)], factors[id(layer.output)]
                weights = [weights[0] * (after / before), *(bias * after for bias in weights[1:])]
            copied.get_layer(layer.name).set_weights(weights)
    outputs = copied.output
    if factors:
        scales = {name: 1 / factors[id(output)] for name, output in model.output.items()}
        outputs = {
            name: keras.layers.Rescaling(scale, dtype="float32", name=f"{name}_unscaled")(outputs[name])
            for name, scale in scales.items()
        }
    copied = (Float16Network if precision == "float16" else keras.Model)(copied.input, outputs)
    copied.trainable = False
    return copied


class Float16Network(keras.Model):
    """A network in float16, through which gradients go back in that type's range.

    What comes back to its outputs is multiplied by one factor, and what leaves it at its input is divided by that.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> dict[str, tf.Tensor]:
        """Return features by layer, in float32."""
        scales = []

        @tf.custom_gradient
        def enter(tensor: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            return tf.identity(tensor), lambda gradient: gradient / scales[-1]

        @tf.custom_gradient
        def leave(*features: tf.Tensor) -> tuple[list[tf.Tensor], Callable]:
            def back(*gradients: tf.Tensor) -> list[tf.Tensor]:
                largest = tf.reduce_max([tf.reduce_max(tf.abs(gradient)) for gradient in gradients])
                scales.append(LARGEST_GRADIENT / tf.maximum(largest, SMALLEST_GRADIENT))
                return [tf.cast(scales[-1] * g, part.dtype) for g, part in zip(gradients, features, strict=True)]

            return [tf.identity(float32_at_least(part)) for part in features], back

        features = super().call(enter(inputs), training=training, mask=mask)
        return dict(zip(features, leave(*features.values()), strict=True))


def _factors(model: keras.Model, sample: tf.Tensor) -> dict[int, float]:
    """Return the factor of each tensor of a model by its identity; {} if a step does not commute with a factor."""
    values, factors = {id(model.inputs[0]): sample}, {id(model.inputs[0]): 1.0}
    for step in model.operations:
        if isinstance(step, keras.layers.InputLayer):
            continue
        is_convolution = isinstance(step, keras.layers.Conv2D)
        linear = is_convolution and step.activation in (keras.activations.relu, keras.activations.linear)
        if not linear and (is_convolution or not isinstance(step, CONVERTED)):
            return {}
        values[id(step.output)] = output = step(values[id(step.input)])
        factors[id(step.output)] = factors[id(step.input)]
        if is_convolution:
            largest = float(tf.reduce_max(tf.abs(output))) or LARGEST_ACTIVATION  # a layer may be silent
            factors[id(step.output)] = 2.0 ** np.floor(np.log2(LARGEST_ACTIVATION / largest))
    return factors

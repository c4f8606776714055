"""Which floating-point type the network computes in, chosen by what the device has, and networks made to compute in it.

Only the convolutions and poolings of the network are ever in half precision.  The image, the convolution that reads
it, Gram matrices, losses and the optimiser stay in float32.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from nst_tf.features import FeatureExtractor, preprocess
from nst_tf.ground.checks import one_of
from nst_tf.ground.keras_defaults import in_neutral_keras
from nst_tf.ground.startup import processor
from nst_tf.networks.vgg import ReplicateBorder

PRECISIONS = ("float32", "bfloat16", "float16")
CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")
IMAGE_CHANNELS = 3
CONVERTED = (keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, ReplicateBorder)
# A power of two, far below float16's largest number (65504) and far above its smallest (6e-8).
LARGEST_ACTIVATION = 2.0**8


@dataclass(frozen=True)
class Device:
    """What the choice of a precision depends on.

    Args:
        kind: "CPU" or "GPU".
        name: As the system gives it.
        instructions: Of a CPU, the extensions it has, in Linux's words such as "avx512_bf16".
        compute_capability: Of an NVIDIA GPU, such as (7, 5); None if unknown.
    """

    kind: str
    name: str
    instructions: frozenset[str] = frozenset()
    compute_capability: tuple[int, int] | None = None


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
    check_precision(wanted)
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


def check_precision(wanted: str) -> None:
    """Raise ValueError for a word that stands for no precision."""
    one_of(wanted, ("auto", *PRECISIONS), "precision")


@in_neutral_keras
def extractor_in_precision(extractor: FeatureExtractor, precision: str, image: tf.Tensor) -> FeatureExtractor:
    """Copy an extractor so that it computes in a precision; the copy is made once, and kept with the extractor.

    Args:
        extractor: In float32.
        precision: "float32" returns the extractor itself.
        image: A sample of its input, float32 (1, height, width, 3), RGB in [0, 1].
    """
    if precision == "float32":
        return extractor
    key = f"extractor in {precision}"
    if key not in extractor.kept:
        sample = preprocess(image, extractor.preprocessing) if precision == "float16" else None
        model = in_precision(extractor.model, precision, sample)
        extractor.kept[key] = copied = copy.copy(extractor)
        copied.model, copied.kept, copied.evaluations = model, {}, {}
    return extractor.kept[key]


def in_precision(model: keras.Model, precision: str, sample: tf.Tensor | None = None) -> keras.Model:
    """Copy a network so that its convolutions and poolings compute in a precision.

    What works on the image's own channels stays in float32, since an image in half precision is a coarser image, and
    that error reaches every layer.

    Args:
        model: A functional Keras model with a dictionary of outputs.
        precision: "float32", "bfloat16" or "float16".
        sample: What the model takes, preprocessed, if its activations must stay in float16's range.  Convolution, ReLU
            and pooling commute with a positive factor, so a layer's activations are multiplied by any s if its kernel
            is multiplied by s and divided by the s of the layer before, and its bias multiplied by s.  Each s is a
            power of two, which loses nothing in floating point, and the outputs are divided by it in float32.
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
    if factors:
        outputs = {
            name: keras.layers.Rescaling(1 / factors[id(output)], dtype="float32", name=f"{name}_unscaled")(
                copied.output[name]
            )
            for name, output in model.output.items()
        }
        copied = keras.Model(copied.input, outputs)
    copied.trainable = False
    return copied


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
            largest = float(tf.reduce_max(tf.abs(output)))
            factors[id(step.output)] = 2.0 ** np.floor(np.log2(LARGEST_ACTIVATION / max(largest, 1e-30)))
    return factors

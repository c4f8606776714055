"""Which floating-point type the network computes in, chosen by what the device has, and networks made to compute in it.

Only the convolutions and poolings of the network are ever in half precision.  The picture, the convolution that reads
it, Gram matrices, losses and the optimiser stay in float32.
"""

from __future__ import annotations

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
PICTURE_CHANNELS = 3
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
        return Precision("float32", "the GPU does not tell what it can do")
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
    """Copy an extractor so that it computes in a precision; for float16, rescaled if its network can be.

    The copy is made once, and kept with the extractor.

    Args:
        extractor: In float32.
        precision: "float32" returns the extractor itself.
        image: A picture such as it will be given, float32 (1, height, width, 3), RGB in [0, 1].
    """
    if precision == "float32":
        return extractor
    key = f"extractor in {precision}"
    if not (copy := extractor.kept.get(key)):
        model = extractor.model
        if precision == "float16":
            model = rescaled(model, preprocess(image, extractor.preprocessing))
        copy = FeatureExtractor(
            extractor.name,
            in_precision(model, precision),
            preprocessing=extractor.preprocessing,
            geometry=extractor.geometry,
            channels=extractor.channels,
        )
        extractor.kept[key] = copy
    return copy


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Copy a network so that its convolutions and poolings compute in a precision.

    What works on the picture's own channels stays in float32, since a picture in half precision is a coarser picture,
    and that error reaches every layer.

    Args:
        model: A functional Keras model with a dictionary of outputs.
        precision: "bfloat16" or "float16".
    """

    def converted(layer: keras.Operation) -> keras.Operation:
        if not _is_converted(layer):
            return layer if not isinstance(layer, keras.Layer) else layer.__class__.from_config(layer.get_config())
        return layer.__class__.from_config({**layer.get_config(), "dtype": precision})

    copy = keras.models.clone_model(model, clone_function=converted)
    for layer in model.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    copy.trainable = False
    return copy


def rescaled(model: keras.Model, image: tf.Tensor) -> keras.Model:
    """Copy a network so that its activations stay in float16's range, and its outputs are what they were.

    Convolution, ReLU and pooling commute with a positive factor, so a layer's activations are multiplied by any s if
    its kernel is multiplied by s and divided by the s of the layer before, and its bias multiplied by s.  Each s is a
    power of two, which loses nothing in floating point, and the outputs are divided by it in float32.

    Args:
        model: With a dictionary of outputs; returned as it is, unless made of convolutions (with ReLU or no activation)
            and poolings alone, each with one input.
        image: What the model takes, preprocessed; its activations say how large s may be.
    """
    steps = [step for step in model.operations if not isinstance(step, keras.layers.InputLayer)]
    if not all(map(_commutes, steps)):
        return model
    picture = keras.Input((None, None, image.shape[-1]))
    source = model.inputs[0]
    # Of each tensor of the model, by its identity: that of the copy, its value, and its factor.
    made = {id(source): (picture, image, 1.0)}
    for layer in steps:
        tensor, activation, before = made[id(layer.input)]
        activation, scale = layer(activation), before
        copy = layer.__class__.from_config(layer.get_config())
        if layer.weights:
            largest = float(tf.reduce_max(tf.abs(activation)))
            scale = 2.0 ** np.floor(np.log2(LARGEST_ACTIVATION / max(largest, 1e-30)))
        tensor = copy(tensor)
        if layer.weights:
            kernel, *bias = layer.get_weights()
            copy.set_weights([kernel * (scale / before), *(values * scale for values in bias)])
        made[id(layer.output)] = (tensor, activation, scale)
    outputs = {}
    for name, output in model.output.items():
        tensor, _, scale = made[id(output)]
        outputs[name] = keras.layers.Rescaling(1 / scale, dtype="float32", name=f"{name}_unscaled")(tensor)
    copied = keras.Model(picture, outputs)
    copied.trainable = False
    return copied


def _commutes(step: keras.Operation) -> bool:
    """Whether a step of a network commutes with a positive factor."""
    if isinstance(step, keras.layers.Conv2D):
        return step.activation in (keras.activations.relu, keras.activations.linear)
    return isinstance(step, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, ReplicateBorder))


def _is_converted(layer: keras.Operation) -> bool:
    kinds = (keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, ReplicateBorder)
    return isinstance(layer, kinds) and layer.input.shape[-1] > PICTURE_CHANNELS

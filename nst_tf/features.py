"""Feature extractors: networks that turn a picture into the activations of chosen layers.

Layer names are Keras's own, such as `block4_conv2`.  Preprocessing lives inside the extractor, so that a picture is
always RGB in [0, 1] outside of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from nst_tf.ground.checks import one_of
from nst_tf.ground.keras_defaults import keras
from nst_tf.networks.slim import read_slim
from nst_tf.networks.vgg import BLOCKS, Geometry, build_network, check_layers, check_network, read_vgg

PREPROCESSING = ("caffe", "torch", "tf", "none")

# The mean colour of ImageNet in VGG's own units, and in the units that PyTorch's models use.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
TORCH_MEAN_RGB = (0.485, 0.456, 0.406)
TORCH_STANDARD_DEVIATION_RGB = (0.229, 0.224, 0.225)


class FeatureExtractor:
    """A frozen network that returns the features of chosen layers.

    Args:
        name: What to call it in reports, such as "vgg19 (imagenet)".
        model: Keras model from preprocessed pictures to a dictionary of features by layer name.
        preprocessing: One of "caffe", "torch", "tf", "none".
        geometry: The `Geometry` of each layer.  Without it a picture cannot be computed in tiles.
        channels: For some layers, the number of channels that losses divide by, where it is not the features' own.  The
            slim network's features stand for those of VGG19, which has more.

    Example:
        >>> extractor = vgg19_features(["block1_conv1", "block4_conv2"])
        >>> extractor(content_image)["block4_conv2"].shape
        TensorShape([1, 64, 48, 512])
    """

    def __init__(
        self,
        name: str,
        model: keras.Model,
        *,
        preprocessing: str = "none",
        geometry: Mapping[str, Geometry] | None = None,
        channels: Mapping[str, int] | None = None,
    ):
        _check_preprocessing(preprocessing)
        self.name = name
        self.model = model
        self.layers = tuple(model.output)
        self.preprocessing = preprocessing
        self.geometry = dict(geometry or {})
        self.channels = dict(channels or {})
        self.kept: dict[str, Any] = {}  # copies in other precisions, by name
        self.evaluations: dict[str, Any] = {}  # what was traced for it, for pictures of all sizes

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the features of a picture.

        Args:
            image: float32 (batch, height, width, 3), RGB in [0, 1].

        Returns:
            By layer name, (batch, height, width, channels).
        """
        return self.model(preprocess(image, self.preprocessing), training=False)

    def clear_caches(self) -> None:
        """Clear traced functions and copies, which hold references back to this extractor."""
        self.evaluations.clear()
        self.kept.clear()

    def __repr__(self) -> str:
        return f"FeatureExtractor({self.name!r}, layers={list(self.layers)})"


def preprocess(image: tf.Tensor, preprocessing: str) -> tf.Tensor:
    """Bring a picture into the range a network was trained with.

    Args:
        image: (batch, height, width, 3), RGB in [0, 1].
        preprocessing: In Keras's words: "caffe" is BGR in [0, 255] minus ImageNet's mean; "torch" is RGB minus the
            mean, divided by the standard deviation; "tf" is RGB in [−1, 1]; "none" changes nothing.

    Raises:
        ValueError: If the word is another.
    """
    if preprocessing == "caffe":
        return image[..., ::-1] * 255.0 - tf.constant(CAFFE_MEAN_BGR, image.dtype)
    if preprocessing == "torch":
        mean, deviation = (tf.constant(c, image.dtype) for c in (TORCH_MEAN_RGB, TORCH_STANDARD_DEVIATION_RGB))
        return (image - mean) / deviation
    if preprocessing == "tf":
        return image * 2.0 - 1.0
    _check_preprocessing(preprocessing)
    return image


def _check_preprocessing(preprocessing: str) -> None:
    one_of(preprocessing, PREPROCESSING, "preprocessing")


def vgg19_features(
    layers: Iterable[str],
    *,
    weights: str | os.PathLike | None = "imagenet",
    pooling: str = "max",
    preprocessing: str = "caffe",
    border: str = "zeros",
) -> FeatureExtractor:
    """Make a feature extractor of VGG19, truncated at the deepest layer asked for.

    Args:
        layers: Names such as "block1_conv1" to "block5_conv4", or "block1_pool" to "block5_pool".
        weights: "imagenet" (from Keras's cache, else downloaded), the path of a Keras weights file of VGG19 without
            its top, or None for random weights from a fixed seed.
        pooling: "max" as published, or "average" (the plain mean), which Gatys et al. found to look better.
        preprocessing: "caffe" as the network was trained, "torch", "tf" or "none".
        border: What the convolutions see beyond the edge: "zeros" as published, or "replicate", the outermost values
            again, which leaves no frame along the edges of the stylized picture.

    Raises:
        ValueError: If a layer or option is unknown, or the weights cannot be had or read.

    Reference:
        Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1,
        column E.
    """
    return _vgg_features("vgg19", layers, weights, preprocessing, {"pooling": pooling, "border": border})


def vgg16_features(
    layers: Iterable[str],
    *,
    weights: str | os.PathLike | None = "imagenet",
    pooling: str = "max",
    preprocessing: str = "caffe",
    border: str = "zeros",
) -> FeatureExtractor:
    """Make a feature extractor of VGG16; see `vgg19_features`.  Its blocks 3 to 5 have three convolutions each.

    Reference:
        Simonyan, Zisserman 2015, table 1, column D.
    """
    return _vgg_features("vgg16", layers, weights, preprocessing, {"pooling": pooling, "border": border})


def slim_features(
    layers: Iterable[str], *, pooling: str = "max", preprocessing: str = "caffe", border: str = "zeros"
) -> FeatureExtractor:
    """Make a feature extractor of the slim network: a small VGG19 that comes with the package.

    It was fitted to VGG19 with ImageNet's weights, whose layer names and preprocessing it shares.  Its features are
    VGG19's in a rotated basis with fewer channels, so their Gram matrices and differences are about as large as
    VGG19's, and so are losses with a published recipe's constants.

    Args:
        layers: Names such as "block1_conv1" to "block5_conv4", or "block1_pool" to "block5_pool".
        pooling: "max" or "average".
        preprocessing: "caffe", "torch", "tf" or "none".
        border: "zeros" or "replicate".

    Raises:
        ValueError: If a layer or option is unknown.

    Reference:
        He, Zhang, Sun: "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, and the other sources
        that `research/slim/distil.py` names.
    """
    options = {"pooling": pooling, "border": border}
    _check_preprocessing(preprocessing)
    layers = check_network("slim", layers, **options)
    slim = read_slim()
    taps = {layer: slim.tap(layer, preprocessing, pooling) for layer in layers}
    model, geometry = build_network(slim.convolutions, layers, taps=taps, **options)
    channels = {layer: BLOCKS["vgg19"][int(layer[5]) - 1][1] for layer in layers}
    return FeatureExtractor("slim", model, preprocessing=preprocessing, geometry=geometry, channels=channels)


def keras_features(
    model: keras.Model, layers: Iterable[str], *, preprocessing: str, name: str | None = None
) -> FeatureExtractor:
    """Make a feature extractor of any Keras model that takes pictures.

    Args:
        model: A functional Keras model with one input of shape (batch, height, width, 3).
        layers: Names of its layers.
        preprocessing: What its input is to be: "caffe", "torch", "tf" or "none".
        name: What to call it in reports; the model's own name if not given.

    Raises:
        ValueError: If a layer is not in the model.
    """
    layers = tuple(layers)
    check_layers(layers, [layer.name for layer in model.layers], model.name)
    truncated = keras.Model(model.input, {layer: model.get_layer(layer).output for layer in layers})
    return FeatureExtractor(name or model.name, truncated, preprocessing=preprocessing)


def _vgg_features(
    network: str, layers: Iterable[str], weights: str | os.PathLike | None, preprocessing: str, options: dict[str, str]
) -> FeatureExtractor:
    _check_preprocessing(preprocessing)
    layers = check_network(network, layers, **options)
    convolutions, origin = read_vgg(network, weights)
    model, geometry = build_network(convolutions, layers, **options)
    return FeatureExtractor(f"{network} ({origin})", model, preprocessing=preprocessing, geometry=geometry)

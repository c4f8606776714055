"""Feature extractors: networks that turn an image into the activations of chosen layers.

Layer names are Keras's own, such as `block4_conv2`.  Preprocessing lives inside the extractor, so that an image is
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
from nst_tf.networks.table import NETWORKS
from nst_tf.networks.vgg import BORDERS, POOLING, Geometry, build_network, check_layers, read_vgg

PREPROCESSING = ("caffe", "torch", "tf", "none")

# The mean color of ImageNet in VGG's own units, and in the units that PyTorch's models use.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
TORCH_MEAN_RGB = (0.485, 0.456, 0.406)
TORCH_STANDARD_DEVIATION_RGB = (0.229, 0.224, 0.225)


class FeatureExtractor:
    """A frozen network that returns the features of chosen layers.

    Args:
        name: What to call it in reports, such as "vgg19 (imagenet)".
        model: Keras model from preprocessed images to a dictionary of features by layer name.
        preprocessing: One of "caffe", "torch", "tf", "none".
        geometry: The `Geometry` of each layer.  Without it an image cannot be computed in tiles.
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
        one_of(preprocessing, PREPROCESSING, "preprocessing")
        self.name = name
        self.model = model
        self.layers = tuple(model.output)
        self.preprocessing = preprocessing
        self.geometry = dict(geometry or {})
        self.channels = dict(channels or {})
        self.objectives: dict[str, Any] = {}  # those of earlier runs, with what was traced for images of all sizes

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the features of an image.

        Args:
            image: float32 (batch, height, width, 3), RGB in [0, 1].

        Returns:
            By layer name, (batch, height of the layer, width of the layer, channels).
        """
        # (batch, H, W, 3) -> {layer: (batch, ≈ H / stride, ≈ W / stride, channels)}; each pooling doubles the stride
        return self.model(preprocess(image, self.preprocessing), training=False)

    def __repr__(self) -> str:
        return f"FeatureExtractor({self.name!r}, layers={list(self.layers)})"


def preprocess(image: tf.Tensor, preprocessing: str) -> tf.Tensor:
    """Bring an image into the range a network was trained with.

    Args:
        image: (batch, height, width, 3), RGB in [0, 1].
        preprocessing: In Keras's words: "caffe" is BGR in [0, 255] minus ImageNet's mean; "torch" is RGB minus the
            mean, divided by the standard deviation; "tf" is RGB in [−1, 1]; "none" changes nothing.

    Raises:
        ValueError: If the word is another.
    """
    if preprocessing == "caffe":
        return image[..., ::-1] * 255.0 - tf.constant(CAFFE_MEAN_BGR, image.dtype)  # (batch, height, width, 3), BGR
    if preprocessing == "torch":
        mean, deviation = (tf.constant(c, image.dtype) for c in (TORCH_MEAN_RGB, TORCH_STANDARD_DEVIATION_RGB))
        return (image - mean) / deviation
    if preprocessing == "tf":
        return image * 2.0 - 1.0
    one_of(preprocessing, PREPROCESSING, "preprocessing")
    return image


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
            again, which leaves no frame along the edges of the stylized image.

    Raises:
        ValueError: If a layer or option is unknown, or the weights are not available or cannot be read.

    Reference:
        Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1,
        column E.
    """
    options = {"pooling": pooling, "preprocessing": preprocessing, "border": border}
    return network_features("vgg19", layers, weights=weights, **options)


def vgg16_features(layers: Iterable[str], **options: Any) -> FeatureExtractor:
    """Make a feature extractor of VGG16, with the options of `vgg19_features`.

    Its blocks 3 to 5 have three convolutions each.

    Reference:
        Simonyan, Zisserman 2015, table 1, column D.
    """
    return network_features("vgg16", layers, **options)


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
        border: "zeros", "replicate" or "replicate_first".

    Raises:
        ValueError: If a layer or option is unknown.

    Reference:
        He, Zhang, Sun: "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, and the other sources
        that `research/slim/distil.py` names.
    """
    return network_features("slim", layers, pooling=pooling, preprocessing=preprocessing, border=border)


def network_features(
    network: str,
    layers: Iterable[str],
    *,
    weights: str | os.PathLike | None = "imagenet",
    pooling: str = "max",
    preprocessing: str = "caffe",
    border: str = "zeros",
) -> FeatureExtractor:
    """Make a feature extractor of a network by its name in `NETWORKS`; for the rest, see `vgg19_features`."""
    one_of(network, NETWORKS, "network")
    one_of(pooling, POOLING, "pooling")
    one_of(border, BORDERS, "border")
    layers = tuple(layers)
    check_layers(layers, list(NETWORKS[network].channels), network)
    name, taps, channels = network, {}, {}
    if NETWORKS[network].bundled:
        slim = read_slim()
        convolutions = slim.convolutions
        taps = {layer: slim.tap(layer, preprocessing, pooling) for layer in layers}
        channels = {layer: NETWORKS[network].channels[layer] for layer in layers}
    else:
        convolutions, origin = read_vgg(network, weights)
        name = f"{network} ({origin})"
    model, geometry = build_network(convolutions, layers, pooling=pooling, border=border, taps=taps)
    return FeatureExtractor(name, model, preprocessing=preprocessing, geometry=geometry, channels=channels)


def keras_features(model: keras.Model, layers: Iterable[str], *, preprocessing: str) -> FeatureExtractor:
    """Make a feature extractor of any Keras model that takes images.

    Args:
        model: A functional Keras model with one input of shape (batch, height, width, 3).
        layers: Names of its layers.
        preprocessing: What its input is to be: "caffe", "torch", "tf" or "none".

    Raises:
        ValueError: If a layer is not in the model.
    """
    layers = tuple(layers)
    check_layers(layers, [layer.name for layer in model.layers], model.name)
    truncated = keras.Model(model.input, {layer: model.get_layer(layer).output for layer in layers})
    return FeatureExtractor(model.name, truncated, preprocessing=preprocessing)

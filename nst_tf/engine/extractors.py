"""Finding the network that a word stands for."""

from __future__ import annotations

import functools
import os
import threading
import warnings

import tensorflow as tf

from nst_tf.features import FeatureExtractor, network_features
from nst_tf.ground.files import file_signature
from nst_tf.networks.table import NETWORKS
from nst_tf.networks.weights import WeightsUnavailableError, find_imagenet_weights
from nst_tf.recipes import Recipe

FEATURES = ("auto", *NETWORKS)
_lock = threading.Lock()


def find_features(features: str | os.PathLike | FeatureExtractor, recipe: Recipe) -> FeatureExtractor:
    """Return the extractor that a word stands for; see `stylize`.

    Raises:
        ValueError: If the word is unknown, the weights are not available, or an extractor lacks a layer of the recipe.
    """
    layers = recipe.network.layers
    if isinstance(features, FeatureExtractor):
        missing = [layer for layer in layers if layer not in features.layers]
        if missing:
            raise ValueError(
                f"The recipe {recipe.name!r} needs {', '.join(missing)}, which {features.name} does not give; "
                f"make the extractor with layers={list(layers)}."
            )
        return features
    features = os.fspath(features) if isinstance(features, os.PathLike) else features
    check_features(features)
    features = resolve_auto(features)
    with _lock:
        return _make(features, file_signature(features), layers, **recipe.network.options)


def resolve_auto(features: str) -> str:
    """Return what "auto" stands for here, VGG19 on a GPU if its weights are available, else slim; or another word."""
    if features != "auto":
        return features
    if tf.config.get_visible_devices("GPU"):
        try:
            find_imagenet_weights("vgg19")
            return "vgg19"
        except WeightsUnavailableError as error:
            warnings.warn(f"Going on with the slim network. {error}", stacklevel=4)
    return "slim"


@functools.lru_cache(maxsize=6)  # for all runs of this process that ask for the same
def _make(features: str, signature: str, layers: tuple[str, ...], **options: str) -> FeatureExtractor:
    """Make the network of a word, or of a file of weights with a signature."""
    network, weights = (features, "imagenet") if features in NETWORKS else ("vgg19", features)
    return network_features(network, layers, weights=weights, **options)


def check_features(features: str) -> None:
    """Raise ValueError for a word that stands for no features."""
    if features not in FEATURES and not (isinstance(features, str) and features.endswith(".h5")):
        raise ValueError(
            f"Unknown features {features!r}; expected one of {', '.join(FEATURES)}, the path of a weights file (.h5), "
            "or a FeatureExtractor."
        )

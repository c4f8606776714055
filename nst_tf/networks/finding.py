"""Finding the network that a word stands for."""

from __future__ import annotations

import os
import threading
import warnings

import tensorflow as tf

from nst_tf.features import FeatureExtractor, slim_features, vgg16_features, vgg19_features
from nst_tf.networks.weights import WeightsUnavailableError
from nst_tf.pictures.files import version_of
from nst_tf.recipes import Recipe

FEATURES = ("auto", "slim", "vgg19", "vgg16")
# The networks of this process, made once for all runs that ask for the same.
MOST_NETWORKS = 3
_networks: dict[str, FeatureExtractor] = {}
_lock = threading.Lock()


def find_features(features: str | os.PathLike | FeatureExtractor, recipe: Recipe) -> FeatureExtractor:
    """Return the extractor that a word stands for; see `stylize`.

    Raises:
        ValueError: If the word is unknown, the weights cannot be had, or an extractor lacks one of the recipe's layers.
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
    if features == "auto":
        features = "slim"
        if tf.config.get_visible_devices("GPU"):
            try:
                return _kept("vgg19", recipe)
            except WeightsUnavailableError as error:
                warnings.warn(f"Going on with the slim network. {error}", stacklevel=3)
    return _kept(features, recipe)


def _kept(features: str, recipe: Recipe) -> FeatureExtractor:
    """Return the network of a word or a file, made if this process has not made it yet."""
    layers, options = recipe.network.layers, recipe.network.options
    key = repr((version_of(features), recipe.network))
    with _lock:
        if key not in _networks:
            while len(_networks) >= MOST_NETWORKS:
                _networks.pop(next(iter(_networks))).forget()
            if features in ("slim", "vgg16"):
                _networks[key] = (slim_features if features == "slim" else vgg16_features)(layers, **options)
            else:
                weights = "imagenet" if features == "vgg19" else features
                _networks[key] = vgg19_features(layers, weights=weights, **options)
        return _networks[key]


def check_features(features: str) -> None:
    """Raise ValueError for a word that stands for no features."""
    if features not in FEATURES and not (isinstance(features, str) and features.endswith(".h5")):
        raise ValueError(
            f"Unknown features {features!r}; expected one of {', '.join(FEATURES)}, the path of a weights file (.h5), "
            "or a FeatureExtractor."
        )

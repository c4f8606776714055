"""Finding the network that a word stands for."""

from __future__ import annotations

import os
import warnings

import tensorflow as tf

from nst_tf.features import FeatureExtractor, slim_features, vgg16_features, vgg19_features
from nst_tf.networks.weights import WeightsUnavailableError
from nst_tf.recipes import Recipe

FEATURES = ("auto", "slim", "vgg19", "vgg16")


def find_features(features: str | os.PathLike | FeatureExtractor, recipe: Recipe) -> FeatureExtractor:
    """Return the extractor that a word stands for; see `stylize`.

    Raises:
        ValueError: If the word is unknown, the weights cannot be had, or an extractor lacks one of the recipe's layers.
    """
    layers, options = recipe.network.layers, recipe.network.options
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
    if features == "auto" and tf.config.get_visible_devices("GPU"):
        try:
            return vgg19_features(layers, **options)
        except WeightsUnavailableError as error:
            warnings.warn(f"Going on with the slim network. {error}", stacklevel=3)
    if features in ("auto", "slim"):
        return slim_features(layers, **options)
    if features == "vgg16":
        return vgg16_features(layers, **options)
    return vgg19_features(layers, weights="imagenet" if features == "vgg19" else features, **options)


def check_features(features: str) -> None:
    """Raise ValueError for a word that stands for no features."""
    if features == "offline":
        raise ValueError("features='offline' is no more; use features='slim', which needs no download either.")
    if features not in FEATURES and not (isinstance(features, str) and features.endswith(".h5")):
        raise ValueError(
            f"Unknown features {features!r}; expected one of {', '.join(FEATURES)}, the path of a weights file (.h5), "
            "or a FeatureExtractor."
        )

"""A gradient through a network in two parts, so that what goes back through float16 can be brought into its range."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from nst_tf.engine.solver import SMALLEST_GRADIENT
from nst_tf.losses import float32_at_least

# The largest entry of a gradient before it goes back through a network in float16, whose numbers end at 65504 and
# lose their digits below 6e-5.
FLOAT16_GRADIENT = 2.0**6


def value_and_gradient(
    of_features: Callable[[dict[str, tf.Tensor]], tuple],
    extractor: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    image: tf.Tensor,
    *,
    scaled: bool,
) -> tuple[tuple, tf.Tensor]:
    """Return a function of an image and its features, and the gradient of its first value with respect to the image.

    Args:
        of_features: From features to a tuple of scalars; what it does with the image itself is watched too.
        extractor: Returns the features.
        image: The image, or what enters a part of the network.
        scaled: Whether to bring what goes back through the network into float16's range.
    """
    with tf.GradientTape() as network_tape:
        network_tape.watch(image)
        # Two names may stand for one tensor, whose gradient would then count twice.
        features = {layer: tf.identity(part) for layer, part in extractor(image).items()}
    lifted = {layer: float32_at_least(part) for layer, part in features.items()}
    with tf.GradientTape() as tape:
        tape.watch([image, lifted])
        values = of_features(lifted)
    direct, upstream = tape.gradient(values[0], [image, lifted], unconnected_gradients="zero")
    scale = tf.ones((), image.dtype)
    if scaled:
        largest = tf.reduce_max([tf.reduce_max(tf.abs(part)) for part in upstream.values()])
        scale = FLOAT16_GRADIENT / tf.maximum(largest, SMALLEST_GRADIENT)
    back = {layer: tf.cast(part * scale, features[layer].dtype) for layer, part in upstream.items()}
    through = network_tape.gradient(features, image, output_gradients=back, unconnected_gradients="zero")
    return values, direct + through / scale

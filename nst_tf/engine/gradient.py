"""The losses of a picture and their gradient, of the whole picture at once; `nst_tf.engine.tiles` does it in tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from nst_tf.controls.styles import Style
from nst_tf.engine.solver import SMALLEST_GRADIENT
from nst_tf.losses import float32_at_least
from nst_tf.objective import Losses, Objective, Targets, find_targets

# The largest entry of a gradient before it goes back through a network in float16, whose numbers end at 65504 and
# lose their digits below 6e-5.
FLOAT16_GRADIENT = 2.0**6


class WholePicture:
    """Computes the losses of a picture and their gradient in one pass.

    Args:
        objective: Whose losses.
        scaled: Bring gradients into float16's range on their way back through the network.
    """

    traceable = True

    def __init__(self, objective: Objective, *, scaled: bool = False):
        self.objective = objective
        self._scaled = scaled

    def targets(self, content_image: tf.Tensor, styles: Sequence[Style]) -> Targets:
        """Return what pictures are compared with."""
        return find_targets(self.objective.recipe, self.objective.extractor, content_image, styles)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of a picture, float32 (1, height, width, 3)."""
        return self.objective.losses(image, targets)

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of a picture, and the gradient of the total with respect to it."""
        objective = self.objective

        def of_features(features: dict[str, tf.Tensor]) -> Losses:
            return objective.weigh(objective.sums(features, targets.content, targets.masks()), image, targets)

        losses, gradient = value_and_gradient(of_features, objective.extractor, image, scaled=self._scaled)
        return losses, targets.where_wanted(gradient)


def value_and_gradient(
    of_features: Callable[[dict[str, tf.Tensor]], tuple],
    extractor: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    image: tf.Tensor,
    *,
    scaled: bool,
) -> tuple[tuple, tf.Tensor]:
    """Return a function of a picture and its features, and the gradient of its first value by the picture.

    Args:
        of_features: From features to a tuple of scalars; what it does with the picture itself is watched too.
        extractor: Returns the features.
        image: The picture.
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

"""The losses of an image and their gradient, of the whole image at once; `nst_tf.engine.tiles` does it in tiles."""

from __future__ import annotations

import tensorflow as tf

from nst_tf.controls.scene import Scene
from nst_tf.engine.gradient import value_and_gradient
from nst_tf.engine.solver import traced
from nst_tf.engine.tiles import Tiles
from nst_tf.objective import Losses, Objective, Targets, find_targets


class WholeImage:
    """Computes the losses of an image and their gradient in one pass, which TensorFlow traces once for each shape.

    Args:
        objective: Whose losses.
        tile: Side of a tile in pixels, for style images that are larger than that; None if there are no tiles.
        scaled: Bring gradients into float16's range on their way back through the network.
    """

    def __init__(self, objective: Objective, *, tile: int | None = None, scaled: bool = False):
        self._objective = objective
        self._tile = tile
        self._evaluate = traced(self._scaled if scaled else objective.losses_and_gradient)

    def find_targets(self, scene: Scene) -> Targets:
        """Return what images are compared with."""
        if self._tile and max(max(style.image.shape[1:3]) for style in scene.styles) > self._tile:
            return Tiles(self._objective, self._tile).find_targets(scene)
        objective = self._objective
        targets = find_targets(objective.recipe, objective.extractor, scene.content_image, scene.styles)
        return targets._replace(held=scene.held(), grey=scene.grey)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of an image, float32 (1, height, width, 3)."""
        return self._objective.losses(tf.convert_to_tensor(image), targets)

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of an image, and the gradient of the total with respect to it, (1, height, width, 3)."""
        # As a tensor: a traced function would take another variable, of another size, for another function.
        return self._evaluate(tf.convert_to_tensor(image), targets)

    def _scaled(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        objective = self._objective

        def of_features(features: dict[str, tf.Tensor]) -> Losses:
            return objective.weigh(objective.sums(features, targets.content, targets.masks()), image, targets)

        losses, gradient = value_and_gradient(of_features, objective.extractor, image, scaled=True)
        return losses, targets.where_wanted(gradient)

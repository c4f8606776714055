"""Holding a picture to another while it is optimised, as a video's frame to the frame before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.engine.solver import Evaluation
from nst_tf.pictures.contract import as_image, number


@dataclass(frozen=True, eq=False)
class Previous:
    """A stylized picture that a run starts from and may be held to, as that of a video's frame before.

    Args:
        image: x′, float32 (1, height, width, 3), RGB in [0, 1], of the content image's size.
        weight: w of the term w · Σ m (x − x′)² / (3 Σ m) that is added to the total loss, in that loss's unit.
        unchanged: m, where the run starts from the earlier picture and is held to it, float32 (height, width), in
            [0, 1]; everywhere if not given.

    Raises:
        ValueError: If a picture or mask breaks its contract, or the weight is negative.

    Reference:
        Ruder, Dosovitskiy, Brox: "Artistic style transfer for videos", GCPR 2016, section 5; the earlier picture there
        is moved along the optical flow first, here it is taken as it is.
    """

    image: tf.Tensor = field(repr=False)
    weight: float = 0.0
    unchanged: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        """Reject invalid pictures, masks and weights."""
        object.__setattr__(self, "image", tf.constant(as_image(self.image, "previous image")))
        number(self.weight, "the weight of the previous picture")
        size, unchanged = tuple(self.image.shape[1:3]), self.unchanged
        if unchanged is not None and not (unchanged.shape == size and 0 <= unchanged.min() <= unchanged.max() <= 1):
            raise ValueError(f"unchanged must hold numbers in [0, 1] for each of {size[0]} × {size[1]} pixels.")

    def over(self, image: tf.Tensor) -> tf.Tensor:
        """Return this picture where it is unchanged, and another elsewhere."""
        if self.unchanged is None:
            return self.image
        unchanged = self.unchanged[np.newaxis, :, :, np.newaxis]
        return unchanged * self.image + (1 - unchanged) * image


class HeldTargets(NamedTuple):
    """What a held picture is compared with.

    Args:
        targets: Of the evaluation itself.
        image: x′, (1, height, width, 3).
        weights: w · m / (3 Σ m), (1, height, width, 1).
    """

    targets: Any
    image: tf.Tensor
    weights: tf.Tensor


class Held:
    """An evaluation whose total loss also grows with the distance from another picture.

    Args:
        evaluation: Whose losses and gradient are added to.
    """

    def __init__(self, evaluation: Evaluation):
        self._evaluation = evaluation
        self.traceable = evaluation.traceable

    def losses(self, image: tf.Tensor, targets: HeldTargets) -> tuple:
        """Return the losses of a picture; only the total holds the term."""
        losses = self._evaluation.losses(image, targets.targets)
        difference = image - targets.image
        return losses._replace(total=losses.total + tf.reduce_sum(targets.weights * tf.square(difference)))

    def losses_and_gradient(self, image: tf.Tensor, targets: HeldTargets) -> tuple[tuple, tf.Tensor]:
        """Return the same, and the gradient of the total with respect to the picture."""
        losses, gradient = self._evaluation.losses_and_gradient(image, targets.targets)
        pull = targets.weights * (image - targets.image)
        total = losses.total + tf.reduce_sum(pull * (image - targets.image))
        return losses._replace(total=total), gradient + 2 * pull


def held_targets(targets: Any, previous: Previous) -> HeldTargets:
    """Return what a held picture of the previous one's size is compared with."""
    unchanged = np.ones(previous.image.shape[1:3], np.float32) if previous.unchanged is None else previous.unchanged
    weights = previous.weight * unchanged / (3 * max(float(unchanged.sum()), 1.0))
    return HeldTargets(targets, previous.image, tf.constant(weights[np.newaxis, :, :, np.newaxis], tf.float32))

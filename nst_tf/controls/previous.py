"""Holding an image to another while it is optimized, as a video's frame to the frame before."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from nst_tf.ground.checks import as_image, number


@dataclass(frozen=True, eq=False)
class Previous:
    """A stylized image that a run starts from and may be held to, as that of a video's frame before.

    Args:
        image: x′, float32 (1, height, width, 3), RGB in [0, 1], of the content image's size.
        weight: w of the term w · Σ m (x − x′)² / (3 Σ m) that is added to the total loss, in that loss's unit.
        unchanged: m, where the run starts from the earlier image and is held to it, float32 (height, width), in
            [0, 1]; everywhere if not given.

    Raises:
        ValueError: If an image or mask breaks its contract, or the weight is negative.

    Reference:
        Ruder, Dosovitskiy, Brox: "Artistic style transfer for videos", GCPR 2016, section 5; the earlier image there
        is moved along the optical flow first, here it is taken as it is.
    """

    image: tf.Tensor = field(repr=False)
    weight: float = 0.0
    unchanged: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        """Reject invalid images, masks and weights."""
        object.__setattr__(self, "image", tf.constant(as_image(self.image, "previous image")))
        number(self.weight, "the weight of the previous picture")
        size = tuple(self.image.shape[1:3])
        unchanged = np.ones(size, np.float32) if self.unchanged is None else self.unchanged
        if not (unchanged.shape == size and 0 <= unchanged.min() <= unchanged.max() <= 1):
            raise ValueError(f"unchanged must hold numbers in [0, 1] for each of {size[0]} × {size[1]} pixels.")
        object.__setattr__(self, "unchanged", unchanged)

    def over(self, image: tf.Tensor) -> tf.Tensor:
        """Return this image where it is unchanged, and another elsewhere."""
        unchanged = self.unchanged[np.newaxis, :, :, np.newaxis]
        return unchanged * self.image + (1 - unchanged) * image

    def held(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Return this image and w · m / (3 Σ m), float32 (1, height, width, 1); None without a weight."""
        if not self.weight:
            return None
        weights = self.weight * self.unchanged / (3 * max(float(self.unchanged.sum()), 1.0))
        return self.image, tf.constant(weights[np.newaxis, :, :, np.newaxis], tf.float32)

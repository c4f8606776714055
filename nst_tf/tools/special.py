"""Texture and reconstruction: what is left of the one objective when a weight is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.ground.checks import MIN_SIDE
from nst_tf.images import load_image
from nst_tf.transfer import Result, stylize

TEXTURE_STYLE_WEIGHT = 100.0
TEXTURE_STEPS = 80
RECONSTRUCTION_LAYER = "block4_conv2"


def texture(style_image: Any, *, height: int, width: int, **options: Any) -> Result:
    """Make a texture of any size: style without content, started from noise.

    Args:
        style_image: float32 (1, height, width, 3), RGB in [0, 1], or whatever `stylize` takes for a style.
        height: Of the texture, in pixels.
        width: Of the texture, in pixels.
        **options: As for `stylize`.

    Returns:
        The result; its image is float32 (1, height, width, 3).

    Raises:
        ValueError: As `stylize`.

    Reference:
        Gatys, Ecker, Bethge: "Texture Synthesis Using Convolutional Neural Networks", NeurIPS 2015, equation 3.
    """
    # Without content the content image says nothing but the size.
    gray = np.full((MIN_SIDE, MIN_SIDE, 3), 0.5, np.float32)
    size = load_image(gray, size=(height, width), name="the texture")
    defaults = {"content_weight": 0.0, "style_weight": TEXTURE_STYLE_WEIGHT, "start": "noise"}
    # From noise, L-BFGS on Gram matrices from small to large leaves no grain, and the Wasserstein distance does.
    defaults |= {"style_form": "relative", "method": "lbfgs", "coarsest": 64, "steps": TEXTURE_STEPS}
    return stylize(size, style_image, **{**defaults, **options})


def reconstruct(content_image: tf.Tensor, *, layer: str = RECONSTRUCTION_LAYER, **options: Any) -> Result:
    """Reconstruct an image from the features of one layer: content without style, started from noise.

    What comes back sharp is what the layer knows of the image, and what comes back wrong is what it forgets.

    Args:
        content_image: float32 (1, height, width, 3), RGB in [0, 1].
        layer: Whose features.
        **options: As for `stylize`.

    Returns:
        The result.

    Raises:
        ValueError: As `stylize`.

    Reference:
        Gatys, Ecker, Bethge 2016, section 2.1 and figure 1; Mahendran, Vedaldi: "Understanding deep image
        representations by inverting them", CVPR 2015.
    """
    defaults = {"content_layers": {layer: 1.0}, "style_layers": {layer: 1.0}, "style_weight": 0.0, "start": "noise"}
    # The style image is asked for nothing when it has no weight.
    return stylize(content_image, content_image, **{**defaults, **options})

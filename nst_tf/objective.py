"""The objective: what a recipe, a network and two pictures ask for, as a function from a picture to its losses.

The losses of content and style are functions of sums over positions: Σ(F − P)² and FᵀF.  Sums of parts of a picture
add up to those of the whole, which is what lets a picture be computed in tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from nst_tf.features import TORCH_STANDARD_DEVIATION_RGB, FeatureExtractor
from nst_tf.losses import content_scale, float32_at_least, gram_matrix, style_loss, total_variation_loss

if TYPE_CHECKING:
    from nst_tf.recipes import Recipe

# What the span from black to white is in the units that a source's constants are given in, by channel.
UNITS = {
    "unit": (1.0, 1.0, 1.0),
    "caffe": (255.0, 255.0, 255.0),
    "torch": tuple(1 / deviation for deviation in TORCH_STANDARD_DEVIATION_RGB),
}


class Losses(NamedTuple):
    """The total and its three parts, each weighted as it enters the total; scalars in float32."""

    total: tf.Tensor
    content: tf.Tensor
    style: tf.Tensor
    total_variation: tf.Tensor


class Targets(NamedTuple):
    """What the generated image is compared with.

    Args:
        content: P by content layer, (1, height, width, channels).
        content_scales: By content layer, what Σ(F − P)² is multiplied by in the recipe's form of the content loss.
        style: a, a normalised Gram matrix, by style layer, (1, channels, channels).
    """

    content: dict[str, tf.Tensor]
    content_scales: dict[str, tf.Tensor]
    style: dict[str, tf.Tensor]


class Sums(NamedTuple):
    """Of a picture or a part of one, what its losses are made of.

    Args:
        squares: Σ(F − P)² by content layer, scalars.
        grams: FᵀF by style layer, not normalised, (1, channels, channels).
        positions: M by style layer, scalars.
    """

    squares: dict[str, tf.Tensor]
    grams: dict[str, tf.Tensor]
    positions: dict[str, tf.Tensor]


class Objective:
    """The losses of a picture under a recipe; see `Recipe.objective`.

    Args:
        recipe: Which layers, forms and weights.
        extractor: Returns the features of at least the recipe's layers.
        targets: What `find_targets` returns, for calling it on a picture alone.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor, targets: Targets | None = None):
        self.recipe = recipe
        self.extractor = extractor
        self.targets = targets

    def __call__(self, image: tf.Tensor) -> Losses:
        """Return the weighted losses of a picture of the content image's size, float32 (1, height, width, 3)."""
        return self.losses(image, self.targets)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return α · content + β · style + total variation and its parts, against any targets of the same shapes."""
        return self.weigh(self.sums(self.extractor(image), targets.content), image, targets)

    def sums(self, features: dict[str, tf.Tensor], content: dict[str, tf.Tensor]) -> Sums:
        """Return the sums of a picture or a part of one, from its features and the content features there."""
        squares, grams, positions = {}, {}, {}
        for layer in self.recipe.content_layers:
            difference = float32_at_least(features[layer]) - float32_at_least(content[layer])
            squares[layer] = tf.reduce_sum(tf.square(difference))
        for layer in weighted_style_layers(self.recipe, self.extractor):
            grams[layer] = gram_matrix(features[layer], normalize=False)
            positions[layer] = tf.cast(tf.reduce_prod(tf.shape(features[layer])[1:3]), grams[layer].dtype)
        return Sums(squares, grams, positions)

    def weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of a picture whose sums are known."""
        recipe = self.recipe
        pixels = tf.cast(tf.reduce_prod(tf.shape(image)[1:3]), image.dtype)
        content = style = total_variation = tf.zeros((), image.dtype)
        for layer, weight in recipe.content_layers.items():
            content += weight * targets.content_scales[layer] * sums.squares[layer]
        for layer, weight in weighted_style_layers(recipe, self.extractor).items():
            positions = sums.positions[layer]
            gram, target = sums.grams[layer] / positions, targets.style[layer]
            style += weight * style_loss(gram, target, form=recipe.style_form, positions=positions, image_pixels=pixels)
        if recipe.total_variation_weight:
            in_units = image * UNITS[recipe.total_variation_units][0]
            total_variation = total_variation_loss(in_units, form=recipe.total_variation_form)
            if recipe.total_variation_per_pixel:
                total_variation /= pixels
        content *= recipe.content_weight
        style *= recipe.style_weight
        total_variation *= recipe.total_variation_weight
        return Losses(content + style + total_variation, content, style, total_variation)


def find_targets(
    recipe: Recipe, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: tf.Tensor
) -> Targets:
    """Return the features of the content image and the Gram matrices of the style image.

    Args:
        recipe: Which layers.
        extractor: Returns the features of at least these.
        content_image: float32 (1, height, width, 3), RGB in [0, 1].
        style_image: The same.
    """
    of_content, of_style = extractor(content_image), extractor(style_image)
    content = {layer: of_content[layer] for layer in recipe.content_layers}
    return Targets(
        content=content,
        content_scales={layer: content_scale(target, form=recipe.content_form) for layer, target in content.items()},
        style={layer: gram_matrix(of_style[layer]) for layer in weighted_style_layers(recipe, extractor)},
    )


def weighted_style_layers(recipe: Recipe, extractor: FeatureExtractor) -> dict[str, float]:
    """Return the style layers and their weights, each followed by its companion where the extractor has one."""
    weighted = {}
    for layer, weight in recipe.style_layers.items():
        weighted[layer] = weight
        if layer in extractor.companions:
            weighted[extractor.companions[layer]] = weight
    return weighted

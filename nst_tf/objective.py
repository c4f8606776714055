"""The objective: what a recipe, a network and two pictures ask for, as a function from a picture to its losses.

The losses of content and style are functions of sums over positions: Σ(F − P)² and FᵀF.  Sums of parts of a picture
add up to those of the whole, which is what lets a picture be computed in tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.controls.styles import Style
from nst_tf.engine.checkpoints import fingerprint
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
# A region that covers less than this of a layer covers nothing of it.
SMALLEST_COVER = 1e-6
# Remembered of one extractor; those of VGG19's five layers take two megabytes a style.
MOST_STYLES = 16


class Losses(NamedTuple):
    """The total and its three parts, each weighted as it enters the total; scalars in float32."""

    total: tf.Tensor
    content: tf.Tensor
    style: tf.Tensor
    total_variation: tf.Tensor


class Regions(NamedTuple):
    """Where each style is wanted, by style layer.

    Args:
        masks: m, how much of each position lies in each region, (1, height, width, regions), in [0, 1].
        covered: Σm, how many positions each region covers, (regions,).
        weights: What the loss of each region is multiplied by: its style's weight times its share of the positions,
            so that style and content keep their balance at every pixel, however large the regions are; (regions,).
    """

    masks: dict[str, tf.Tensor]
    covered: dict[str, tf.Tensor]
    weights: dict[str, tf.Tensor]


class Targets(NamedTuple):
    """What the generated image is compared with.

    Args:
        content: P by content layer, (1, height, width, channels).
        content_scales: By content layer, what Σ(F − P)² is multiplied by in the recipe's form of the content loss.
        style: a, a normalised Gram matrix, by style layer, (1, channels, channels), or one for each region.
        regions: Where each style is wanted; None if everywhere.
    """

    content: dict[str, tf.Tensor]
    content_scales: dict[str, tf.Tensor]
    style: dict[str, tf.Tensor]
    regions: Regions | None = None

    def masks(self) -> dict[str, tf.Tensor]:
        """Return the masks by style layer, none if the style is wanted everywhere."""
        return self.regions.masks if self.regions else {}


class Sums(NamedTuple):
    """Of a picture or a part of one, what its losses are made of.

    Args:
        squares: Σ(F − P)² by content layer, scalars.
        grams: FᵀF by style layer, not normalised, (1, channels, channels), or one for each region.
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
        return self.weigh(self.sums(self.extractor(image), targets.content, targets.masks()), image, targets)

    def sums(self, features: dict[str, tf.Tensor], content: dict[str, tf.Tensor], masks: dict[str, tf.Tensor]) -> Sums:
        """Return the sums of a picture or a part of one, from its features, and content features and masks there."""
        squares, grams, positions = {}, {}, {}
        for layer in weighted_content_layers(self.recipe):
            difference = float32_at_least(features[layer]) - float32_at_least(content[layer])
            squares[layer] = tf.reduce_sum(tf.square(difference))
        for layer in weighted_style_layers(self.recipe):
            guided = in_regions(features[layer], masks[layer]) if masks else features[layer]
            grams[layer] = gram_matrix(guided, normalize=False)
            positions[layer] = tf.cast(tf.reduce_prod(tf.shape(features[layer])[1:3]), grams[layer].dtype)
        return Sums(squares, grams, positions)

    def weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of a picture whose sums are known."""
        recipe = self.recipe
        pixels = tf.cast(tf.reduce_prod(tf.shape(image)[1:3]), image.dtype)
        content = style = total_variation = tf.zeros((), image.dtype)
        for layer, weight in weighted_content_layers(recipe).items():
            content += weight * targets.content_scales[layer] * sums.squares[layer]
        for layer, weight in weighted_style_layers(recipe).items():
            constants = {
                "form": recipe.style_form,
                "positions": sums.positions[layer],
                "image_pixels": pixels,
                "channels": self.extractor.channels.get(layer),
            }
            gram, target = sums.grams[layer], targets.style[layer]
            if targets.regions is None:
                style += weight * style_loss(gram / sums.positions[layer], target, **constants)
                continue
            covered, shares = targets.regions.covered[layer], targets.regions.weights[layer]
            for region in range(target.shape[0]):
                gram_there = gram[region] / tf.maximum(covered[region], SMALLEST_COVER)
                style += weight * shares[region] * style_loss(gram_there, target[region], **constants)
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
    recipe: Recipe, extractor: FeatureExtractor, content_image: tf.Tensor, styles: Sequence[Style]
) -> Targets:
    """Return the features of the content image and the Gram matrices of the styles.

    Args:
        recipe: Which layers.
        extractor: Returns the features of at least these.
        content_image: float32 (1, height, width, 3), RGB in [0, 1].
        styles: What `as_styles` returns.
    """
    of_content = extractor(content_image)
    content = {layer: of_content[layer] for layer in weighted_content_layers(recipe)}
    style_layers = weighted_style_layers(recipe)

    def grams_of(style: Style) -> dict[str, tf.Tensor]:
        return _grams(extractor(style.image), style, style_layers)

    grams = [remembered(extractor, style, style_layers, grams_of) for style in styles]
    sizes = {layer: tuple(of_content[layer].shape[1:3]) for layer in style_layers}
    return targets_of(recipe, content, styles, grams, sizes, extractor.channels)


def remembered(
    extractor: FeatureExtractor,
    style: Style,
    layers: Mapping[str, float],
    grams_of: Callable[[Style], dict[str, tf.Tensor]],
) -> dict[str, tf.Tensor]:
    """Return the Gram matrices of a style, those computed earlier where the extractor remembers them.

    Args:
        extractor: Whose features they are.
        style: Of which picture, and which part of it.
        layers: Of which layers.
        grams_of: Computes them.
    """
    if extractor.style_grams is None:
        return grams_of(style)
    mask = np.zeros(0, np.float32) if style.style_mask is None else style.style_mask
    key = (fingerprint(style.image.numpy(), mask), tuple(layers))
    grams = extractor.style_grams.pop(key, None) or grams_of(style)
    while len(extractor.style_grams) >= MOST_STYLES:
        extractor.style_grams.pop(next(iter(extractor.style_grams)))
    extractor.style_grams[key] = grams
    return grams


def targets_of(
    recipe: Recipe,
    content: dict[str, tf.Tensor],
    styles: Sequence[Style],
    grams: Sequence[dict[str, tf.Tensor]],
    sizes: Mapping[str, tuple[int, int]],
    channels: Mapping[str, int],
) -> Targets:
    """Put together what a picture is compared with.

    A blend is the weighted sum of the Gram matrices, which are raw moments: of the mean colour of two styles, say, it
    holds the mean, where a blend of covariances would forget that the two means differ.

    Args:
        recipe: Which form of the content loss.
        content: Features of the content image by content layer.
        styles: With their weights known.
        grams: Of each style by style layer, normalised, (1, channels, channels).
        sizes: By style layer, (height, width) of the content image's features.
        channels: The extractor's.
    """
    scales = {
        layer: content_scale(target, form=recipe.content_form, channels=channels.get(layer))
        for layer, target in content.items()
    }
    weights = [style.weight for style in styles]
    if styles[0].content_mask is None:
        blend = {layer: tf.add_n([w * of[layer] for w, of in zip(weights, grams, strict=True)]) for layer in sizes}
        return Targets(content, scales, blend)
    masks = {
        layer: tf.concat([mask_at(style.content_mask, size) for style in styles], axis=-1)
        for layer, size in sizes.items()
    }
    covered = {layer: tf.reduce_sum(mask, axis=(0, 1, 2)) for layer, mask in masks.items()}
    shares = {layer: weights * covered[layer] / np.prod(sizes[layer]) for layer in sizes}
    targets = {layer: tf.concat([of[layer] for of in grams], axis=0) for layer in sizes}
    return Targets(content, scales, targets, Regions(masks, covered, shares))


def _grams(features: dict[str, tf.Tensor], style: Style, layers: Mapping[str, float]) -> dict[str, tf.Tensor]:
    """Return the normalised Gram matrices of a style picture, or of the part of it that is wanted."""
    if style.style_mask is None:
        return {layer: gram_matrix(features[layer]) for layer in layers}
    grams = {}
    for layer in layers:
        mask = mask_at(style.style_mask, features[layer].shape[1:3])
        gram = gram_matrix(in_regions(features[layer], mask), normalize=False)
        grams[layer] = gram / tf.maximum(tf.reduce_sum(mask), SMALLEST_COVER)
    return grams


def in_regions(features: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return features whose Gram matrix counts each position as much as it lies in a region.

    Args:
        features: F, (1, height, width, channels).
        masks: m, (1, height, width, regions), in [0, 1].

    Returns:
        √m · F for each region, (regions, height, width, channels).

    Reference:
        Gatys et al.: "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, on spatial control; there m
        is squared, here a position that lies half in a region counts half.
    """
    return float32_at_least(features) * tf.sqrt(tf.transpose(masks, (3, 1, 2, 0)))


def mask_at(mask: np.ndarray, size: tuple[int, int]) -> tf.Tensor:
    """Return how much of each position of a layer a mask covers, float32 (1, height, width, 1)."""
    return tf.image.resize(np.asarray(mask, np.float32)[np.newaxis, :, :, np.newaxis], size, "area")


def weighted_content_layers(recipe: Recipe) -> Mapping[str, float]:
    """Return the content layers and their weights, none if content has no weight."""
    return recipe.content_layers if recipe.content_weight else {}


def weighted_style_layers(recipe: Recipe) -> Mapping[str, float]:
    """Return the style layers and their weights, none if style has no weight."""
    return recipe.style_layers if recipe.style_weight else {}

"""The objective: the losses that a recipe, a network and the input images define, as a function of an image.

The losses of content and style are functions of sums over positions: Σ(F − P)² and FᵀF.  Sums of parts of an image
add up to those of the whole, which is what lets an image be computed in tiles.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nst_tf.controls.regions import Regions, grams_of_style, in_regions, regions_of
from nst_tf.controls.styles import Style, as_styles, weighted_styles
from nst_tf.features import FeatureExtractor
from nst_tf.losses import (
    STYLE_FORMS,
    content_scale,
    float32_at_least,
    gram_matrix,
    style_loss,
    total_variation_loss,
    with_ones,
)
from nst_tf.networks.gaussians import Gaussian, gaussian_of
from nst_tf.published.sources import UNITS
from nst_tf.recipes import Recipe


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
        style: a, a normalised Gram matrix, by style layer, (1, channels, channels), or one for each region; in the
            Wasserstein forms the `Gaussian` made of it.
        regions: Where each style is wanted; None if everywhere.
        held: An image that the generated one is held to, (1, height, width, 3), and how firmly at each pixel,
            (1, height, width, 1); None if it is free.
        grey: Whether the generated image stays without colors.
    """

    content: dict[str, tf.Tensor]
    content_scales: dict[str, tf.Tensor]
    style: dict[str, tf.Tensor | Gaussian]
    regions: Regions | None = None
    held: tuple[tf.Tensor, tf.Tensor] | None = None
    grey: bool = False

    def masks(self) -> dict[str, tf.Tensor]:
        """Return the masks by style layer, none if the style is wanted everywhere."""
        return self.regions.masks if self.regions else {}

    def where_wanted(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return a gradient with respect to the image with 0 where no style is wanted, and equal channels if grey."""
        if self.grey:
            gradient = tf.repeat(tf.reduce_mean(gradient, axis=-1, keepdims=True), 3, axis=-1)
        return gradient * self.regions.pixels if self.regions else gradient


class Sums(NamedTuple):
    """Of an image or a part of one, what its losses are made of.

    Args:
        squares: Σ(F − P)² by content layer, scalars.
        grams: FᵀF by style layer, not normalised, (1, channels, channels), or one for each region.
        positions: M by style layer, scalars.
    """

    squares: dict[str, tf.Tensor]
    grams: dict[str, tf.Tensor]
    positions: dict[str, tf.Tensor]


class Objective:
    """The losses of an image under a recipe; see `make_objective`.

    Args:
        recipe: Which layers, forms and weights.
        extractor: Returns the features of at least the recipe's layers.
        targets: What `find_targets` returns; needed only where the objective is called with just an image.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor, targets: Targets | None = None):
        self.recipe = recipe
        self.extractor = extractor
        self.targets = targets

    def __call__(self, image: tf.Tensor) -> Losses:
        """Return the weighted losses of an image of the content image's size, float32 (1, height, width, 3)."""
        return self.losses(image, self.targets)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return α · content + β · style + total variation and its parts, against any targets of the same shapes."""
        features = self.extractor(image)
        return self.weigh(self.sums(features, targets.content, targets.masks()), image, targets)

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of an image, and the gradient of the total with respect to its pixels."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            losses = self.losses(image, targets)
        return losses, targets.where_wanted(tape.gradient(losses.total, image))

    def sums(self, features: dict[str, tf.Tensor], content: dict[str, tf.Tensor], masks: dict[str, tf.Tensor]) -> Sums:
        """Return the sums of an image or a part of one; features, content and masks cover the same part."""
        squares, grams, positions = {}, {}, {}
        for layer in filter(content.__contains__, content_layers(self.recipe)):
            difference = float32_at_least(features[layer]) - float32_at_least(content[layer])  # (1, H, W, C)
            squares[layer] = tf.reduce_sum(tf.square(difference))
        for layer in filter(features.__contains__, style_layers(self.recipe)):
            seen = style_features(features[layer], self.recipe)  # (1, H, W, C)
            seen = in_regions(seen, masks[layer]) if masks else seen  # (regions, H, W, C)
            grams[layer] = gram_matrix(seen, normalize=False)  # (1 or regions, C, C)
            positions[layer] = tf.cast(tf.reduce_prod(tf.shape(features[layer])[1:3]), grams[layer].dtype)
        return Sums(squares, grams, positions)

    def weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of an image whose sums are known."""
        loss = self.recipe.loss
        pixels = tf.cast(tf.reduce_prod(tf.shape(image)[1:3]), image.dtype)
        content = style = total_variation = tf.zeros((), image.dtype)
        for layer, weight in content_layers(self.recipe).items():
            content += weight * targets.content_scales[layer] * sums.squares[layer]
        for layer, weight in style_layers(self.recipe).items():
            style += weight * self._style_loss(layer, sums, targets, pixels)
        if loss.total_variation_weight:
            in_units = image * UNITS[loss.total_variation_units][0]
            total_variation = total_variation_loss(in_units, form=loss.total_variation_form)
            total_variation /= pixels if loss.total_variation_per_pixel else 1.0
        content *= loss.content_weight
        style *= loss.style_weight
        total_variation *= loss.total_variation_weight
        total = content + style + total_variation
        if targets.held:
            held, weights = targets.held
            total += tf.reduce_sum(weights * tf.square(image - held))
        return Losses(total, content, style, total_variation)

    def _style_loss(self, layer: str, sums: Sums, targets: Targets, pixels: tf.Tensor) -> tf.Tensor:
        """Return the style loss of one layer; with masks, the sum of each region's loss times its share."""
        positions = sums.positions[layer]
        options = {"positions": positions, "image_pixels": pixels, "channels": self.extractor.channels.get(layer)}
        total = 0.0
        for region, (covered, share) in enumerate(
            targets.regions.parts(layer) if targets.regions else [(positions, 1)]
        ):
            target = tf.nest.map_structure(operator.itemgetter(region), targets.style[layer])  # (C, C)
            gram = sums.grams[layer][region] / covered  # (C, C)
            total += share * style_loss(gram, target, form=self.recipe.loss.style_form, **options)
        return total


def make_objective(
    recipe: Recipe, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: Any
) -> Objective:
    """Return what is to be minimised: a function from an image to its `Losses`.

    Args:
        recipe: Which layers, forms and weights.
        extractor: Returns the features of at least the recipe's layers.
        content_image: float32 (1, height, width, 3), RGB in [0, 1].
        style_image: The same; of the content image's size if the recipe says so.  Or several, as `stylize` takes them.

    Raises:
        ValueError: If the weights or the masks of several styles do not fit together.
    """
    styles = weighted_styles(as_styles(style_image, content_image))
    return Objective(recipe, extractor, find_targets(recipe, extractor, content_image, styles))


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
    content = {layer: of_content[layer] for layer in content_layers(recipe)}
    sizes = {layer: tuple(of_content[layer].shape[1:3]) for layer in style_layers(recipe)}
    grams = []
    for style in styles:
        features = extractor(style.image)
        grams.append(grams_of_style({layer: style_features(features[layer], recipe) for layer in sizes}, style))
    return targets_of(recipe, content, styles, grams, sizes, extractor.channels)


def targets_of(
    recipe: Recipe,
    content: dict[str, tf.Tensor],
    styles: Sequence[Style],
    grams: Sequence[dict[str, tf.Tensor]],
    sizes: Mapping[str, tuple[int, int]],
    channels: Mapping[str, int],
) -> Targets:
    """Put together what an image is compared with.

    A blend is the weighted sum of the Gram matrices.  These are raw moments, so it keeps the spread between the means
    of the styles, which blending covariances would lose.

    Args:
        recipe: Which forms of the losses.
        content: Features of the content image by content layer.
        styles: With their weights known.
        grams: Of each style by style layer, normalised, (1, channels, channels).
        sizes: By style layer, (height, width) of the content image's features.
        channels: The extractor's.
    """
    scales = {
        layer: content_scale(target, form=recipe.loss.content_form, channels=channels.get(layer))
        for layer, target in content.items()
    }
    regions = None
    if styles[0].content_mask is None:
        shares = [style.weight for style in styles]
        target = {layer: tf.add_n([w * of[layer] for w, of in zip(shares, grams, strict=True)]) for layer in sizes}
    else:
        target = {layer: tf.concat([of[layer] for of in grams], axis=0) for layer in sizes}
        regions = regions_of(styles, sizes)
    if STYLE_FORMS[recipe.loss.style_form].distance:
        target = {layer: gaussian_of(gram) for layer, gram in target.items()}
    return Targets(content, scales, target, regions)


def style_features(features: tf.Tensor, recipe: Recipe) -> tf.Tensor:
    """Return the features whose Gram matrix a recipe's style loss takes."""
    return with_ones(features) if STYLE_FORMS[recipe.loss.style_form].distance else features


def content_layers(recipe: Recipe) -> Mapping[str, float]:
    """Return the content layers and their weights, none if content has no weight."""
    return recipe.network.content_layers if recipe.loss.content_weight else {}


def style_layers(recipe: Recipe) -> Mapping[str, float]:
    """Return the style layers and their weights, none if style has no weight."""
    return recipe.network.style_layers if recipe.loss.style_weight else {}

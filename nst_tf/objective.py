"""The objective: the losses that a recipe, a network and the input images define, as a function of an image.

The losses of content and style are functions of sums over positions: Σ(F − P)² and FᵀF.  Sums of parts of an image
add up to those of the whole, which is what lets an image be computed in tiles.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from nst_tf.controls.regions import SMALLEST_COVER, Regions, in_regions, regions_of, style_masks
from nst_tf.controls.styles import Style, as_styles, weighted_styles
from nst_tf.features import FeatureExtractor
from nst_tf.ground.keras_defaults import traced
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
    """The total and its parts, each weighted as it enters the total; scalars in float32.

    What an image is held to (`Targets.held`) counts in the total alone.
    """

    total: tf.Tensor
    content: tf.Tensor
    style: tf.Tensor
    total_variation: tf.Tensor


class Targets(NamedTuple):
    """What the generated image is compared with; dictionaries are by layer."""

    content: dict[str, tf.Tensor]  # P, (1, height, width, channels)
    content_scales: dict[str, tf.Tensor]  # what the form of the content loss multiplies Σ(F − P)² by
    # a, the normalized Gram matrix, (1, channels, channels), or one for each region; in the Wasserstein forms the
    # `Gaussian` made of it.
    style: dict[str, tf.Tensor | Gaussian]
    regions: Regions | None = None  # where each style is wanted; None if everywhere
    # An image that the generated one is held to, (1, height, width, 3), and how firmly, (1, height, width, 1).
    held: tuple[tf.Tensor, tf.Tensor] | None = None
    gray: bool = False  # whether the generated image stays without colors

    def masks(self) -> dict[str, tf.Tensor]:
        """Return the masks by style layer, none if the style is wanted everywhere."""
        return self.regions.masks if self.regions else {}

    def where_wanted(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return a gradient with respect to the image with 0 where no style is wanted, and equal channels if gray."""
        if self.gray:
            gradient = tf.repeat(tf.reduce_mean(gradient, axis=-1, keepdims=True), 3, axis=-1)
        return gradient * self.regions.pixels if self.regions else gradient


class Sums(NamedTuple):
    """Of an image or a part of one, what its losses are made of."""

    squares: dict[str, tf.Tensor]  # Σ(F − P)² by content layer, scalars
    grams: dict[str, tf.Tensor]  # FᵀF by style layer, not normalized, (1, channels, channels), or one for each region
    positions: dict[str, tf.Tensor]  # M by style layer, scalars

    def normalized(self, masks: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the Gram matrices, each divided by the positions that it is a sum over, or that its mask covers."""
        covered = {layer: tf.reduce_sum(mask) for layer, mask in masks.items()} or self.positions
        return {layer: gram / tf.maximum(covered[layer], SMALLEST_COVER) for layer, gram in self.grams.items()}


class Objective:
    """The losses of an image under a recipe; see `make_objective`.

    Args:
        recipe: Which layers, forms and weights.
        extractor: Returns the features of at least the recipe's layers.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor):
        self.recipe = recipe
        self.extractor = extractor
        self.targets: Targets | None = None  # of an objective that is called with just an image
        # Weights by layer; a loss without a weight needs no features.
        self.content_layers = recipe.network.content_layers if recipe.loss.content_weight else {}
        self.style_layers = recipe.network.style_layers if recipe.loss.style_weight else {}
        self._traced = traced(self._losses_and_gradient)

    def __call__(self, image: tf.Tensor) -> Losses:
        """Return the weighted losses of an image of the content image's size, float32 (1, height, width, 3)."""
        return self.losses(image, self.targets)

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of an image, and the gradient of the total with respect to it, (1, height, width, 3).

        TensorFlow traces it once, for images of all sizes.
        """
        # As a tensor: a traced function would take another variable, of another size, for another function.
        return self._traced(tf.convert_to_tensor(image), targets)

    def _losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(image)
            losses = self.losses(image, targets)
        return losses, targets.where_wanted(tape.gradient(losses.total, image))

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return α · content + β · style + total variation and its parts, against any targets of the same shapes."""
        image = tf.convert_to_tensor(image)
        features = self.extractor(image)
        return self.weigh(self.sums(features, targets.content, targets.masks()), image, targets)

    def sums(self, features: dict[str, tf.Tensor], content: dict[str, tf.Tensor], masks: dict[str, tf.Tensor]) -> Sums:
        """Return the sums of an image or a part of one; features, content and masks cover the same part."""
        squares, grams, positions = {}, {}, {}
        for layer in filter(content.__contains__, self.content_layers):
            difference = float32_at_least(features[layer]) - float32_at_least(content[layer])  # (1, H, W, C)
            squares[layer] = tf.reduce_sum(tf.square(difference))
        for layer in filter(features.__contains__, self.style_layers):
            seen = features[layer]  # (1, H, W, C)
            if STYLE_FORMS[self.recipe.loss.style_form].distance:
                seen = with_ones(seen)  # (1, H, W, C + 1)
            seen = in_regions(seen, masks[layer]) if masks else seen  # (regions, H, W, C)
            grams[layer] = gram_matrix(seen, normalize=False)  # (1 or regions, C, C)
            positions[layer] = tf.cast(tf.reduce_prod(tf.shape(features[layer])[1:3]), grams[layer].dtype)
        return Sums(squares, grams, positions)

    def weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of an image whose sums are known."""
        loss = self.recipe.loss
        pixels = tf.cast(tf.reduce_prod(tf.shape(image)[1:3]), image.dtype)
        content = style = total_variation = tf.zeros((), image.dtype)
        for layer, weight in self.content_layers.items():
            content += weight * targets.content_scales[layer] * sums.squares[layer]
        for layer, weight in self.style_layers.items():
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
        parts = targets.regions.parts[layer] if targets.regions else [(positions, 1)]
        for region, (covered, share) in enumerate(parts):
            target = tf.nest.map_structure(operator.itemgetter(region), targets.style[layer])  # (C, C)
            gram = sums.grams[layer][region] / covered  # (C, C)
            total += share * style_loss(gram, target, form=self.recipe.loss.style_form, **options)
        return total

    def find_targets(
        self,
        content_image: tf.Tensor,
        styles: Sequence[Style],
        held: tuple[tf.Tensor, tf.Tensor] | None = None,
        *,
        gray: bool = False,
    ) -> Targets:
        """Return what images are compared with: the features of the content image, the Gram matrices of the styles.

        The styles are what `as_styles` returns; for `held` and `gray` see `Targets`.
        """
        content, sizes = self._content_features(content_image)
        grams = [self._style_grams(style) if self.style_layers else {} for style in styles]
        form, channels = self.recipe.loss.content_form, self.extractor.channels
        scales = {layer: content_scale(p, form=form, channels=channels.get(layer)) for layer, p in content.items()}
        regions = None
        if styles[0].content_mask is None:
            # A blend of Gram matrices, which are raw moments, keeps the spread between the means of the styles, which
            # blending covariances would lose.
            weighted = [(style.weight, gram) for style, gram in zip(styles, grams, strict=True)]
            target = {layer: tf.add_n([weight * gram[layer] for weight, gram in weighted]) for layer in sizes}
        else:
            target = {layer: tf.concat([gram[layer] for gram in grams], axis=0) for layer in sizes}
            regions = regions_of(styles, sizes)
        if STYLE_FORMS[self.recipe.loss.style_form].distance:
            target = {layer: gaussian_of(gram) for layer, gram in target.items()}
        return Targets(content, scales, target, regions, held, gray)

    def _content_features(self, image: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tuple[int, int]]]:
        """Return P by content layer, and (height, width) of the features by style layer."""
        features = self.extractor(image)
        sizes = {layer: tuple(features[layer].shape[1:3]) for layer in self.style_layers}
        return {layer: features[layer] for layer in self.content_layers}, sizes

    def _style_grams(self, style: Style) -> dict[str, tf.Tensor]:
        """Return the normalized Gram matrices of a style image by layer, or of the part of it that is wanted."""
        features = self.extractor(style.image)
        masks = style_masks(style, {layer: features[layer].shape[1:3] for layer in self.style_layers})
        return self.sums(features, {}, masks).normalized(masks)


def make_objective(
    recipe: Recipe, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: Any
) -> Objective:
    """Return what is to be minimized: a function from an image to its `Losses`.

    Args:
        recipe: Which layers, forms and weights.
        extractor: Returns the features of at least the recipe's layers.
        content_image: float32 (1, height, width, 3), RGB in [0, 1].
        style_image: The same; of the content image's size if the recipe says so.  Or several, as `stylize` takes them.

    Raises:
        ValueError: If the weights or the masks of several styles do not fit together.
    """
    styles = weighted_styles(as_styles(style_image, content_image))
    objective = Objective(recipe, extractor)
    objective.targets = objective.find_targets(content_image, styles)
    return objective

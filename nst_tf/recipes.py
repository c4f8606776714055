"""Recipes: which layers, which losses, which constants, where to start and how to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import tensorflow as tf

from nst_tf.features import FeatureExtractor
from nst_tf.losses import (
    CONTENT_FORMS,
    STYLE_FORMS,
    TOTAL_VARIATION_FORMS,
    content_loss,
    gram_matrix,
    style_loss,
    total_variation_loss,
)

STARTS = ("content", "noise", "style", "content_with_noise")
STYLE_SIZES = ("own", "content")
# How many of a picture's units the span from black to white has, for constants given in the units of the source.
UNITS = {"unit": 1.0, "caffe": 255.0}


class Losses(NamedTuple):
    """The total and its three parts, each weighted as it enters the total; scalars in float32."""

    total: tf.Tensor
    content: tf.Tensor
    style: tf.Tensor
    total_variation: tf.Tensor


@dataclass(frozen=True)
class Optimizer:
    """The optimiser a recipe was published with, in the units of its source.

    Args:
        name: "adam", "sgd" or "lbfgs".
        learning_rate: In the units named by `units`; L-BFGS has none.
        beta_1: Adam's first decay rate.
        beta_2: Adam's second decay rate.
        epsilon: Adam's guard against division by zero.
        decay_rate: What the learning rate is multiplied by over `decay_steps` steps.
        decay_steps: See `decay_rate`.
        units: "unit" for pictures in [0, 1], "caffe" for [0, 255], "torch" for ImageNet's standard deviations.
    """

    name: str
    learning_rate: float | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    decay_rate: float = 1.0
    decay_steps: int = 1
    units: str = "unit"


@dataclass(frozen=True)
class Recipe:
    """All that defines a style transfer but the two pictures and the network's weights.

    Args:
        name: Its name in `RECIPES`.
        title: One line for lists.
        content_layers: Weight of each content layer.
        style_layers: Weight of each style layer.
        content_weight: α, what the content loss is multiplied by.
        style_weight: β, what the style loss is multiplied by.
        content_form: A form of `nst_tf.content_loss`.
        style_form: A form of `nst_tf.style_loss`.
        total_variation_weight: What the total variation is multiplied by; 0 leaves it out.
        total_variation_form: A form of `nst_tf.total_variation_loss`.
        total_variation_per_pixel: Divide the total variation by height × width, so that one weight suits all sizes.
        start: "content", "noise" (uniform, white), "style", or "content_with_noise" (uniform noise of ±0.25 added).
        steps: How many steps `solver="fast"` takes when not told.
        levels: Coarse-to-fine: how many sizes, each half the next, are optimised one after the other.
        optimizer: What `solver="published"` uses; None where nothing was published.
        published_steps: How many steps it takes.
        clip: Whether the picture is kept in [0, 1] after each step.
        network: "vgg19" or "vgg16".
        pooling: "max" or "average".
        preprocessing: "caffe", "torch" or "none".
        style_size: "own" keeps the style image's size, "content" squashes it to the content image's.
        reference: Where the recipe is from.

    Raises:
        ValueError: If a weight is negative, or a word is not one of those listed.
    """

    name: str
    title: str
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    content_weight: float = 1.0
    style_weight: float = 1.0
    content_form: str = "relative"
    style_form: str = "relative"
    total_variation_weight: float = 0.0
    total_variation_form: str = "nine_point"
    total_variation_per_pixel: bool = True
    start: str = "content"
    steps: int = 120
    levels: int = 1
    optimizer: Optimizer | None = None
    published_steps: int | None = None
    clip: bool = True
    network: str = "vgg19"
    pooling: str = "max"
    preprocessing: str = "caffe"
    style_size: str = "own"
    reference: str = ""
    quirks: tuple[str, ...] = field(default=())

    def __post_init__(self):
        """Refuse what cannot be meant."""
        for what, value, known in (
            ("content_form", self.content_form, CONTENT_FORMS),
            ("style_form", self.style_form, STYLE_FORMS),
            ("total_variation_form", self.total_variation_form, TOTAL_VARIATION_FORMS),
            ("start", self.start, STARTS),
            ("style_size", self.style_size, STYLE_SIZES),
        ):
            if value not in known:
                raise ValueError(f"Unknown {what} {value!r}; expected one of {', '.join(known)}.")
        weights = {
            "content_weight": self.content_weight,
            "style_weight": self.style_weight,
            "total_variation_weight": self.total_variation_weight,
            **{f"content_layers[{layer!r}]": weight for layer, weight in self.content_layers.items()},
            **{f"style_layers[{layer!r}]": weight for layer, weight in self.style_layers.items()},
        }
        for what, weight in weights.items():
            if not weight >= 0 or weight == float("inf"):
                raise ValueError(f"{what} is {weight}; a weight must be a finite number of at least 0.")
        for what, count in (("steps", self.steps), ("levels", self.levels)):
            if count < 1:
                raise ValueError(f"{what} is {count}; expected at least 1.")

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer the recipe needs, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))

    def objective(self, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: tf.Tensor) -> Objective:
        """Return what is to be minimised: a function from a picture to its `Losses`.

        Args:
            extractor: Returns the features of at least `layers`.
            content_image: float32 (1, height, width, 3), RGB in [0, 1].
            style_image: The same; of the content image's size if `style_size` is "content".
        """
        return Objective(self, extractor, content_image, style_image)


class Targets(NamedTuple):
    """What the generated image is compared with: P by content layer; a, a normalised Gram matrix, by style layer."""

    content: dict[str, tf.Tensor]
    style: dict[str, tf.Tensor]


class Objective:
    """The losses of a picture under a recipe; see `Recipe.objective`.

    Its targets, the features of the content image and the Gram matrices of the style image, are computed once.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: tf.Tensor):
        self.recipe = recipe
        self.extractor = extractor
        of_content, of_style = extractor(content_image), extractor(style_image)
        self.targets = Targets(
            content={layer: of_content[layer] for layer in recipe.content_layers},
            style={layer: gram_matrix(of_style[layer]) for layer, _ in self.weighted_style_layers()},
        )

    def __call__(self, image: tf.Tensor) -> Losses:
        """Return the weighted losses of a picture of the content image's size, float32 (1, height, width, 3)."""
        return self.losses(image, self.targets)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return α · content + β · style + total variation and its parts, against any targets of the same shapes."""
        recipe, features = self.recipe, self.extractor(image)
        height, width = image.shape[1:3]
        content = style = total_variation = tf.constant(0.0)
        for layer, weight in recipe.content_layers.items():
            content += weight * content_loss(features[layer], targets.content[layer], form=recipe.content_form)
        for layer, weight in self.weighted_style_layers():
            style += weight * style_loss(
                gram_matrix(features[layer]),
                targets.style[layer],
                form=recipe.style_form,
                positions=features[layer].shape[1] * features[layer].shape[2],
                image_pixels=height * width,
            )
        if recipe.total_variation_weight:
            total_variation = total_variation_loss(image, form=recipe.total_variation_form)
            if recipe.total_variation_per_pixel:
                total_variation /= height * width
        content *= recipe.content_weight
        style *= recipe.style_weight
        total_variation *= recipe.total_variation_weight
        return Losses(content + style + total_variation, content, style, total_variation)

    def weighted_style_layers(self) -> list[tuple[str, float]]:
        """Return the style layers and their weights, each followed by its companion where the extractor has one."""
        weighted = []
        for layer, weight in self.recipe.style_layers.items():
            weighted.append((layer, weight))
            if layer in self.extractor.companions:
                weighted.append((self.extractor.companions[layer], weight))
        return weighted


STUDIO = Recipe(
    name="studio",
    title="This project's own: relative losses, one setting for every network and size",
    content_layers={"block4_conv2": 1.0},
    style_layers={f"block{block}_conv1": 1 / 5 for block in range(1, 6)},
    content_weight=1.0,
    style_weight=10.0,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (STUDIO,)}


def find_recipe(recipe: str | Recipe) -> Recipe:
    """Return the recipe of a name, or the recipe given.

    Raises:
        ValueError: If there is none of that name; the message lists those that exist.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[recipe]

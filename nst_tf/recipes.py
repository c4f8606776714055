"""Recipes: which layers, which losses, which constants, where to start and how to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import tensorflow as tf

from nst_tf.controls.styles import as_styles, weighted_styles
from nst_tf.features import BORDERS, POOLING, FeatureExtractor
from nst_tf.images import load_image
from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, TOTAL_VARIATION_FORMS
from nst_tf.objective import UNITS, Objective, find_targets
from nst_tf.published.sources import FIRST_CONVOLUTIONS, SOURCES

STARTS = ("content", "noise", "style", "content_with_noise")
STYLE_SIZES = ("own", "content")
SIZINGS = ("longest side", "rows", "square", "shorter side")
VGG_PREPROCESSING = ("caffe", "torch", "none")
METHODS = ("adam", "lbfgs")
COLORS = ("style", "matching", "luminance")
LARGEST_STYLE_SCALE = 8
OPTIMIZERS = ("adam", "sgd", "lbfgs")


def _check_words(*fields_and_words: tuple[str, str, tuple[str, ...]]) -> None:
    for what, word, known in fields_and_words:
        if word not in known:
            raise ValueError(f"Unknown {what} {word!r}; expected one of {', '.join(known)}.")


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

    def __post_init__(self):
        """Refuse unknown words."""
        _check_words(("name", self.name, OPTIMIZERS), ("units", self.units, tuple(UNITS)))
        if self.name != "lbfgs" and self.learning_rate is None:
            raise ValueError(f"The optimiser {self.name!r} needs a learning_rate.")


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
        total_variation_units: "unit" takes it of the picture in [0, 1], "caffe" of the picture in [0, 255].
        start: "content", "noise" (uniform, white), "style", or "content_with_noise" (uniform noise of ±0.25 added).
        steps: How many steps `solver="fast"` takes when not told.
        method: What `solver="fast"` uses: "lbfgs" comes to the lowest loss in the fewest steps, "adam" (at several
            resolutions) leaves less grain and needs less memory.
        optimizer: What `solver="published"` uses; None where nothing was published.
        published_steps: How many steps it takes.
        clip: Whether the picture is kept in [0, 1] after each step.
        pooling: "max" or "average".
        preprocessing: "caffe", "torch" or "none".
        sizing: What `size` measures of the content image: "longest side", "rows", "square" (both sides, the aspect is
            lost), or "shorter side" (at most).
        size: In pixels.
        upscale: Whether a smaller content image is enlarged to it.
        style_size: "own" keeps the style image's aspect, "content" squashes it to the content image's size.
        style_scale: How long the style image's longest side is, as a multiple of the content image's: larger than 1
            for larger strokes, smaller for finer ones.  None leaves it as it is given.
        color: "style" takes the style's colours.  "matching" gives the style image the content's colours before
            the run, and the result after it (losses and the choice of the best picture are those before);
            "luminance" repaints the luminance alone and keeps the content's chroma.
        border: What VGG's convolutions see beyond the picture's edge: "zeros", as published, or "replicate", the
            outermost values again, which leaves no frame.
        source: Where the recipe is from.
        url: Where to read it.
        quirks: What surprises in it, one sentence each.

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
    total_variation_units: str = "unit"
    start: str = "content"
    steps: int = 120
    method: str = "adam"
    optimizer: Optimizer | None = None
    published_steps: int | None = None
    clip: bool = True
    pooling: str = "max"
    preprocessing: str = "caffe"
    sizing: str = "longest side"
    size: int = 512
    upscale: bool = False
    style_size: str = "own"
    style_scale: float | None = None
    color: str = "style"
    border: str = "zeros"
    source: str = ""
    url: str = ""
    quirks: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuse what cannot be meant."""
        _check_words(
            ("content_form", self.content_form, tuple(CONTENT_FORMS)),
            ("style_form", self.style_form, tuple(STYLE_FORMS)),
            ("total_variation_form", self.total_variation_form, tuple(TOTAL_VARIATION_FORMS)),
            ("total_variation_units", self.total_variation_units, ("unit", "caffe")),
            ("start", self.start, STARTS),
            ("method", self.method, METHODS),
            ("pooling", self.pooling, POOLING),
            ("preprocessing", self.preprocessing, VGG_PREPROCESSING),
            ("sizing", self.sizing, SIZINGS),
            ("style_size", self.style_size, STYLE_SIZES),
            ("color", self.color, COLORS),
            ("border", self.border, BORDERS),
        )
        weights = {
            "content_weight": self.content_weight,
            "style_weight": self.style_weight,
            "total_variation_weight": self.total_variation_weight,
            **{f"content_layers[{layer!r}]": weight for layer, weight in self.content_layers.items()},
            **{f"style_layers[{layer!r}]": weight for layer, weight in self.style_layers.items()},
        }
        for what, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{what} is {weight}; a weight must be a finite number of at least 0.")
        self._check_controls()
        for what, count in (("steps", self.steps), ("size", self.size)):
            if count < 1:
                raise ValueError(f"{what} is {count}; expected at least 1.")

    def _check_controls(self) -> None:
        """Refuse controls that contradict each other."""
        if self.style_scale is not None and not 0 < self.style_scale <= LARGEST_STYLE_SCALE:
            raise ValueError(
                f"style_scale is {self.style_scale}; expected more than 0 and at most {LARGEST_STYLE_SCALE}, or None."
            )
        contradictions = {
            "style_scale with style_size='content', which squashes the style image to the content's size": (
                self.style_scale is not None and self.style_size == "content"
            ),
            f"color={self.color!r} with style_weight=0: there is no style whose colours could be kept out": (
                self.color != "style" and not self.style_weight
            ),
            f"color={self.color!r} with content_weight=0: a texture has no content whose colours could be kept": (
                self.color != "style" and not self.content_weight
            ),
            "content_weight=0, style_weight=0 and total_variation_weight=0: nothing is left to optimise": (
                not self.content_weight and not self.style_weight and not self.total_variation_weight
            ),
        }
        for contradiction, holds in contradictions.items():
            if holds:
                raise ValueError(f"These make no sense together: {contradiction}. Leave one of them out.")

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer the recipe needs, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))

    def changed(self, **changes: Any) -> Recipe:
        """Return the recipe with some fields changed, such as `start="noise"` or `style_weight=3.0`.

        Raises:
            ValueError: If a field does not exist, or its value cannot be meant.
        """
        known = [recipe_field.name for recipe_field in fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(f"A recipe has no field {name!r}; it has {', '.join(known)}.")
        return replace(self, **changes)

    def explain(self, *, plain: bool = False) -> str:
        """Describe the recipe in Markdown, with its formulas in LaTeX, or in plain text for a terminal."""
        from nst_tf.published.explain import explain

        return explain(self, plain=plain)

    def load_images(self, content: Any, style: Any, *, size: int | None = None) -> tuple[tf.Tensor, Any]:
        """Load the pictures at the sizes the recipe's source gives them.

        Args:
            content: Anything that `load_image` takes.
            style: The same, or a list of such.
            size: Instead of the recipe's own.

        Returns:
            The content and the style image, float32 (1, height, width, 3), RGB in [0, 1]; a list of style images if a
            list was given.

        Raises:
            ValueError: As `load_image`.
        """
        size = size or self.size
        content_image = load_image(content)
        height, width = content_image.shape[1:3]
        if self.sizing == "square":
            wanted = (size, size)
        elif self.sizing == "longest side":
            wanted = _scaled_size(height, width, size / max(height, width), upscale=self.upscale)
        else:
            side = height if self.sizing == "rows" else min(height, width)
            wanted = _scaled_size(height, width, size / side, upscale=self.upscale)
        content_image = load_image(content_image, size=wanted, name="the content image")
        if isinstance(style, (list, tuple)):
            return content_image, [self._load_style(one, wanted) for one in style]
        return content_image, self._load_style(style, wanted)

    def _load_style(self, style: Any, content_size: tuple[int, int]) -> tf.Tensor:
        if self.style_size == "content":
            return load_image(style, size=content_size, name="the style image")
        side = round(max(content_size) * (self.style_scale or 1.0))
        upscale = self.upscale or self.style_scale is not None
        return load_image(style, max_side=side, upscale=upscale, name="the style image")

    def objective(self, extractor: FeatureExtractor, content_image: tf.Tensor, style_image: Any) -> Objective:
        """Return what is to be minimised: a function from a picture to its `Losses`.

        Args:
            extractor: Returns the features of at least `layers`.
            content_image: float32 (1, height, width, 3), RGB in [0, 1].
            style_image: The same; of the content image's size if `style_size` is "content".  Or several, as `stylize`
                takes them.
        """
        styles = weighted_styles(as_styles(style_image, content_image))
        return Objective(self, extractor, find_targets(self, extractor, content_image, styles))


STUDIO = Recipe(
    name="studio",
    title="This project's own: relative losses, one setting for every network and size",
    content_layers={"block4_conv2": 1.0},
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 1 / 5),
    content_weight=1.0,
    style_weight=8.0,
    steps=60,
    border="replicate",
    source="this project",
    quirks=(
        "Each loss is divided by its target's own energy, so 1 is the distance of a picture without any features and "
        "one pair of weights suits every network, layer and size.",
    ),
)


def _published(source: dict[str, Any]) -> Recipe:
    optimizer = Optimizer(**source["optimizer"])
    return Recipe(**{**source, "optimizer": optimizer})


RECIPES = {recipe.name: recipe for recipe in (STUDIO, *map(_published, SOURCES))}


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


def changed_by_json(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the changes that `nst_tf.settings_of` reads from a picture.

    Raises:
        ValueError: If a field does not exist, or its value cannot be meant.
    """
    try:
        changes = dict(changes)
        if isinstance(changes.get("optimizer"), dict):
            changes["optimizer"] = Optimizer(**changes["optimizer"])
        if isinstance(changes.get("quirks"), list):
            changes["quirks"] = tuple(changes["quirks"])
        return recipe.changed(**changes)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"The settings of the recipe {recipe.name!r} cannot be read: {error}.") from error


def size_of(recipe: Recipe, height: int, width: int) -> int:
    """Return what a recipe calls the size of a picture of so many pixels."""
    measured = {
        "longest side": max(height, width),
        "rows": height,
        "square": height,
        "shorter side": min(height, width),
    }
    return measured[recipe.sizing]


def _scaled_size(height: int, width: int, scale: float, *, upscale: bool) -> tuple[int, int]:
    scale = scale if upscale else min(scale, 1.0)
    return round(height * scale), round(width * scale)

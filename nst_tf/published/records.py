"""The records that a recipe is made of: what is compared, how the image is stepped, how images are prepared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from nst_tf.ground.checks import LARGEST_STYLE_SCALE, number, one_of, whole_number
from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, TOTAL_VARIATION_FORMS
from nst_tf.networks.vgg import BORDERS, POOLING
from nst_tf.published.sources import METHODS, Optimizer

# The words that fields take, with what they mean.
STARTS = {
    "content": "the content image",
    "noise": "uniform white noise",
    "style": "the style image",
    "recolored": "the content image in the style's colors, by the linear optimal transport of their RGB values",
    "content_with_noise": "the content image plus uniform noise of ±0.25, clipped to [0, 1]",
}
SIZINGS = {
    "square": "both pictures squashed to {0} × {0}",
    "longest side": "longest side {0}",
    "rows": "{0} rows",
    "shorter side": "shorter side at most {0}",
}
STYLE_SIZES = {"own": "the style image keeps its proportions", "content": "the style image is squashed to the same"}


@dataclass(frozen=True)
class Network:
    """Which features are compared.

    Args:
        content_layers: Weight of each content layer; of a list of names each has an equal share.
        style_layers: Weight of each style layer; the same.
        pooling: "max" or "average".
        preprocessing: "caffe", "torch" or "none".
        border: What VGG's convolutions see beyond the image's edge: "zeros", as published; "replicate", the
            outermost values again, which leaves no frame; or "replicate_first", these at the first convolution alone.
    """

    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    pooling: str = "max"
    preprocessing: str = "caffe"
    border: str = "zeros"

    def __post_init__(self):
        """Reject unknown words, and weights that are negative or not finite."""
        _check_words(self, pooling=POOLING, preprocessing=("caffe", "torch", "none"), border=BORDERS)
        for kind in ("content_layers", "style_layers"):
            given = getattr(self, kind)
            if not isinstance(given, Iterable):
                raise ValueError(f"{kind} is {given!r}; expected names of layers, or weights by name.")
            if not isinstance(given, Mapping):  # a name, or a list of names as the tutorials have it
                names = [given] if isinstance(given, str) else list(given)
                object.__setattr__(self, kind, dict.fromkeys(names, 1 / max(1, len(names))))
            for layer, weight in getattr(self, kind).items():
                if not isinstance(layer, str):
                    raise ValueError(f"{kind} names the layer {layer!r}; expected text such as 'block1_conv1'.")
                number(weight, f"{kind}[{layer!r}]")

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that is needed, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))

    @property
    def options(self) -> dict[str, str]:
        """How the network is built and what it is given, as `vgg19_features` takes it."""
        return {"pooling": self.pooling, "preprocessing": self.preprocessing, "border": self.border}


@dataclass(frozen=True)
class Loss:
    """How features become a loss.

    Args:
        content_weight: α, what the content loss is multiplied by.
        style_weight: β, what the style loss is multiplied by.
        content_form: A form of `nst_tf.content_loss`.
        style_form: A form of `nst_tf.style_loss`.
        total_variation_weight: What the total variation is multiplied by; 0 leaves it out.
        total_variation_form: A form of `nst_tf.total_variation_loss`.
        total_variation_per_pixel: Divide the total variation by height × width, so that one weight suits all sizes.
        total_variation_units: "unit" takes it of the image in [0, 1], "caffe" of the image in [0, 255].
    """

    content_weight: float = 1.0
    style_weight: float = 1.0
    content_form: str = "relative"
    style_form: str = "relative"
    total_variation_weight: float = 0.0
    total_variation_form: str = "nine_point"
    total_variation_per_pixel: bool = True
    total_variation_units: str = "unit"

    def __post_init__(self):
        """Reject unknown words, and weights that are negative or not finite, or all 0."""
        _check_words(self, content_form=CONTENT_FORMS, style_form=STYLE_FORMS)
        _check_words(self, total_variation_form=TOTAL_VARIATION_FORMS, total_variation_units=("unit", "caffe"))
        names = ("content_weight", "style_weight", "total_variation_weight")
        for name in names:
            number(getattr(self, name), name)
        if not any(getattr(self, name) for name in names):
            raise ValueError(f"{', '.join(names)} are all 0, so nothing is left to optimize; set one of them.")


@dataclass(frozen=True)
class Stepping:
    """Where the generated image starts and how it is moved.

    Args:
        start: A word in `STARTS`; "recolored" (Pitié, Kokaram 2007) is the content image where its colors are kept.
        steps: How many steps `solver="fast"` takes when not told.
        method: What `solver="fast"` uses: "lbfgs" comes to the lowest loss in the fewest steps, "adam" (at several
            resolutions) leaves less grain and needs less memory.
        optimizer: What `solver="published"` uses; None where nothing was published.
        published_steps: How many steps it takes.
        clip: Whether the image is kept in [0, 1] after each step.
        coarsest: Begin with images made so small that the longest side has at least this many pixels, and start each
            larger size from the result of the one before, enlarged; the first takes twice as many of the steps as each
            of the others.  None stays at one size.
        growth: By how much one size is larger than the one before.
    """

    start: str = "content"
    steps: int = 120
    method: str = "adam"
    optimizer: Optimizer | None = None
    published_steps: int | None = None
    clip: bool = True
    coarsest: int | None = None
    growth: float = 2.0

    def __post_init__(self):
        """Reject unknown words, and numbers out of range."""
        _check_words(self, start=STARTS, method=METHODS)
        _make_whole(self, "steps", "published_steps", "coarsest")
        if not isinstance(self.optimizer, (Optimizer, NoneType)):
            raise ValueError(
                f"optimizer is {self.optimizer!r}; expected an nst_tf.Optimizer; one of Keras's goes to solver."
            )
        number(self.growth, "growth", least=1.1, most=8)


@dataclass(frozen=True)
class Pictures:
    """In which sizes and colors the images are compared.

    Args:
        sizing: What `size` measures of the content image, a word in `SIZINGS`.
        size: In pixels.
        upscale: Whether a smaller content image is enlarged to it.
        style_size: "own" keeps the style image's aspect, "content" squashes it to the content image's size.
        style_scale: How long the style image's longest side is, as a multiple of the content image's: larger than 1
            for larger strokes, smaller for finer ones.  None leaves it as it is given.
        color: "style" takes the style's colors.  "matching" gives the style image the content's colors before
            the run, and the result after it (losses and the choice of the best image are those before);
            "luminance" repaints the luminance alone and keeps the content's chroma.
    """

    sizing: str = "longest side"
    size: int = 512
    upscale: bool = False
    style_size: str = "own"
    style_scale: float | None = None
    color: str = "style"

    def __post_init__(self):
        """Reject unknown words, sizes out of range, and a scale where there is nothing to scale."""
        _check_words(self, sizing=SIZINGS, style_size=STYLE_SIZES)
        _check_words(self, color=("style", "matching", "luminance"))
        _make_whole(self, "size")
        scale = self.style_scale
        if scale is not None and not 0 < number(scale, "style_scale") <= LARGEST_STYLE_SCALE:
            raise ValueError(f"style_scale is {scale}; expected more than 0, at most {LARGEST_STYLE_SCALE}, or None.")
        if scale is not None and self.style_size == "content":
            raise ValueError("style_size='content' squashes the style image; style_scale has no effect. Leave one out.")


def _check_words(record: Any, **known: Mapping | tuple[str, ...]) -> None:
    for name, words in known.items():
        one_of(getattr(record, name), words, name)


def _make_whole(record: Any, *names: str) -> None:
    """Make fields of a frozen record whole numbers of at least 1, unless they are None."""
    for name in names:
        if getattr(record, name) is not None:
            object.__setattr__(record, name, whole_number(getattr(record, name), name, least=1))

"""The constants of the recipes: this project's own, and those of others as they were published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from nst_tf.features import TORCH_STANDARD_DEVIATION_RGB
from nst_tf.ground.checks import one_of

# What the span from black to white is in the units that a source's constants are given in, by channel.
UNITS = {
    "unit": (1.0, 1.0, 1.0),
    "caffe": (255.0, 255.0, 255.0),
    "torch": tuple(1 / deviation for deviation in TORCH_STANDARD_DEVIATION_RGB),
}
FIRST_CONVOLUTIONS = tuple(f"block{block}_conv1" for block in range(1, 6))


class Method(NamedTuple):
    """A way to move the image downhill."""

    words: str  # its name in explanations
    solver: str  # where its class is, as `pkgutil.resolve_name` takes it; it is loaded when it is used
    options: tuple[str, ...] = ()  # which fields of `Optimizer` a class of Keras's takes
    remembers: int = 0  # how many images of the generated one's size, at most, besides what every solver holds


# What `solver="fast"` uses, by a recipe's `method`.
METHODS = {
    "adam": Method("Adam at four resolutions", "nst_tf.engine.adam:MultiresolutionAdam"),
    "lbfgs": Method("L-BFGS", "nst_tf.engine.lbfgs:LBFGS", remembers=80),
}
# What `solver="published"` uses, by the name of a recipe's `Optimizer`.
OPTIMIZERS = {
    "adam": Method("Adam", "keras.optimizers:Adam", ("learning_rate", "beta_1", "beta_2", "epsilon")),
    "sgd": Method("SGD", "keras.optimizers:SGD", ("learning_rate",)),
    "lbfgs": Method("L-BFGS", "nst_tf.engine.lbfgs:LBFGS", remembers=40),
}


@dataclass(frozen=True)
class Optimizer:
    """The optimizer that a recipe was published with, in the units of its source.

    Args:
        name: A name in `OPTIMIZERS`.
        learning_rate: In the units named by `units`; None for one that takes none.
        beta_1: Adam's first decay rate.
        beta_2: Adam's second decay rate.
        epsilon: Adam's guard against division by zero.
        decay_rate: What the learning rate is multiplied by over `decay_steps` steps.
        decay_steps: See `decay_rate`.
        units: "unit" for images in [0, 1], "caffe" for [0, 255], "torch" for ImageNet's standard deviations.
        averaging: How much of the running average of the images is kept at each step; the average is the result.
            0 for the image itself.
    """

    name: str
    learning_rate: float | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    decay_rate: float = 1.0
    decay_steps: int = 1
    units: str = "unit"
    averaging: float = 0.0

    def __post_init__(self):
        """Reject unknown words and a missing learning rate."""
        for name, words in (("name", OPTIMIZERS), ("units", UNITS)):
            one_of(getattr(self, name), words, name)
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging is {self.averaging}; expected at least 0 and less than 1.")
        if "learning_rate" in self.arguments and self.learning_rate is None:
            raise ValueError(f"The optimizer {self.name!r} needs a learning_rate.")

    @property
    def arguments(self) -> dict[str, Any]:
        """What its class in `OPTIMIZERS` is called with; the decay of the learning rate is not among it."""
        return {option: getattr(self, option) for option in OPTIMIZERS[self.name].options}


STUDIO = dict(
    name="studio",
    title="This project's own: relative losses, one setting for every network and size",
    content_layers={"block4_conv2": 1.0},
    style_layers=dict(zip(FIRST_CONVOLUTIONS, (0.3, 0.25, 0.2, 0.15, 0.1), strict=True)),
    content_weight=1.0,
    style_weight=12.0,
    style_form="relative_wasserstein",
    start="recolored",
    steps=30,
    coarsest=512,
    border="replicate",
    source="this project",
    quirks=(
        "Each loss is divided by its target's own energy, so 1 is the distance of an image without any features and "
        "one pair of weights suits every network, layer and size.",
        "Style is compared by means and covariances, as in the recipe wasserstein; from 1024 pixels on the picture is "
        "painted small first, so that strokes do not shrink to grain.",
        "It begins with the content image in the style's colors, which halves the loss before the first step.",
    ),
)

GRAM = STUDIO | dict(
    name="gram",
    title="The same by Gram matrices, as Gatys et al. compare style: what notebooks 03 to 07 take apart",
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 1 / 5),
    style_weight=8.0,
    style_form="relative",
    start="content",
    steps=60,
    coarsest=None,
    quirks=STUDIO["quirks"][:1],
)

GATYS = dict(
    name="gatys",
    title="The paper that began it",
    content_layers={"block4_conv2": 1.0},
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 1 / 5),
    content_weight=1e-3,
    style_weight=1.0,
    content_form="half_sum",
    style_form="quarter_mean",
    start="noise",
    method="lbfgs",
    optimizer=Optimizer(name="lbfgs", units="caffe"),
    published_steps=500,
    clip=False,
    pooling="average",
    upscale=True,
    style_size="content",
    source="Gatys, Ecker, Bethge, CVPR 2016; number of iterations from the authors' own notebook",
    url="https://arxiv.org/abs/1508.06576",
    quirks=(
        "α/β is 10⁻³, as in the paper's Figure 3.",
        "Max pooling is replaced by the mean of the four values, which the authors found to look better.",
        "The picture is never clipped while it is optimized, only when it is saved.",
    ),
)

KERAS_IO = dict(
    name="keras_io",
    title="The example on keras.io",
    content_layers={"block5_conv2": 1.0},
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 1 / 5),
    content_weight=2.5e-8,
    style_weight=1e-6,
    content_form="sum",
    style_form="keras",
    total_variation_weight=1e-6,
    total_variation_form="keras",
    total_variation_per_pixel=False,
    total_variation_units="caffe",
    method="lbfgs",
    optimizer=Optimizer(name="sgd", learning_rate=100.0, decay_rate=0.96, decay_steps=100, units="caffe"),
    published_steps=4000,
    clip=False,
    sizing="rows",
    size=400,
    upscale=True,
    style_size="content",
    source="keras.io, example Neural style transfer",
    url="https://keras.io/examples/generative/neural_style_transfer/",
    quirks=(
        "The style loss divides by the pixels and colors of the image where the paper divides by the positions and "
        "channels of the layer, so deep layers count far less.",
        "All three pictures go through the network at every step there; the loss is the same when the targets are "
        "computed once, as here.",
        "A learning rate of 100 is in the network's caffe units, where white is 255.",
    ),
)

KERAS_200 = KERAS_IO | dict(
    name="keras_200",
    steps=20,
    title="The keras.io example as often reused: 200 steps, no total variation",
    total_variation_weight=0.0,
    published_steps=200,
    source="Fernández's walk-through of the keras.io example",
    quirks=(
        *KERAS_IO["quirks"],
        "The total variation is left out. In pictures under about 200 pixels the learning rate makes the loss grow "
        "without end.",
    ),
)

TF_TUTORIAL = dict(
    name="tf_tutorial",
    title="The tutorial on tensorflow.org, its first run",
    content_layers={"block5_conv2": 1.0},
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 1 / 5),
    content_weight=1e4,
    style_weight=1e-2,
    content_form="mean",
    style_form="mean",
    total_variation_form="absolute",
    total_variation_per_pixel=False,
    method="lbfgs",
    optimizer=Optimizer(name="adam", learning_rate=0.02, beta_1=0.99, epsilon=0.1),
    published_steps=1000,
    upscale=True,
    source="tensorflow.org, tutorial Neural style transfer",
    url="https://www.tensorflow.org/tutorials/generative/style_transfer",
    quirks=(
        "Its second run adds total_variation_weight=30.",
        "The text there calls the total variation a sum of squares; the code sums absolute values, and so does this.",
        "With beta_1 = 0.99 the optimizer remembers a hundred steps; on some pictures the loss first climbs to several "
        "times its start and needs hundreds of steps to return.",
    ),
)

COURSERA = dict(
    name="coursera",
    title="The assignment of a well-known course on convolutional networks",
    content_layers={"block5_conv4": 1.0},
    style_layers=dict.fromkeys(FIRST_CONVOLUTIONS, 0.2),
    content_weight=10.0,
    style_weight=40.0,
    content_form="quarter_mean",
    style_form="quarter_mean",
    start="content_with_noise",
    method="lbfgs",
    optimizer=Optimizer(name="adam", learning_rate=0.01),
    published_steps=2501,
    preprocessing="none",
    sizing="square",
    size=400,
    upscale=True,
    style_size="content",
    source="deeplearning.ai, Convolutional Neural Networks, week 4 (TensorFlow 2 edition)",
    url="https://www.coursera.org/learn/convolutional-neural-networks",
    quirks=(
        "The network is given RGB in [0, 1] without the preprocessing it was trained with.",
        "Both pictures are squashed to a square.",
    ),
)

UDACITY = dict(
    name="udacity",
    title="The style transfer of a deep-learning nanodegree",
    content_layers={"block4_conv2": 1.0},
    style_layers=dict(zip(FIRST_CONVOLUTIONS, (1.0, 0.75, 0.2, 0.2, 0.2), strict=True)),
    content_weight=1.0,
    style_weight=1e6,
    content_form="mean",
    style_form="udacity",
    method="lbfgs",
    optimizer=Optimizer(name="adam", learning_rate=0.003, epsilon=1e-8, units="torch"),
    published_steps=2000,
    clip=False,
    preprocessing="torch",
    sizing="shorter side",
    size=400,
    style_size="content",
    source="Udacity, Deep Learning nanodegree, style transfer",
    url="https://github.com/udacity/deep-learning-v2-pytorch",
    quirks=(
        "It was tuned on torchvision's VGG19, whose input is normalized; Keras's ImageNet weights expect the caffe "
        "range, which is about 57 times larger.",
        "The learning rate is in the normalized units too.",
    ),
)

WASSERSTEIN = dict(
    name="wasserstein",
    title="Means and covariances instead of Gram matrices, from small to large",
    content_layers={"block4_conv2": 1.0},
    style_layers={layer: weight / 341 for layer, weight in zip(FIRST_CONVOLUTIONS, (256, 64, 16, 4, 1), strict=True)},
    content_weight=0.015,
    style_weight=1.0,
    content_form="mean",
    style_form="wasserstein",
    total_variation_weight=2 / 3,
    steps=200,
    optimizer=Optimizer(name="adam", learning_rate=0.02, beta_2=0.99, epsilon=1e-8, averaging=0.99),
    published_steps=3000,
    preprocessing="torch",
    border="replicate_first",
    coarsest=128,
    growth=2**0.5,
    style_scale=1.0,
    source="Crowson, style-transfer-pytorch",
    url="https://github.com/crowsonkb/style-transfer-pytorch",
    quirks=(
        "Style is the distance of two Gaussians, so the mean of each channel counts beside what fires together.",
        "At 512 pixels it takes 1000 steps at 128 and 500 at each of four more sizes; Adam there keeps its memory from "
        "size to size, and here starts each with none.",
        "The total variation there is a mean over pixels and colors, with the weight 2; per pixel it is 2/3.",
        "It was tuned on torchvision's VGG19, whose input is normalized; Keras's weights expect the caffe range.",
    ),
)

SOURCES = (STUDIO, GRAM, GATYS, KERAS_IO, KERAS_200, TF_TUTORIAL, COURSERA, UDACITY, WASSERSTEIN)

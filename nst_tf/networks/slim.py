"""The slim network: VGG19 with fewer channels, in a file that comes with the package.

It has VGG19's sixteen convolutions and its poolings, each with a fraction of the channels.  Its kernels were fitted to
VGG19's own activations; `research/slim/distil.py` made the file, and its text says how.  A linear map after each layer,
its tap, leads to VGG19's features as far as they can be told from so few channels.  The tap returns them in a rotated
basis with no more channels than it was given: that leaves Σ(F − P)² and Σ(G − A)² as they are over all of VGG19's
channels.

What it knows comes from the weights of the Visual Geometry Group, University of Oxford (CC BY 4.0).
"""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_tf.networks.table import with_poolings

SLIM_FILE = Path(__file__).with_name("slim.npz")


class SlimWeights(NamedTuple):
    """What the file of the slim network holds, by layer."""

    # Kernel (3, 3, channels in, channels) and bias (channels,), float32, in order.
    convolutions: dict[str, tuple[np.ndarray, np.ndarray]]
    taps: dict[str, np.ndarray]  # (channels, channels), float32
    # By preprocessing and pooling, what the features of each layer are multiplied by, so that on average over images
    # their differences are as large as VGG19's.
    gains: dict[tuple[str, str], dict[str, float]]

    def tap(self, layer: str, preprocessing: str, pooling: str) -> np.ndarray:
        """Return the tap of a layer with its gain; a pooling layer has its block's last convolution's."""
        gains = self.gains.get((preprocessing, pooling), self.gains["caffe", pooling])
        return with_poolings(self.taps)[layer] * with_poolings(gains)[layer]


@functools.lru_cache(maxsize=1)
def read_slim(path: Path = SLIM_FILE) -> SlimWeights:
    """Read the slim network's file; raise ValueError if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        layers = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
        convolutions = {
            layer: (from_8_bits(arrays[f"{layer}/kernel"], arrays[f"{layer}/kernel_scale"]), arrays[f"{layer}/bias"])
            for layer in layers
        }
        taps = {layer: from_8_bits(arrays[f"{layer}/tap"], arrays[f"{layer}/tap_scale"]) for layer in layers}
        gains = {
            tuple(name.split("/")[1:]): dict(zip(layers, map(float, values), strict=True))
            for name, values in arrays.items()
            if name.startswith("gains/")
        }
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(path)!r} is not the slim network's file ({error}); install nst_tf again.") from error
    return SlimWeights(convolutions, taps, gains)


def from_8_bits(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return float32 numbers from what `to_8_bits` returned."""
    return values.astype(np.float32) * scale

"""Make the slim network's file from VGG19 and a folder of pictures: python -m nst_tf.networks.distil PICTURES OUT.

A network that learned to name a million photographs knows more than style transfer needs, and most of its work is
spent on channels that nearly repeat each other.  This makes a narrow copy of it, without gradient descent:

1. **Which channels stay.**  Of a layer's channels, take the one with the most energy, then again and again the one
   that those before predict worst: QR with column pivoting (Businger, Golub 1965) of the Cholesky factor of their
   second moments.  Those after it are nearly sums of those before it.
2. **What the kernels become.**  Layer after layer, least squares from the slim network's *own* patches to VGG19's
   pre-activations of the channels that stay.  So each layer makes good what the layers before it got wrong (He, Zhang,
   Sun 2017; Luo, Wu, Lin 2017).  Where VGG19's pre-activation is negative, ReLU makes it zero and any negative answer
   is as good: there the goal becomes the answer itself if it is negative, and the fit is repeated (Zhang et al. 2016).
   Kernels are rounded to 8 bits before the next layer is fitted, which makes good the rounding too.
3. **Taps.**  At each layer, a linear map by least squares from the channels that stay to all of VGG19's.  What it can
   reach has no more dimensions than it was given, so QR turns it into a rotation, which no loss notices, and a square.
4. **Gains.**  Least squares shrinks what it cannot predict, so each layer gets a factor that makes differences between
   pictures as large as VGG19's on average: of Gram matrices in the first convolution of each block, of features in the
   others.

The recipes give VGG19 pictures in three ranges and with two kinds of pooling, and small inputs leave most of the work
to the biases; so every step sees a share of each.

The same pictures, weights and machine give the same file.  VGG19's weights are the Visual Geometry Group's, University
of Oxford, under CC BY 4.0, and so is what is made of them here.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.linalg
import tensorflow as tf
from PIL import Image

from nst_tf.features import preprocess, vgg19_features
from nst_tf.networks.slim import SlimWeights, from_8_bits, to_8_bits, write_slim

# Channels of each convolution.  Block 1 is dear in time, since it has all positions; block 5 in bytes.
WIDTHS = {
    **{"block1_conv1": 24, "block1_conv2": 24},
    **{"block2_conv1": 48, "block2_conv2": 48},
    **{"block3_conv1": 64, "block3_conv2": 64, "block3_conv3": 80, "block3_conv4": 112},
    **{"block4_conv1": 176, "block4_conv2": 176, "block4_conv3": 176, "block4_conv4": 176},
    **{"block5_conv1": 256, "block5_conv2": 192, "block5_conv3": 192, "block5_conv4": 192},
}
SIDE = 160  # of a crop, in pixels
ROWS_PER_CROP = 900  # positions of a crop that a kernel is fitted to
BELOW_ZERO_ROUNDS = 4
TAP_ROWS = 60_000
RIDGE = 1e-6
BATCH = 8
PAIRS = 60  # of crops, for the gains

Convolution = tuple[np.ndarray, np.ndarray]


class Diet(NamedTuple):
    """What a network is given: the range of its pictures, its kind of pooling, and how much that counts."""

    preprocessing: str
    pooling: str
    share: float


DIETS = (
    Diet("caffe", "max", 1.0),
    Diet("caffe", "average", 0.35),
    Diet("torch", "max", 0.25),
    Diet("none", "max", 0.25),
)
CROPS_SHARES = (1, 1 / 5, 1 / 6, 1 / 6)  # of all crops, by diet


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, distil, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m nst_tf.networks.distil", description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a folder of a few hundred photographs and paintings")
    parser.add_argument("out", type=Path, help="the file to write, .npz")
    parser.add_argument("--weights", default="imagenet", help="of VGG19, as for vgg19_features (default: imagenet)")
    parser.add_argument("--crops", type=int, default=300, metavar="N", help="300 take 12 GB (default: %(default)s)")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    slim = distil(
        read_teacher(options.weights),
        read_pictures(options.pictures),
        crops=options.crops,
        report=lambda line: print(f"{line}  [{time.monotonic() - begun:.0f} s]", flush=True),
    )
    write_slim(slim, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


def read_teacher(weights: str) -> dict[str, Convolution]:
    """Return VGG19's kernels and biases by layer."""
    model = vgg19_features(WIDTHS, weights=weights).model
    return {name: tuple(model.get_layer(name).get_weights()) for name in WIDTHS}


def read_pictures(folder: Path) -> list[np.ndarray]:
    """Return a folder's pictures in the order of their names, uint8 (height, width, 3); too small ones are left out.

    Raises:
        ValueError: If there are none.
    """
    pictures = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            with Image.open(path) as picture:
                if min(picture.size) >= SIDE:
                    pictures.append(np.asarray(picture.convert("RGB")))
    if not pictures:
        raise ValueError(f"{str(folder)!r} holds no JPEG or PNG of at least {SIDE} pixels a side.")
    return pictures


def draw_crops(pictures: Sequence[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """Return random crops, some in other colours or contrasts or with noise, float32 (count, SIDE, SIDE, 3)."""
    crops = []
    for _ in range(count):
        picture = pictures[generator.integers(len(pictures))]
        height, width, _ = picture.shape
        side = int(generator.uniform(SIDE, min(height, width) + 1))
        top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
        cut = Image.fromarray(picture[top : top + side, left : left + side]).resize((SIDE, SIDE), Image.LANCZOS)
        crop = np.asarray(cut, np.float32) / 255
        kind = generator.random()
        if kind < 0.15:
            crop = crop[..., generator.permutation(3)]
        elif kind < 0.3:
            mean = crop.mean((0, 1))
            crop = (crop - mean) * generator.uniform(0.5, 1.6) + (generator.uniform(0.15, 0.85, 3) + mean) / 2
        elif kind > 0.92:
            crop = crop + generator.normal(0, generator.uniform(0.02, 0.2), crop.shape)
        crops.append(np.clip(crop[:, ::-1] if generator.random() < 0.5 else crop, 0, 1))
    return np.stack(crops).astype(np.float32)


def distil(
    teacher: Mapping[str, Convolution],
    pictures: Sequence[np.ndarray],
    *,
    widths: Mapping[str, int] = WIDTHS,
    crops: int = 300,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> SlimWeights:
    """Make a slim network.

    Args:
        teacher: VGG19's kernels and biases by layer.
        pictures: uint8 (height, width, 3), RGB, each side at least `SIDE`.
        widths: Channels of each convolution.
        crops: How many random crops to fit to.
        seed: Of all that is drawn.
        report: Called with a line about each layer.

    Returns:
        What `write_slim` writes.
    """
    generator = np.random.default_rng(seed)
    inputs = [
        np.asarray(preprocess(draw_crops(pictures, max(2, round(crops * share)), generator), diet.preprocessing))
        for diet, share in zip(DIETS, CROPS_SHARES, strict=True)
    ]
    big, small = inputs, [values.copy() for values in inputs]
    convolutions: dict[str, Convolution] = {}
    taps: dict[str, np.ndarray] = {}
    before = ""
    for layer, width in widths.items():
        if before and before[:6] != layer[:6]:
            big, small = ([_pooled(x, diet) for x, diet in zip(both, DIETS, strict=True)] for both in (big, small))
        before = layer
        goals = [_convolved(values, *teacher[layer]) for values in big]
        sizes = [np.float32(diet.share / _spread(goal)) for goal, diet in zip(goals, DIETS, strict=True)]
        kept = _channels_that_span(goals, sizes, width, generator)
        kernel, bias = _fit_kernel(small, [goal[..., kept] for goal in goals], sizes, generator)
        kernel = from_8_bits(*to_8_bits(kernel))
        convolutions[layer] = kernel, bias
        small = [np.maximum(_convolved(values, kernel, bias), 0) for values in small]
        big = [np.maximum(goal, 0, out=goal) for goal in goals]
        taps[layer] = from_8_bits(*to_8_bits(_fit_tap(small, big, sizes, generator)))
        some = big[0][: BATCH * 4, ..., kept]
        error = np.sum((small[0][: BATCH * 4] - some) ** 2) / np.sum(some**2)
        report(f"{layer}: {width} of {big[0].shape[-1]} channels, error {error:.3f}")
    slim = SlimWeights(convolutions, taps, {})
    pairs = [draw_crops(pictures, 2, generator) for _ in range(min(PAIRS, crops))]
    for diet in DIETS:
        slim.gains[diet.preprocessing, diet.pooling] = _measure_gains(teacher, slim, pairs, diet)
        report(f"gains for {diet.preprocessing} and {diet.pooling}")
    return slim


def _spread(goal: np.ndarray) -> float:
    """Return the standard deviation of what ReLU leaves, over all channels together."""
    features = np.maximum(goal[: BATCH * 4], 0)
    return float(np.sqrt(features.var(axis=(0, 1, 2)).sum()))


def _channels_that_span(
    goals: Sequence[np.ndarray], sizes: Sequence[np.float32], width: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the numbers of the channels from which the others are best predicted."""
    moments = 0.0
    for goal, size in zip(goals, sizes, strict=True):
        flat = goal.reshape(-1, goal.shape[-1])
        some = np.maximum(flat[generator.integers(len(flat), size=40_000)], 0).astype(np.float64) * size
        moments = moments + some.T @ some / len(some)
    root = np.linalg.cholesky(moments + 1e-9 * np.trace(moments) * np.eye(len(moments))).T
    return np.sort(scipy.linalg.qr(root, pivoting=True)[2][:width])


def _fit_kernel(
    inputs: Sequence[np.ndarray],
    goals: Sequence[np.ndarray],
    sizes: Sequence[np.float32],
    generator: np.random.Generator,
) -> Convolution:
    """Return the kernel and bias that lead from patches of the inputs to the goals, as far as ReLU can tell."""
    rows, wanted = [], []
    for values, goal, size in zip(inputs, goals, sizes, strict=True):
        height, width = goal.shape[1:3]
        count = min(height * width, ROWS_PER_CROP)
        for one, its_goal in zip(values, goal, strict=True):
            y, x = np.divmod(generator.choice(height * width, count, replace=False), width)
            padded = np.pad(one, ((1, 1), (1, 1), (0, 0)), "edge")
            patches = padded[
                (y[:, np.newaxis] + np.arange(3))[:, :, np.newaxis], (x[:, np.newaxis] + np.arange(3))[:, np.newaxis]
            ]
            rows.append(_with_ones(patches.reshape(count, -1)) * size)
            wanted.append(its_goal[y, x] * size)
    rows, wanted = np.concatenate(rows), np.concatenate(wanted)
    solve = _ridge(rows)
    fit = solve(rows.T @ wanted)
    for _ in range(BELOW_ZERO_ROUNDS):
        reachable = np.where(wanted < 0, np.minimum(rows @ fit.astype(np.float32), 0), wanted)
        fit = solve(rows.T @ reachable)
    return fit[:-1].reshape(3, 3, -1, wanted.shape[-1]).astype(np.float32), fit[-1].astype(np.float32)


def _fit_tap(
    small: Sequence[np.ndarray],
    big: Sequence[np.ndarray],
    sizes: Sequence[np.float32],
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the square map (channels, channels) whose outputs are VGG19's features in a rotated basis."""
    rows, wanted = [], []
    for values, goal, size in zip(small, big, sizes, strict=True):
        values, goal = values.reshape(-1, values.shape[-1]), goal.reshape(-1, goal.shape[-1])
        chosen = generator.integers(len(values), size=TAP_ROWS)
        rows.append(values[chosen] * size)
        wanted.append(goal[chosen] * size)
    rows, wanted = np.concatenate(rows), np.concatenate(wanted)
    onto_all = _ridge(rows)(rows.T @ wanted)  # (channels that stay, all channels)
    return np.linalg.qr(onto_all.T)[1].T.astype(np.float32)


def _ridge(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what solves the normal equations of these rows."""
    square = (rows.T @ rows).astype(np.float64)
    square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    return functools.partial(scipy.linalg.cho_solve, scipy.linalg.cho_factor(square))


def _with_ones(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)


def _measure_gains(
    teacher: Mapping[str, Convolution], slim: SlimWeights, pairs: Sequence[np.ndarray], diet: Diet
) -> dict[str, float]:
    """Return by layer what makes the slim network's differences between two crops as large as VGG19's on average."""
    ratios: dict[str, list[float]] = {layer: [] for layer in slim.convolutions}
    for pair in pairs:
        images = np.asarray(preprocess(pair, diet.preprocessing))
        big, small, before = images, images, ""
        for layer, ratio in ratios.items():
            if before and before[:6] != layer[:6]:
                big, small = _pooled(big, diet), _pooled(small, diet)
            before = layer
            big = np.maximum(_convolved(big, *teacher[layer]), 0)
            small = np.maximum(_convolved(small, *slim.convolutions[layer]), 0)
            ratio.append(_difference(big, layer) / _difference(small @ slim.taps[layer], layer))
    powers = {layer: 1 / 4 if layer.endswith("conv1") else 1 / 2 for layer in ratios}
    return {layer: float(np.exp(np.mean(np.log(ratio)) * powers[layer])) for layer, ratio in ratios.items()}


def _difference(features: np.ndarray, layer: str) -> float:
    """Return how much two pictures differ: in their Gram matrices for style layers, else in their features."""
    if layer.endswith("conv1"):
        flat = features.reshape(2, -1, features.shape[-1])
        features = flat.transpose(0, 2, 1) @ flat / flat.shape[1]
    return float(np.sum((features[0] - features[1]).astype(np.float64) ** 2))


def _convolved(values: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [_convolve(tf.constant(values[i : i + BATCH]), kernel, bias).numpy() for i in range(0, len(values), BATCH)]
    )


@tf.function(reduce_retracing=True)
def _convolve(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(tf.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC"), kernel, 1, "VALID") + bias


def _pooled(values: np.ndarray, diet: Diet) -> np.ndarray:
    pool = tf.nn.max_pool2d if diet.pooling == "max" else tf.nn.avg_pool2d
    return np.concatenate(
        [pool(tf.constant(values[i : i + BATCH]), 2, 2, "VALID").numpy() for i in range(0, len(values), BATCH)]
    )


if __name__ == "__main__":
    main()

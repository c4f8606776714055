"""Make the slim network's file from VGG19 and a folder of pictures: python research/slim/distil.py PICTURES OUT.

A network that learned to name a million photographs knows more than style transfer needs, and most of its work is
spent on channels that nearly repeat each other.  This makes a narrow copy of it, in an hour on two cores:

1. **Which channels stay.**  Of a layer's channels, take the one with the most energy, then again and again the one
   that those before predict worst: QR with column pivoting (Businger, Golub 1965) of the Cholesky factor of their
   second moments.  Those after it are nearly sums of those before it.
2. **What the kernels become.**  Layer after layer, least squares from the slim network's *own* patches to VGG19's
   pre-activations of the channels that stay.  So each layer makes good what the layers before it got wrong (He, Zhang,
   Sun 2017; Luo, Wu, Lin 2017).  Where VGG19's pre-activation is negative, ReLU makes it zero and any negative answer
   is as good: there the goal becomes the answer itself if it is negative, and the fit is repeated (Zhang et al. 2016).
3. **Maps.**  At each layer, a linear map by least squares from the channels that stay to all of VGG19's.
4. **Descents and tuning.**  A picture that the slim network is content with goes where the two networks differ most.
   So let it make some, and then tune blocks 2 to 5 by gradient descent until features, Gram matrices and the
   differences between pictures are VGG19's on these too (`tune.py`).
5. **Taps.**  Kernels are rounded to 8 bits and the maps fitted anew.  What a map can reach has no more dimensions than
   it was given, so QR turns it into a rotation, which no loss notices, and a square, which the file holds.
6. **Gains.**  What was fitted shrinks what it cannot predict, so each layer gets a factor that makes differences as
   large as VGG19's on average, between the pictures of new descents and their contents and styles: of Gram matrices in
   the first convolution of each block, of features in the others.

The recipes give VGG19 pictures in three ranges and with two kinds of pooling, and small inputs leave most of the work
to the biases; so every step sees a share of each.

The same pictures, weights and machine give the same file.  VGG19's weights are the Visual Geometry Group's, University
of Oxford, under CC BY 4.0, and so is what is made of them here.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.linalg
import tensorflow as tf
from PIL import Image
from tune import Convolution, activations, convolve, make_descents, pool, tune

from nst_tf.features import preprocess
from nst_tf.losses import gram_matrix
from nst_tf.networks.slim import SlimWeights, from_8_bits
from nst_tf.networks.vgg import BORDERS, read_vgg

# Channels of each convolution.  Block 1 is dear in time, since it has all positions; block 5 in bytes.
WIDTHS = {
    **{"block1_conv1": 24, "block1_conv2": 24},
    **{"block2_conv1": 48, "block2_conv2": 48},
    **{"block3_conv1": 64, "block3_conv2": 64, "block3_conv3": 80, "block3_conv4": 112},
    **{"block4_conv1": 208, "block4_conv2": 208, "block4_conv3": 208, "block4_conv4": 208},
    **{"block5_conv1": 320, "block5_conv2": 176, "block5_conv3": 176, "block5_conv4": 176},
}
SIDE = 160  # of a crop, in pixels
GAINS_SIDE = 320  # of those whose differences are measured: beside them the borders count as little as in use
ROWS_PER_CROP = 900  # positions of a crop that a kernel is fitted to
BELOW_ZERO_ROUNDS = 4
ROWS_PER_MAP = 3000  # positions of a crop that a map is fitted to
RIDGE = 1e-6
BATCH = 8


class InputKind(NamedTuple):
    """What a network is given: the range of its pictures, its kind of pooling, and how much that counts."""

    preprocessing: str
    pooling: str
    share: float
    crops: float  # as a share of all

    def preprocess(self, crops: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Return crops, float32 in [0, 1], in this range."""
        return tf.convert_to_tensor(preprocess(crops, self.preprocessing))


INPUT_KINDS = (
    InputKind("caffe", "max", 1.0, 1.0),
    InputKind("caffe", "average", 0.35, 1 / 5),
    InputKind("torch", "max", 0.25, 1 / 6),
    InputKind("none", "max", 0.25, 1 / 6),
)


class Budget(NamedTuple):
    """How much to do.  What is here takes an hour and 12 GB."""

    crops: int = 300  # that kernels are fitted to at first
    descents: int = 48
    groups: int = 140  # of five random crops
    steps: int = 2000  # of tuning


WHOLE_BUDGET = Budget()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, distil, and write the file."""
    parser = argparse.ArgumentParser(prog="python research/slim/distil.py", description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a folder of a few hundred photographs and paintings")
    parser.add_argument("out", type=Path, help="the file to write, .npz")
    parser.add_argument("--weights", default="imagenet", help="of VGG19, as for vgg19_features (default: imagenet)")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    slim = distil(
        read_vgg("vgg19", options.weights)[0],
        read_pictures(options.pictures),
        report=lambda line: print(f"{line}  [{time.monotonic() - begun:.0f} s]", flush=True),
    )
    write_slim(slim, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


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


def draw_crops(
    pictures: Sequence[np.ndarray], count: int, generator: np.random.Generator, to_side: int = SIDE
) -> np.ndarray:
    """Return random crops, some in other colors or contrasts or with noise, float32 (count, to_side, to_side, 3)."""
    crops = []
    for _ in range(count):
        picture = pictures[generator.integers(len(pictures))]
        height, width, _ = picture.shape
        side = int(generator.uniform(min(to_side, height, width), min(height, width) + 1))
        top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
        cut = Image.fromarray(picture[top : top + side, left : left + side]).resize((to_side, to_side), Image.LANCZOS)
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
    budget: Budget = WHOLE_BUDGET,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> SlimWeights:
    """Make a slim network.

    Args:
        teacher: VGG19's kernels and biases by layer.
        pictures: uint8 (height, width, 3), RGB, each side at least `SIDE`.
        widths: Channels of each convolution.
        budget: How much to do.
        seed: Of all that is drawn.
        report: Called with a line about each layer and every hundred steps.

    Returns:
        What `write_slim` writes.
    """
    generator = np.random.default_rng(seed)

    def crops_of(kind: InputKind, count: float) -> np.ndarray:
        return draw_crops(pictures, max(2, round(count * kind.crops)), generator)

    def groups_of(kind: InputKind, count: float) -> np.ndarray:
        count = max(2, round(count * kind.crops))
        return draw_crops(pictures, 5 * count, generator).reshape(count, 5, SIDE, SIDE, 3)

    first = [kind.preprocess(crops_of(kind, budget.crops)).numpy() for kind in INPUT_KINDS]
    convolutions, spreads, moments = _fit_layers(teacher, first, widths, generator, report)
    del first
    mixed = [kind.preprocess(crops_of(kind, budget.crops / 2)).numpy() for kind in INPUT_KINDS]
    maps = _fit_maps(teacher, convolutions, mixed, spreads, generator)
    starts = [draw_crops(pictures, budget.descents, generator) for _ in range(2)]
    descents = make_descents(convolutions, maps, *starts, INPUT_KINDS[0].preprocess, generator, report)
    groups = {kind: groups_of(kind, budget.groups) for kind in INPUT_KINDS}
    groups[INPUT_KINDS[0]] = np.concatenate([descents, groups[INPUT_KINDS[0]]])
    convolutions = tune(
        teacher, convolutions, maps, moments, spreads, groups, budget.steps, generator=generator, report=report
    )
    convolutions = {layer: (_rounded(kernel), bias) for layer, (kernel, bias) in convolutions.items()}
    some = {kind: values[: len(values) // 2] for kind, values in groups.items()}
    mixed = [kind.preprocess(values.reshape(-1, SIDE, SIDE, 3)).numpy() for kind, values in some.items()]
    maps = _fit_maps(teacher, convolutions, mixed, spreads, generator)
    taps = {layer: _rounded(np.linalg.qr(onto_all.T)[1].T) for layer, onto_all in maps.items()}
    slim = SlimWeights(convolutions, taps, {})
    starts = [draw_crops(pictures, budget.descents // 2, generator, GAINS_SIDE) for _ in range(2)]
    descents = make_descents(convolutions, taps, *starts, INPUT_KINDS[0].preprocess, generator, report, steps=20)
    triples = [*descents[:, [0, 1, 2]], *descents[:, [0, 1, 3]]]
    for kind in INPUT_KINDS:
        slim.gains[kind.preprocessing, kind.pooling] = _measure_gains(teacher, slim, triples, kind)
        report(f"gains for {kind.preprocessing} and {kind.pooling}")
    return slim


def _fit_layers(
    teacher: Mapping[str, Convolution],
    inputs: Sequence[np.ndarray],
    widths: Mapping[str, int],
    generator: np.random.Generator,
    report: Callable[[str], None],
) -> tuple[dict[str, Convolution], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Fit kernels by least squares, layer after layer.

    Returns:
        By layer: kernels and biases; VGG19's standard deviation for each kind, over all channels together; the second
        moments of VGG19's channels.
    """
    big, small = list(inputs), [values.copy() for values in inputs]
    convolutions, spreads, moments, before = {}, {}, {}, ""
    for layer, width in widths.items():
        if before and before[:6] != layer[:6]:
            big, small = (
                [_in_batches(pool, x, kind.pooling) for x, kind in zip(both, INPUT_KINDS, strict=True)]
                for both in (big, small)
            )
        before = layer
        goals = [_in_batches(convolve, values, *teacher[layer]) for values in big]
        spreads[layer] = np.array([_spread(goal) for goal in goals], np.float32)
        weights = np.float32([kind.share for kind in INPUT_KINDS]) / spreads[layer]
        moments[layer] = _second_moments(goals, weights, generator)
        kept = _channels_that_span(moments[layer], width)
        kernel, bias = _fit_kernel(small, [goal[..., kept] for goal in goals], weights, generator)
        convolutions[layer] = kernel, bias
        small = [np.maximum(_in_batches(convolve, values, kernel, bias), 0) for values in small]
        big = [np.maximum(goal, 0, out=goal) for goal in goals]
        some = big[0][: BATCH * 4, ..., kept]
        error = np.sum((small[0][: BATCH * 4] - some) ** 2) / np.sum(some**2)
        report(f"{layer}: {width} of {big[0].shape[-1]} channels, error {error:.3f}")
    return convolutions, spreads, moments


def _spread(goal: np.ndarray) -> float:
    """Return the standard deviation of what ReLU leaves, over all channels together."""
    features = np.maximum(goal[: BATCH * 4], 0)
    return float(np.sqrt(features.var(axis=(0, 1, 2)).sum()))


def _second_moments(goals: Sequence[np.ndarray], weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the mean product of each two channels after ReLU."""
    moments = 0.0
    for goal, weight in zip(goals, weights, strict=True):
        flat = goal.reshape(-1, goal.shape[-1])
        some = np.maximum(flat[generator.integers(len(flat), size=40_000)], 0).astype(np.float64) * weight
        moments = moments + some.T @ some / len(some)
    return moments


def _channels_that_span(moments: np.ndarray, width: int) -> np.ndarray:
    """Return the numbers of the channels from which the others are best predicted."""
    root = np.linalg.cholesky(moments + 1e-9 * np.trace(moments) * np.eye(len(moments))).T
    return np.sort(scipy.linalg.qr(root, pivoting=True)[2][:width])


def _fit_kernel(
    inputs: Sequence[np.ndarray], goals: Sequence[np.ndarray], weights: np.ndarray, generator: np.random.Generator
) -> Convolution:
    """Return the kernel and bias that lead from patches of the inputs to the goals, as far as ReLU can tell."""
    rows, wanted = [], []
    for values, goal, weight in zip(inputs, goals, weights, strict=True):
        height, width = goal.shape[1:3]
        count = min(height * width, ROWS_PER_CROP)
        for one, its_goal in zip(values, goal, strict=True):
            y, x = np.divmod(generator.choice(height * width, count, replace=False), width)
            padded = np.pad(one, ((1, 1), (1, 1), (0, 0)), "edge")
            patches = padded[
                (y[:, np.newaxis] + np.arange(3))[:, :, np.newaxis], (x[:, np.newaxis] + np.arange(3))[:, np.newaxis]
            ]
            rows.append(_with_ones(patches.reshape(count, -1)) * weight)
            wanted.append(its_goal[y, x] * weight)
    rows, wanted = np.concatenate(rows), np.concatenate(wanted)
    solve = _ridge((rows.T @ rows).astype(np.float64))
    fit = solve(rows.T @ wanted)
    for _ in range(BELOW_ZERO_ROUNDS):
        reachable = np.where(wanted < 0, np.minimum(rows @ fit.astype(np.float32), 0), wanted)
        fit = solve(rows.T @ reachable)
    return fit[:-1].reshape(3, 3, -1, wanted.shape[-1]).astype(np.float32), fit[-1].astype(np.float32)


def _fit_maps(
    teacher: Mapping[str, Convolution],
    convolutions: Mapping[str, Convolution],
    inputs: Sequence[np.ndarray],
    spreads: Mapping[str, np.ndarray],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return by layer the map (channels that stay, all channels) from the slim network's features to VGG19's."""
    squares, products = dict.fromkeys(convolutions, 0.0), dict.fromkeys(convolutions, 0.0)
    for number, (values, kind) in enumerate(zip(inputs, INPUT_KINDS, strict=True)):
        for i in range(0, len(values), BATCH):
            batch = tf.constant(values[i : i + BATCH])
            small = activations(batch, convolutions, kind.pooling)
            for layer, big in activations(batch, teacher, kind.pooling).items():
                wanted = big.numpy().reshape(-1, big.shape[-1])
                rows = small[layer].numpy().reshape(len(wanted), -1)
                chosen = generator.integers(len(rows), size=min(len(rows), ROWS_PER_MAP * BATCH))
                rows, wanted = rows[chosen], wanted[chosen]
                weight = (kind.share / spreads[layer][number]) ** 2 / ROWS_PER_MAP
                squares[layer] += weight * (rows.T @ rows).astype(np.float64)
                products[layer] += weight * (rows.T @ wanted).astype(np.float64)
    return {layer: _ridge(squares[layer])(products[layer]).astype(np.float32) for layer in convolutions}


def _ridge(square: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what solves the normal equations with this matrix."""
    square = square + RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    return functools.partial(scipy.linalg.cho_solve, scipy.linalg.cho_factor(square))


def _with_ones(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)


def _rounded(values: np.ndarray) -> np.ndarray:
    return from_8_bits(*to_8_bits(values))


def _measure_gains(
    teacher: Mapping[str, Convolution], slim: SlimWeights, triples: Sequence[np.ndarray], kind: InputKind
) -> dict[str, float]:
    """Return by layer what makes the slim network's differences between pictures as large as VGG19's on average.

    Of three pictures, the third is compared with the first as a content and with the second as a style.
    """
    logarithms: dict[str, list[float]] = {layer: [] for layer in slim.convolutions}
    for triple, border in itertools.product(triples, BORDERS):
        images = kind.preprocess(triple)
        small = activations(images, slim.convolutions, kind.pooling, border)
        for layer, big in activations(images, teacher, kind.pooling, border).items():
            ratio = _difference(big, layer) / _difference(tf.tensordot(small[layer], slim.taps[layer], 1), layer)
            logarithms[layer].append(np.log(ratio) / (4 if layer.endswith("conv1") else 2))
    return {layer: float(np.exp(np.mean(values))) for layer, values in logarithms.items()}


def _difference(features: tf.Tensor, layer: str) -> float:
    """Return how much the last picture differs from the others: from the style in Gram matrices, or in features."""
    content, style, last = gram_matrix(features) if layer.endswith("conv1") else features
    return float(tf.reduce_sum(tf.square(last - (style if layer.endswith("conv1") else content))))


def _in_batches(function: Callable[..., tf.Tensor], values: np.ndarray, *others) -> np.ndarray:
    """Return what a function makes of a long array, a few at a time."""
    return np.concatenate([function(values[i : i + BATCH], *others).numpy() for i in range(0, len(values), BATCH)])


def write_slim(weights: SlimWeights, path: Path) -> None:
    """Write a slim network's file: each kernel and tap in 8 bits with a scale for each channel it leads to."""
    arrays: dict[str, np.ndarray] = {}
    for layer, (kernel, bias) in weights.convolutions.items():
        for name, values in ((f"{layer}/kernel", kernel), (f"{layer}/tap", weights.taps[layer])):
            arrays[name], arrays[f"{name}_scale"] = to_8_bits(values)
        arrays[f"{layer}/bias"] = bias.astype(np.float32)
    for key, gains in weights.gains.items():
        arrays["/".join(("gains", *key))] = np.array([gains[layer] for layer in weights.convolutions], np.float32)
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def to_8_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round to whole numbers of −127 to 127, and return these with the scale of each channel of the last axis."""
    scale = np.maximum(np.abs(values).max(axis=tuple(range(values.ndim - 1))) / 127, 1e-12).astype(np.float32)
    return np.round(values / scale).astype(np.int8), scale


if __name__ == "__main__":
    main()

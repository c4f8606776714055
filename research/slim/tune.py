"""Gradient descent through blocks 2 to 5 of the slim network: the second half of `distil.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from nst_tf.losses import gram_matrix

Convolution = tuple[np.ndarray, np.ndarray]

# Where the two networks are compared.  Block 1 stays as it was fitted: it is right to a hundredth, and the dearest.
CONTENT = ("block3_conv1", "block4_conv2", "block5_conv2", "block5_conv4")
FROZEN = "block1"
# VGG19's features are compared along so many of their principal directions, by block.
DIRECTIONS = (32, 64, 128, 192, 256)
BATCH = 12
DESCENT_STEPS, KEPT_STEPS = 80, (5, 20, 80)
STYLE_WEIGHTS = (4, 8, 14, 25)
LEARNING_RATE = 2e-3
GROUPS_A_STEP = 2
SHARES = (0.7, 0.1, 0.1, 0.1)  # of the steps, by kind
# Added to a difference's size, in the target's own: what is nearly equal need not be so in all its digits.
GRAM_FLOOR, CONTENT_FLOOR = 0.02, 0.05


def convolve(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, border: str = "replicate") -> tf.Tensor:
    """Return a 3 × 3 convolution of a picture continued by its outermost values, or by zeros."""
    if border == "replicate":
        values = tf.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    return tf.nn.conv2d(values, kernel, 1, "VALID" if border == "replicate" else "SAME") + bias


def pool(values: tf.Tensor, pooling: str) -> tf.Tensor:
    """Return 2 × 2 poolings, "max" or "average"."""
    return (tf.nn.max_pool2d if pooling == "max" else tf.nn.avg_pool2d)(values, 2, 2, "VALID")


def activations(
    values: tf.Tensor, convolutions: Mapping[str, Convolution], pooling: str, border: str = "replicate"
) -> dict[str, tf.Tensor]:
    """Return the features of each layer of a network."""
    features, before = {}, ""
    for layer, (kernel, bias) in convolutions.items():
        if before and before[:6] != layer[:6]:
            values = pool(values, pooling)
        values = tf.nn.relu(convolve(values, kernel, bias, border))
        features[layer], before = values, layer
    return features


def make_descents(
    convolutions: Mapping[str, Convolution],
    maps: Mapping[str, np.ndarray],
    contents: np.ndarray,
    styles: np.ndarray,
    preprocess: Callable[[tf.Tensor], tf.Tensor],
    generator: np.random.Generator,
    report: Callable[[str], None],
    steps: int = DESCENT_STEPS,
) -> np.ndarray:
    """Repaint crops with the slim network by Adam, and keep what is there on the way.

    Returns:
        (count, 5, side, side, 3): content, style, and the generated picture after 5, 20 and 80 steps; fewer pictures
        if there are not so many `steps`.
    """
    style_layers = [layer for layer in convolutions if layer.endswith("conv1")]
    content_layers = [layer for layer in CONTENT[:2] if layer in convolutions]
    needed = dict(list(convolutions.items())[: 1 + list(convolutions).index(style_layers[-1])])
    squares = {layer: np.linalg.qr(maps[layer].T)[1].T for layer in dict.fromkeys(style_layers + content_layers)}

    def features_of(images: tf.Tensor) -> dict[str, tf.Tensor]:
        found = activations(preprocess(images), needed, "max")
        return {layer: tf.tensordot(found[layer], square, 1) for layer, square in squares.items()}

    def relative(found: Sequence[tf.Tensor], targets: Sequence[tf.Tensor]) -> tf.Tensor:
        pairs = list(zip(found, targets, strict=True))
        return tf.add_n([_squares(one - target) / _squares(target) for one, target in pairs]) / len(pairs)

    @tf.function
    def gradient_of(images: tf.Tensor, content: list, style: list, weights: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(images)
            features = features_of(images)
            of_content = relative([features[layer] for layer in content_layers], content)
            of_style = relative([gram_matrix(features[layer]) for layer in style_layers], style)
            total = tf.reduce_sum(of_content + weights * of_style)
        return tape.gradient(total, images), tf.reduce_mean(of_content), tf.reduce_mean(of_style)

    groups = []
    for begin in range(0, len(contents), BATCH):
        content_images, style_images = contents[begin : begin + BATCH], styles[begin : begin + BATCH]
        features = features_of(tf.constant(content_images))
        content = [features[layer] for layer in content_layers]
        features = features_of(tf.constant(style_images))
        style = [gram_matrix(features[layer]) for layer in style_layers]
        weights = tf.constant(generator.choice(STYLE_WEIGHTS, len(content_images)).astype(np.float32))
        images, mean, square, kept = content_images, 0.0, 0.0, []
        for step in range(1, steps + 1):
            gradient, of_content, of_style = gradient_of(tf.constant(images), content, style, weights)
            mean, square = 0.9 * mean + 0.1 * gradient.numpy(), 0.99 * square + 0.01 * gradient.numpy() ** 2
            direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
            rate = 0.03 * (1 - 0.8 * step / DESCENT_STEPS)
            images = np.clip(images - rate * direction, 0, 1).astype(np.float32)
            kept += [images] if step in KEPT_STEPS else []
        groups.append(np.stack([content_images, style_images, *kept], axis=1))
        report(f"descents: content {float(of_content):.3f}, style {float(of_style):.4f}")
    return np.concatenate(groups)


def tune(
    teacher: Mapping[str, Convolution],
    convolutions: Mapping[str, Convolution],
    maps: Mapping[str, np.ndarray],
    moments: Mapping[str, np.ndarray],
    spreads: Mapping[str, np.ndarray],
    groups: Mapping,
    steps: int,
    *,
    generator: np.random.Generator,
    report: Callable[[str], None],
) -> dict[str, Convolution]:
    """Make features, Gram matrices and differences between pictures VGG19's, by gradient descent on the kernels.

    Of each group of five pictures the first is a content and the second a style: what a descent sees is how Gram
    matrices differ from those of the second, and features from those of the first.

    Args:
        teacher: VGG19's kernels and biases.
        convolutions: The slim network's, where to begin.
        maps: From its features to VGG19's, where to begin.
        moments: Second moments of VGG19's channels.
        spreads: VGG19's standard deviation by layer, for each kind.
        groups: By kind, (count, 5, side, side, 3), float32 in [0, 1].
        steps: How many.
        generator: Draws which groups a step sees.
        report: Called every hundred steps with the errors of the Gram matrices and of the features by layer.

    Returns:
        The new kernels and biases.
    """
    compared = [layer for layer in convolutions if not layer.startswith(FROZEN)]
    compared = [layer for layer in compared if layer.endswith("conv1") or layer in CONTENT]
    directions = {
        layer: np.linalg.eigh(moments[layer])[1][:, : -DIRECTIONS[int(layer[5]) - 1] - 1 : -1].astype(np.float32)
        for layer in compared
    }
    first = {layer: values for layer, values in convolutions.items() if layer.startswith(FROZEN)}
    given = {layer: values for layer, values in convolutions.items() if layer not in first}
    # In units of their own size, so that Adam's steps are shares of it.
    variables, sizes = [], []
    for values in [*(value for pair in given.values() for value in pair), *(maps[c] @ directions[c] for c in compared)]:
        sizes.append(max(float(np.sqrt(np.mean(values**2))), 1e-3 if values.ndim == 1 else 1e-12))
        variables.append(tf.Variable(values.astype(np.float32) / np.float32(sizes[-1])))

    def unpacked() -> tuple[dict, dict]:
        values = iter(variable * size for variable, size in zip(variables, sizes, strict=True))
        return {layer: (next(values), next(values)) for layer in given}, {layer: next(values) for layer in compared}

    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps), beta_2=0.99)
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def prepared(images: tf.Tensor, pooling: str) -> tuple[tf.Tensor, list[tf.Tensor]]:
        *_, last = activations(images, first, pooling).values()
        big = activations(images, teacher, pooling)
        projected = [tf.tensordot(big[layer], directions[layer], 1) for layer in compared]
        return tf.cast(pool(last, pooling), tf.float16), projected

    @tf.function(reduce_retracing=True)
    def step(inputs: tf.Tensor, targets: list[tf.Tensor], scales: tf.Tensor, pooling: str) -> tf.Tensor:
        with tf.GradientTape() as tape:
            network, onto = unpacked()
            small = activations(tf.cast(inputs, tf.float32), network, pooling)
            of_features, of_grams, of_differences = [], [], []
            for number, (layer, target) in enumerate(zip(compared, targets, strict=True)):
                wanted = tf.cast(target, tf.float32)
                found = tf.tensordot(small[layer], onto[layer], 1) / scales[number]
                of_features.append(tf.reduce_mean(tf.reduce_sum(tf.square(found - wanted), -1)))
                if layer.endswith("conv1"):
                    of_grams.append(_gram_error(found, wanted))
                if layer in CONTENT:
                    of_differences.append(_content_error(found, wanted))
            parts = (of_features, of_grams, of_differences)
            loss = tf.add_n([tf.add_n(part) / len(part) for part in parts])
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return tf.stack(of_grams + of_differences)

    kinds, scales, data = list(groups), np.stack([spreads[layer] for layer in compared], axis=1), []
    for kind, its_scales in zip(kinds, scales, strict=True):
        data.append([])
        for group in groups[kind]:
            inputs, targets = prepared(kind.preprocess(group), kind.pooling)
            scaled = [target.numpy() / scale for target, scale in zip(targets, its_scales, strict=True)]
            data[-1].append((inputs.numpy(), [values.astype(np.float16) for values in scaled]))
    report("targets")
    errors = []
    for count in range(1, steps + 1):
        number = int(generator.choice(len(data), p=SHARES))
        chosen = [data[number][i] for i in generator.choice(len(data[number]), GROUPS_A_STEP, replace=False)]
        inputs = np.concatenate([one[0] for one in chosen])
        targets = [tf.constant(np.concatenate(values)) for values in zip(*(one[1] for one in chosen), strict=True)]
        found = step(tf.constant(inputs), targets, tf.constant(scales[number]), kinds[number].pooling)
        errors += [found.numpy()] if number == 0 else []
        if count % 100 == 0 and errors:
            report(f"step {count}: " + " ".join(f"{error:.3f}" for error in np.mean(errors, axis=0)))
            errors = []
    network, _ = unpacked()
    return first | {layer: (kernel.numpy(), bias.numpy()) for layer, (kernel, bias) in network.items()}


def _gram_error(found: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Return how wrong Gram matrices are, and their differences from the second picture's, as shares of their size."""
    found, wanted = (_by_group(gram_matrix(features)) for features in (found, wanted))
    off = tf.reduce_sum(tf.square(found - wanted), 2) / tf.reduce_sum(tf.square(wanted), 2)
    found_difference, wanted_difference = found - found[:, 1:2], wanted - wanted[:, 1:2]
    size = tf.reduce_sum(tf.square(wanted_difference), 2) + GRAM_FLOOR * tf.reduce_sum(tf.square(wanted[:, 1:2]), 2)
    share = tf.reduce_sum(tf.square(found_difference - wanted_difference), 2) / size
    return tf.reduce_mean(tf.gather(share, (0, 2, 3, 4), axis=1)) + tf.reduce_mean(off) / 2


def _content_error(found: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Return how wrong the features' differences from the first picture's are, as a share of their size."""
    found, wanted = _by_group(found), _by_group(wanted)
    found_difference, wanted_difference = found - found[:, :1], wanted - wanted[:, :1]
    size = tf.reduce_sum(tf.square(wanted_difference), 2) + CONTENT_FLOOR * tf.reduce_sum(tf.square(wanted[:, :1]), 2)
    share = tf.reduce_sum(tf.square(found_difference - wanted_difference), 2) / size
    return tf.reduce_mean(share[:, 1:])


def _squares(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(values), range(1, len(values.shape)))


def _by_group(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, (-1, 5, int(np.prod(values.shape[1:]))))

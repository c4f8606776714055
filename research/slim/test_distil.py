"""The slim network's file is made again, from a teacher of a few channels."""

import numpy as np
import pytest
from distil import Budget, distil, to_8_bits, write_slim

from nst_tf.networks.slim import from_8_bits, read_slim

pytestmark = [pytest.mark.slim, pytest.mark.slow]

NARROW = {"block1_conv1": 4, "block1_conv2": 5, "block2_conv1": 6, "block2_conv2": 7, "block3_conv1": 8}
LITTLE = Budget(crops=4, descents=4, groups=2, steps=3)


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.fixture
def teacher(generator):
    """A VGG19 of three blocks and few channels."""
    convolutions, before = {}, 3
    for layer, width in zip(NARROW, (8, 8, 12, 12, 16), strict=True):
        kernel = generator.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, width)).astype(np.float32)
        convolutions[layer] = kernel, generator.normal(0, 1, width).astype(np.float32)
        before = width
    return convolutions


@pytest.fixture
def photographs(generator):
    return [generator.integers(0, 256, (180, 200, 3)).astype(np.uint8) for _ in range(3)]


def test_distilling_again_gives_the_same_bits_and_the_file_keeps_them(teacher, photographs, tmp_path):
    first, again = (distil(teacher, photographs, widths=NARROW, budget=LITTLE) for _ in range(2))
    write_slim(first, tmp_path / "slim.npz")
    read = read_slim(tmp_path / "slim.npz")
    for layer in NARROW:
        for one, other in zip(first.convolutions[layer], again.convolutions[layer], strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(read.convolutions[layer][0], first.convolutions[layer][0], rtol=1e-5)
        np.testing.assert_array_equal(first.taps[layer], again.taps[layer])
    assert first.gains == again.gains


def test_a_network_as_wide_as_its_teacher_has_its_gram_matrices(teacher, photographs):
    widths = {layer: len(bias) for layer, (_, bias) in teacher.items()}
    slim = distil(teacher, photographs, widths=widths, budget=LITTLE)
    for gains in slim.gains.values():
        assert min(gains.values()) > 0.9
        assert max(gains.values()) < 1.1


def test_8_bits_are_within_half_a_unit(generator):
    values = generator.normal(size=(3, 3, 5, 7)).astype(np.float32)
    rounded, scale = to_8_bits(values)
    assert rounded.dtype == np.int8
    assert np.abs(from_8_bits(rounded, scale) - values).max() <= 0.51 * scale.max()

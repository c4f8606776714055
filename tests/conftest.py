import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts the tests in the background has them ignore Ctrl-C, and so whatever they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

from nst_tf.ground.startup import start_tensorflow

start_tensorflow()  # as the command line and the notebooks do

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nst_tf.engine import extractors
from nst_tf.features import FeatureExtractor
from nst_tf.images import save_image
from nst_tf.networks.slim import SlimWeights
from nst_tf.networks.vgg import build_network
from nst_tf.tools.jobs import pairs

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_WEIGHTS = REPOSITORY.parent / "shared" / "data" / "vgg19_imagenet_blocks1to3.npz"
PARTIAL_VGG19 = REPOSITORY.parent / "shared" / "tools" / "partial_vgg19.py"


def pytest_collection_modifyitems(items):
    """Leave the folder of slow tests to `make test-all`."""
    for item in items:
        if REPOSITORY / "tests" / "slow" in item.path.parents:
            item.add_marker(pytest.mark.slow)


# Of a network with VGG19's names and strides, and as few convolutions and channels as the recipes can do with.
WIDTHS = {"block1_conv1": 8, "block1_conv2": 8, "block2_conv1": 12, "block2_conv2": 12}
WIDTHS |= dict.fromkeys(("block3_conv1", "block3_conv2", "block4_conv1", "block4_conv2"), 16)
WIDTHS |= dict.fromkeys(("block5_conv1", "block5_conv2", "block5_conv4"), 16)


def drawn_weights(widths=WIDTHS):
    """Kernels, He-normal from a fixed seed, and biases of 0 by layer."""
    generator, before, convolutions = np.random.default_rng(0), 3, {}
    for layer, width in widths.items():
        kernel = generator.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, width)).astype(np.float32)
        convolutions[layer] = kernel, np.zeros(width, np.float32)
        before = width
    return convolutions


def small_network(layers, *, preprocessing="caffe", **options):
    """A feature extractor for what does not depend on the network."""
    model, geometry = build_network(drawn_weights(), layers, **options)
    return FeatureExtractor("small", model, preprocessing=preprocessing, geometry=geometry)


@pytest.fixture(autouse=True)
def slim_network(request, monkeypatch):
    """In place of the slim network a small one, which is traced sooner, unless a test is marked as about itself."""
    if request.node.get_closest_marker("slim") is None:
        convolutions = drawn_weights()
        taps = {layer: np.eye(len(bias), dtype=np.float32) for layer, (_, bias) in convolutions.items()}
        gains = {("caffe", pooling): dict.fromkeys(convolutions, 1.0) for pooling in ("max", "average")}
        weights = SlimWeights(convolutions, taps, gains)
        monkeypatch.setattr("nst_tf.features.read_slim", lambda: weights)
    extractors._make.cache_clear()
    request.addfinalizer(extractors._make.cache_clear)


@pytest.fixture(autouse=True)
def no_bfloat16(monkeypatch):
    """Let precision="auto" be float32 on every CPU, as what is compared here agrees to more than bfloat16's digits."""
    monkeypatch.setattr("nst_tf.engine.precision.processor", lambda: ("any CPU", frozenset()))


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.fixture
def pair():
    """A smooth content picture and a striped style picture, of different sizes."""
    return tf.constant(smooth_picture(48, 64)), tf.constant(striped_picture(56, 48))


@pytest.fixture
def folders(tmp_path):
    """Two contents and two styles of different looks, in folders."""
    for number in range(2):
        save_image(np.roll(smooth_picture(48, 64), 9 * number, axis=2), tmp_path / "contents" / f"c{number}.png")
        save_image(np.roll(striped_picture(56, 48), number, axis=-1), tmp_path / "styles" / f"s{number}.png")
    return tmp_path


@pytest.fixture
def jobs(folders):
    """Every pair of them."""
    return list(pairs(folders / "contents", folders / "styles", folders / "out", features="slim", size=48, steps=3))


@pytest.fixture(scope="session")
def real_weights():
    """The ImageNet kernels and biases of VGG19's blocks 1 to 3, by "layer/kernel" and "layer/bias"."""
    if not REAL_WEIGHTS.exists():
        pytest.skip("the real VGG19 weights of blocks 1 to 3 are not beside this checkout")
    return dict(np.load(REAL_WEIGHTS))


@pytest.fixture(scope="session")
def partial_weights(tmp_path_factory):
    """A weights file of VGG19 whose blocks 1 to 3 are ImageNet's."""
    if not PARTIAL_VGG19.exists():
        pytest.skip("the tool that writes VGG19's real blocks into a weights file is not beside this checkout")
    path = tmp_path_factory.mktemp("weights") / "partial.weights.h5"
    subprocess.run([sys.executable, PARTIAL_VGG19, path], check=True, capture_output=True)
    return path


def descend(solver, losses, steps, target=0.0):
    """Take up to so many steps as `stylize` does, down a function from image and target to a tuple of losses.

    Returns the losses before each step, (steps, parts).
    """
    history = []
    while len(history) < steps and not solver.stuck:
        image = tf.convert_to_tensor(solver.image)
        with tf.GradientTape() as tape:
            tape.watch(image)
            found = losses(image, target)
        solver.step(found[0], tape.gradient(found[0], image))
        history.append(np.array(found, np.float32))
    return np.stack(history)


def features_written_out(image, real_weights):
    """Yield name and features of each convolution of VGG19's blocks 1 to 3, computed without Keras."""
    tensor = image[..., ::-1] * 255 - np.array([103.939, 116.779, 123.68], np.float32)
    for name in sorted({key.split("/")[0] for key in real_weights}):
        if name in ("block2_conv1", "block3_conv1"):
            tensor = tf.nn.max_pool2d(tensor, 2, 2, "VALID")
        tensor = tf.nn.conv2d(tensor, real_weights[f"{name}/kernel"], 1, "SAME") + real_weights[f"{name}/bias"]
        tensor = tf.nn.relu(tensor)
        yield name, tensor


def on_transparent(mask, color):
    """An image of one color, opaque where a mask is 1, as editors export masks."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., :3] = color
    pixels[..., 3] = 255 * mask
    return Image.fromarray(pixels)


def smooth_picture(height, width):
    rows, columns = np.mgrid[0:height, 0:width] / 16
    picture = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    return (picture[np.newaxis] * 0.4 + 0.5).astype(np.float32)


def striped_picture(height, width):
    rows, columns = np.mgrid[0:height, 0:width]
    stripes = ((rows + 2 * columns) % 9 < 4)[..., np.newaxis]
    picture = np.where(stripes, [0.9, 0.7, 0.1], [0.1, 0.2, 0.6])
    return picture[np.newaxis].astype(np.float32)


def finite_difference(function, array, index, step=1e-5):
    """The central difference of a scalar function with respect to one entry, in float64."""
    above, below = array.copy(), array.copy()
    above[index] += step
    below[index] -= step
    return (function(above) - function(below)) / (2 * step)

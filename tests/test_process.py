"""Pictures come out alike whatever the user's process has set, and nothing of it is changed."""

import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf
from conftest import small_network, smooth_picture, striped_picture

from nst_tf.engine.extractors import find_features
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO, TUTORIAL = RECIPES["studio"], RECIPES["tf_tutorial"]


def network_for(recipe):
    return small_network(recipe.network.layers, **recipe.network.options)


def made(pair):
    runs = ((STUDIO, "fast"), (TUTORIAL, "fast"), (TUTORIAL, "published"))
    options = {"steps": 3, "precision": "float32"}
    return [
        stylize(*pair, recipe=recipe, features=network_for(recipe), solver=solver, **options).image.numpy()
        for recipe, solver in runs
    ]


@pytest.fixture(scope="module")
def expected():
    return made((smooth_picture(48, 64), striped_picture(56, 48)))


@contextmanager
def strict_numpy():
    with np.errstate(all="raise"):
        yield


@contextmanager
def switched(on, off):
    on()
    try:
        yield
    finally:
        off()


STATES = {
    "mixed_float16": lambda: switched(
        lambda: keras.config.set_dtype_policy("mixed_float16"), lambda: keras.config.set_dtype_policy("float32")
    ),
    "floatx float64": lambda: switched(
        lambda: keras.config.set_floatx("float64"), lambda: keras.config.set_floatx("float32")
    ),
    "channels_first": lambda: switched(
        lambda: keras.config.set_image_data_format("channels_first"),
        lambda: keras.config.set_image_data_format("channels_last"),
    ),
    "a large epsilon": lambda: switched(lambda: keras.config.set_epsilon(0.01), lambda: keras.config.set_epsilon(1e-7)),
    "a cleared session": lambda: switched(keras.utils.clear_session, lambda: None),
    "NumPy raises": strict_numpy,
    "no soft placement": lambda: switched(
        lambda: tf.config.set_soft_device_placement(False), lambda: tf.config.set_soft_device_placement(True)
    ),
    "functions run eagerly": lambda: switched(
        lambda: tf.config.run_functions_eagerly(True), lambda: tf.config.run_functions_eagerly(False)
    ),
    "numbers are checked": lambda: switched(tf.debugging.enable_check_numerics, tf.debugging.disable_check_numerics),
}


@pytest.mark.parametrize("state", STATES)
def test_the_same_picture_comes_whatever_the_process_has_set(pair, state, expected):
    with STATES[state]():
        found = made(pair)
    for one, other in zip(found, expected, strict=True):
        # Operations that are not fused round otherwise, which three steps make no larger than this.
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_numpy_behavior_of_tensors_is_no_obstacle(expected):
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import numpy as np, tensorflow as tf\n"
        "tf.experimental.numpy.experimental_enable_numpy_behavior()\n"
        "from test_process import made, smooth_picture, striped_picture\n"
        "print([float(image.mean()) for image in made((smooth_picture(48, 64), striped_picture(56, 48)))])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, [image.mean() for image in expected], atol=1e-3)


def test_where_no_picture_can_be_made_one_sentence_says_so(pair):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="not executing eagerly"):
        stylize(*pair)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope(), pytest.raises(ValueError, match="strategy's scope"):
        stylize(*pair)


def test_another_backend_of_keras_is_named_by_the_library_and_put_right_by_the_commands():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    script = "import nst_tf\ntry:\n    nst_tf.stylize\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "set to 'jax'" in done.stdout
    command = [sys.executable, "-m", "nst_tf", "recipes"]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0


def test_pythons_random_numbers_are_left_alone(pair):
    random.seed(5)
    before = random.getstate()
    find_features("slim", STUDIO)
    made(pair)
    assert random.getstate() == before


def test_one_network_a_process_for_one_word_and_memory_stays(pair):
    assert find_features("slim", STUDIO) is find_features("slim", STUDIO)
    sizes = [(48 + 8 * (i % 5), 64 + 8 * (i % 3)) for i in range(24)]
    resident = []
    for height, width in sizes:
        stylize(smooth_picture(height, width), pair[1], features="slim", steps=1)
        resident.append(psutil.Process().memory_info().rss / 2**20)
    assert resident[-1] - resident[7] < 60


def test_two_threads_may_use_one_word(pair):
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: stylize(*pair, features="slim", steps=3).image.numpy()}))
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(results[0], results[1])

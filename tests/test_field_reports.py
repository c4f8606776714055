"""What users reported of style transfer and of Keras models in general: each line a state or an input, each tried."""

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
from PIL import Image

import nst_tf
from nst_tf.cli.parser import main
from nst_tf.engine.extractors import find_features
from nst_tf.engine.tiles import Tiles
from nst_tf.images import load_image, save_image
from nst_tf.objective import Objective
from nst_tf.recipes import RECIPES, make_recipe
from nst_tf.transfer import stylize

STUDIO, TUTORIAL = RECIPES["studio"], RECIPES["tf_tutorial"]


def network_for(recipe):
    return small_network(recipe.network.layers, **recipe.network.options)


def made(pair):
    runs = ((STUDIO, "fast"), (TUTORIAL, "fast"), (TUTORIAL, "published"))
    return [stylize(*pair, recipe=r, features=network_for(r), solver=s, steps=3).image.numpy() for r, s in runs]


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
def test_the_same_picture_comes_whatever_the_process_has_set(pair, state):
    expected = made(pair)
    with STATES[state]():
        found = made(pair)
    for one, other in zip(found, expected, strict=True):
        # Operations that are not fused round otherwise, which three steps make no larger than this.
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_numpy_behaviour_of_tensors_is_no_obstacle():
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import numpy as np, tensorflow as tf\n"
        "tf.experimental.numpy.experimental_enable_numpy_behavior()\n"
        "from test_field_reports import made, smooth_picture, striped_picture\n"
        "print([float(image.mean()) for image in made((smooth_picture(48, 64), striped_picture(56, 48)))])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout.splitlines()[-1])
    expected = [image.mean() for image in made((smooth_picture(48, 64), striped_picture(56, 48)))]
    np.testing.assert_allclose(found, expected, atol=1e-3)


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


@pytest.fixture
def files(tmp_path, pair, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("c.png", "s.png"), pair, strict=True):
        save_image(picture, name)
    os.symlink("c.png", "link.png")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "stylize c.png s.png -o c.png",
        "stylize c.png s.png -o s.png",
        "stylize c.png s.png -o link.png",
        "stylize c.png s.png -o x.png --plot c.png",
        "stylize c.png s.png -o x.png --plot x.png",
        "stylize c.png s.png -o x.png --checkpoint s.png",
        "stylize c.png s.png -o m.png --mask m.png",
        "texture s.png -o s.png",
        "reconstruct c.png -o c.png",
        "many jobs.csv --report jobs.csv",
    ],
)
def test_no_input_is_written_over(files, capsys, arguments):
    save_image(np.ones((1, 48, 64, 3), np.float32), "m.png")
    (files / "jobs.csv").write_text("content,style,output\nc.png,s.png,o.png\n")
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    assert main(arguments.split()) == 2
    assert "would be lost" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


def test_a_name_that_is_not_utf_8_is_written(files):
    name = os.fsdecode(b"st\xe9.png")
    assert main(["stylize", "c.png", "s.png", "-o", name, "--features", "slim", "--steps", "1"]) == 0
    assert os.path.exists(name)


def test_a_picture_that_cannot_be_saved_is_rescued_and_the_message_says_where(files, capsys, monkeypatch):
    import nst_tf.transfer

    def full(image, path, **options):
        if os.path.basename(path) == "x.png":
            raise OSError(28, "No space left on device")
        return save_image(image, path, **options)

    monkeypatch.setattr(nst_tf.transfer, "save_image", full)
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", "--features", "slim", "--steps", "1"]) == 1
    said = capsys.readouterr().out
    (rescued,) = files.glob("stylized-*.png")
    assert rescued.name in said and "No space left" in said


def on_transparent(mask, colour):
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = 255 * mask
    return Image.fromarray(pixels)


def test_masks_come_as_editors_export_them():
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30] = 1
    loaded = nst_tf.load_mask(on_transparent(mask, 255), size=(40, 60))
    np.testing.assert_allclose(loaded, mask, atol=0.01)
    with pytest.warns(UserWarning, match="white everywhere"):
        nst_tf.load_mask(np.ones((40, 60), np.float32), size=(40, 60))
    with pytest.raises(ValueError, match="40 × 60 pixels and its picture 60 × 40"):
        nst_tf.load_mask(np.ones((60, 40), np.float32), size=(40, 60))


@pytest.mark.parametrize(
    "given",
    [
        lambda pair: (np.round(255 * pair[0]).astype(np.uint8), pair[1]),
        lambda pair: (np.asarray(pair[0])[0], pair[1]),
        lambda pair: (np.asarray(pair[0], np.float64), pair[1]),
        lambda pair: (pair[0], np.round(255 * pair[1]).astype(np.uint8)[0]),
    ],
)
def test_what_can_only_mean_a_picture_is_taken_for_one(pair, given):
    pair = [np.round(255 * picture.numpy()) / np.float32(255) for picture in pair]
    network = network_for(STUDIO)
    expected = stylize(*pair, features=network, steps=1).image
    np.testing.assert_allclose(stylize(*given(pair), features=network, steps=1).image, expected, atol=1e-5)


def test_layers_steps_and_seeds_are_taken_as_tutorials_write_them(pair):
    recipe = make_recipe(name="x", title="x", content_layers=["block4_conv2"], style_layers="block1_conv1")
    assert recipe.network.content_layers == {"block4_conv2": 1.0}
    assert STUDIO.changed(style_layers=["a", "b"]).network.style_layers == {"a": 0.5, "b": 0.5}
    assert stylize(*pair, features=network_for(STUDIO), steps=2.0, seed=None).steps == 2
    assert nst_tf.Job("a.png", "b.png").styles == ["b.png"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": "12"}, "steps is '12'"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"style_weight": "5"}, "style_weight is '5'"),
        ({"seed": -1}, "seed is -1"),
        ({"tile": 100.5}, "tile is 100.5"),
        ({"size": "big"}, "size is 'big'"),
    ],
)
def test_anything_else_is_one_sentence_that_names_the_argument(pair, options, named):
    with pytest.raises(ValueError, match=named):
        stylize(*pair, features=network_for(STUDIO), **options)


def test_pictures_from_minus_one_to_one_are_told_how_to_be_right(pair):
    with pytest.raises(ValueError, match="Add 1 and divide by 2"):
        stylize(2 * pair[0] - 1, pair[1])
    with pytest.raises(ValueError, match=r"expected \(height, width\)"):
        load_image(pair[0], size=256)


def test_bytes_are_saved_and_shown_as_they_are(tmp_path):
    picture = np.full((40, 40, 3), 100, np.uint8)
    assert np.asarray(Image.open(save_image(picture, tmp_path / "x.png"))).max() == 100
    (axis,) = nst_tf.show_images([picture]).axes
    assert axis.images[0].get_array().max() == 100


def test_the_last_pixels_of_an_odd_side_are_seen(generator):
    recipe = STUDIO.changed(coarsest=None)
    network = network_for(recipe)
    picture = tf.Variable(generator.uniform(size=(1, 71, 75, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(network(picture)["block5_conv1"])
    gradient = np.abs(tape.gradient(total, picture)[0]).sum(axis=-1)
    assert gradient[-4:].mean() > 0.2 * gradient[:4].mean()
    assert gradient[:, -4:].mean() > 0.2 * gradient[:, :4].mean()


def test_tiles_are_those_of_the_whole_where_sides_are_odd(pair):
    content, style = tf.constant(smooth_picture(107, 139)), pair[1]
    objective = Objective(STUDIO, network_for(STUDIO))
    from nst_tf.controls.scene import Scene
    from nst_tf.engine.evaluation import WholeImage

    scene = Scene.of(STUDIO, content, style)

    gradients = []
    for evaluation in (WholeImage(objective), Tiles(objective, 64)):
        gradients.append(evaluation.losses_and_gradient(content, evaluation.find_targets(scene))[1].numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], atol=2e-4 * np.abs(gradients[0]).max())


@pytest.mark.parametrize(("dtype", "most"), [(np.uint16, 4095), (np.int32, 255), (np.uint16, 65535)])
def test_deep_grey_is_as_bright_as_it_was_meant(tmp_path, dtype, most):
    grey = (np.linspace(0, 0.9, 64 * 48).reshape(48, 64) * most).astype(dtype)
    path = tmp_path / ("x.png" if dtype == np.uint16 else "x.tif")
    Image.fromarray(grey).save(path)
    assert load_image(path).numpy().max() == pytest.approx(0.9, abs=0.01)


def test_black_ink_on_a_transparent_ground_is_black_on_white():
    ink = np.zeros((40, 40), np.uint8)
    ink[10:20] = 1
    loaded = load_image(on_transparent(ink, 0)).numpy()
    assert loaded[0, 0, 0, 0] == 1 and loaded[0, 15, 15, 0] == 0


def test_a_large_jpeg_is_read_small(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((1600, 2400, 3), np.uint8)).save(tmp_path / "large.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_500_000)
    assert load_image(tmp_path / "large.jpg", max_side=300).shape == (1, 200, 300, 3)
    with pytest.raises(ValueError, match="more than 2,500,000 pixels"):
        load_image(tmp_path / "large.jpg")


def test_frames_are_taken_out_of_an_animation(tmp_path):
    pictures = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 90, 200)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    save_image(striped_picture(48, 48), tmp_path / "s.png")
    jobs = nst_tf.frame_jobs(tmp_path / "x.gif", [tmp_path / "s.png"], tmp_path / "out")
    assert [os.path.basename(job.output) for job in jobs] == ["00001.png", "00002.png", "00003.png"]
    assert load_image(jobs[2].content).numpy().mean() == pytest.approx(200 / 255, abs=0.02)


def test_a_size_that_the_photograph_has_not_is_told(pair):
    with pytest.warns(UserWarning, match="has 64 pixels where 1000 are asked for"):
        nst_tf.load_images(*pair, size=1000)


def test_a_finished_run_goes_on_with_more_steps(pair, tmp_path):
    options = {"features": network_for(STUDIO)}
    first = stylize(*pair, steps=3, checkpoint=tmp_path / "run.nst", **options)
    more = stylize(*pair, steps=8, resume=tmp_path / "run.nst", **options)
    assert more.steps == 8
    np.testing.assert_array_equal(more.history["total"][:3], first.history["total"][:3])
    assert more.history["total"].min() < first.history["total"].min()


def test_a_grey_style_leaves_no_colours(pair):
    grey = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(pair[1]))
    for start in ("content", "noise"):
        image = stylize(pair[0], grey, features=network_for(STUDIO), steps=3, start=start).image.numpy()
        assert np.ptp(image, axis=-1).max() < 1e-5


def test_a_flat_content_picture_is_painted_too(pair):
    flat = np.full((1, 48, 64, 3), 0.5, np.float32)
    image = stylize(flat, pair[1], features=network_for(STUDIO), steps=5).image.numpy()
    assert image.std() > 0.02

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import small_network
from PIL import Image

import nst_tf
from nst_tf.controls.scene import Scene
from nst_tf.engine.extractors import find_features
from nst_tf.networks.weights import WeightsUnavailableError
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO = RECIPES["studio"]


@pytest.fixture(scope="module")
def network():
    return small_network(STUDIO.network.layers)


def test_transfer_with_the_slim_network_lowers_the_style_loss_and_the_total(pair):
    result = stylize(*pair, features="slim", steps=25)
    assert result.image.shape == pair[0].shape
    assert result.image.dtype == tf.float32
    assert result.image.numpy().min() >= 0 and result.image.numpy().max() <= 1
    history = result.history
    assert history["style"][-1] < 0.5 * history["style"][0]
    assert history["total"][-1] < 0.6 * history["total"][0]
    assert (result.status, result.steps, result.features) == ("done", 25, "slim")
    assert all(len(values) == 26 for values in history.values())


@pytest.mark.parametrize("part", ["content", "style", "total_variation"])
def test_each_term_is_lowered_when_it_stands_alone(pair, network, part):
    weights = {f"{name}_weight": 0.0 for name in ("content", "style", "total_variation")}
    recipe = STUDIO.changed(**{**weights, f"{part}_weight": 1.0, "start": "noise"})
    history = stylize(*pair, recipe=recipe, features=network, steps=20).history
    assert history[part][-1] < 0.7 * history[part][0]
    np.testing.assert_allclose(history["total"], history[part])


def test_parts_add_up_to_the_total(pair, network):
    recipe = STUDIO.changed(total_variation_weight=3.0)
    history = stylize(*pair, recipe=recipe, features=network, steps=4).history
    parts = history["content"] + history["style"] + history["total_variation"]
    np.testing.assert_allclose(history["total"], parts, rtol=1e-5)
    assert history["total_variation"][0] > 0


def test_the_best_picture_is_kept_and_not_the_last(pair, network, generator):
    # So near to where content and style agree that Adam's first step overshoots by far.
    start = pair[0] + tf.constant(generator.uniform(0, 1e-3, pair[0].shape), tf.float32) * (0.5 - pair[0])
    result = stylize(pair[0], pair[0], features=network, steps=5, start=start)
    total = result.history["total"]
    assert total.min() == total[0]
    assert total[-1] > 1.5 * total[0]
    objective = make_objective(STUDIO, network, pair[0], pair[0])
    assert float(objective(result.image).total) == pytest.approx(total.min(), abs=1e-6)  # of moments in float32
    np.testing.assert_array_equal(result.image, start)


def test_history_is_one_loss_before_each_step_and_one_at_the_end(pair, network):
    small = tf.image.resize(pair[0], (72, 90)), pair[1]
    for options in ({}, {"recipe": "gatys", "solver": "published"}):
        result = stylize(*small, features=network, steps=6, **options)
        assert len(result.history["total"]) == result.steps + 1


def test_a_run_inside_a_callback_does_not_disturb_the_outer_one(pair, network):
    alone = stylize(*pair, features=network, steps=5)
    inside = stylize(*pair, features=network, steps=5, callback=lambda step: stylize(*pair, features=network, steps=1))
    np.testing.assert_array_equal(inside.image, alone.image)


def test_a_loss_that_is_never_a_number_is_an_error_and_no_picture(pair, network):
    with pytest.raises(ValueError, match="never finite"):
        stylize(*pair, features=network, steps=2, style_weight=1e38, style_form="mean")


def test_lbfgs_keeps_to_the_pixel_range_if_the_recipe_clips(pair, network):
    pictures = []
    stylize(*pair, recipe="gatys", features=network, solver="published", steps=4, clip=True,
            callback=lambda step: pictures.append(step.image()))  # fmt: skip
    assert min(picture.numpy().min() for picture in pictures) >= 0
    assert max(picture.numpy().max() for picture in pictures) <= 1


def test_a_picture_that_its_recipe_leaves_free_is_clipped_at_the_end(pair, network):
    pictures = []
    result = stylize(*pair, recipe="gatys", features=network, solver="published", steps=4,
                     callback=lambda step: pictures.append(step.image()))  # fmt: skip
    best = pictures[int(np.argmin(result.history["total"])) - 1].numpy()
    assert best.min() < 0 and best.max() > 1
    np.testing.assert_array_equal(result.image, np.clip(best, 0, 1))


def test_a_run_takes_the_number_of_steps_that_its_recipe_has_for_its_solver(pair, network):
    content_layers = STUDIO.network.content_layers
    recipe = RECIPES["coursera"].changed(content_layers=content_layers, steps=2, published_steps=3)
    for solver, steps in (("fast", 2), ("published", 3)):
        assert stylize(*pair, recipe=recipe, features=network, solver=solver).steps == steps
    unpublished = recipe.changed(published_steps=None)
    assert stylize(*pair, recipe=unpublished, features=network, solver="published").steps == 2


def test_two_runs_give_the_same_picture_bit_for_bit(pair):
    first, second = (stylize(*pair, features="slim", steps=6, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)


def test_determinism_is_asked_of_tensorflow_and_changes_no_picture_on_a_cpu(pair, network, monkeypatch):
    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    plain = stylize(*pair, features=network, steps=2)
    assert not asked
    result = stylize(*pair, features=network, steps=2, deterministic=True)
    assert asked
    np.testing.assert_array_equal(result.image, plain.image)


def test_start_from_noise_depends_on_the_seed_and_start_from_style_does_not(pair, network):
    noise, style, content = (STUDIO.changed(start=start) for start in ("noise", "style", "content"))
    first, second = (stylize(*pair, recipe=noise, features=network, steps=1, seed=seed).image for seed in (1, 2))
    assert np.abs(first - second).max() > 0.3
    from_content, from_style = (
        stylize(*pair, recipe=recipe, features=network, steps=1).history for recipe in (content, style)
    )
    assert from_style["style"][0] < 0.5 * from_content["style"][0]
    assert from_style["content"][0] > from_content["content"][0] == 0


def test_noise_on_the_content_goes_up_and_down_by_a_quarter(pair):
    recipe = STUDIO.changed(start="content_with_noise")
    noise = Scene.of(recipe, np.full((1, 48, 64, 3), 0.5, np.float32), pair[1]).start(seed=1) - 0.5
    assert -0.25 <= noise.numpy().min() < -0.24
    assert 0.24 < noise.numpy().max() <= 0.25


def test_callback_is_told_of_the_whole_run_and_sees_the_picture_change(pair, network):
    steps, pictures = [], []
    stylize(
        *pair, features=network, steps=10, callback=lambda step: (steps.append(step), pictures.append(step.image()))
    )
    assert steps[-1].step == steps[-1].steps == 10
    assert [step.step for step in steps] == sorted({step.step for step in steps})
    assert steps[-1].losses.total < steps[0].losses.total
    assert np.abs(pictures[-1] - pictures[0]).max() > 0.01


def test_an_interrupt_before_there_is_an_image_is_passed_on(pair, network, monkeypatch):
    def interrupt(scene, seed):
        raise KeyboardInterrupt

    monkeypatch.setattr("nst_tf.controls.scene.Scene.start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stylize(*pair, features=network, steps=3)


def test_an_interrupt_returns_the_best_picture_until_then(pair, network):
    def interrupt(step):
        if step.step >= 3:
            raise KeyboardInterrupt

    result = stylize(*pair, features=network, steps=30, callback=interrupt)
    assert result.status == "interrupted"
    assert 3 <= result.steps < 30
    assert np.abs(result.image - pair[0]).max() > 0


def test_auto_is_the_slim_network_on_a_cpu_and_vgg19_on_a_gpu(monkeypatch):
    def unavailable(network):
        raise WeightsUnavailableError("no network here")

    for module in ("networks.vgg", "engine.extractors"):
        monkeypatch.setattr(f"nst_tf.{module}.find_imagenet_weights", unavailable)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    assert find_features("auto", STUDIO).name == "slim"
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a made-up one"])
    with pytest.warns(UserWarning, match=r"slim network\. no network here"):
        assert find_features("auto", STUDIO).name == "slim"
    with pytest.raises(ValueError, match="no network here"):
        find_features("vgg19", STUDIO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "mystery"}, "studio"),
        ({"features": "resnet"}, "slim"),
        ({"features": None}, "slim"),
        ({"features": Path("no-such-file.h5")}, "no-such-file"),
        ({"solver": "magic"}, "published"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_unknown_words_are_refused_with_those_that_exist(pair, options, message):
    with pytest.raises(ValueError, match=message):
        stylize(*pair, **{"features": "slim", **options})


def test_an_extractor_that_lacks_a_layer_is_refused(pair):
    with pytest.raises(ValueError, match="block4_conv2"):
        stylize(*pair, features=small_network(["block1_conv1"]))


def test_pictures_that_break_the_contract_are_refused_by_name(pair):
    with pytest.raises(ValueError, match="style image"):
        stylize(pair[0], pair[1] * 255)


def test_result_saves_itself(pair, network, tmp_path):
    result = stylize(*pair, features=network, steps=1)
    saved = nst_tf.load_image(result.save(tmp_path / "x.png"))
    np.testing.assert_allclose(saved, result.image, atol=0.51 / 255)


def test_a_second_run_with_one_extractor_traces_nothing_and_starts_afresh(pair, network):
    first = stylize(*pair, features=network, steps=5)
    objectives = dict(network.objectives)
    second = stylize(*pair, features=network, steps=5)
    assert dict(network.objectives) == objectives
    np.testing.assert_array_equal(first.image, second.image)
    other_style = stylize(pair[0], pair[0][:, ::-1] * 0.5, features=network, steps=5)
    assert dict(network.objectives) == objectives
    assert all(objective._traced.experimental_get_tracing_count() <= 2 for objective in objectives.values())
    assert np.abs(other_style.image - first.image).max() > 0.01


def test_many_runs_are_no_reason_for_a_warning_from_tensorflow(pair, caplog):
    for width in range(48, 64, 2):
        stylize(pair[0][:, :, :width], pair[1], features=small_network(["block1_conv1"]), steps=1,
                content_layers={"block1_conv1": 1.0}, style_layers={"block1_conv1": 1.0})  # fmt: skip
    assert "retracing" not in caplog.text


def test_flat_and_equal_pictures_divide_nothing_by_zero(pair, network):
    flat, black = tf.fill((1, 48, 64, 3), 0.5), tf.zeros((1, 48, 64, 3))
    for pictures in ((flat, pair[1]), (pair[0], flat), (black, black), (pair[0], pair[0])):
        for method in ("adam", "lbfgs"):
            result = stylize(*pictures, features=network, steps=2, method=method, total_variation_weight=0.1)
            assert result.status == "done"
            assert np.isfinite(result.image).all()
            assert np.isfinite(result.history["total"]).all()


def test_pictures_may_be_numpy_arrays(pair, network, tmp_path):
    pictures = [picture.numpy() for picture in pair]
    result = stylize(*pictures, features=network, steps=1, checkpoint=tmp_path / "run.nst")
    np.testing.assert_array_equal(result.image, stylize(*pair, features=network, steps=1).image)


def test_a_start_picture_of_another_size_is_where_the_run_begins(pair, network):
    start = tf.image.resize(pair[1], (90, 120))
    seen = []
    result = stylize(*pair, features=network, steps=1, start=start, callback=lambda step: seen.append(step.step))
    objective = make_objective(STUDIO, network, *pair)
    resized = tf.clip_by_value(tf.image.resize(start, pair[0].shape[1:3], "bicubic", antialias=True), 0.0, 1.0)
    assert result.history["total"][0] == pytest.approx(float(objective(resized).total), rel=1e-4)


def test_a_loop_of_tensorflow_and_keras_alone_comes_to_the_same_losses(pair, network):
    layers = {"content_layers": STUDIO.network.content_layers, "start": "content"}
    recipe = nst_tf.RECIPES["coursera"].changed(**layers)
    options = {"recipe": recipe, "features": network, "steps": 5, "style_size": "own"}
    objective, image = make_objective(recipe, network, *pair), tf.Variable(pair[0])
    optimizer = keras.optimizers.Adam(recipe.stepping.optimizer.learning_rate)
    losses = []
    for _ in range(5):
        with tf.GradientTape() as tape:
            losses.append(objective(image).total)
        optimizer.apply_gradients([(tape.gradient(losses[-1], image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
    published = stylize(*pair, solver="published", **options)
    np.testing.assert_allclose(losses, published.history["total"][:5], rtol=1e-3)
    given = keras.optimizers.Adam(recipe.stepping.optimizer.learning_rate)
    first, second = (stylize(*pair, solver=given, **options) for _ in range(2))
    np.testing.assert_allclose(losses, first.history["total"][:5], rtol=1e-3)
    np.testing.assert_array_equal(first.image, second.image)  # what is given remembers nothing of a run


def test_running_out_of_memory_in_a_callback_reaches_the_user_as_it_is(pair, network):
    def full(step):
        raise tf.errors.ResourceExhaustedError(None, None, "mine")

    with pytest.raises(tf.errors.ResourceExhaustedError, match="mine"):
        stylize(*pair, features=network, steps=2, callback=full)


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
    network = small_network(STUDIO.network.layers)
    expected = stylize(*pair, features=network, steps=1).image
    np.testing.assert_allclose(stylize(*given(pair), features=network, steps=1).image, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": "12"}, "steps is '12'"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"style_weight": "5"}, "style_weight is '5'"),
        ({"seed": -1}, "seed is -1"),
        ({"tile": 100.5}, "tile is 100.5"),
        ({"deterministic": "no"}, "deterministic is 'no'"),
        ({"checkpoint": 5}, "checkpoint is 5"),
        ({"chekpoint": "x.nst"}, "they have checkpoint"),
        ({"size": "big"}, "size is 'big'"),
    ],
)
def test_anything_else_is_one_sentence_that_names_the_argument(pair, options, named):
    with pytest.raises(ValueError, match=named):
        stylize(*pair, features=small_network(STUDIO.network.layers), **options)


def test_a_flat_content_picture_is_painted_too(pair):
    flat = np.full((1, 48, 64, 3), 0.5, np.float32)
    image = stylize(flat, pair[1], features=small_network(STUDIO.network.layers), steps=5).image.numpy()
    assert image.std() > 0.02


def test_weights_of_another_tool_are_noted_with_those_that_work(pair, network):
    def noted(**options):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stylize(*pair, features=network, steps=3, **options)
        return [str(one.message) for one in caught if "weight" in str(one.message)]

    for start in ("recolored", "content", "noise"):
        message = noted(style_weight=1e-2, content_weight=1e4, start=start)[0]
        assert "whose own are content_weight=1 and style_weight=12" in message
        assert "yours with recipe='tf_tutorial'" in message
    layers = {"content_layers": STUDIO.network.content_layers, "style_layers": STUDIO.network.style_layers}
    assert not noted(recipe="tf_tutorial", style_weight=1e-2, content_weight=1e4, **layers)
    for kept in ({}, {"style_weight": 3.0}, {"style_weight": 0.0}, {"content_weight": 0.0}):
        assert not noted(**kept)


def test_a_start_image_of_another_aspect_is_noted_and_one_of_the_same_is_not(pair, network):
    start = tf.image.resize(pair[1], (48, 48))
    with pytest.warns(UserWarning, match="48 × 48 pixels and the content image 64 × 48"):
        stylize(*pair, features=network, steps=1, start=start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stylize(*pair, features=network, steps=1, start=tf.image.resize(start, (96, 128)))


def test_a_recipe_that_squashes_says_so_and_how_to_keep_the_aspect(pair):
    recipe = next(recipe for recipe in RECIPES.values() if recipe.pictures.sizing == "square")
    with pytest.warns(UserWarning, match='change sizing to "longest side"'):
        assert nst_tf.load_images(*pair, recipe=recipe, size=40)[0].shape == (1, 40, 40, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = nst_tf.load_images(*pair, recipe=recipe.changed(sizing="longest side"), size=48)
    assert kept[0].shape == (1, 36, 48, 3)


def test_a_result_is_saved_with_the_resolution_asked_for(pair, network, tmp_path):
    result = stylize(*pair, features=network, steps=1)
    for suffix in (".png", ".jpg", ".webp"):
        with Image.open(result.save(tmp_path / f"x{suffix}", dpi=300)) as saved:
            assert saved.getexif()[282] == 300
            assert suffix == ".webp" or saved.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    with pytest.raises(ValueError, match="dpi is 0"):
        result.save(tmp_path / "x.png", dpi=0)

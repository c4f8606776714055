import pytest
import tensorflow as tf

import nst_tf
from nst_tf.engine import memory
from nst_tf.engine.memory import choose_tile, estimate_memory, free_memory
from nst_tf.engine.precision import Device, choose_precision, this_device
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO = RECIPES["studio"]


def test_estimate_grows_with_the_picture_but_with_tiles_only_by_the_picture_itself():
    small, large = (estimate_memory(side, side, "tf_tutorial") for side in (512, 2048))
    assert large > 10 * small / 2
    tiled_small, tiled_large = (estimate_memory(side, side, STUDIO, tile=512) for side in (1024, 2048))
    picture = 12 * (2048**2 - 1024**2)
    assert tiled_large - tiled_small < 60 * picture


def test_half_precision_is_estimated_to_need_less():
    assert estimate_memory(1024, 1024, precision="bfloat16") < 0.8 * estimate_memory(1024, 1024)


def test_more_is_estimated_where_onednn_is_off(monkeypatch):
    estimates = []
    monkeypatch.setattr(memory, "this_device", lambda: Device("CPU", "a made-up one"))
    for on in (True, False):
        monkeypatch.setattr(memory, "onednn_is_on", lambda on=on: on)
        estimates.append(estimate_memory(1024, 1024))
    assert 1.2 * estimates[0] < estimates[1] < 1.6 * estimates[0]


# Peaks in GiB that processes were measured to reach; docs/speed.md has them.
@pytest.mark.parametrize(
    ("features", "recipe", "side", "tile", "peak"),
    [
        *[
            ("slim", "studio", 256, None, 0.90),
            ("slim", "studio", 1024, None, 1.83),
            ("slim", "studio", 1024, 512, 1.15),
        ],
        *[("slim", "studio", 2048, None, 5.36), ("slim", "studio", 4096, 512, 4.33)],
        *[("vgg19", "tf_tutorial", 256, None, 1.15), ("vgg19", "tf_tutorial", 1024, None, 2.87)],
        *[("vgg19", "tf_tutorial", 2048, 512, 2.45), ("vgg19", "tf_tutorial", 4096, 256, 4.69)],
    ],
)
def test_estimates_are_within_a_seventh_of_what_was_measured(monkeypatch, features, recipe, side, tile, peak):
    monkeypatch.setattr(memory, "this_device", lambda: Device("CPU", "a made-up one"))
    monkeypatch.setattr(memory, "onednn_is_on", lambda: True)
    recipe = RECIPES[recipe].changed(method="adam")
    assert estimate_memory(side, side, recipe, features=features, tile=tile) == pytest.approx(peak * 2**30, rel=1 / 7)


def test_estimate_takes_the_name_of_an_extractor():
    assert estimate_memory(100, 100, features="vgg19 (imagenet, 8 bits)") == estimate_memory(100, 100, features="vgg19")


def test_estimate_names_the_features_it_knows():
    with pytest.raises(ValueError, match="slim"):
        estimate_memory(100, 100, features="resnet")
    assert nst_tf.estimate_memory is estimate_memory


def test_what_cannot_be_estimated_is_refused_and_what_is_too_small_for_tiles_is_left_whole():
    with pytest.raises(ValueError, match="my_layer"):
        estimate_memory(100, 100, STUDIO.changed(content_layers={"my_layer": 1.0}))
    assert choose_tile(100, 100, STUDIO, "float32", features="vgg19", free=0) is None


def test_lbfgs_is_known_to_hold_forty_pairs_of_pictures_and_the_published_one_twenty():
    options = {"features": "slim", "tile": 64}
    adam = estimate_memory(512, 512, STUDIO, **options)
    fast, published = (estimate_memory(512, 512, "gatys", solver=solver, **options) for solver in ("fast", "published"))
    picture = 12 * 512 * 512
    assert fast - published >= 40 * picture
    assert published - adam >= 39 * picture


def test_in_tiles_lbfgs_is_known_to_hold_what_it_remembers_and_a_copy_for_checkpoints():
    # Measured: with a network that takes nothing the process takes 1.40 GiB, and 1.79 where it wrote a checkpoint.
    estimate = estimate_memory(1024, 1024, "tf_tutorial", features="slim", tile=128)
    assert estimate == pytest.approx(1.79 * 2**30, rel=0.25)


def test_free_memory_is_something_and_not_more_than_a_machine_has():
    assert 2**20 < free_memory() < 2**50


def test_the_largest_tile_that_fits_is_chosen_and_none_where_all_fits():
    options = {"features": "vgg19"}
    assert choose_tile(512, 512, STUDIO, "float32", free=2**40, **options) is None
    middling = choose_tile(2048, 2048, STUDIO, "float32", free=6 * 2**30, **options)
    scarce = choose_tile(2048, 2048, STUDIO, "float32", free=4 * 2**30, **options)
    assert scarce < middling < 2048
    assert choose_tile(2048, 2048, STUDIO, "float32", free=0, **options) == memory.TILES[-1]


def test_a_picture_too_large_for_the_free_memory_is_computed_in_tiles_and_it_is_said(pair, monkeypatch):
    monkeypatch.setattr("nst_tf.engine.run.free_memory", lambda: 2**20)
    monkeypatch.setattr(memory, "TILES", (64,))
    wide = [tf.image.resize(picture, (70, 150)) for picture in pair]
    options = {"precision": choose_precision(this_device()).name, "features": "slim"}
    whole, tiled = (estimate_memory(70, 150, STUDIO, tile=tile, **options) / 2**30 for tile in (None, 64))
    said = f"150 × 70 pixels need about {whole:.1f} GiB .* and 0.0 are free; .* tiles of 64, .* about {tiled:.1f} GiB"
    with pytest.warns(UserWarning, match=said):
        result = stylize(*wide, features="slim", steps=2)
    assert result.image.shape == (1, 70, 150, 3)

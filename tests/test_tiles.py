import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import small_network, smooth_picture, striped_picture

from nst_tf.controls.scene import Scene
from nst_tf.engine.precision import extractor_in_precision
from nst_tf.engine.tiles import Tiles, spans
from nst_tf.features import keras_features, slim_features
from nst_tf.networks.gaussians import Gaussian
from nst_tf.objective import Objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

TO_BLOCK_3 = {
    "content_layers": {"block2_conv2": 0.5, "block3_conv2": 1.0},
    "style_layers": {"block1_conv1": 0.5, "block3_conv1": 0.5},
}


@pytest.fixture(scope="module")
def odd_pair():
    noise = np.random.default_rng(3).uniform(-0.1, 0.1, (1, 101, 147, 3)).astype(np.float32)
    return tf.constant(np.clip(smooth_picture(101, 147) + noise, 0, 1)), tf.constant(striped_picture(90, 77))


def find_targets(objective, pair):
    scene = Scene.of(objective.recipe, *pair)
    return objective.find_targets(scene.content_image, scene.styles)


@pytest.mark.parametrize("length", [64, 97, 150, 512])
@pytest.mark.parametrize(("tile", "halo", "grid"), [(64, 22, 4), (70, 118, 16), (1000, 8, 8)])
def test_spans_cover_a_side_once_and_see_far_enough(length, tile, halo, grid):
    cut = spans(length, tile, halo, grid)
    assert [span.start for span in cut] == [0, *(span.stop for span in cut[:-1])]
    assert cut[-1].stop == length
    for span in cut:
        assert span.start % grid == span.seen_from % grid == 0
        assert span.seen_from <= max(0, span.start - halo)
        assert span.seen_to >= min(length, span.stop + halo)
        assert span.stop - span.start <= tile + grid


@pytest.mark.parametrize(
    ("name", "changes"),
    [("studio", {}), ("gatys", {}), ("keras_io", {"style_size": "own"}), ("studio", {"total_variation_weight": 2.0})],
)
@pytest.mark.slim
@pytest.mark.parametrize("network", ["small", "slim"])
def test_gradient_by_tiles_is_that_of_the_whole_picture(odd_pair, generator, name, changes, network):
    recipe = RECIPES[name].changed(**TO_BLOCK_3, **changes)
    if network == "small":
        extractor = small_network(recipe.network.layers, pooling=recipe.network.pooling)
    else:
        extractor = slim_features(recipe.network.layers, pooling=recipe.network.pooling, border=recipe.network.border)
    image = tf.constant(generator.uniform(size=odd_pair[0].shape).astype(np.float32))
    whole, tiles = Objective(recipe, extractor), Tiles(recipe, extractor, 48)
    targets, in_tiles = (find_targets(objective, odd_pair) for objective in (whole, tiles))
    assert targets.regions is in_tiles.regions is None
    for one, other in zip(compared(targets), compared(in_tiles), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5 * np.abs(one).max())
    losses, gradient = whole.losses_and_gradient(image, targets)
    plain = plain_gradient(recipe, extractor, image, targets)
    np.testing.assert_allclose(gradient, plain, rtol=1e-4, atol=1e-5 * np.abs(plain).max())
    tiled_losses, tiled_gradient = tiles.losses_and_gradient(image, targets)
    np.testing.assert_allclose(tiled_losses, losses, rtol=1e-4)
    np.testing.assert_allclose(tiles.losses(image, targets), losses, rtol=1e-4)
    np.testing.assert_allclose(tiled_gradient, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


def compared(targets):
    """Return the tensors of targets, roots squared again, since a root enlarges rounding near 0."""
    squared = {
        layer: (of.mean, of.root @ of.root) if isinstance(of, Gaussian) else of for layer, of in targets.style.items()
    }
    return tf.nest.flatten((targets.content, targets.content_scales, squared))


def plain_gradient(recipe, extractor, image, targets):
    objective = Objective(recipe, extractor)
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = objective.losses(image, targets).total
    return tape.gradient(total, image)


def test_tiles_smaller_than_what_they_must_see_are_exact_too(odd_pair, generator):
    # The reach of block5_conv1 is 70 pixels, so every tile of 32 sees most of this picture.
    recipe = RECIPES["studio"]
    extractor = slim_features(recipe.network.layers, border=recipe.network.border)
    image = tf.constant(generator.uniform(size=odd_pair[0].shape).astype(np.float32))
    whole, tiles = Objective(recipe, extractor), Tiles(recipe, extractor, 32)
    targets = find_targets(whole, odd_pair)
    _, gradient = whole.losses_and_gradient(image, targets)
    np.testing.assert_allclose(gradient, plain_gradient(recipe, extractor, image, targets), rtol=1e-4, atol=1e-4)
    _, tiled_gradient = tiles.losses_and_gradient(image, targets)
    np.testing.assert_allclose(tiled_gradient, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_tiles_in_half_precision_give_the_gradient_of_the_whole_in_it(odd_pair, generator, precision):
    recipe = RECIPES["studio"].changed(**TO_BLOCK_3)
    network = small_network(recipe.network.layers, **recipe.network.options)
    extractor = extractor_in_precision(network, precision, odd_pair[0])
    image = tf.constant(generator.uniform(size=odd_pair[0].shape).astype(np.float32))
    whole, tiles = Objective(recipe, extractor), Tiles(recipe, extractor, 48)
    targets = find_targets(whole, odd_pair)
    losses, gradient = whole.losses_and_gradient(image, targets)
    tiled_losses, tiled_gradient = tiles.losses_and_gradient(image, targets)
    np.testing.assert_allclose(tiled_losses, losses, rtol=1e-3)
    assert tf.norm(tiled_gradient - gradient) < 0.02 * tf.norm(gradient)


@pytest.mark.parametrize("weights", [{"style_weight": 0.0}, {"content_weight": 0.0}])
def test_tiles_stop_at_the_deepest_layer_that_counts(odd_pair, generator, weights):
    layers = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 0.5, "block3_conv1": 0.5}}
    recipe = RECIPES["gram"].changed(**layers, **weights)
    extractor = small_network(recipe.network.layers)
    image = tf.constant(generator.uniform(size=odd_pair[0].shape).astype(np.float32))
    whole, tiles = Objective(recipe, extractor), Tiles(recipe, extractor, 48)
    targets = find_targets(whole, odd_pair)
    _, gradient = whole.losses_and_gradient(image, targets)
    _, tiled_gradient = tiles.losses_and_gradient(image, targets)
    np.testing.assert_allclose(tiled_gradient, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize(
    ("recipe", "solver"), [("studio", "fast"), ("tf_tutorial", "published"), ("gatys", "published")]
)
def test_stylize_in_tiles_gives_the_picture_it_gives_at_once(odd_pair, recipe, solver):
    recipe = RECIPES[recipe].changed(**TO_BLOCK_3, style_size="own")
    extractor = small_network(recipe.network.layers)
    options = {"recipe": recipe, "features": extractor, "steps": 2, "solver": solver}
    whole, tiled = (stylize(*odd_pair, tile=tile, **options) for tile in (None, 96))
    # Optimizers let rounding errors grow from step to step.
    np.testing.assert_allclose(tiled.image, whole.image, atol=2e-3)
    np.testing.assert_allclose(tiled.history["total"], whole.history["total"], rtol=1e-3)


def test_tile_sizes_that_cannot_be_are_refused(odd_pair):
    with pytest.raises(ValueError, match="at least 64"):
        stylize(*odd_pair, features="slim", tile=8)


def test_a_network_whose_geometry_is_unknown_is_refused_by_name(odd_pair):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, name="one")(image), name="mine")
    extractor = keras_features(model, ["one"], preprocessing="none")
    with pytest.raises(ValueError, match="mine does not say how one"):
        stylize(*odd_pair, features=extractor, tile=64, content_layers={"one": 1.0}, style_layers={"one": 1.0})


def test_a_style_image_larger_than_a_tile_is_never_computed_whole(odd_pair):
    extractor = small_network(["block1_conv1", "block2_conv1", "block2_conv2"])
    layers = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 1.0, "block2_conv1": 1.0}}
    content, style = odd_pair[0][:, :60, :60], tf.image.resize(odd_pair[1], (200, 190))
    whole = stylize(content, style, features=extractor, steps=1, **layers)
    tiled = stylize(content, style, features=extractor, steps=1, tile=64, **layers)
    np.testing.assert_allclose(tiled.history["total"], whole.history["total"], rtol=1e-4)


def test_running_out_of_memory_goes_on_in_smaller_tiles_and_says_so(odd_pair, monkeypatch):
    monkeypatch.setattr("nst_tf.engine.run.TILES", (96, 64))
    extractor = small_network(["block1_conv1", "block2_conv1", "block2_conv2"])
    layers = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 1.0, "block2_conv1": 1.0}}
    whole = stylize(*odd_pair, features=extractor, steps=3, **layers)
    extractor.objectives.clear()

    def exhausted(self, image, targets):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(Objective, "losses_and_gradient", exhausted)
    with pytest.warns(UserWarning, match="ran out of memory; going on in tiles of 96"):
        result = stylize(*odd_pair, features=extractor, steps=3, **layers)
    assert (result.status, result.steps) == ("done", 3)
    np.testing.assert_allclose(result.image, whole.image, atol=2e-3)


def test_a_large_style_image_that_does_not_fit_is_computed_in_tiles_of_its_own(odd_pair, monkeypatch):
    monkeypatch.setattr("nst_tf.engine.run.TILES", (96, 64))
    content, style = odd_pair[0][:, :60, :60], tf.image.resize(odd_pair[1], (200, 190))
    extractor = small_network(["block1_conv1", "block2_conv1", "block2_conv2"])
    layers = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 1.0, "block2_conv1": 1.0}}
    find_targets = Objective.find_targets

    def exhausted(self, *images, **options):
        if type(self) is Objective:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return find_targets(self, *images, **options)

    monkeypatch.setattr(Objective, "find_targets", exhausted)
    with pytest.warns(UserWarning, match="ran out of memory; going on in tiles of 96"):
        result = stylize(content, style, features=extractor, steps=2, **layers)
    assert (result.status, result.steps) == ("done", 2)

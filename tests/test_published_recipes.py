"""The published recipes against the formulas and constants of their sources, written out in float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import descend, drawn_weights, finite_difference, small_network
from scipy.optimize import minimize

from nst_tf.controls.sizes import load_images
from nst_tf.engine.run import make_solver
from nst_tf.features import FeatureExtractor, vgg19_features
from nst_tf.networks.table import NETWORKS
from nst_tf.networks.vgg import build_network
from nst_tf.objective import make_objective
from nst_tf.published.convert import convert_weights
from nst_tf.published.explain import explain
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO = RECIPES["studio"]

PUBLISHED = ("gatys", "keras_io", "keras_200", "tf_tutorial", "coursera", "udacity")
FIRST_ORDER = PUBLISHED[1:]
CONV1 = [f"block{block}_conv1" for block in range(1, 6)]
CHANNELS = (64, 128, 256, 512, 512)
DEVIATION = np.array([0.229, 0.224, 0.225])


def small_vgg(layers, preprocessing):
    """A float64 network with VGG's layer names, channels and halvings, and convolutions of one pixel."""
    generator = np.random.default_rng(0)
    image = keras.Input((None, None, 3), dtype="float64")
    outputs, tensor = {}, image
    for block, channels in enumerate(CHANNELS, start=1):
        for name in sorted({layer for layer in layers if layer.startswith(f"block{block}_")}):
            convolution = keras.layers.Conv2D(channels, 1, activation="softplus", dtype="float64")
            tensor = convolution(tensor)
            kernel_shape = convolution.kernel.shape
            convolution.set_weights(
                [generator.normal(0, kernel_shape[2] ** -0.5, kernel_shape), generator.normal(0, 0.1, channels)]
            )
            outputs[name] = tensor
        tensor = keras.layers.AveragePooling2D(2, dtype="float64")(tensor)
    return FeatureExtractor("small", keras.Model(image, outputs), preprocessing=preprocessing)


@pytest.fixture
def pictures(generator):
    """A content, a style and a generated picture of one size, in float64."""
    return generator.uniform(size=(3, 1, 32, 48, 3))


def extractor_of(recipe):
    return small_vgg(recipe.network.layers, "none" if recipe.network.preprocessing == "none" else "torch")


def gram(features):
    flat = features.reshape(-1, features.shape[-1])
    return flat.T @ flat


def numpy_losses(name, features, content, style, image):
    """Content, style and total variation of a recipe by the sources' formulas and constants."""
    content_layer = {"gatys": "block4_conv2", "udacity": "block4_conv2", "coursera": "block5_conv4"}.get(
        name, "block5_conv2"
    )
    height, width = image.shape[1:3]
    squares = np.sum((features[content_layer] - content[content_layer]) ** 2)
    entries = features[content_layer].size
    differences = []
    for layer in CONV1:
        positions, channels = features[layer].shape[1] * features[layer].shape[2], features[layer].shape[3]
        differences.append((np.sum((gram(features[layer]) - gram(style[layer])) ** 2), channels, positions))
    variation = 0.0
    if name == "gatys":
        content_part = 1e-3 * squares / 2
        style_part = sum(s / (4 * c**2 * m**2) / 5 for s, c, m in differences)
    elif name in ("keras_io", "keras_200"):
        content_part = 2.5e-8 * squares
        style_part = sum(1e-6 / 5 * s / (4 * 3**2 * (height * width) ** 2) for s, c, m in differences)
        caffe = image * 255
        a = (caffe[:, :-1, :-1] - caffe[:, 1:, :-1]) ** 2
        b = (caffe[:, :-1, :-1] - caffe[:, :-1, 1:]) ** 2
        variation = 1e-6 * np.sum((a + b) ** 1.25) if name == "keras_io" else 0.0
    elif name == "tf_tutorial":
        content_part = 1e4 * squares / entries
        style_part = sum(1e-2 / 5 * s / (c**2 * m**2) for s, c, m in differences)
    elif name == "coursera":
        content_part = 10 * squares / (4 * entries)
        style_part = sum(40 * 0.2 * s / (4 * c**2 * m**2) for s, c, m in differences)
    elif name == "udacity":
        content_part = squares / entries
        weights = (1.0, 0.75, 0.2, 0.2, 0.2)
        style_part = sum(1e6 * w * s / c**2 / (c * m) for w, (s, c, m) in zip(weights, differences, strict=True))
    return content_part, style_part, variation


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_total_and_parts_equal_the_sources_formulas(name, pictures):
    recipe = RECIPES[name]
    extractor = extractor_of(recipe)
    content, style, image = (tf.constant(picture) for picture in pictures)
    losses = make_objective(recipe, extractor, content, style)(image)
    features = [{k: v.numpy() for k, v in extractor(picture).items()} for picture in (image, content, style)]
    expected = numpy_losses(name, *features, pictures[2])
    np.testing.assert_allclose([losses.content, losses.style, losses.total_variation], expected, rtol=1e-9)
    assert float(losses.total) == pytest.approx(sum(expected), rel=1e-9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_parts_in_float32_agree_with_float64_on_vgg19(name, generator):
    recipe = RECIPES[name]
    extractor = vgg19_features(recipe.network.layers, weights=None, **recipe.network.options)
    content, style, image = (tf.constant(p, tf.float32) for p in generator.uniform(size=(3, 1, 32, 48, 3)))
    losses = make_objective(recipe, extractor, content, style)(image)
    features = [
        {k: v.numpy().astype(np.float64) for k, v in extractor(picture).items()} for picture in (image, content, style)
    ]
    expected = numpy_losses(name, *features, image.numpy().astype(np.float64))
    np.testing.assert_allclose([losses.content, losses.style, losses.total_variation], expected, rtol=1e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_gradient_agrees_with_finite_differences(name, pictures):
    recipe = RECIPES[name]
    content, style, image = pictures
    objective = make_objective(recipe, extractor_of(recipe), tf.constant(content), tf.constant(style))
    variable = tf.Variable(image)
    with tf.GradientTape() as tape:
        total = objective(variable).total
    gradient = tape.gradient(total, variable).numpy()
    for index in [(0, 0, 0, 0), (0, 13, 20, 1), (0, 31, 47, 2)]:
        expected = finite_difference(lambda array: float(objective(tf.constant(array)).total), image, index)
        # A difference of two totals cannot tell a pixel that hardly counts from one that does not count at all.
        assert gradient[index] == pytest.approx(expected, rel=1e-4, abs=1e-5 * np.abs(gradient).max())


def quadratic(image, targets):
    """A loss whose gradient is known by heart: 2 · scale · (image − target)."""
    target, scale = targets
    return (scale * tf.reduce_sum(tf.square(image - target)),)


def numpy_run(name, start, gradient_of, steps):
    """The source's own optimizer, in its own units, by its published constants."""
    units = {"keras_io": 255.0, "keras_200": 255.0, "udacity": 1 / DEVIATION}.get(name, 1.0)
    z = start * units
    m, v = np.zeros_like(z), np.zeros_like(z)
    for step in range(steps):
        gradient = gradient_of(z / units) / units
        if name.startswith("keras"):
            z = z - 100 * 0.96 ** (step / 100) * gradient
        else:
            rate, beta_1, epsilon = {
                "tf_tutorial": (0.02, 0.99, 0.1),
                "coursera": (0.01, 0.9, 1e-7),
                "udacity": (0.003, 0.9, 1e-8),
            }[name]
            t = step + 1
            m = beta_1 * m + (1 - beta_1) * gradient
            v = 0.999 * v + 0.001 * gradient**2
            rate = rate * np.sqrt(1 - 0.999**t) / (1 - beta_1**t)
            z = z - rate * m / (np.sqrt(v) + epsilon)
        if name in ("tf_tutorial", "coursera"):
            z = np.clip(z, 0, 1)
    return z / units


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_first_three_updates_are_those_of_the_published_optimizer(name, scale, generator):
    start, target = generator.uniform(size=(2, 1, 4, 5, 3))
    solver = make_solver("published", RECIPES[name], tf.constant(start, tf.float32), 3)
    targets = (tf.constant(target, tf.float32), tf.constant(scale))
    for steps in (1, 2, 3):
        descend(solver, quadratic, 1, targets)
        expected = numpy_run(name, start, lambda image: 2 * scale * (image - target), steps)
        np.testing.assert_allclose(solver.image, expected, atol=2e-6)


def test_a_given_optimizers_rate_is_for_images_in_0_to_1(generator):
    start, target = (tf.constant(generator.uniform(0.3, 0.7, size=(1, 4, 5, 3)), tf.float32) for _ in range(2))
    solver = make_solver(keras.optimizers.SGD(0.1), RECIPES["gram"], start, 1)
    descend(solver, quadratic, 1, (target, tf.constant(1.0)))
    np.testing.assert_allclose(solver.image, start - 0.1 * 2 * (start - target), atol=1e-6)


def test_a_gray_image_moves_as_far_as_any_other_where_all_channels_have_one_unit(generator):
    start, target = (tf.constant(generator.uniform(size=(1, 4, 5, 3)), tf.float32) for _ in range(2))
    moved = []
    for gray in (False, True):
        solver = make_solver("published", RECIPES["keras_200"], start, 1, gray=gray)
        descend(solver, quadratic, 1, (target, tf.constant(1.0)))
        moved.append(solver.image.numpy())
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-6)
    assert np.abs(moved[0] - start).max() > 1e-4


def test_the_published_lbfgs_solves_a_badly_scaled_quadratic_about_as_fast_as_scipys(generator):
    target = generator.uniform(size=(1, 4, 5, 3)).astype(np.float32)
    stretch = np.geomspace(1, 100, 60).reshape(1, 4, 5, 3).astype(np.float32)

    def losses(image, targets):
        return (tf.reduce_sum(stretch * tf.square(image - target)),)

    def value_and_gradient(flat):
        difference = flat.reshape(target.shape) - target
        return float(np.sum(stretch * difference**2)), (2 * stretch * difference).ravel().astype(np.float64)

    oracle = minimize(
        value_and_gradient, np.zeros(target.size), jac=True, method="L-BFGS-B", options={"maxcor": 20, "ftol": 1e-9}
    )
    solver = make_solver("published", RECIPES["gatys"], tf.zeros(target.shape), 2 * oracle.nfev)
    history = descend(solver, losses, 2 * oracle.nfev)[:, 0]
    assert history.min() < 1e-5 * history[0]
    np.testing.assert_allclose(solver.best.image, target, atol=1e-2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_solver_lowers_the_loss_of_its_recipe(name, pair):
    extractor = small_network(RECIPES[name].network.layers)
    result = stylize(*pair, recipe=name, features=extractor, solver="published", steps=12)
    total = result.history["total"]
    assert np.isfinite(total).all()
    assert total.min() < total[0]
    assert 5 < result.steps <= 12


@pytest.mark.parametrize("name", PUBLISHED)
def test_fast_solver_lowers_the_same_objective(name, pair):
    recipe = RECIPES[name]
    extractor = vgg19_features(recipe.network.layers, weights=None, **recipe.network.options)
    total = stylize(*pair, recipe=recipe, features=extractor, steps=15).history["total"]
    assert total.min() < total[0]


CONVERTIBLE = [
    (source, to)
    for source in PUBLISHED
    for to in PUBLISHED
    if source != to and not (source == "keras_io" and not to.startswith("keras"))
]


@pytest.mark.parametrize(("source", "to"), CONVERTIBLE)
def test_converted_recipe_has_the_forms_of_the_other_and_the_same_objective(source, to, pictures):
    recipe, other = RECIPES[source], RECIPES[to]
    converted = convert_weights(recipe, other, height=32, width=48)
    assert (converted.loss.content_form, converted.loss.style_form) == (other.loss.content_form, other.loss.style_form)
    extractor = extractor_of(recipe)
    content, style, image = (tf.constant(picture) for picture in pictures)
    before, after = (make_objective(r, extractor, content, style)(image) for r in (recipe, converted))
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("kind", ["content", "style"])
def test_a_loss_that_a_recipe_leaves_out_stays_out_when_its_weights_convert(kind):
    converted = convert_weights(
        RECIPES["gatys"].changed(**{f"{kind}_weight": 0.0}), RECIPES["keras_io"], height=32, width=48
    )
    assert getattr(converted.loss, f"{kind}_weight") == 0
    assert getattr(converted.loss, f"{kind}_form") == getattr(RECIPES["keras_io"].loss, f"{kind}_form")


def test_weights_convert_at_poolings_and_with_borders_that_round_sizes_up(generator):
    content, style, image = (tf.constant(p, tf.float32) for p in generator.uniform(size=(3, 1, 39, 53, 3)))
    layers = {"content_layers": {"block2_pool": 1.0}, "style_layers": {"block1_pool": 0.5, "block3_conv1": 0.5}}
    recipe = RECIPES["coursera"].changed(border="replicate", **layers)
    model, geometry = build_network(drawn_weights(), recipe.network.layers, border="replicate")
    extractor = FeatureExtractor("small", model, geometry=geometry, channels=NETWORKS["vgg19"].channels)
    converted = convert_weights(recipe, RECIPES["udacity"], height=39, width=53)
    before, after = (make_objective(r, extractor, content, style)(image) for r in (recipe, converted))
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_conversion_is_refused_with_the_reason_where_no_weights_say_the_same():
    with pytest.raises(ValueError, match="no fixed multiple"):
        convert_weights(STUDIO, RECIPES["gatys"], height=64, width=64)
    with pytest.raises(ValueError, match="total variation"):
        convert_weights(RECIPES["keras_io"], RECIPES["tf_tutorial"], height=64, width=64)
    odd = RECIPES["gatys"].changed(content_layers={"mixed3": 1.0})
    with pytest.raises(ValueError, match="mixed3"):
        convert_weights(odd, RECIPES["coursera"], height=64, width=64)


def test_coursera_recipe_feeds_the_network_with_plain_rgb(pair):
    recipe = RECIPES["coursera"]
    extractor = vgg19_features(["block1_conv1"], weights=None, preprocessing=recipe.network.preprocessing)
    kernel, bias = extractor.model.get_layer("block1_conv1").get_weights()
    by_hand = tf.nn.relu(tf.nn.conv2d(pair[0], kernel, 1, "SAME") + bias)
    np.testing.assert_allclose(extractor(pair[0])["block1_conv1"], by_hand, rtol=1e-5, atol=1e-6)


def test_recipe_varies_by_keywords_of_stylize(pair):
    extractor = small_network(STUDIO.network.layers)
    result = stylize(
        *pair, recipe="tf_tutorial", features=extractor, steps=1, start="noise", total_variation_weight=30.0,
        content_layers={"block4_conv2": 1.0}, style_weight=1.0,
    )  # fmt: skip
    assert result.history["total_variation"][0] > 0
    assert result.recipe.network.content_layers == {"block4_conv2": 1.0}
    with pytest.raises(ValueError, match="style_weight"):
        stylize(*pair, stile_weight=1.0)


@pytest.mark.parametrize(
    ("name", "content_size", "style_size"),
    [
        ("gatys", (384, 512), (384, 512)),
        ("keras_io", (400, 533), (400, 533)),
        ("tf_tutorial", (384, 512), (512, 256)),
        ("coursera", (400, 400), (400, 400)),
        ("udacity", (90, 120), (90, 120)),
        ("studio", (90, 120), (120, 60)),
    ],
)
def test_pictures_are_loaded_at_the_sources_sizes(name, content_size, style_size, generator):
    content = generator.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    style = generator.integers(0, 256, (200, 100, 3), dtype=np.uint8)
    images = load_images(content, style, recipe=RECIPES[name])
    assert [tuple(image.shape[1:3]) for image in images] == [content_size, style_size]


def test_a_size_too_small_for_the_network_is_refused(generator):
    picture = generator.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="at least 32"):
        load_images(picture, picture, size=16, recipe=RECIPES["coursera"])


@pytest.mark.parametrize("name", list(RECIPES))
def test_explanation_holds_every_constant_layer_and_the_source(name):
    recipe = RECIPES[name]
    for text in (explain(recipe), explain(recipe, plain=True)):
        assert all(layer in text for layer in recipe.network.layers)
        assert recipe.source in text
        assert all(quirk in text for quirk in recipe.quirks)
    plain = explain(recipe, plain=True)
    assert f"{recipe.loss.content_weight:.6g} · content" in plain
    assert f"{recipe.loss.style_weight:.6g} · style" in plain
    assert str(recipe.stepping.published_steps or "none published") in plain
    assert "$" not in plain and "\\" not in plain
    assert explain(recipe).count("$$") % 2 == 0


def test_studio_has_no_published_optimizer(pair):
    with pytest.raises(ValueError, match="solver='fast'"):
        stylize(*pair, features="slim", solver="published")

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import small_network

from nst_tf.controls.color import METHODS, match_colors, match_luminance, with_luminance
from nst_tf.controls.masks import rest_of
from nst_tf.controls.scene import Scene, prepared
from nst_tf.controls.styles import Style
from nst_tf.features import vgg19_features
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO = RECIPES["studio"]
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def moments(image):
    colors = np.asarray(image, np.float64).reshape(-1, 3)
    return colors.mean(axis=0), np.cov(colors.T, bias=True)


@pytest.mark.parametrize("method", METHODS)
def test_matched_colors_have_the_mean_and_covariance_of_the_reference(pair, generator, method):
    reference = tf.constant(generator.beta(2, 3, (1, 40, 40, 3)) * [1, 0.6, 0.3], tf.float32)
    # The stripes hold two colors, and so no covariance of full rank; the content picture does.
    for mine, wanted in zip(moments(match_colors(pair[0], reference, method=method)), moments(reference), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-4)


def test_optimal_transport_moves_colors_least(pair, generator):
    reference = tf.constant(generator.beta(2, 3, (1, 40, 40, 3)) * [1, 0.6, 0.3], tf.float32)
    moved = {
        method: float(tf.reduce_mean((match_colors(pair[0], reference, method=method) - pair[0]) ** 2))
        for method in METHODS
    }
    assert moved["optimal_transport"] <= min(moved.values()) + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_gray_and_flat_pictures_can_be_matched(pair, method):
    gray = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(pair[0]))
    for image, reference in ((gray, pair[0]), (tf.fill((1, 40, 40, 3), 0.5), pair[0]), (pair[0], gray)):
        assert np.isfinite(match_colors(image, reference, method=method)).all()
        assert np.isfinite(match_luminance(image, reference)).all()


def test_unknown_method_is_refused(pair):
    with pytest.raises(ValueError, match="optimal_transport"):
        match_colors(*pair, method="mystery")


def test_matched_luminance_has_mean_and_deviation_of_the_reference(pair):
    matched, wanted = tf.image.rgb_to_grayscale(match_luminance(pair[1], pair[0])), tf.image.rgb_to_grayscale(pair[0])
    assert float(tf.reduce_mean(matched)) == pytest.approx(float(tf.reduce_mean(wanted)), abs=1e-4)
    assert float(tf.math.reduce_std(matched)) == pytest.approx(float(tf.math.reduce_std(wanted)), abs=1e-4)


def test_luminance_can_be_replaced_and_chroma_kept(pair, generator):
    brightness = tf.constant(generator.uniform(size=(1, 48, 64, 1)), tf.float32)
    joined = with_luminance(pair[0], brightness)
    np.testing.assert_allclose((joined @ YIQ.T)[..., 1:], (pair[0] @ YIQ.T)[..., 1:], atol=1e-3)
    assert np.min(joined) >= 0
    assert np.max(joined) <= 1
    inside = np.all((joined > 1e-3) & (joined < 1 - 1e-3), axis=-1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(tf.image.rgb_to_grayscale(joined)[inside], brightness[inside], atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"start": "noise"}])
def test_a_run_on_luminance_keeps_the_contents_chroma(pair, options):
    seen = []
    result = stylize(
        pair[0],
        pair[1],
        features="slim",
        steps=15,
        color="luminance",
        callback=lambda s: seen.append(s.image()),
        **options,
    )
    np.testing.assert_allclose((result.image @ YIQ.T)[..., 1:], (pair[0] @ YIQ.T)[..., 1:], atol=1e-3)
    assert np.abs(tf.image.rgb_to_grayscale(result.image) - tf.image.rgb_to_grayscale(pair[0])).max() > 0.05
    assert np.asarray(seen[-1]).std(axis=-1).max() > 0.05, "a callback sees gray"


def test_a_run_with_matched_colors_ends_nearer_to_the_contents_colors(pair):
    options = {"features": "slim", "steps": 40, "style_weight": 50.0}
    plain, matched = (moments(stylize(*pair, color=color, **options).image)[0] for color in ("style", "matching"))
    content = moments(pair[0])[0]
    assert np.abs(matched - content).max() < np.abs(plain - content).max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": "matching", "style_weight": 0.0}, "color='matching' needs a style_weight above 0"),
        ({"color": "luminance", "content_weight": 0.0}, "color='luminance' needs a content_weight above 0"),
        ({"color": "matching", "content_weight": 0.0}, "color='matching' needs a content_weight above 0"),
        ({"content_weight": 0.0, "style_weight": 0.0}, "nothing is left"),
        ({"style_scale": 2.0, "style_size": "content"}, "squashes the style image"),
        ({"style_scale": 0.0}, "more than 0"),
        ({"color": "sepia"}, "matching"),
        ({"border": "mirror"}, "replicate"),
    ],
)
def test_controls_that_contradict_each_other_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        RECIPES["studio"].changed(**changes)


def test_style_scale_is_relative_to_the_content(pair):
    for scale, size in ((1.0, (64, 55)), (2.0, (128, 110)), (None, (56, 48))):
        style = prepared(Style(pair[1], 1.0), RECIPES["studio"].changed(style_scale=scale), pair[0])
        assert tuple(style.image.shape[1:3]) == size


@pytest.mark.parametrize(
    "options",
    [{"start": "noise"}, {"recipe": "gatys"}, {"recipe": "udacity", "solver": "published"}, {"tile": 64, "steps": 2}],
)
def test_the_losses_of_a_run_on_luminance_are_those_of_the_picture_that_is_delivered(pair, options):
    # Nearly gray, so that no luminance has to give way to the content's chroma.
    content = tf.image.resize(pair[0], (80, 96)) * 0.02 + 0.49
    recipe = RECIPES[options.pop("recipe", "studio")].changed(color="luminance", clip=True)
    extractor = vgg19_features(recipe.network.layers, weights=None)
    result = stylize(content, pair[1], recipe=recipe, features=extractor, **{"steps": 12, **options})
    scene = Scene.of(recipe, content, pair[1])
    delivered = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(result.image))
    loss = make_objective(recipe, extractor, scene.content_image, [style_in_range(style) for style in scene.styles])(
        delivered
    ).total
    assert float(loss) == pytest.approx(result.history["total"].min(), rel=0.05)


def style_in_range(style):
    return dataclasses.replace(style, image=tf.clip_by_value(style.image, 0, 1))


def test_matching_takes_each_regions_colors_from_that_region(pair):
    content = np.full((1, 48, 64, 3), (0.8, 0.1, 0.1), np.float32)
    content[:, :, 32:] = (0.1, 0.1, 0.8)
    mask = np.zeros((48, 64), np.float32)
    mask[:, :32] = 1
    styles = [Style(pair[1], content_mask=mask), Style(pair[1], content_mask=rest_of(mask))]
    matched = Scene.of(RECIPES["studio"].changed(color="matching"), content, styles).styles
    np.testing.assert_allclose(moments(matched[0].image)[0], (0.8, 0.1, 0.1), atol=1e-3)
    np.testing.assert_allclose(moments(matched[1].image)[0], (0.1, 0.1, 0.8), atol=1e-3)


def test_a_recolored_start_has_the_styles_mean_and_covariance(pair):
    content, style = pair[0] * 0.5 + 0.3, 0.3 + 0.4 * pair[1]
    seen = {}
    for start in ("content", "recolored"):
        scene = Scene.of(STUDIO.changed(start=start), content, style)
        seen[start] = scene.start(0).numpy().reshape(-1, 3)
    wanted = style.numpy().reshape(-1, 3)
    np.testing.assert_allclose(seen["recolored"].mean(0), wanted.mean(0), atol=0.01)
    np.testing.assert_allclose(np.cov(seen["recolored"].T), np.cov(wanted.T), atol=0.005)
    np.testing.assert_array_equal(seen["content"], content.numpy().reshape(-1, 3))


def test_a_recolored_start_is_the_content_where_colors_are_kept_or_no_style_is_wanted(pair):
    recipe = STUDIO.changed(start="recolored")
    for color in ("matching", "luminance"):
        scene = Scene.of(recipe.changed(color=color), *pair)
        np.testing.assert_allclose(scene.start(0), scene.content_image, atol=1e-3)  # gray is taken twice
    left = np.zeros(pair[0].shape[1:3], np.float32)
    left[:, :32] = 1
    start = Scene.of(recipe, pair[0], Style(pair[1], content_mask=left)).start(0)
    np.testing.assert_array_equal(start[:, :, 32:], pair[0][:, :, 32:])
    assert np.abs(start[:, :, :32] - pair[0][:, :, :32]).max() > 0.1


def test_a_recolored_start_of_a_blend_lies_between_those_of_its_styles(pair):
    gray = tf.fill(pair[1].shape, 0.5)
    starts = [
        Scene.of(STUDIO.changed(start="recolored"), pair[0], style).start(0).numpy().mean(axis=(0, 1, 2))
        for style in (pair[1], gray, [Style(pair[1], 0.25), Style(gray, 0.75)])
    ]
    np.testing.assert_allclose(starts[2], 0.25 * starts[0] + 0.75 * starts[1], atol=0.02)


def test_where_masks_overlap_a_recolored_start_is_the_mean_of_those_of_the_two_styles(pair):
    everywhere = np.ones(pair[0].shape[1:3], np.float32)
    content, bright, dark = pair[0] * 0.5 + 0.3, 0.3 + 0.4 * pair[1], 0.2 + 0.2 * pair[1]  # nothing to clip
    starts = [
        Scene.of(STUDIO.changed(start="recolored"), content, styles).start(0).numpy()
        for styles in (
            Style(bright, content_mask=everywhere),
            Style(dark, content_mask=everywhere),
            [Style(image, content_mask=everywhere) for image in (bright, dark)],
        )
    ]
    np.testing.assert_allclose(starts[2], (starts[0] + starts[1]) / 2, atol=1e-5)


def test_a_gray_style_leaves_no_colors(pair):
    gray = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(pair[1]))
    network = small_network(STUDIO.network.layers)
    for start in ("content", "noise"):
        image = stylize(pair[0], gray, features=network, steps=3, start=start).image.numpy()
        assert np.ptp(image, axis=-1).max() < 1e-5

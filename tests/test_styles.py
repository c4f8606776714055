import numpy as np
import pytest
import tensorflow as tf
from conftest import on_transparent, small_network

import nst_tf
from nst_tf.controls.masks import load_mask, propose_regions, rest_of, soften
from nst_tf.controls.scene import Scene
from nst_tf.controls.styles import Style, as_styles
from nst_tf.engine.tiles import Tiles
from nst_tf.objective import Objective, make_objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO, GRAM = RECIPES["studio"], RECIPES["gram"]


@pytest.fixture(scope="module")
def network():
    return small_network(STUDIO.network.layers)


@pytest.fixture
def left(pair):
    mask = np.zeros(pair[0].shape[1:3], np.float32)
    mask[:, :24] = 1
    return mask


def test_rest_is_what_the_other_masks_leave():
    first, second = np.array([[1.0, 0.25, 0.0, 0.75]]), np.array([[0.0, 0.5, 0.0, 0.75]])
    np.testing.assert_array_equal(rest_of(first), [[0.0, 0.75, 1.0, 0.25]])
    np.testing.assert_array_equal(rest_of(first, second), [[0.0, 0.25, 1.0, 0.0]])


@pytest.fixture
def other(generator):
    return tf.constant(generator.uniform(size=(1, 40, 50, 3)), tf.float32)


def test_a_blend_with_weight_one_is_the_single_style_bit_for_bit(pair, other):
    alone = stylize(*pair, features="slim", steps=3)
    blend = [Style(pair[1], weight=1.0), Style(other, weight=0.0)]
    np.testing.assert_array_equal(stylize(pair[0], blend, features="slim", steps=3).image, alone.image)


def test_a_blend_holds_the_weighted_sum_of_raw_gram_matrices(pair, other, network):
    blend = [Style(pair[1], weight=0.3), Style(other, weight=0.7)]
    blended = make_objective(GRAM, network, pair[0], blend).targets.style
    alone = [make_objective(GRAM, network, pair[0], style).targets.style for style in (pair[1], other)]
    for layer, gram in blended.items():
        np.testing.assert_allclose(gram, 0.3 * alone[0][layer] + 0.7 * alone[1][layer], rtol=1e-6, atol=1e-7)


def test_pictures_in_a_list_are_blended_in_equal_parts(pair, other):
    assert [style.weight for style in as_styles([pair[1], other], pair[0])] == [0.5, 0.5]


def test_a_mask_of_ones_is_no_mask(pair, network):
    ones = np.ones(pair[0].shape[1:3], np.float32)
    styles = Style(pair[1], content_mask=ones, style_mask=np.ones(pair[1].shape[1:3], np.float32))
    image = pair[1][:, :48, :48]
    plain, masked = (
        make_objective(STUDIO, network, pair[0], style)(tf.image.resize(image, (48, 64))) for style in (pair[1], styles)
    )
    np.testing.assert_allclose(plain, masked, rtol=1e-6)
    content, objective = pair[0], Objective(STUDIO, network)
    scenes = [Scene.of(STUDIO, content, style) for style in (pair[1], styles)]
    plain, masked = (
        objective.losses_and_gradient(content * 0.9, objective.find_targets(content, scene.styles))[1]
        for scene in scenes
    )
    assert tf.norm(masked - plain) < 1e-5 * tf.norm(plain)
    # The pictures differ by a last bit (6e-8) after the first step, and a last bit turns winners of max pooling: it
    # alone moves this network's gradient by up to 1 %.  A second step could not tell a mask from rounding.
    results = [stylize(content, style, features=network, steps=1).image for style in (pair[1], styles)]
    # Rounding of the masked sums, enlarged by Adam's steps, of which each is up to 0.07.
    np.testing.assert_allclose(*results, atol=5e-6)


def test_guided_gram_matrix_is_the_mean_over_the_region(pair, network, left):
    recipe = GRAM.changed(style_layers={"block1_conv1": 1.0})
    objective = make_objective(recipe, network, pair[0], Style(pair[1], content_mask=left))
    sums = objective.sums(network(pair[0]), objective.targets.content, objective.targets.masks())
    features = network(pair[0])["block1_conv1"].numpy().astype(np.float64)[0, :, :24]
    features = features.reshape(-1, features.shape[-1])
    expected = features.T @ features
    np.testing.assert_allclose(sums.grams["block1_conv1"][0], expected, rtol=1e-4, atol=1e-4 * expected.max())
    # Alone, a region has all of the style's weight; two share it by their size.
    assert float(objective.targets.regions.parts["block1_conv1"][0][1]) == pytest.approx(1)
    both = [Style(pair[1], content_mask=mask) for mask in (left, rest_of(left))]
    parts = make_objective(recipe, network, pair[0], both).targets.regions.parts["block1_conv1"]
    np.testing.assert_allclose([share for _, share in parts], [24 / 64, 40 / 64], rtol=1e-6)


def test_style_is_taken_from_its_mask_alone(pair, network):
    half = np.zeros(pair[1].shape[1:3], np.float32)
    half[:, 16:] = 1
    changed = tf.concat([pair[1][:, :, :8] * 0, pair[1][:, :, 8:]], axis=2)
    recipe = GRAM.changed(style_layers={"block1_conv1": 1.0})
    targets = [
        make_objective(recipe, network, pair[0], Style(image, style_mask=half)).targets.style["block1_conv1"]
        for image in (pair[1], changed)
    ]
    np.testing.assert_array_equal(*targets)


def test_style_has_no_gradient_beyond_what_a_masked_region_sees(pair, network, left):
    recipe = STUDIO.changed(content_weight=0.0, style_layers={"block2_conv1": 1.0}, style_form="mean")
    objective = make_objective(recipe, network, pair[0], Style(pair[1], content_mask=left))
    image = tf.Variable(pair[0])
    with tf.GradientTape() as tape:
        loss = objective(image).style
    gradient = np.abs(tape.gradient(loss, image).numpy()).max(axis=(0, 1, 3))
    reach = 4  # block2_conv1 sees two pixels of block 1's convolutions and two of its own
    assert (gradient[:24] > 0).all()
    assert (gradient[24 + reach :] == 0).all()


def test_what_no_mask_covers_keeps_the_content_exactly(pair, network, left):
    result = stylize(pair[0], Style(pair[1], content_mask=left), features=network, steps=4, start="noise")
    np.testing.assert_allclose(result.image[:, :, 24:], pair[0][:, :, 24:], atol=1e-6)
    assert np.abs(result.image[:, :, :24] - pair[0][:, :, :24]).max() > 0.1


def test_a_blur_wider_than_the_mask_leaves_it_gray_and_takes_no_longer():
    left = np.zeros((40, 60), np.float32)
    left[:, :30] = 1
    for softness in (60, 1e9):
        np.testing.assert_allclose(soften(left, softness), 0.5, atol=0.2)


def test_the_picture_fades_into_the_content_along_a_soft_mask(pair):
    mask = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
    scene = Scene.of(STUDIO, pair[0], Style(pair[1], content_mask=mask))
    faded = scene.postprocess(1 - pair[0])
    m = mask[np.newaxis, :, :, np.newaxis]
    np.testing.assert_allclose(faded, m * (1 - pair[0]) + (1 - m) * pair[0], atol=1e-6)


def test_regions_have_styles_of_their_own(pair, other, network, left):
    styles = [Style(pair[1], content_mask=left), Style(other, content_mask=rest_of(left))]
    swapped = [Style(other, content_mask=left), Style(pair[1], content_mask=rest_of(left))]
    first, second = (
        stylize(pair[0], pictures, recipe=GRAM, features=network, steps=30, style_weight=50).image
        for pictures in (styles, swapped)
    )
    # The stripes are blue and yellow, the noise is gray: blue and yellow differ where the stripes are wanted.
    spread = [tf.math.reduce_std(image[..., 0] - image[..., 2], axis=1).numpy()[0] for image in (first, second)]
    assert spread[0][:16].mean() > spread[1][:16].mean()
    assert spread[0][40:].mean() < spread[1][40:].mean()


def test_tiles_and_masks_give_the_gradient_of_the_whole(pair, other, network, left):
    big = tf.image.resize(pair[0], (90, 130))
    mask = soften(np.asarray(tf.image.resize(left[..., np.newaxis], (90, 130)))[..., 0], 3.0)
    styles = [Style(pair[1], content_mask=mask), Style(other, content_mask=rest_of(mask))]
    styles = Scene.of(STUDIO, big, styles).styles
    whole, tiles = Objective(STUDIO, network), Tiles(STUDIO, network, 64)
    expected = whole.losses_and_gradient(big * 0.8, whole.find_targets(big, styles))
    found = tiles.losses_and_gradient(big * 0.8, tiles.find_targets(big, styles))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4 * np.abs(expected[1]).max())


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((48, 64), np.float32), "covers 0 pixels"),
        (np.ones((50, 64), np.float32), r"load_mask\(..., size=\(48, 64\)\)"),
        (np.full((48, 64), 255.0, np.float32), "in \\[0, 1\\]"),
        (np.full((48, 64), np.nan, np.float32), "in \\[0, 1\\]"),
    ],
)
def test_masks_that_do_not_fit_are_refused_with_the_reason(pair, mask, message):
    with pytest.raises(ValueError, match=message):
        stylize(pair[0], Style(pair[1], content_mask=mask), features="slim")


def test_styles_that_make_no_sense_are_refused_by_name(pair, left):
    refused = {
        "no style image": [],
        "sum to 0.9": [Style(pair[1], weight=0.5), Style(pair[1], weight=0.4)],
        "weight of style 2 .*at least 0": [Style(pair[1], weight=1.5), Style(pair[1], weight=-0.5)],
        "style 2 of 2 has no content mask": [Style(pair[1], content_mask=left), Style(pair[1])],
        "every style has weight 0": [Style(pair[1], weight=0.0, content_mask=left)],
    }
    for message, styles in refused.items():
        with pytest.raises(ValueError, match=f"(?i){message}"):
            stylize(pair[0], styles, features="slim")
    with pytest.raises(ValueError, match="Masks need a style_weight above 0"):
        stylize(pair[0], Style(pair[1], content_mask=left), features="slim", style_weight=0.0)


def test_proposed_regions_find_what_differs_and_sum_to_one(generator):
    image = np.full((1, 60, 80, 3), (0.2, 0.4, 0.9), np.float32)
    image[:, 30:] = (0.1, 0.5, 0.1)
    image += generator.normal(0, 0.02, image.shape).astype(np.float32)
    masks = propose_regions(tf.constant(np.clip(image, 0, 1)), 2, softness=0.0)
    np.testing.assert_allclose(masks.sum(axis=0), 1)
    assert masks[0][:28].min() == 1
    assert masks[1][32:].min() == 1
    np.testing.assert_array_equal(masks, propose_regions(tf.constant(np.clip(image, 0, 1)), 2, softness=0.0))
    soft = propose_regions(tf.constant(np.clip(image, 0, 1)), 2, softness=4.0)
    assert 0.2 < soft[0][30, 40] < 0.8
    with pytest.raises(ValueError, match="2 to 100"):
        propose_regions(tf.constant(image), 1)


def test_masks_are_loaded_from_pictures_and_arrays(tmp_path):
    from PIL import Image

    Image.fromarray(np.repeat([[0, 255]], 20, axis=0).astype(np.uint8)).resize((60, 40), 0).save(tmp_path / "mask.png")
    mask = load_mask(tmp_path / "mask.png", size=(40, 60))
    assert mask.shape == (40, 60)
    assert mask[:, :25].max() < 0.01
    assert mask[:, 35:].min() > 0.99


def test_masks_come_as_editors_export_them():
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30] = 1
    loaded = nst_tf.load_mask(on_transparent(mask, 255), size=(40, 60))
    np.testing.assert_allclose(loaded, mask, atol=0.01)
    with pytest.warns(UserWarning, match="white everywhere"):
        nst_tf.load_mask(np.ones((40, 60), np.float32), size=(40, 60))
    with pytest.raises(ValueError, match="40 × 60 pixels and its picture 60 × 40"):
        nst_tf.load_mask(np.ones((60, 40), np.float32), size=(40, 60))

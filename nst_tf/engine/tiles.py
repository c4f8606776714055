"""The losses of a picture and their gradient tile by tile: the same numbers with less memory.

A whole picture needs memory for every layer's activations at once; tiles need it for one tile at a time, and the
network's forward pass twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.controls.regions import SMALLEST_COVER, in_regions, mask_at
from nst_tf.controls.styles import Style, remembered_grams
from nst_tf.engine.gradient import value_and_gradient
from nst_tf.engine.solver import traced
from nst_tf.features import FeatureExtractor
from nst_tf.losses import gram_matrix
from nst_tf.networks.vgg import Geometry
from nst_tf.objective import Losses, Objective, Sums, Targets, content_layers, seen_by_style, style_layers, targets_of


class Tiles:
    """Computes the losses of a picture and their gradient tile by tile, exactly.

    First the sums of all tiles are added up; from these come the losses, and their derivative by each sum.  Then each
    tile goes forward once more and back, with those derivatives as the weights of its own sums.  A tile sees so much
    of its surroundings that its own positions come out as in the whole picture.

    Args:
        objective: Whose losses.  Its extractor must know its geometry.
        tile: Side of a tile in pixels, without its surroundings.
        scaled: As for `WholePicture`.

    Raises:
        ValueError: If the extractor does not know its geometry.
    """

    traceable = False

    def __init__(self, objective: Objective, tile: int, *, scaled: bool = False):
        check_geometry(objective.extractor)
        self._objective = objective
        self._tile = tile
        self._scaled = scaled
        self._content = traced(self._trace_content)
        self._grams = traced(self._trace_grams)
        self._sums = traced(self._trace_sums)
        self._weigh = traced(self._trace_weigh)
        self._gradient = traced(self._trace_gradient)

    def targets(self, content_image: tf.Tensor, styles: Sequence[Style]) -> Targets:
        """Return what pictures are compared with."""
        recipe, extractor = self._objective.recipe, self._objective.extractor
        # Parts are put together in NumPy, in place; TensorFlow would copy the whole for every part.
        wholes: dict[str, np.ndarray] = {}
        for tile, crop in self._tiles(content_image):
            for layer, part in self._content(crop, tile.window()).items():
                geometry = extractor.geometry[layer]
                if layer not in wholes:
                    height, width = map(geometry.positions, content_image.shape[1:3])
                    wholes[layer] = np.empty((1, height, width, part.shape[-1]), part.dtype.as_numpy_dtype)
                rows, columns = tile.own(geometry)
                wholes[layer][:, rows, columns] = part.numpy()
        content = {layer: tf.constant(wholes.pop(layer)) for layer in list(wholes)}
        sizes = self._sizes(content_image)
        grams = [remembered_grams(extractor, style, recipe, self._style_grams) for style in styles]
        return targets_of(recipe, content, styles, grams, sizes, extractor.channels)

    def _style_grams(self, style: Style) -> dict[str, tf.Tensor]:
        """Return the normalised Gram matrices of a style picture, or of the part of it that is wanted."""
        mask = np.ones(style.image.shape[1:3], np.float32) if style.style_mask is None else style.style_mask
        masks = {layer: mask_at(mask, size) for layer, size in self._sizes(style.image).items()}
        total: dict[str, tf.Tensor] = {}
        for tile, crop in self._tiles(style.image):
            for layer, gram in self._grams(crop, tile.window(), masks).items():
                total[layer] = total.get(layer, 0.0) + gram
        return {layer: gram / tf.maximum(tf.reduce_sum(masks[layer]), SMALLEST_COVER) for layer, gram in total.items()}

    def _sizes(self, image: tf.Tensor) -> dict[str, tuple[int, int]]:
        """Return (height, width) of a picture's features, by style layer."""
        extractor = self._objective.extractor
        layers = style_layers(self._objective.recipe)
        return {layer: tuple(map(extractor.geometry[layer].positions, image.shape[1:3])) for layer in layers}

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of a picture, float32 (1, height, width, 3)."""
        losses, _, _ = self._weigh(self._add_up(image, targets), image, targets)
        return losses

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of a picture, and the gradient of the total with respect to it."""
        image = tf.convert_to_tensor(image)
        losses, derivatives, direct = self._weigh(self._add_up(image, targets), image, targets)
        gradient = tf.Variable(direct)
        del direct  # else the first part would be added to a copy
        for tile, crop in self._tiles(image):
            part = self._gradient(crop, tile.window(), targets.content, targets.masks(), derivatives)
            rows, columns = tile.seen()
            seen = gradient[:, rows, columns, :]
            seen.assign(seen + part)
        return losses, targets.where_wanted(gradient.read_value())

    def _tiles(self, image: tf.Tensor) -> Iterator[tuple[Tile, tf.Tensor]]:
        extractor = self._objective.extractor
        grid = max(geometry.stride for geometry in extractor.geometry.values())
        halo = max(extractor.geometry[layer].reach for layer in extractor.layers)
        height, width = image.shape[1:3]
        for spans_of_tile in itertools.product(*(spans(side, self._tile, halo, grid) for side in (height, width))):
            tile = Tile(*spans_of_tile)
            rows, columns = tile.seen()
            yield tile, image[:, rows, columns, :]

    def _add_up(self, image: tf.Tensor, targets: Targets) -> Sums:
        total = None
        for tile, crop in self._tiles(image):
            sums = self._sums(crop, tile.window(), targets.content, targets.masks())
            total = sums if total is None else tf.nest.map_structure(tf.add, total, sums)
        return total

    def _trace_content(self, crop: tf.Tensor, window: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._own(self._objective.extractor(crop), window)
        return {layer: features[layer] for layer in content_layers(self._objective.recipe)}

    def _trace_grams(self, crop: tf.Tensor, window: tf.Tensor, masks: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        features = self._own(self._objective.extractor(crop), window)
        own_masks = self._own(masks, _in_picture(window))
        recipe = self._objective.recipe
        guided = {layer: in_regions(seen_by_style(features[layer], recipe), mask) for layer, mask in own_masks.items()}
        return {layer: gram_matrix(part, normalize=False) for layer, part in guided.items()}

    def _trace_sums(
        self, crop: tf.Tensor, window: tf.Tensor, content: dict[str, tf.Tensor], masks: dict[str, tf.Tensor]
    ) -> Sums:
        return self._sums_of_features(self._objective.extractor(crop), window, content, masks)

    def _trace_weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> tuple[Losses, Sums, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([sums, image])
            losses = self._objective.weigh(sums, image, targets)
        derivatives, direct = tape.gradient(losses.total, [sums, image], unconnected_gradients="zero")
        return losses, derivatives, direct

    def _trace_gradient(
        self,
        crop: tf.Tensor,
        window: tf.Tensor,
        content: dict[str, tf.Tensor],
        masks: dict[str, tf.Tensor],
        derivatives: Sums,
    ) -> tf.Tensor:
        def of_features(features: dict[str, tf.Tensor]) -> tuple[tf.Tensor]:
            sums = self._sums_of_features(features, window, content, masks)
            products = tf.nest.map_structure(lambda one, other: tf.reduce_sum(one * other), sums, derivatives)
            return (tf.add_n(tf.nest.flatten(products)),)

        return value_and_gradient(of_features, self._objective.extractor, crop, scaled=self._scaled)[1]

    def _sums_of_features(self, features: dict, window: tf.Tensor, content: dict, masks: dict) -> Sums:
        in_picture = _in_picture(window)
        own_content, own_masks = self._own(content, in_picture), self._own(masks, in_picture)
        return self._objective.sums(self._own(features, window), own_content, own_masks)

    def _own(self, features: dict[str, tf.Tensor], window: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the features at the positions of a window given in pixels: top, bottom, left, right."""
        own = {}
        for layer, tensor in features.items():
            positions = self._objective.extractor.geometry[layer].positions
            top, bottom, left, right = tf.unstack(positions(window[:4]))
            own[layer] = tensor[:, top:bottom, left:right]
        return own


def _in_picture(window: tf.Tensor) -> tf.Tensor:
    """Return top, bottom, left and right of a tile in the whole picture, from its `window`."""
    return window[:4] + tf.repeat(window[4:], 2)


class Span(NamedTuple):
    """Along one side of the picture: a tile's own pixels, and those it has to see.

    Args:
        start: First of its own.
        stop: One past the last of its own.
        seen_from: First that it has to see.
        seen_to: One past the last.
    """

    start: int
    stop: int
    seen_from: int
    seen_to: int


class Tile(NamedTuple):
    """A rectangle of the picture, by its spans."""

    rows: Span
    columns: Span

    def seen(self) -> tuple[slice, slice]:
        """Return rows and columns of the pixels that it has to see."""
        return slice(self.rows.seen_from, self.rows.seen_to), slice(self.columns.seen_from, self.columns.seen_to)

    def own(self, geometry: Geometry) -> tuple[slice, slice]:
        """Return rows and columns of its own positions in a layer of the whole picture."""
        return (
            slice(*map(geometry.positions, (self.rows.start, self.rows.stop))),
            slice(*map(geometry.positions, (self.columns.start, self.columns.stop))),
        )

    def window(self) -> tf.Tensor:
        """Return its own top, bottom, left and right within what it sees, and where what it sees begins; in pixels."""
        bounds = [side - span.seen_from for span in self for side in (span.start, span.stop)]
        return tf.constant([*bounds, self.rows.seen_from, self.columns.seen_from], tf.int32)


def spans(length: int, tile: int, halo: int, grid: int) -> list[Span]:
    """Cut a side of a picture into spans of about one length.

    Args:
        length: Of the side, in pixels.
        tile: At most so many pixels each, but for rounding up to the grid.
        halo: How many pixels beyond its own a tile has to see; rounded up to the grid.
        grid: Spans begin at its multiples, so that poolings line up with the whole picture's.
    """
    count = math.ceil(length / tile)
    step = math.ceil(length / count / grid) * grid
    halo = math.ceil(halo / grid) * grid
    starts = range(0, length, step)
    stops = [*starts[1:], length]
    return [
        Span(start, stop, max(0, start - halo), min(length, stop + halo))
        for start, stop in zip(starts, stops, strict=True)
    ]


def check_geometry(extractor: FeatureExtractor) -> None:
    """Raise ValueError if a picture cannot be cut into tiles for this extractor."""
    missing = [layer for layer in extractor.layers if layer not in extractor.geometry]
    if missing:
        raise ValueError(
            f"{extractor.name} does not say how {', '.join(missing)} lie on the picture, so it cannot work in tiles; "
            "give the FeatureExtractor a geometry, or leave tile out."
        )

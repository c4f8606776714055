"""The losses of an image and their gradient tile by tile: the same numbers with less memory.

A whole image needs memory for every layer's activations at once; tiles need it for one tile at a time, and the
network's forward pass twice.  The network is cut after its poolings into stages, and what goes from one stage to the
next is kept whole, so that a tile sees only a few positions beyond its own and little is computed twice over.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.controls.regions import SMALLEST_COVER, mask_at
from nst_tf.controls.scene import Scene
from nst_tf.controls.styles import Style
from nst_tf.engine.gradient import value_and_gradient
from nst_tf.engine.solver import traced
from nst_tf.features import FeatureExtractor, preprocess
from nst_tf.ground.keras_defaults import in_neutral_keras, keras
from nst_tf.networks.vgg import FrozenConvolution, Geometry, down_to_deepest, stages, tile_of_stage
from nst_tf.objective import Losses, Objective, Sums, Targets, content_layers, style_layers, targets_of

Features = dict[str, tf.Tensor]
ONWARD = "onward"  # among a stage's features, what enters the next one


class Tiles:
    """Computes the losses of an image and their gradient tile by tile, exactly.

    First the sums of all tiles are added up, stage by stage; from these come the losses, and their derivative by each
    sum.  Then, from the last stage to the first, each tile goes forward once more and back, with those derivatives as
    the weights of its own sums, and with the gradient that the next stage has left.  A tile sees so much of its
    surroundings that its own positions come out as in the whole image.

    Args:
        objective: Whose losses.  Its extractor must know its geometry.
        tile: Side of a tile in pixels, without its surroundings.
        scaled: Bring gradients into float16's range on their way back through the network.

    Raises:
        ValueError: If the extractor does not know its geometry.
    """

    def __init__(self, objective: Objective, tile: int, *, scaled: bool = False):
        check_geometry(objective.extractor)
        self._objective = objective
        self._stages = cut(objective, tile, scaled=scaled)
        self._weigh = traced(self._trace_weigh)

    def find_targets(self, scene: Scene) -> Targets:
        """Return what images are compared with."""
        recipe, extractor, content_image = self._objective.recipe, self._objective.extractor, scene.content_image
        wholes = {layer: Whole(self._size(content_image, layer)) for layer in content_layers(recipe)}

        def take(stage: Stage, tile: Tile, crop: tf.Tensor) -> tf.Tensor | None:
            features, onward = stage.content(crop, tile.window())
            for layer, part in features.items():
                wholes[layer].put(part, tile.own(stage.geometry[layer]))
            return onward

        self._forward(content_image, take)
        content = {layer: tf.constant(wholes.pop(layer).values) for layer in list(wholes)}
        sizes = {layer: self._size(content_image, layer) for layer in style_layers(recipe)}
        grams = [self._style_grams(style) for style in scene.styles]
        targets = targets_of(recipe, content, scene.styles, grams, sizes, extractor.channels)
        return targets._replace(held=scene.held(), grey=scene.grey)

    def _style_grams(self, style: Style) -> Features:
        """Return the normalised Gram matrices of a style image, or of the part of it that is wanted."""
        sizes = {layer: self._size(style.image, layer) for layer in style_layers(self._objective.recipe)}
        masks = {} if style.style_mask is None else {layer: mask_at(style.style_mask, sizes[layer]) for layer in sizes}
        sums, _ = self._add_up(style.image, {}, masks)
        covered = {layer: tf.reduce_sum(mask) for layer, mask in masks.items()} or sums.positions
        return {layer: gram / tf.maximum(covered[layer], SMALLEST_COVER) for layer, gram in sums.grams.items()}

    def _size(self, image: tf.Tensor, layer: str) -> tuple[int, int]:
        """Return (height, width) of an image's features."""
        return tuple(map(self._objective.extractor.geometry[layer].positions, image.shape[1:3]))

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of an image, float32 (1, height, width, 3)."""
        image = tf.convert_to_tensor(image)
        sums, _ = self._add_up(image, targets.content, targets.masks())
        losses, _, _ = self._weigh(sums, image, targets)
        return losses

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of an image, and the gradient of the total with respect to it."""
        image = tf.convert_to_tensor(image)
        sums, entering = self._add_up(image, targets.content, targets.masks(), keep=True)
        losses, derivatives, direct = self._weigh(sums, image, targets)
        gradient = None
        for stage in reversed(self._stages):
            entered = entering.pop()
            above, gradient = gradient, np.zeros(entered.shape, np.float32) if entering else np.array(direct)
            for tile, crop in stage.tiles(entered):
                own_above = above[(slice(None), *tile.own(stage.geometry[ONWARD]))] if stage.goes_on else None
                part = stage.gradient(crop, tile.window(), targets.content, targets.masks(), derivatives, own_above)
                gradient[(slice(None), *tile.seen())] += part.numpy()
        return losses, targets.where_wanted(tf.constant(gradient))

    def _add_up(
        self, image: tf.Tensor, content: Features, masks: Features, *, keep: bool = False
    ) -> tuple[Sums, list[Any]]:
        """Return the sums of an image, and what enters each stage if that is to be kept."""
        totals = Sums({}, {}, {})

        def add(stage: Stage, tile: Tile, crop: tf.Tensor) -> tf.Tensor | None:
            sums, onward = stage.sums(crop, tile.window(), content, masks)
            for total, part in zip(totals, sums, strict=True):
                add_up(total, part)
            return onward

        entering = self._forward(image, add, keep=keep)
        return totals, entering

    def _forward(
        self, image: tf.Tensor, take: Callable[[Stage, Tile, tf.Tensor], tf.Tensor | None], *, keep: bool = False
    ) -> list[Any]:
        """Take an image through all stages.

        Args:
            image: (1, height, width, 3).
            take: From a stage, a tile and the crop that it sees to the tile's own part of what enters the next stage.
            keep: Whether to return what enters each stage.
        """
        entering, entered = [], image
        for stage in self._stages:
            if keep:
                entering.append(entered)
            onward = Whole(map(stage.geometry[ONWARD].positions, entered.shape[1:3])) if stage.goes_on else None
            for tile, crop in stage.tiles(entered):
                part = take(stage, tile, crop)
                if onward:
                    onward.put(part, tile.own(stage.geometry[ONWARD]))
            entered = onward and onward.values
        return entering

    def _trace_weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> tuple[Losses, Sums, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([sums, image])
            losses = self._objective.weigh(sums, image, targets)
        derivatives, direct = tape.gradient(losses.total, [sums, image], unconnected_gradients="zero")
        return losses, derivatives, direct


class Stage:
    """A part of the network that an image passes tile by tile before it enters the next one.

    What it is given and returns is of one tile; `window` is from `Tile.window`.  With its own results each of
    `content` and `sums` returns the tile's part of what enters the next stage, None in the last one.

    Args:
        objective: Whose losses.
        network: From what enters the stage, float32 or the network's own precision, to the features of its layers.
        geometry: Of these layers, counted in positions of what enters.  All stages but the last have `ONWARD`.
        tile: Side of a tile, in positions of what enters.
        scaled: As for `Tiles`.
    """

    def __init__(
        self,
        objective: Objective,
        network: Callable[[tf.Tensor], Features],
        geometry: dict[str, Geometry],
        tile: int,
        *,
        scaled: bool,
    ):
        self.geometry = geometry
        self.goes_on = ONWARD in geometry
        self._objective = objective
        self._network = network
        self._tile = tile
        self._scaled = scaled
        self.content = traced(self._trace_content)
        self.sums = traced(self._trace_sums)
        self.gradient = traced(self._trace_gradient)

    def tiles(self, entered: Any) -> Iterator[tuple[Tile, tf.Tensor]]:
        """Return the tiles of what enters, each with the crop that it sees."""
        grid = max(geometry.stride for geometry in self.geometry.values())
        halo = max(geometry.reach for geometry in self.geometry.values())
        sides = entered.shape[1:3]
        for spans_of_tile in itertools.product(*(spans(side, self._tile, halo, grid) for side in sides)):
            tile = Tile(*spans_of_tile)
            yield tile, tf.convert_to_tensor(entered[(slice(None), *tile.seen())])

    def _trace_content(self, crop: tf.Tensor, window: tf.Tensor) -> tuple[Features, tf.Tensor | None]:
        features = self._own(self._network(crop), window)
        wanted = [layer for layer in content_layers(self._objective.recipe) if layer in features]
        return {layer: features[layer] for layer in wanted}, features.get(ONWARD)

    def _trace_sums(
        self, crop: tf.Tensor, window: tf.Tensor, content: Features, masks: Features
    ) -> tuple[Sums, tf.Tensor | None]:
        features = self._own(self._network(crop), window)
        return self._sums_of(features, window, content, masks), features.get(ONWARD)

    def _trace_gradient(
        self,
        crop: tf.Tensor,
        window: tf.Tensor,
        content: Features,
        masks: Features,
        derivatives: Sums,
        above: tf.Tensor | None,
    ) -> tf.Tensor:
        def of_features(features: Features) -> tuple[tf.Tensor]:
            own = self._own(features, window)
            sums = self._sums_of(own, window, content, masks)
            products = [tf.zeros(())] + [
                tf.reduce_sum(value * by_layer[layer])
                for values, by_layer in zip(sums, derivatives, strict=True)
                for layer, value in values.items()
            ]
            if self.goes_on:
                products.append(tf.reduce_sum(own[ONWARD] * above))
            return (tf.add_n(products),)

        return value_and_gradient(of_features, self._network, tf.cast(crop, tf.float32), scaled=self._scaled)[1]

    def _sums_of(self, own: Features, window: tf.Tensor, content: Features, masks: Features) -> Sums:
        own_content, own_masks = (self._own(parts, in_whole(window)) for parts in (content, masks))
        return self._objective.sums(own, own_content, own_masks)

    def _own(self, features: Features, window: tf.Tensor) -> Features:
        """Return this stage's features at the positions of a window: top, bottom, left, right of what enters."""
        own = {}
        for layer in filter(features.__contains__, self.geometry):
            top, bottom, left, right = tf.unstack(self.geometry[layer].positions(window[:4]))
            own[layer] = features[layer][:, top:bottom, left:right]
        return own


@in_neutral_keras
def cut(objective: Objective, tile: int, *, scaled: bool) -> list[Stage]:
    """Cut a network into stages, for tiles of so many pixels a side.

    What lies below the deepest layer that counts is left out.  Networks that are not built here are one stage, since
    their geometry need not be exact.
    """
    extractor = objective.extractor
    model, recipe = extractor.model, objective.recipe
    used = {*content_layers(recipe), *style_layers(recipe)} or set(extractor.layers)
    known = down_to_deepest(extractor.geometry, used)
    built_here = any(isinstance(layer, FrozenConvolution) for layer in model.layers)
    entering, before, made = model.inputs[0], Geometry(1, 0), []
    divided = stages(known) if built_here else [known]
    for number, names in enumerate(divided, start=1):
        outputs = {name: model.output[name] for name in names if name in used}
        geometry = {name: extractor.geometry[name].after(before) for name in outputs}
        last = names[-1]
        if number < len(divided):
            outputs[ONWARD] = model.get_layer(last).output
            geometry[ONWARD] = extractor.geometry[last].after(before)
        part = keras.Model(entering, outputs)
        network = part if made else functools.partial(_with_preprocessing, part, extractor.preprocessing)
        made.append(Stage(objective, network, geometry, tile_of_stage(tile, before.stride), scaled=scaled))
        entering, before = outputs.get(ONWARD), extractor.geometry[last]
    return made


def _with_preprocessing(network: keras.Model, preprocessing: str, image: tf.Tensor) -> Features:
    return network(preprocess(image, preprocessing), training=False)


def in_whole(window: tf.Tensor) -> tf.Tensor:
    """Return top, bottom, left and right of a tile in the whole of what enters, from its `window`."""
    return window[:4] + tf.repeat(window[4:], 2)


def add_up(total: Features, part: Features) -> None:
    """Add a tile's part to a total by layer."""
    total.update({layer: total.get(layer, 0.0) + value for layer, value in part.items()})


class Whole:
    """What is put together from tiles' parts: in NumPy, in place, as TensorFlow would copy the whole for every part.

    Args:
        sides: Its height and width.
    """

    def __init__(self, sides: Iterable[int]):
        self._sides = tuple(sides)
        self.values: np.ndarray | None = None  # (1, height, width, channels)

    def put(self, part: tf.Tensor, where: tuple[slice, slice]) -> None:
        """Put a part where it belongs."""
        if self.values is None:
            self.values = np.empty((1, *self._sides, part.shape[-1]), part.dtype.as_numpy_dtype)
        self.values[(slice(None), *where)] = part.numpy()


class Span(NamedTuple):
    """Along one side of what enters a stage: a tile's own positions, and those it has to see.

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
    """A rectangle of what enters a stage, by its spans."""

    rows: Span
    columns: Span

    def seen(self) -> tuple[slice, slice]:
        """Return rows and columns of the positions that it has to see."""
        return slice(self.rows.seen_from, self.rows.seen_to), slice(self.columns.seen_from, self.columns.seen_to)

    def own(self, geometry: Geometry) -> tuple[slice, slice]:
        """Return rows and columns of its own positions in the whole of a layer."""
        return (
            slice(*map(geometry.positions, (self.rows.start, self.rows.stop))),
            slice(*map(geometry.positions, (self.columns.start, self.columns.stop))),
        )

    def window(self) -> tf.Tensor:
        """Return its own top, bottom, left and right within what it sees, and where what it sees begins."""
        bounds = [side - span.seen_from for span in self for side in (span.start, span.stop)]
        return tf.constant([*bounds, self.rows.seen_from, self.columns.seen_from], tf.int32)


def spans(length: int, tile: int, halo: int, grid: int) -> list[Span]:
    """Cut a side of what enters a stage into spans of about one length.

    Args:
        length: Of the side, in positions.
        tile: At most so many positions each, but for rounding up to the grid.
        halo: How many positions beyond its own a tile has to see; rounded up to the grid.
        grid: Spans begin at its multiples, so that poolings line up with those of the whole.
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
    """Raise ValueError if an image cannot be cut into tiles for this extractor."""
    missing = [layer for layer in extractor.layers if layer not in extractor.geometry]
    if missing:
        raise ValueError(
            f"{extractor.name} does not say how {', '.join(missing)} lie on the picture, so it cannot work in tiles; "
            "give the FeatureExtractor a geometry, or leave tile out."
        )

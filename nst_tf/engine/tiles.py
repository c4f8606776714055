"""The losses of an image and their gradient tile by tile: the same numbers with less memory.

A whole image needs memory for every layer's activations at once; tiles need it for one tile at a time, and the
network's forward pass twice.  The network is cut after its poolings into stages, and what goes from one stage to the
next is kept whole, so that a tile sees only a few positions beyond its own and little is computed twice over.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from nst_tf.controls.regions import style_masks
from nst_tf.controls.styles import Style
from nst_tf.engine.precision import Float16Network
from nst_tf.features import FeatureExtractor, preprocess
from nst_tf.ground.keras_defaults import neutral_keras, traced
from nst_tf.losses import float32_at_least
from nst_tf.networks.vgg import FrozenConvolution, Geometry, down_to_deepest, stages, tile_of_stage
from nst_tf.objective import Losses, Objective, Sums, Targets
from nst_tf.recipes import Recipe

Features = dict[str, tf.Tensor]
ONWARD = "onward"  # among a stage's features, what enters the next one


class TargetsInTiles(Objective):
    """An objective that finds its targets tile by tile, for style images too large to be computed at once.

    A tile has a side of `tile` pixels, without its surroundings.  The extractor must know its geometry.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor, tile: int):
        super().__init__(recipe, extractor)
        if missing := [layer for layer in extractor.layers if layer not in extractor.geometry]:
            raise ValueError(
                f"{extractor.name} does not say how {', '.join(missing)} lie on the picture, so it cannot work in "
                "tiles; give the FeatureExtractor a geometry, or leave tile out."
            )
        self._stages = cut(self, tile)

    def _content_features(self, image: tf.Tensor) -> tuple[Features, dict[str, tuple[int, int]]]:
        wholes, _ = self._through(image, lambda stage, tile, crop: stage.content(crop, tile.window()))
        return {layer: tf.constant(wholes.pop(layer)) for layer in list(wholes)}, self._sizes(image)

    def _style_grams(self, style: Style) -> Features:
        masks = style_masks(style, self._sizes(style.image))
        return self._add_up(style.image, {}, masks)[0].normalized(masks)

    def _sizes(self, image: tf.Tensor) -> dict[str, tuple[int, int]]:
        """Return (height, width) of an image's features by style layer."""
        geometry = self.extractor.geometry
        return {layer: tuple(map(geometry[layer].positions, image.shape[1:3])) for layer in self.style_layers}

    def _add_up(
        self, image: tf.Tensor, content: Features, masks: Features, *, keep: bool = False
    ) -> tuple[Sums, list[Any]]:
        """Return the sums of an image, and what enters each stage if that is to be kept."""
        totals = Sums({}, {}, {})

        def add(stage: Stage, tile: Tile, crop: tf.Tensor) -> Features:
            sums, onward = stage.sums(crop, tile.window(), content, masks)
            for total, part in zip(totals, sums, strict=True):
                total.update({layer: total.get(layer, 0.0) + value for layer, value in part.items()})
            return onward

        _, entering = self._through(image, add, keep=keep)
        return totals, entering

    def _through(
        self, image: tf.Tensor, take: Callable[[Stage, Tile, tf.Tensor], Features], *, keep: bool = False
    ) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Take an image, (1, height, width, 3), through all stages.

        Of a stage, a tile and the crop that it sees, `take` returns features at the tile's own positions, among them
        what enters the next stage.  Returned are the others, those of all tiles put together, and what enters each
        stage if that is to be kept.
        """
        wholes, entering, entered = {}, [], image
        for stage in self._stages:
            if keep:
                entering.append(entered)
            for tile, crop in stage.tiles(entered):
                for layer, part in take(stage, tile, crop).items():
                    lies = stage.geometry[layer]
                    if layer not in wholes:  # in NumPy, in place: TensorFlow would copy the whole for every part
                        shape = (1, *map(lies.positions, entered.shape[1:3]), part.shape[-1])
                        wholes[layer] = np.empty(shape, part.dtype.as_numpy_dtype)
                    wholes[layer][tile.own(lies)] = part.numpy()
            entered = wholes.pop(ONWARD, None)
        return wholes, entering


class Tiles(TargetsInTiles):
    """Computes the losses of an image and their gradient tile by tile, exactly.

    First the sums of all tiles are added up, stage by stage; from these come the losses, and their derivative by each
    sum.  Then, from the last stage to the first, each tile goes forward once more and back, with those derivatives as
    the weights of its own sums, and with the gradient that the next stage has left.  A tile sees so much of its
    surroundings that its own positions come out as in the whole image.
    """

    def __init__(self, recipe: Recipe, extractor: FeatureExtractor, tile: int):
        super().__init__(recipe, extractor, tile)
        self._weigh = traced(self._trace_weigh)

    def losses(self, image: tf.Tensor, targets: Targets) -> Losses:
        """Return the losses of an image, float32 (1, height, width, 3)."""
        image = tf.convert_to_tensor(image)
        sums, _ = self._add_up(image, targets.content, targets.masks())
        return self._weigh(sums, image, targets)[0]

    def losses_and_gradient(self, image: tf.Tensor, targets: Targets) -> tuple[Losses, tf.Tensor]:
        """Return the losses of an image, and the gradient of the total with respect to it, (1, height, width, 3)."""
        image = tf.convert_to_tensor(image)
        sums, entering = self._add_up(image, targets.content, targets.masks(), keep=True)
        losses, derivatives, direct = self._weigh(sums, image, targets)
        gradient = None
        for stage in reversed(self._stages):
            entered = entering.pop()
            above, gradient = gradient, np.zeros(entered.shape, np.float32) if entering else np.array(direct)
            for tile, crop in stage.tiles(entered):
                own_above = above[tile.own(stage.geometry[ONWARD])] if stage.onward else None
                part = stage.gradient(crop, tile.window(), targets.content, targets.masks(), derivatives, own_above)
                gradient[tile.seen()] += part.numpy()
        return losses, targets.where_wanted(tf.constant(gradient))

    def _trace_weigh(self, sums: Sums, image: tf.Tensor, targets: Targets) -> tuple[Losses, Sums, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([sums, image])
            losses = self.weigh(sums, image, targets)
        derivatives, direct = tape.gradient(losses.total, [sums, image], unconnected_gradients="zero")
        return losses, derivatives, direct


class Stage:
    """A part of the network that an image passes tile by tile before it enters the next one.

    Its network leads from what enters, in float32 or the network's own precision, to the features of its layers.  Their
    geometry counts in positions of what enters, and so does the side of a tile.  `onward` is the type of what enters
    the next stage, None in the last one; `window` is from `Tile.window`.
    """

    def __init__(
        self,
        objective: Objective,
        network: Callable[[tf.Tensor], Features],
        geometry: dict[str, Geometry],
        tile: int,
        onward: str | None,
    ):
        self.geometry = geometry
        self.onward = onward
        self._objective = objective
        self._network = network
        self._tile = tile
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
            yield tile, tf.convert_to_tensor(entered[tile.seen()])

    def _trace_content(self, crop: tf.Tensor, window: tf.Tensor) -> Features:
        features = self._own(self._network(crop), window)
        content = {layer: features[layer] for layer in self._objective.content_layers if layer in features}
        return content | self._going_on(features)

    def _trace_sums(
        self, crop: tf.Tensor, window: tf.Tensor, content: Features, masks: Features
    ) -> tuple[Sums, Features]:
        features = self._own(self._network(crop), window)
        return self._sums_of(features, window, content, masks), self._going_on(features)

    def _trace_gradient(
        self,
        crop: tf.Tensor,
        window: tf.Tensor,
        content: Features,
        masks: Features,
        derivatives: Sums,
        above: tf.Tensor | None,
    ) -> tf.Tensor:
        crop = tf.cast(crop, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(crop)
            features = {layer: float32_at_least(part) for layer, part in self._network(crop).items()}
            own = self._own(features, window)
            products = [tf.zeros(())] + [
                tf.reduce_sum(value * by_layer[layer])
                for values, by_layer in zip(self._sums_of(own, window, content, masks), derivatives, strict=True)
                for layer, value in values.items()
            ]
            if self.onward:
                products.append(tf.reduce_sum(own[ONWARD] * above))
            total = tf.add_n(products)
        return tape.gradient(total, crop, unconnected_gradients="zero")

    def _going_on(self, own: Features) -> Features:
        return {ONWARD: tf.cast(own[ONWARD], self.onward)} if self.onward else {}

    def _sums_of(self, own: Features, window: tf.Tensor, content: Features, masks: Features) -> Sums:
        in_whole = window[:4] + tf.repeat(window[4:], 2)  # top, bottom, left and right in the whole of what enters
        own_content, own_masks = (self._own(parts, in_whole) for parts in (content, masks))
        return self._objective.sums(own, own_content, own_masks)

    def _own(self, features: Features, window: tf.Tensor) -> Features:
        """Return this stage's features at the positions of a window: top, bottom, left, right of what enters."""
        own = {}
        for layer in filter(features.__contains__, self.geometry):
            top, bottom, left, right = tf.unstack(self.geometry[layer].positions(window[:4]))
            own[layer] = features[layer][:, top:bottom, left:right]
        return own


@neutral_keras()
def cut(objective: Objective, tile: int) -> list[Stage]:
    """Cut a network into stages, for tiles of `tile` pixels a side.

    What lies below the deepest layer that counts is left out.  Networks that are not built here are one stage, since
    their geometry need not be exact.
    """
    extractor, model = objective.extractor, objective.extractor.model
    used = {*objective.content_layers, *objective.style_layers} or set(extractor.layers)
    known = down_to_deepest(extractor.geometry, used)
    built_here = any(isinstance(layer, FrozenConvolution) for layer in model.layers)
    kind = Float16Network if isinstance(model, Float16Network) else keras.Model
    entering, before, made = model.inputs[0], Geometry(1, 0), []
    divided = stages(known) if built_here else [known]
    for number, names in enumerate(divided, start=1):
        outputs = {name: model.output[name] for name in names if name in used}
        geometry = {name: extractor.geometry[name].after(before) for name in outputs}
        last = names[-1]
        if number < len(divided):
            outputs[ONWARD] = model.get_layer(last).output
            geometry[ONWARD] = extractor.geometry[last].after(before)
        network = kind(entering, outputs)
        if not made:
            network = functools.partial(_preprocessed, network, extractor.preprocessing)
        onward = outputs[ONWARD].dtype if ONWARD in outputs else None
        made.append(Stage(objective, network, geometry, tile_of_stage(tile, before.stride), onward))
        entering, before = outputs.get(ONWARD), extractor.geometry[last]
    return made


def _preprocessed(network: keras.Model, preprocessing: str, image: tf.Tensor) -> Features:
    return network(preprocess(image, preprocessing), training=False)


class Span(NamedTuple):
    """Along one side of what enters a stage: a tile's own positions, and those it has to see; like slices."""

    start: int
    stop: int
    seen_from: int
    seen_to: int


class Tile(NamedTuple):
    """A rectangle of what enters a stage, by its spans."""

    rows: Span
    columns: Span

    def seen(self) -> tuple[slice, ...]:
        """Return where, in an array (1, height, width, channels), the positions are that it has to see."""
        return slice(None), *(slice(span.seen_from, span.seen_to) for span in self)

    def own(self, geometry: Geometry) -> tuple[slice, ...]:
        """Return where its own positions are in the whole of a layer."""
        return slice(None), *(slice(*map(geometry.positions, (span.start, span.stop))) for span in self)

    def window(self) -> tf.Tensor:
        """Return its own top, bottom, left and right within what it sees, and where what it sees begins."""
        bounds = [side - span.seen_from for span in self for side in (span.start, span.stop)]
        return tf.constant([*bounds, self.rows.seen_from, self.columns.seen_from], tf.int32)


def spans(length: int, tile: int, halo: int, grid: int) -> list[Span]:
    """Cut a side of what enters a stage, `length` positions long, into spans of about one length, at most `tile`.

    A tile has to see `halo` positions beyond its own.  Lengths and halos are rounded up to the grid, at whose multiples
    spans begin, so that poolings line up with those of the whole.
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

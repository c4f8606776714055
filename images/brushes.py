"""Brushes, colours and noise: the groundwork of the painted style pictures.

A mark of the brush leaves pigment in a colour map and thickness in a height map. At the end a lamp from the
upper left shines over the height map, so that the paint looks like a solid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray
Point = tuple[float, float]

# Pictures are painted at twice their final size and averaged down, which smooths the edges of the marks.
SUPERSAMPLE = 2
# Distance between neighbouring samples of a brush stroke; below one pixel so that no holes remain.
SAMPLE_STEP = 0.62
# Distance between neighbouring points of a stroke's spine, in pixels of the large canvas.
SPINE_STEP = 5.0
# The lamp stands at the upper left, as painters like it.
LIGHT_DIRECTION = (-0.6, -0.8)


# ---------------------------------------------------------------------------------------------------------
# Colour, noise and other groundwork
# ---------------------------------------------------------------------------------------------------------


def colour(code: str) -> Array:
    """Turn a colour code such as ``"1b3a6b"`` into three numbers from 0 to 1."""
    return np.array([int(code[start : start + 2], 16) / 255 for start in (0, 2, 4)], dtype=np.float32)


def palette(codes: str) -> Array:
    """Turn colour codes separated by blanks into an array with one colour per row."""
    return np.stack([colour(code) for code in codes.split()])


def ramp(values: Array, colours: Array) -> Array:
    """Look up ``values`` from 0 to 1 in a smooth ramp through ``colours``."""
    positions = np.linspace(0, 1, len(colours))
    channels = [np.interp(values, positions, colours[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def mix(first: Array, second: Array, amount: Array | float) -> Array:
    """Blend two pictures or colours; ``amount`` 0 gives the first and 1 the second."""
    if isinstance(amount, np.ndarray):
        amount = amount[..., None]
    return first + (second - first) * amount


def smoothstep(low: float, high: float, values: Array) -> Array:
    """Rise softly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def resize_field(field: Array, height: int, width: int) -> Array:
    """Resize a single-channel field with smooth interpolation."""
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def smooth_noise(shape: tuple[int, int], cell: Point | float, generator: np.random.Generator) -> Array:
    """Make soft random hills with a standard deviation near 1; ``cell`` is their (vertical, horizontal) size."""
    cell_height, cell_width = cell if isinstance(cell, tuple) else (cell, cell)
    height, width = shape
    rows, columns = int(height / cell_height) + 4, int(width / cell_width) + 4
    coarse = generator.standard_normal((rows, columns))
    fine = resize_field(coarse, int(rows * cell_height) + 1, int(columns * cell_width) + 1)
    top, left = int(cell_height), int(cell_width)
    return 1.4 * fine[top : top + height, left : left + width]


def layered_noise(shape: tuple[int, int], cell: float, generator: np.random.Generator, layers: int = 4) -> Array:
    """Add noises of ever smaller size, the way clouds and stains look."""
    total = np.zeros(shape, dtype=np.float32)
    for layer in range(layers):
        total += smooth_noise(shape, max(cell / 2**layer, 1.5), generator) * 0.55**layer
    return total


def blur(field: Array, radius: float) -> Array:
    """Blur a single-channel field with a Gaussian bell, through the Fourier transform."""
    margin = int(3 * radius) + 1
    padded = np.pad(field, margin, mode="edge")
    frequency_y = np.fft.fftfreq(padded.shape[0])[:, None]
    frequency_x = np.fft.rfftfreq(padded.shape[1])[None, :]
    bell = np.exp(-2 * (np.pi * radius) ** 2 * (frequency_x**2 + frequency_y**2))
    blurred = np.fft.irfft2(np.fft.rfft2(padded) * bell, s=padded.shape)
    return blurred[margin:-margin, margin:-margin].astype(np.float32)


def sample_field(field: Array, x: Array, y: Array) -> Array:
    """Read a field at pixel positions, taking the border value for positions outside."""
    rows = np.clip(y, 0, field.shape[0] - 1).astype(np.int32)
    columns = np.clip(x, 0, field.shape[1] - 1).astype(np.int32)
    return field[rows, columns]


def unit_grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Give x and y of every pixel as a fraction of the picture's width, so that circles stay circles."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / width, y / width


def polygon_mask(shape: tuple[int, int], points: Sequence[Point]) -> Array:
    """Fill a polygon given in unit coordinates; True inside."""
    height, width = shape
    picture = Image.new("L", (width, height), 0)
    ImageDraw.Draw(picture).polygon([(x * width, y * width) for x, y in points], fill=1)
    return np.asarray(picture).astype(bool)


def smooth_curve(points: Sequence[Point], count: int = 120) -> Array:
    """Lead a smooth (Catmull-Rom) curve through the points and give ``count`` positions along it."""
    knots = np.asarray(points, dtype=np.float64)
    knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    place = np.linspace(0, len(knots) - 3 - 1e-9, count)
    index = place.astype(int)
    t = (place - index)[:, None]
    before, start, end, after = (knots[index + shift] for shift in range(4))
    return 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )


def downsample(picture: Array) -> Array:
    """Average blocks of pixels: from the large canvas to the final picture."""
    height, width = picture.shape[0] // SUPERSAMPLE, picture.shape[1] // SUPERSAMPLE
    blocks = picture[: height * SUPERSAMPLE, : width * SUPERSAMPLE].reshape(height, SUPERSAMPLE, width, SUPERSAMPLE, -1)
    return np.clip(blocks.mean(axis=(1, 3)), 0, 1).astype(np.float64)


def light_relief(picture: Array, relief: Array, strength: float, gloss: float = 0.0) -> Array:
    """Shine the lamp over a height map: slopes towards it brighten, slopes away from it darken."""
    slope_y, slope_x = np.gradient(blur(relief, 0.8))
    facing = -(slope_x * LIGHT_DIRECTION[0] + slope_y * LIGHT_DIRECTION[1])
    facing = np.tanh(facing * 2.2) * strength
    lit = picture * (1 + facing[..., None])
    return lit + gloss * np.clip(facing - 0.35 * strength, 0, None)[..., None]


# ---------------------------------------------------------------------------------------------------------
# The brush
# ---------------------------------------------------------------------------------------------------------


@dataclass
class Canvas:
    """What the painter works on: the colours, the thickness of the paint, and a store of bristle marks."""

    colours: Array
    relief: Array
    bristles: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.relief.shape


@dataclass(frozen=True)
class Brush:
    """How a layer of strokes looks. Lengths are pixels of the large canvas."""

    width: float
    length: float
    spacing: float
    colour_jitter: float = 0.06  # spread of the colour from one stroke to the next
    streaks: float = 0.10  # spread of the colour from one bristle to the next
    thickness: float = 1.0  # how much paint a stroke piles up
    dryness: float = 0.5  # how soon the bristles run out of paint and show what is below
    hue_jitter: float = 0.04  # spread of the separate colour channels
    wobble: float = 0.12  # spread of the direction, in radians


def new_canvas(shape: tuple[int, int], ground: Array, generator: np.random.Generator) -> Canvas:
    """Stretch a canvas of one colour; its weave stands a little proud of the surface."""
    weave_y = np.sin(np.arange(shape[0]) * (2 * np.pi / 6.0))[:, None]
    weave_x = np.sin(np.arange(shape[1]) * (2 * np.pi / 6.0))[None, :]
    relief = (0.25 * weave_y * weave_x + 0.15 * smooth_noise(shape, 3.0, generator)).astype(np.float32)
    colours = np.broadcast_to(ground, (*shape, 3)).astype(np.float32).copy()
    colours *= 1 + 0.05 * layered_noise(shape, 24.0, generator)[..., None]
    return Canvas(colours, relief, make_bristles(generator))


def make_bristles(generator: np.random.Generator) -> Array:
    """Prepare a large sheet of streaks from 0 to 1 (rows run across the brush); strokes cut pieces out of it."""
    shape = (900, 1400)
    streaks = smooth_noise(shape, (4.5, 190.0), generator) + 0.6 * smooth_noise(shape, (9.0, 60.0), generator)
    streaks += 0.25 * smooth_noise(shape, (2.5, 14.0), generator)
    return np.clip(0.5 + 0.24 * streaks, 0, 1).astype(np.float32)


def paint_stroke(
    canvas: Canvas, spine: Array, width: float, tint: Array, brush: Brush, generator: np.random.Generator
) -> None:
    """Drag a loaded brush along the ``spine`` (points as x, y) and leave colour and height behind."""
    steps = np.diff(spine, axis=0)
    travelled = np.concatenate([[0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    along_count = int(max(travelled[-1] / SAMPLE_STEP, 4))
    across_count = int(min(max(width / SAMPLE_STEP, 3), canvas.bristles.shape[0] - 1))
    distance = np.linspace(0, travelled[-1], along_count)
    x, y = np.interp(distance, travelled, spine[:, 0]), np.interp(distance, travelled, spine[:, 1])
    tangent_x, tangent_y = np.gradient(x), np.gradient(y)
    norm = np.hypot(tangent_x, tangent_y) + 1e-9

    # A stroke is a ribbon with round ends; "across" runs from -1 at one edge to 1 at the other.
    from_end = np.minimum(distance, travelled[-1] - distance) / (0.5 * width)
    half_width = 0.5 * width * np.sqrt(np.clip(1 - (1 - np.clip(from_end, 0, 1)) ** 2, 0.02, 1))
    across = np.linspace(-1, 1, across_count)[:, None]
    columns = (x - tangent_y / norm * half_width * across).astype(np.int32)
    rows = (y + tangent_x / norm * half_width * across).astype(np.int32)

    top = int(generator.integers(canvas.bristles.shape[0] - across_count))
    left = int(generator.integers(canvas.bristles.shape[1]))
    sheet_columns = (left + np.arange(along_count)) % canvas.bristles.shape[1]
    bristle = canvas.bristles[top : top + across_count][:, sheet_columns]
    progress = np.linspace(0, 1, along_count)
    running_out = brush.dryness * np.clip((progress - 0.45) / 0.55, 0, 1) ** 1.5 + 0.25 * brush.dryness * across**8
    height, canvas_width = canvas.shape
    # Each bristle lets go of the canvas at a place of its own, which leaves a torn end.
    torn = travelled[-1] - distance > 1.1 * brush.dryness * width * (0.75 - bristle)
    wet = torn & (bristle > running_out) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < canvas_width)

    # The brush pushes paint to its sides and to the end of the stroke, where it stands up as a ridge.
    ridge = 0.55 * np.abs(across) ** 3 + 0.35 * progress**6
    piled = brush.thickness * (1.0 + ridge + 1.7 * (bristle - 0.5)) * np.sqrt(np.clip(1.02 - across**8, 0, 1))
    rows, columns, shade = rows[wet], columns[wet], (bristle - 0.5)[wet] * 2 * brush.streaks
    canvas.colours[rows, columns] = tint + shade[:, None]
    canvas.relief[rows, columns] = 0.35 * canvas.relief[rows, columns] + piled[wet]


def trace_spines(starts: Array, angles: Array, step_counts: int, turns: Array) -> Array:
    """Follow the direction field from all starts at once; gives (stroke, point, x and y)."""
    x, y = starts[:, 0].copy(), starts[:, 1].copy()
    points = [np.stack([x, y], axis=1)]
    for _ in range(step_counts):
        direction = sample_field(angles, x, y) + turns
        x, y = x + SPINE_STEP * np.cos(direction), y + SPINE_STEP * np.sin(direction)
        points.append(np.stack([x, y], axis=1))
    return np.stack(points, axis=1)


def scattered_points(shape: tuple[int, int], spacing: float, generator: np.random.Generator) -> Array:
    """Spread points evenly but irregularly over the canvas, in random order."""
    height, width = shape
    y, x = np.mgrid[-0.5 * spacing : height + spacing : spacing, -0.5 * spacing : width + spacing : spacing]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    points += generator.uniform(-0.6, 0.6, points.shape) * spacing
    return generator.permutation(points)


def jitter_tints(tints: Array, brush: Brush, generator: np.random.Generator) -> Array:
    """Vary the tint of every stroke in lightness and in hue."""
    lightness = generator.normal(0, brush.colour_jitter, (len(tints), 1))
    hue = generator.normal(0, brush.hue_jitter, tints.shape)
    return np.clip(tints * (1 + lightness) + 0.5 * lightness + hue, 0, 1).astype(np.float32)


def paint_layer(
    canvas: Canvas,
    plan: Array,
    angles: Array,
    brush: Brush,
    generator: np.random.Generator,
    region: Array | None = None,
    share: float = 1.0,
) -> None:
    """Cover a region with strokes that take their colour from ``plan`` and their direction from ``angles``.

    A stroke ends where it would leave the region, so that shapes keep their outline. ``share`` is the part
    of the strokes that is really painted: lower values leave the layer below visible.
    """
    starts = scattered_points(canvas.shape, brush.spacing, generator)
    if region is None:
        region = np.ones(canvas.shape, dtype=bool)
    starts = starts[sample_field(region, starts[:, 0], starts[:, 1])]
    starts = starts[generator.random(len(starts)) < share]
    turns = generator.normal(0, brush.wobble, len(starts))
    steps = max(int(brush.length * 1.4 / SPINE_STEP), 2)
    spines = trace_spines(starts, angles, steps, turns)
    inside = np.logical_and.accumulate(sample_field(region, spines[..., 0], spines[..., 1]), axis=1).sum(axis=1)
    wanted = steps * generator.uniform(0.45, 1.0, len(starts))
    counts = np.maximum(np.minimum(inside, wanted.astype(int) + 1), 2)
    tints = jitter_tints(sample_field(plan, starts[:, 0], starts[:, 1]), brush, generator)
    widths = brush.width * generator.uniform(0.7, 1.25, len(starts))
    for spine, count, width, tint in zip(spines, counts, widths, tints, strict=True):
        paint_stroke(canvas, spine[:count], width, tint, brush, generator)


def finish(canvas: Canvas, strength: float, gloss: float = 0.15) -> Array:
    """Light the paint and bring the picture to its final size."""
    return downsample(light_relief(canvas.colours, canvas.relief, strength, gloss))

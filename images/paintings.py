"""Paintings drawn by program, to serve as style pictures.

Every picture is built the way a painter builds it: a plan of shapes and colours first, then many marks
laid on top of one another. Each function in ``PAINTINGS`` takes nothing and returns an array of shape
(height, width, 3) with RGB values from 0 to 1. The random numbers come from a fixed seed, so a picture
is the same on every run.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from brushes import (
    Array,
    Brush,
    Canvas,
    Point,
    blur,
    colour,
    downsample,
    finish,
    layered_noise,
    light_relief,
    mix,
    new_canvas,
    paint_layer,
    paint_stroke,
    palette,
    polygon_mask,
    ramp,
    resize_field,
    sample_field,
    scattered_points,
    smooth_curve,
    smooth_noise,
    smoothstep,
    unit_grid,
)
from PIL import Image, ImageDraw

# ---------------------------------------------------------------------------------------------------------
# Swirling night
# ---------------------------------------------------------------------------------------------------------

NIGHT_SHAPE = (1232, 1536)
NIGHT_MOON = (0.145, 0.135, 0.050)
# x, y and radius of the glowing core, as fractions of the picture's width
NIGHT_STARS = (
    (0.335, 0.075, 0.020),
    (0.300, 0.285, 0.017),
    (0.520, 0.070, 0.015),
    (0.660, 0.135, 0.025),
    (0.085, 0.345, 0.018),
    (0.930, 0.085, 0.018),
    (0.945, 0.300, 0.015),
    (0.415, 0.400, 0.012),
    (0.205, 0.425, 0.010),
)
# x, y, radius and turning sense of the great eddies of the wind
NIGHT_EDDIES = ((0.455, 0.225, 0.120, 1.0), (0.625, 0.330, 0.085, -1.0))
NIGHT_SKY = palette("0b1550 14257a 1c3f9e 2a5fc0 4a8fd6 86bfe0 cfe3d8")
NIGHT_GLOW = palette("fff8d8 ffe680 fcc42e f09a1c c9b45a 6fa6b4")
NIGHT_PALE_GLOW = palette("fff8c0 ffee90 f6e070 d0dc90 8fc4b8 5a98c8")
NIGHT_HILLS = (palette("1b2f74 2a4c94 4676b0"), palette("10235c 1d4a78 2f7a86"), palette("0d2448 175048 3f7f48 8fa048"))
NIGHT_CYPRESS = palette("040914 0a1c20 143a2c 35602f 7d7430")


def night_flow(x: Array, y: Array, generator: np.random.Generator) -> Array:
    """Direction of the wind: a wavy stream from left to right, bent around eddies, stars and the moon."""
    wind_x = np.ones_like(x)
    wind_y = 0.55 * np.sin(7.0 * x - 5.0 * y + 0.8) + 0.15 * smooth_noise(x.shape, 260.0, generator)
    halos = [(*star[:2], 3.2 * star[2], 1.0) for star in (NIGHT_MOON, *NIGHT_STARS)]
    for centre_x, centre_y, radius, sense in [*NIGHT_EDDIES, *halos]:
        away_x, away_y = x - centre_x, y - centre_y
        distance = np.hypot(away_x, away_y) + 1e-4
        grip = 4.5 * np.exp(-((distance / radius) ** 2.2))
        # The small inward share turns closed circles into spirals.
        wind_x += grip * (-sense * away_y - 0.22 * away_x) / distance
        wind_y += grip * (sense * away_x - 0.22 * away_y) / distance
    return np.arctan2(wind_y, wind_x).astype(np.float32)


def flow_bands(angles: Array, cell: float, generator: np.random.Generator, steps: int = 26) -> Array:
    """Smear noise along the flow, so that light and dark bands run with the wind; about -1 to 1."""
    height, width = angles.shape
    scale = 4
    small = angles[::scale, ::scale]
    noise = smooth_noise(small.shape, cell / scale, generator)
    total = np.zeros_like(noise)
    for sense in (1, -1):
        y, x = np.mgrid[0 : small.shape[0], 0 : small.shape[1]].astype(np.float32)
        for _ in range(steps):
            total += sample_field(noise, x, y)
            direction = sample_field(small, x, y)
            x, y = x + sense * 1.5 * np.cos(direction), y + sense * 1.5 * np.sin(direction)
    return resize_field(total / total.std(), height, width)


def night_sky_plan(x: Array, y: Array, angles: Array, generator: np.random.Generator) -> Array:
    """Colours of the sky: banded blues, spirals of light in the eddies, rings of gold around the stars."""
    level = 0.30 + 0.16 * flow_bands(angles, 26.0, generator) + 0.35 * (y / 0.5) ** 2.5
    for centre_x, centre_y, radius, sense in NIGHT_EDDIES:
        distance = np.hypot(x - centre_x, y - centre_y)
        spiral = np.sin(sense * np.arctan2(y - centre_y, x - centre_x) + 9.0 * np.sqrt(distance / radius))
        level += (0.22 + 0.25 * spiral) * np.exp(-((distance / (1.15 * radius)) ** 4))
    plan = ramp(np.clip(level, 0, 1), NIGHT_SKY)
    for number, (centre_x, centre_y, radius) in enumerate((NIGHT_MOON, *NIGHT_STARS)):
        distance = np.hypot(x - centre_x, y - centre_y) / radius
        # The moon and every third star glow paler. The halo of the moon has no white core: that is for the stars.
        skipped = 1.1 if number == 0 else 0.0
        glow = ramp(np.clip((distance + skipped) / 4.2, 0, 1), NIGHT_PALE_GLOW if number % 3 == 0 else NIGHT_GLOW)
        rings = 0.75 + 0.25 * np.cos(5.2 * distance)
        plan = mix(plan, glow, np.clip(np.exp(-((distance / 2.9) ** 2.6)) * rings * 1.2, 0, 1))
    return plan


def paint_night_sky(canvas: Canvas, x: Array, y: Array, angles: Array, generator: np.random.Generator) -> None:
    """Three coats: broad underpaint, the main strokes, and sparse thick highlights."""
    plan = night_sky_plan(x, y, angles, generator)
    region = y < 0.66
    paint_layer(canvas, 0.8 * plan, angles, Brush(34, 120, 22, thickness=0.7), generator, region)
    main = Brush(17, 92, 12.5, colour_jitter=0.10, streaks=0.10, thickness=1.3, hue_jitter=0.03)
    paint_layer(canvas, plan, angles, main, generator, region)
    light = np.clip(plan * 1.25 + 0.06, 0, 1)
    accent = Brush(11, 64, 17, colour_jitter=0.10, streaks=0.12, thickness=1.6, hue_jitter=0.05)
    paint_layer(canvas, light, angles, accent, generator, region, share=0.5)


def paint_night_lamps(canvas: Canvas, generator: np.random.Generator) -> None:
    """Set thick curls of pale paint on the stars, and a crescent on the moon."""
    width = canvas.shape[1]
    brush = Brush(11, 60, 10, streaks=0.08, thickness=2.0, dryness=0.2)
    for centre_x, centre_y, radius in NIGHT_STARS:
        for turn in range(int(7 + 260 * radius)):
            reach = radius * width * generator.uniform(0.05, 1.0)
            start = generator.uniform(0, 2 * np.pi)
            sweep = np.linspace(start, start + generator.uniform(1.2, 2.2), 12)
            spine = np.stack([centre_x * width + reach * np.cos(sweep), centre_y * width + reach * np.sin(sweep)], 1)
            tint = ramp(np.array([reach / (radius * width) * 0.35 + 0.02 * (turn % 3)]), NIGHT_GLOW)[0]
            paint_stroke(canvas, spine, 11, tint, brush, generator)
    paint_night_crescent(canvas, generator)


def paint_night_crescent(canvas: Canvas, generator: np.random.Generator) -> None:
    """Lay orange arcs side by side; all of them meet in the two horns of the moon."""
    width = canvas.shape[1]
    brush = Brush(12, 60, 10, streaks=0.08, thickness=2.0, dryness=0.15)
    radius = 1.15 * NIGHT_MOON[2] * width
    tilt = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    for bulge in np.linspace(0.28, 1.0, 11):
        sweep = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 40)
        arc = np.stack([bulge * np.cos(sweep), np.sin(sweep)], axis=1) * radius
        glow = 0.64 - 0.40 * bulge + 0.08 * generator.random()
        spine = arc @ tilt.T + np.array(NIGHT_MOON[:2]) * width + generator.normal(0, 1.0, 2)
        paint_stroke(canvas, spine, 12, ramp(np.array([glow]), NIGHT_GLOW)[0], brush, generator)


def night_ridges(x: Array) -> list[Array]:
    """Height lines of three ranges of hills, from far to near."""
    far = 0.520 - 0.055 * np.sin(5.2 * x + 0.4) - 0.018 * np.sin(13 * x)
    middle = 0.575 - 0.040 * np.sin(4.3 * x + 2.6) - 0.012 * np.sin(17 * x + 1)
    near = 0.690 - 0.030 * np.sin(5.0 * x + 1.2) - 0.010 * np.sin(19 * x)
    return [far, middle, near]


def paint_night_hills(canvas: Canvas, x: Array, y: Array, generator: np.random.Generator) -> None:
    """Paint the ranges one over the other; the strokes roll along the slopes."""
    for ridge, colours in zip(night_ridges(x), NIGHT_HILLS, strict=True):
        depth = y - ridge
        slope = np.arctan(np.gradient(ridge, axis=1) * canvas.shape[1])
        angles = (slope * np.exp(-depth / 0.12) + 0.5 * np.sin(22 * x + 35 * depth)).astype(np.float32)
        level = 0.5 + 0.30 * flow_bands(angles, 30.0, generator) + 0.25 * np.exp(-np.clip(depth, 0, 1) / 0.02)
        plan = ramp(np.clip(level, 0, 1), colours)
        paint_layer(canvas, plan, angles, Brush(22, 70, 13, thickness=1.0), generator, depth > 0)
        paint_layer(canvas, plan, angles, Brush(11, 52, 13, colour_jitter=0.1), generator, depth > 0, share=0.6)


def paint_block(
    canvas: Canvas, points: Sequence[Point], tint: Array, angle: float, brush: Brush, generator: np.random.Generator
) -> None:
    """Fill a polygon (unit coordinates) with strokes of one colour and one direction."""
    region = polygon_mask(canvas.shape, points)
    angles = np.full(canvas.shape, angle, dtype=np.float32)
    plan = np.broadcast_to(tint, (*canvas.shape, 3))
    # A thin first coat fills the corners that the strokes miss.
    canvas.colours[region] = 0.92 * tint
    paint_layer(canvas, plan, angles, brush, generator, region)


def paint_line(
    canvas: Canvas, points: Sequence[Point], width: float, tint: Array, brush: Brush, generator: np.random.Generator
) -> None:
    """Draw one stroke through the points (unit coordinates)."""
    spine = smooth_curve(points, 24) * canvas.shape[1]
    spine += generator.normal(0, 0.4, spine.shape)
    paint_stroke(canvas, spine, width, tint, brush, generator)


def paint_night_house(canvas: Canvas, left: float, base: float, size: float, generator: np.random.Generator) -> None:
    """One cottage: wall, roof, dark contour and a lit window."""
    wall_tints, roof_tints = palette("3d5a8c 5c7a9e 2f4a78 71808a"), palette("2a2c5c 5a3a4a 1f3560 7a4a3a")
    wide, tall = size * generator.uniform(0.9, 1.3), size * generator.uniform(0.5, 0.7)
    peak = tall + size * generator.uniform(0.35, 0.55)
    right, middle = left + wide, left + wide * generator.uniform(0.35, 0.65)
    wall = [(left, base), (left, base - tall), (right, base - tall), (right, base)]
    roof = [(left - 0.1 * size, base - tall), (middle, base - peak), (right + 0.1 * size, base - tall)]
    brush = Brush(9, 26, 5.5, colour_jitter=0.07, dryness=0.15)
    dark = colour("0a1030")
    paint_block(canvas, wall, wall_tints[generator.integers(4)], np.pi / 2, brush, generator)
    paint_block(canvas, roof, roof_tints[generator.integers(4)], -0.7, brush, generator)
    for outline in (roof, wall):
        for start, end in pairwise(outline):
            paint_line(canvas, [start, end], 4.5, dark, brush, generator)
    glow = NIGHT_GLOW[generator.integers(1, 4)]
    for _ in range(int(generator.integers(1, 3))):
        window_x = left + wide * generator.uniform(0.25, 0.75)
        window_y = base - tall * generator.uniform(0.35, 0.65)
        paint_line(canvas, [(window_x, window_y - 0.004), (window_x, window_y + 0.005)], 8, glow, brush, generator)


def paint_night_church(canvas: Canvas, foot: Point, generator: np.random.Generator) -> None:
    """A nave and a tower with a pointed spire."""
    x, base = foot
    brush = Brush(8, 30, 5.5, dryness=0.15)
    nave = [(x + 0.01, base), (x + 0.01, base - 0.035), (x + 0.075, base - 0.035), (x + 0.075, base)]
    roof = [(x + 0.01, base - 0.034), (x + 0.03, base - 0.062), (x + 0.07, base - 0.062), (x + 0.08, base - 0.034)]
    tower = [(x - 0.014, base), (x - 0.014, base - 0.085), (x + 0.014, base - 0.085), (x + 0.014, base)]
    spire = [(x - 0.018, base - 0.082), (x, base - 0.190), (x + 0.018, base - 0.082)]
    dark = colour("0a1030")
    for shape, tint in ((nave, "5a76a0"), (roof, "3a3462"), (tower, "4f6c94"), (spire, "1a2a5e")):
        paint_block(canvas, shape, colour(tint), np.pi / 2, brush, generator)
        for start, end in pairwise(shape):
            paint_line(canvas, [start, end], 4.5, dark, brush, generator)
    for window_x in (x, x + 0.03, x + 0.05):
        low = base - (0.062 if window_x == x else 0.014)
        paint_line(canvas, [(window_x, low - 0.009), (window_x, low)], 7, NIGHT_GLOW[1], brush, generator)


def paint_night_bush(canvas: Canvas, foot: Point, size: float, generator: np.random.Generator) -> None:
    """A round shrub of curled strokes, dark below and lighter on the side of the moon."""
    brush = Brush(9, 30, 6, streaks=0.06, thickness=1.2, dryness=0.4)
    tints = palette("07172a 0f2f3a 1f5248 4a8a5a")
    width = canvas.shape[1]
    for _ in range(int(26 + 900 * size)):
        turn, reach = generator.uniform(0, 2 * np.pi), size * np.sqrt(generator.random())
        sweep = np.linspace(turn, turn + 1.3, 8)
        spine = np.stack([foot[0] + reach * np.cos(sweep), foot[1] - 0.6 * size + 0.8 * reach * np.sin(sweep)], 1)
        lightness = 0.40 - 0.28 * np.sin(turn + 0.9) - 0.15 * np.cos(turn) + generator.normal(0, 0.12)
        tint = ramp(np.array([np.clip(lightness, 0, 1)]), tints)[0]
        paint_stroke(canvas, spine * width, 9 * generator.uniform(0.7, 1.2), tint, brush, generator)


def paint_night_village(canvas: Canvas, generator: np.random.Generator) -> None:
    """Cottages among shrubs, the farther ones smaller and painted first, and a church in their midst."""
    for row, (base, size) in enumerate(((0.622, 0.026), (0.646, 0.034), (0.682, 0.044), (0.728, 0.058))):
        left = 0.02 + 0.05 * generator.random() + 0.04 * (row % 2)
        while left < 0.69 - 0.05 * row:
            lift = generator.uniform(-0.4, 0.4) * size
            if generator.random() < 0.66:
                paint_night_house(canvas, left, base + lift, size * generator.uniform(0.85, 1.15), generator)
                left += size * generator.uniform(1.1, 1.7)
            else:
                paint_night_bush(canvas, (left + 0.3 * size, base + lift), 0.45 * size, generator)
                left += size * generator.uniform(0.7, 1.1)
        if row == 1:
            paint_night_church(canvas, (0.40, 0.668), generator)


def paint_cypress(canvas: Canvas, foot: Point, height: float, girth: float, generator: np.random.Generator) -> None:
    """A dark tree like a flame: wavy strokes that rise, lick outwards and close towards the tip."""
    brush = Brush(13, 90, 10, streaks=0.07, thickness=1.4, dryness=0.6)
    width = canvas.shape[1]
    for level in np.sort(generator.random(int(30000 * height * girth)))[::-1]:
        side = np.tanh(1.3 * generator.normal(0, 0.6))
        climb = np.clip(level + np.linspace(0, 0.15, 14), 0, 1)
        tongues = 1 + 0.20 * np.sin(24 * climb + 3 * np.sign(side) + foot[0] * 50)
        profile = girth * 1.9 * (climb + 0.12) ** 0.45 * (1 - climb) ** 0.95 * tongues
        lick = 0.16 * girth * side * np.linspace(0, 1, 14) ** 2
        sway = 0.012 * np.sin(7 * climb + foot[0] * 20) + 0.004 * np.sin(24 * climb + 3 * side)
        spine = np.stack([foot[0] + side * profile + sway + lick, foot[1] - climb * height], 1)
        lightness = np.clip(0.32 - 0.30 * side + generator.normal(0, 0.24), 0, 1)
        tint = ramp(np.array([lightness]), NIGHT_CYPRESS)[0]
        stroke_width = 14 * generator.uniform(0.5, 1.2) * (1.15 - level) ** 0.6
        paint_stroke(canvas, spine * width, stroke_width, tint, brush, generator)


def swirling_night() -> Array:
    """A night sky in motion over a sleeping village, in thick strokes of blue and yellow."""
    generator = np.random.default_rng(1889)
    canvas = new_canvas(NIGHT_SHAPE, colour("1a2350"), generator)
    x, y = unit_grid(NIGHT_SHAPE)
    angles = night_flow(x, y, generator)
    paint_night_sky(canvas, x, y, angles, generator)
    paint_night_lamps(canvas, generator)
    paint_night_hills(canvas, x, y, generator)
    paint_night_village(canvas, generator)
    paint_cypress(canvas, (0.770, 0.85), 0.46, 0.040, generator)
    paint_cypress(canvas, (0.865, 0.86), 0.80, 0.062, generator)
    return finish(canvas, strength=0.42)


# ---------------------------------------------------------------------------------------------------------
# Geometric abstraction
# ---------------------------------------------------------------------------------------------------------

GEOMETRY_SHAPE = (1200, 1600)
GEOMETRY_PAPER = colour("efe0c0")
GEOMETRY_INK = colour("1d1a1c")
GEOMETRY_COLOURS = palette("c8321f e2711d f0b429 1f4e8c 2a9087 7a2e4e 16181d e58f9b 5c7f3b 8fb8cf")


class Sheet:
    """A sheet of paper that takes planes of translucent, grainy paint."""

    def __init__(self, shape: tuple[int, int], paper: Array, generator: np.random.Generator) -> None:
        """Prepare the paper and the textures that every plane of paint shares."""
        self.shape = shape
        self.generator = generator
        stains = 1 + 0.035 * layered_noise(shape, 320.0, generator, 5)
        self.colours = (paper * stains[..., None]).astype(np.float32)
        self.grain = layered_noise(shape, 7.0, generator, 3)
        self.clouds = layered_noise(shape, 90.0, generator, 4)
        self.hairs = smooth_noise(shape, (3.0, 90.0), generator) + 0.5 * smooth_noise(shape, (7.0, 160.0), generator)
        self.wander_x, self.wander_y = smooth_noise(shape, 46.0, generator), smooth_noise(shape, 46.0, generator)

    def cover(self, mask: Array, tint: Array, strength: float, box: tuple[int, int, int, int]) -> None:
        """Lay one plane of paint through a mask that fills ``box`` (top, bottom, left, right).

        The paint is thin like a glaze: it multiplies with what lies below, and grain, brush hairs and a
        gradient across the plane thin it unevenly. It gathers at the edge, as watercolour does.
        """
        top, bottom, left, right = box
        window = (slice(top, bottom), slice(left, right))
        rows, columns = np.mgrid[0 : 1 : (bottom - top) * 1j, 0 : 1 : (right - left) * 1j]
        turn = self.generator.uniform(0, 2 * np.pi)
        gradient = np.cos(turn) * (columns - 0.5) + np.sin(turn) * (rows - 0.5)
        hairs = self.hairs[window]
        rim = np.clip(mask - blur(mask, 7.0), 0, 1)
        density = 0.88 + 0.40 * gradient + 0.08 * self.clouds[window] + 0.08 * self.grain[window] + 0.08 * hairs
        density = np.clip(density + 0.55 * rim, 0.12, 1.15) * mask * strength
        below = self.colours[window]
        glaze = 0.62 * tint + 0.38 * below * tint / GEOMETRY_PAPER
        self.colours[window] = below + (glaze - below) * np.clip(density, 0, 1)[..., None]

    def box_around(self, points: Array) -> tuple[int, int, int, int]:
        """Give the window of pixels around points, with room for the ragged edge."""
        margin = 14
        left, top = np.maximum(points.min(axis=0).astype(int) - margin, 0)
        right, bottom = points.max(axis=0).astype(int) + margin
        return int(top), int(min(bottom, self.shape[0])), int(left), int(min(right, self.shape[1]))

    def polygon(self, points: Sequence[Point] | Array, tint: Array, strength: float = 0.9, ragged: float = 1.2) -> None:
        """Paint a polygon given in unit coordinates; ``ragged`` is the wander of its edge in pixels."""
        corners = np.asarray(points) * self.shape[1]
        box = self.box_around(corners)
        top, bottom, left, right = box
        if bottom - top < 3 or right - left < 3:
            return
        picture = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(picture).polygon([(x - left, y - top) for x, y in corners], fill=255)
        mask = np.asarray(picture, dtype=np.float32) / 255
        rows, columns = np.mgrid[0 : bottom - top, 0 : right - left]
        window = (slice(top, bottom), slice(left, right))
        mask = sample_field(
            mask, columns + ragged * self.wander_x[window] + 0.5, rows + ragged * self.wander_y[window] + 0.5
        )
        self.cover(mask, tint, strength, box)

    def disc(self, centre: Point, radius: float, tint: Array, strength: float = 0.9) -> None:
        """Paint a full circle."""
        self.polygon(arc_points(centre, radius, 0, 2 * np.pi), tint, strength)

    def ring(self, centre: Point, radius: float, width: float, span: Point, tint: Array, strength: float = 0.9) -> None:
        """Paint a part of a ring between the two angles of ``span``."""
        outer = arc_points(centre, radius + 0.5 * width, *span)
        inner = arc_points(centre, radius - 0.5 * width, *span)
        self.polygon(np.vstack([outer, inner[::-1]]), tint, strength)

    def line(self, points: Sequence[Point], width: float, tint: Array = GEOMETRY_INK, taper: float = 0.5) -> None:
        """Draw a line of ink that narrows towards its end."""
        spine = smooth_curve(points, 60) if len(points) > 2 else np.linspace(points[0], points[-1], 60)
        tangent = np.gradient(spine, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        half = 0.5 * width * np.linspace(1, taper, 60)[:, None]
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        self.polygon(np.vstack([spine + half * normal, (spine - half * normal)[::-1]]), tint, 0.96, ragged=0.6)


def arc_points(centre: Point, radius: float, start: float, end: float, count: int = 120) -> Array:
    """Give points along an arc of a circle."""
    angle = np.linspace(start, end, count)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def rotated(points: Sequence[Point], centre: Point, angle: float, size: float) -> Array:
    """Scale a figure, turn it and move it to ``centre``."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points) @ turn * size + np.asarray(centre)


def paint_chequer(sheet: Sheet, centre: Point, angle: float, cell: float, counts: tuple[int, int]) -> None:
    """A slanted chessboard whose fields change colour."""
    columns, rows = counts
    for column in range(columns):
        for row in range(rows):
            corner = np.array([column - columns / 2, row - rows / 2])
            square = [tuple(corner + shift) for shift in ((0, 0), (1, 0), (1, 1), (0, 1))]
            points = rotated(square, centre, angle, cell)
            if (column + row) % 2 == 0:
                sheet.polygon(points, GEOMETRY_INK, 0.9)
            else:
                sheet.polygon(points, GEOMETRY_COLOURS[sheet.generator.integers(len(GEOMETRY_COLOURS))], 0.85)


def paint_target(sheet: Sheet, centre: Point, radius: float, rings: int) -> None:
    """Circles inside one another, each of another colour, with a contour of ink."""
    order = sheet.generator.permutation(len(GEOMETRY_COLOURS))
    for ring in range(rings):
        size = radius * (1 - ring / rings) ** 0.9
        shift = 0.06 * radius * ring / rings
        place = (centre[0] + shift, centre[1] - shift)
        sheet.disc(place, size, GEOMETRY_COLOURS[order[ring % len(order)]], 0.95)
        sheet.ring(place, size, 0.0035, (0, 2 * np.pi), GEOMETRY_INK, 0.9)


def paint_fan(sheet: Sheet, foot: Point, start: float, end: float, lengths: Point, count: int) -> None:
    """A fan of wedges that open from one foot."""
    edges = np.linspace(start, end, count + 1)
    for wedge, (low, high) in enumerate(pairwise(edges)):
        reach = lengths[0] + (lengths[1] - lengths[0]) * wedge / max(count - 1, 1)
        tip = arc_points(foot, reach, low, high, 12)
        tint = GEOMETRY_COLOURS[(wedge * 3 + count) % len(GEOMETRY_COLOURS)]
        sheet.polygon(np.vstack([[foot], tip]), tint, 0.85 if wedge % 2 else 0.5)


def paint_ladder(sheet: Sheet, start: Point, end: Point, width: float, rungs: int) -> None:
    """Two rails with rungs between them."""
    start_point, end_point = np.array(start), np.array(end)
    direction = (end_point - start_point) / np.linalg.norm(end_point - start_point)
    normal = np.array([-direction[1], direction[0]]) * width
    sheet.line([tuple(start_point), tuple(end_point)], 0.005)
    sheet.line([tuple(start_point + normal), tuple(end_point + normal)], 0.004)
    for place in np.linspace(0.04, 0.96, rungs):
        foot = start_point + (end_point - start_point) * place
        sheet.line([tuple(foot), tuple(foot + normal)], 0.0035, taper=0.9)


def paint_hatching(sheet: Sheet, corner: Point, along: Point, across: Point, count: int, tint: Array) -> None:
    """Parallel strokes of ink from one side of a slanted field to the other, uneven like a pen's."""
    for place in np.linspace(0, 1, count):
        start = np.array(corner) + place * np.array(across) + sheet.generator.normal(0, 0.0012, 2)
        end = start + np.array(along) * sheet.generator.uniform(0.85, 1.05)
        sheet.line([tuple(start), tuple(end)], 0.0038, tint, 0.6)


def paint_dot_field(sheet: Sheet, corner: Point, counts: tuple[int, int], gap: float, tints: Array) -> None:
    """Rows of spots that shrink from one side to the other."""
    columns, rows = counts
    for column in range(columns):
        for row in range(rows):
            centre = (corner[0] + gap * (column + 0.5 * (row % 2)), corner[1] + 0.9 * gap * row)
            radius = 0.36 * gap * (1 - 0.6 * column / columns)
            sheet.disc(centre, radius, tints[(column + row) % len(tints)], 0.95)


def paint_arcade(sheet: Sheet, start: Point, step: Point, radius: float, count: int) -> None:
    """A row of half discs, each with a smaller one inside."""
    turn = np.arctan2(step[1], step[0])
    for index in range(count):
        centre = (start[0] + step[0] * index, start[1] + step[1] * index)
        for share, shift in ((1.0, 0), (0.62, 3), (0.28, 5)):
            tint = GEOMETRY_COLOURS[(index + shift) % len(GEOMETRY_COLOURS)]
            sheet.polygon(arc_points(centre, share * radius, turn - np.pi, turn), tint, 0.95)


def paint_geometry_patterns(sheet: Sheet) -> None:
    """Fields of hatching, spots and half discs that enliven the quiet parts."""
    tints = GEOMETRY_COLOURS
    paint_hatching(sheet, (0.02, 0.27), (0.11, 0.07), (0.05, -0.13), 15, GEOMETRY_INK)
    paint_hatching(sheet, (0.88, 0.60), (0.10, -0.08), (0.02, 0.12), 13, tints[3])
    paint_hatching(sheet, (0.30, 0.49), (0.09, -0.05), (0.06, 0.10), 13, tints[5])
    paint_hatching(sheet, (0.46, 0.09), (0.02, 0.11), (0.10, -0.02), 12, tints[3])
    paint_hatching(sheet, (0.70, 0.44), (0.08, 0.02), (-0.03, 0.09), 11, GEOMETRY_INK)
    paint_dot_field(sheet, (0.18, 0.58), (7, 5), 0.019, tints[[0, 6]])
    paint_dot_field(sheet, (0.84, 0.07), (6, 4), 0.018, tints[[3, 6, 0]])
    paint_dot_field(sheet, (0.035, 0.46), (5, 3), 0.016, tints[[5, 6]])
    paint_arcade(sheet, (0.66, 0.695), (0.044, -0.004), 0.021, 7)
    paint_arcade(sheet, (0.205, 0.445), (0.034, 0.010), 0.016, 6)
    paint_arcade(sheet, (0.62, 0.045), (0.036, 0.006), 0.017, 6)


def paint_geometry_ground(sheet: Sheet) -> None:
    """Large pale planes and a faint net of lines, so that no part of the paper stays empty."""
    generator = sheet.generator
    tall = sheet.shape[0] / sheet.shape[1]
    tints = palette("e9b872 d98f6a a9bfb0 e3c9a0 9fb4c4 d8a7a0 c9b57a b9876a")
    for _ in range(46):
        centre = (generator.uniform(0, 1), generator.uniform(0, tall))
        corners = [(generator.uniform(-1, -0.3), -1), (1, generator.uniform(-1, -0.3)), (0.7, 0.9), (-0.9, 0.6)]
        figure = rotated(corners, centre, generator.uniform(0, 6.28), generator.uniform(0.08, 0.2))
        sheet.polygon(figure, tints[generator.integers(len(tints))], generator.uniform(0.6, 0.95), 3.0)
    for _ in range(26):
        start, end = generator.uniform(-0.1, 1.1, 2)
        tint = mix(GEOMETRY_INK, GEOMETRY_PAPER, generator.uniform(0.2, 0.6))
        sheet.line([(start, -0.02), (end, tall + 0.02)], 0.0025, tint, 0.8)
        sheet.line([(-0.02, start * tall), (1.02, end * tall)], 0.002, tint, 0.8)


def paint_geometry_figures(sheet: Sheet) -> None:
    """The main figures of the composition, from back to front."""
    tints = GEOMETRY_COLOURS
    sheet.disc((0.30, 0.27), 0.215, tints[2], 0.85)
    sheet.disc((0.68, 0.50), 0.185, tints[9], 0.85)
    sheet.polygon([(0.06, 0.70), (0.46, 0.06), (0.60, 0.66)], tints[0], 0.75)
    sheet.polygon([(0.42, 0.04), (0.99, 0.20), (0.60, 0.44)], tints[3], 0.75)
    sheet.polygon([(0.62, 0.72), (0.97, 0.34), (0.99, 0.70)], tints[1], 0.8)
    sheet.polygon([(-0.02, 0.10), (0.20, 0.02), (0.26, 0.42), (0.02, 0.50)], tints[4], 0.7)
    paint_fan(sheet, (0.03, 0.74), -1.35, -0.15, (0.20, 0.42), 9)
    paint_fan(sheet, (0.98, 0.02), 1.75, 3.0, (0.34, 0.14), 8)
    paint_target(sheet, (0.30, 0.26), 0.125, 7)
    paint_target(sheet, (0.755, 0.545), 0.092, 6)
    paint_target(sheet, (0.595, 0.135), 0.062, 5)
    paint_target(sheet, (0.105, 0.565), 0.055, 5)
    paint_chequer(sheet, (0.50, 0.565), -0.42, 0.032, (7, 5))
    paint_chequer(sheet, (0.885, 0.30), 0.62, 0.026, (5, 6))
    paint_chequer(sheet, (0.085, 0.115), 0.20, 0.022, (5, 4))
    sheet.polygon([(0.40, 0.30), (0.93, 0.16), (0.95, 0.20), (0.42, 0.35)], tints[6], 0.9)
    sheet.polygon([(0.16, 0.46), (0.56, 0.40), (0.56, 0.425), (0.17, 0.495)], tints[7], 0.85)
    sheet.polygon([(0.30, 0.60), (0.43, 0.36), (0.47, 0.63)], tints[2], 0.8)
    sheet.polygon([(0.66, 0.30), (0.80, 0.24), (0.76, 0.42)], tints[0], 0.85)


def paint_geometry_lines(sheet: Sheet) -> None:
    """Arcs, ladders, rays and snakes of ink that tie the figures together."""
    tints = GEOMETRY_COLOURS
    for step in range(6):
        tint = GEOMETRY_INK if step % 2 else tints[step]
        sheet.ring((0.50, 0.62), 0.25 + 0.022 * step, 0.010 - 0.001 * step, (3.5 + 0.1 * step, 5.6), tint)
        sheet.ring((0.86, 0.60), 0.20 + 0.017 * step, 0.007, (2.2, 3.7 + 0.1 * step), tint)
        sheet.ring((0.16, 0.30), 0.19 + 0.014 * step, 0.005, (-1.9, -0.2 - 0.1 * step), tint)
    paint_ladder(sheet, (0.02, 0.40), (0.36, 0.72), 0.022, 18)
    paint_ladder(sheet, (0.47, 0.02), (0.70, 0.73), 0.018, 26)
    paint_ladder(sheet, (0.66, 0.04), (0.99, 0.53), 0.016, 22)
    for step in range(9):
        sheet.line([(0.36 + 0.017 * step, 0.02), (0.13 + 0.035 * step, 0.22)], 0.004)
        sheet.line([(0.80 + 0.02 * step, 0.74), (0.83 + 0.008 * step, 0.55)], 0.004, tints[step % 6])
        sheet.line([(0.53 + 0.014 * step, 0.73), (0.49 + 0.022 * step, 0.65)], 0.006, tints[(step + 3) % 8])
    sheet.line([(0.02, 0.05), (0.98, 0.66)], 0.009, taper=0.4)
    sheet.line([(0.06, 0.73), (0.93, 0.02)], 0.011, taper=0.3)
    snake = [(0.52 + 0.028 * step, 0.235 + 0.022 * (-1) ** step) for step in range(12)]
    sheet.line(snake, 0.009, tints[0], 0.7)
    snake = [(0.05 + 0.025 * step, 0.655 + 0.016 * (-1) ** step) for step in range(10)]
    sheet.line(snake, 0.007, tints[3], 0.7)
    for step in range(13):
        sheet.disc((0.13 + 0.031 * step, 0.055 + 0.012 * np.sin(step)), 0.006 + 0.0008 * step, tints[step % len(tints)])
        sheet.disc((0.955 - 0.004 * step, 0.28 + 0.031 * step), 0.010 - 0.0004 * step, tints[(step + 2) % len(tints)])


def geometric_abstraction() -> Array:
    """Circles, triangles, chessboards and lines in translucent planes on warm paper."""
    generator = np.random.default_rng(1923)
    sheet = Sheet(GEOMETRY_SHAPE, GEOMETRY_PAPER, generator)
    paint_geometry_ground(sheet)
    paint_geometry_figures(sheet)
    paint_geometry_patterns(sheet)
    paint_geometry_lines(sheet)
    fibres = 0.7 * sheet.grain + 0.5 * sheet.hairs + 1.2 * smooth_noise(GEOMETRY_SHAPE, 3.0, generator)
    return downsample(light_relief(sheet.colours, 0.35 * fibres, 0.16))


# ---------------------------------------------------------------------------------------------------------
# Woodblock waves
# ---------------------------------------------------------------------------------------------------------

WAVES_SHAPE = (1120, 1600)
WAVES_PAPER = colour("f1e6c8")
WAVES_INDIGO = colour("14284f")
WAVES_BLUES = palette("1b3a6e 2f5f95 6d9dbd b9d0cf 1b3a6e 88b3c6")
WAVES_OCHRE = colour("d9b878")
# Outline of a curling wave of size 1 that runs to the right; y points up. The back climbs from the left to the
# tip of the crest, the front climbs from the trough on the right through the hollow to the same tip.
WAVE_BACK = (
    (-0.15, -0.05), (0.08, 0.06), (0.26, 0.26), (0.42, 0.56), (0.60, 0.84), (0.84, 0.99), (1.08, 0.95), (1.24, 0.80),
    (1.28, 0.62),
)  # fmt: skip
WAVE_FRONT = (
    (1.75, -0.10), (1.38, 0.00), (1.08, 0.12), (0.90, 0.30), (0.84, 0.50), (0.90, 0.68), (1.02, 0.76), (1.16, 0.74),
    (1.28, 0.62),
)  # fmt: skip
# Widths of the stripes from back to front, and the tints that they take in turn
WAVE_STRIPES = (0.10, 0.05, 0.09, 0.03, 0.10, 0.05, 0.08, 0.03, 0.09, 0.05, 0.08, 0.04, 0.09, 0.04, 0.08)


class Print:
    """A woodblock print in the making: flat colours with contours, drawn in unit coordinates."""

    def __init__(self, background: Array) -> None:
        """Start from a picture of the sky."""
        self.height, self.width = background.shape[:2]
        self.picture = Image.fromarray((np.clip(background, 0, 1) * 255).astype(np.uint8))
        self.pen = ImageDraw.Draw(self.picture)

    def ink(self, tint: Array) -> tuple[int, int, int]:
        """Turn a colour into what the pen understands."""
        red, green, blue = (np.clip(tint, 0, 1) * 255).astype(int)
        return int(red), int(green), int(blue)

    def area(self, points: Array, tint: Array) -> None:
        """Fill a flat area."""
        self.pen.polygon([(x * self.width, y * self.width) for x, y in points], fill=self.ink(tint))

    def contour(self, points: Array, width: float, tint: Array = WAVES_INDIGO) -> None:
        """Cut a contour line whose width swells in the middle, as a knife leaves it."""
        steps = np.hypot(*np.diff(points, axis=0).T)
        travelled = np.concatenate([[0], np.cumsum(steps)])
        place = np.linspace(0, travelled[-1], int(travelled[-1] * self.width / 1.2) + 2)
        x, y = (np.interp(place, travelled, points[:, axis]) for axis in range(2))
        swell = 0.55 + 0.45 * np.sin(np.linspace(0, np.pi, len(place)))
        self.discs(np.column_stack([x, y, 0.5 * width * swell]), tint)

    def discs(self, discs: Array, tint: Array, grow: float = 0.0, shift: Point = (0.0, 0.0)) -> None:
        """Fill round spots given as rows of x, y and radius."""
        fill = self.ink(tint)
        for x, y, radius in discs * self.width:
            size = max(radius + grow, 0.6)
            x, y = x + shift[0], y + shift[1]
            self.pen.ellipse((x - size, y - size, x + size, y + size), fill=fill)

    def foam(self, discs: Array, line: float = 3.0) -> None:
        """Join spots to one patch of foam with a contour around it and a pale shade at its lower edge."""
        self.discs(discs, WAVES_INDIGO, grow=line)
        self.discs(discs, WAVES_BLUES[3])
        self.discs(discs, WAVES_PAPER, grow=-2.2, shift=(-1.6, -2.4))


def foam_finger(
    start: Point, heading: float, length: float, radius: float, bend: float, generator: np.random.Generator, depth: int
) -> list[tuple[float, float, float]]:
    """A finger of foam: a chain of ever smaller spots along a hook, from which smaller fingers branch."""
    spots = []
    x, y = start
    count = max(int(length / (0.35 * radius)), 6)
    for step in range(count):
        done = step / count
        spots.append((x, y, radius * (1 - 0.72 * done)))
        heading += bend * (0.3 + 1.6 * done) / count
        x, y = x + length / count * np.cos(heading), y + length / count * np.sin(heading)
        if depth > 0 and step in (count // 3, (2 * count) // 3, count - 1):
            for side in (-0.8, 0.55):
                spots += foam_finger(
                    (x, y), heading + side, 0.5 * length, 0.55 * radius, bend * 0.9, generator, depth - 1
                )
    return spots


def wave_stripes(back: Array, front: Array) -> list[Array]:
    """Lines that blend from the back of a wave to its front; between two of them lies a stripe."""
    edges = np.concatenate([[0], np.cumsum(WAVE_STRIPES)]) / sum(WAVE_STRIPES)
    return [back + (front - back) * edge for edge in edges]


def wave_foam(back: Array, front: Array, size: float, facing: float, generator: np.random.Generator) -> Array:
    """Foam on the crest: knobs along the top, and fingers that reach forward from the lip."""
    spots: list[tuple[float, float, float]] = []
    count = len(back)
    for index in range(int(0.40 * count), count):
        done = (index / count - 0.40) / 0.60
        x, y = back[index]
        radius = size * (0.010 + 0.016 * done) * generator.uniform(0.7, 1.3)
        spots.append((x, y, radius))
        if index % 8 == 0:
            rise = -np.pi / 2 + facing * (0.1 + 1.6 * done)
            length = size * (0.05 + 0.09 * done) * generator.uniform(0.8, 1.2)
            spots += foam_finger((x, y), rise, length, size * 0.015, facing * 1.7, generator, depth=1)
    for index in range(int(0.62 * count), count, 8):
        done = (index / count - 0.62) / 0.38
        x, y = front[index]
        spots.append((x, y, size * 0.018))
        heading = np.pi / 2 - facing * (0.9 - 0.5 * done + generator.normal(0, 0.22))
        length = size * (0.08 + 0.10 * done) * generator.uniform(0.6, 1.6)
        bend = facing * generator.uniform(0.9, 2.2)
        spots += foam_finger((x, y), heading, length, size * generator.uniform(0.012, 0.019), bend, generator, depth=1)
    return np.array(spots)


def draw_wave(sheet: Print, foot: Point, size: float, facing: float, generator: np.random.Generator) -> None:
    """Draw one curling wave: striped body, contours and foam; ``facing`` is 1 to the right and -1 to the left."""
    place = np.array([facing * size, -size])
    back = smooth_curve(WAVE_BACK, 160) * place + foot
    front = smooth_curve(WAVE_FRONT, 160) * place + foot
    lines = wave_stripes(back, front)
    for index, (left, right) in enumerate(pairwise(lines)):
        tint = WAVES_BLUES[index % len(WAVES_BLUES)] if index % 2 == 0 else WAVES_PAPER
        sheet.area(np.vstack([left, right[::-1]]), tint)
        engraved = WAVES_BLUES[3] if index % 2 == 0 else WAVES_BLUES[1]
        for part in (0.34, 0.66) if index % 2 == 0 else (0.5,):
            sheet.contour((left + (right - left) * part)[: int(150 - 40 * part)], 0.0011 + 0.001 * size, engraved)
    for line in lines:
        sheet.contour(line, 0.0030)
    sheet.contour(back, 0.005)
    sheet.contour(front, 0.005)
    sheet.foam(wave_foam(back, front, size, facing, generator))


def swell_line(base: float, amplitude: float, waves: float, shift: float) -> Array:
    """The outline of rolling water: round troughs between pointed crests."""
    x = np.linspace(-0.02, 1.02, 420)
    phase = 2 * np.pi * (waves * x + shift) + 0.8 * np.sin(5 * x + 9 * shift)
    crest = np.abs(np.cos(0.5 * phase)) ** 0.75 - 0.25 * np.sin(0.37 * phase + shift)
    return np.column_stack([x, base - amplitude * (1 - crest)])


def draw_swell(
    sheet: Print, base: float, amplitude: float, waves: float, shift: float, rows: int, generator: np.random.Generator
) -> None:
    """Draw a band of rolling water: a foamy outline over stripes that echo it downwards."""
    below = np.array([[1.02, 0.72], [-0.02, 0.72]])
    for row in range(rows):
        line = swell_line(base, amplitude * (1 - 0.09 * row), waves, shift)
        line += np.array([0.004 * row, amplitude * (0.36 * row + 0.05 * row**1.6)])
        tint = WAVES_BLUES[(2 * row) % len(WAVES_BLUES)] if row % 2 == 0 else WAVES_PAPER
        sheet.area(np.vstack([line, below]), tint)
        engraved = WAVES_BLUES[3] if row % 2 == 0 else WAVES_BLUES[2]
        for part in (0.10, 0.19, 0.28):
            sheet.contour(line + np.array([0.003, part * amplitude + 0.0022]), 0.0014 + 0.02 * amplitude, engraved)
        sheet.contour(line, 0.0034)
    line = swell_line(base, amplitude, waves, shift)
    tops = np.flatnonzero((line[1:-1, 1] < line[:-2, 1]) & (line[1:-1, 1] <= line[2:, 1])) + 1
    spots = []
    for top in tops:
        for index in range(max(top - 14, 0), min(top + 15, len(line)), 2):
            size = amplitude * 0.16 * (1.15 - abs(index - top) / 16) * generator.uniform(0.7, 1.3)
            spots.append((*line[index], size))
            if index % 4 == 0 and abs(index - top) < 9:
                rise = -np.pi / 2 + generator.uniform(-0.6, 0.9)
                spots += foam_finger(tuple(line[index]), rise, 0.55 * amplitude, 0.7 * size, 1.6, generator, depth=0)
    if spots:
        sheet.foam(np.array(spots), line=2.4)


def draw_clouds(sheet: Print, generator: np.random.Generator) -> None:
    """Bands of mist with round ends, laid over one another."""
    for y, left, right in ((0.105, 0.52, 0.80), (0.128, 0.60, 0.98), (0.150, 0.46, 0.74), (0.215, 0.80, 1.10)):
        for offset in range(3):
            start, end = left + generator.uniform(-0.08, 0.08), right + generator.uniform(-0.08, 0.08)
            places = np.linspace(start, end, 260)
            line = np.column_stack([places, np.full(260, y + 0.013 * offset), np.full(260, 0.0085)])
            sheet.discs(line, mix(WAVES_OCHRE, WAVES_INDIGO, 0.35), grow=2.0)
            sheet.discs(line, mix(WAVES_PAPER, WAVES_OCHRE, 0.35 + 0.2 * offset))


def wave_sky(generator: np.random.Generator) -> Array:
    """A sky that fades from indigo to cream and to ochre over the water, wiped by hand."""
    x, y = unit_grid(WAVES_SHAPE)
    wiped = y + 0.006 * smooth_noise(WAVES_SHAPE, (40.0, 300.0), generator)
    colours = palette("1c3566 3f648f 9db4b4 e6dcbc efdcae e3bf80 d9a866")
    sky = ramp(np.clip(wiped / 0.46, 0, 1), colours)
    sun = np.hypot(x - 0.70, y - 0.200) < 0.072
    return np.where(sun[..., None], colour("c9603a"), sky)


def wood_grain(shape: tuple[int, int], generator: np.random.Generator) -> Array:
    """The mark of the plank: long, slightly bent year rings with fine fibres between them; about -1 to 1."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] / 13.0
    bend = 2.6 * smooth_noise(shape, (150.0, 520.0), generator) + 0.35 * smooth_noise(shape, (26.0, 300.0), generator)
    rings = np.sin(2 * np.pi * (y + bend))
    fibres = smooth_noise(shape, (2.4, 120.0), generator)
    return 0.6 * np.sign(rings) * np.abs(rings) ** 1.5 + 0.4 * fibres


def press(flat: Array, generator: np.random.Generator) -> Array:
    """Print the flat colours on paper: the grain of the plank and the paper show where ink lies thick."""
    shape = flat.shape[:2]
    grain = wood_grain(shape, generator)
    mottle = layered_noise(shape, 60.0, generator, 4)
    specks = smooth_noise(shape, 3.0, generator)
    ink = 1 - flat.mean(axis=2)
    bare = np.clip((0.09 + 0.15 * grain + 0.035 * mottle + 0.08 * specks) * (0.45 + 1.0 * ink), -0.16, 0.6)
    printed = mix(flat, np.broadcast_to(WAVES_PAPER, flat.shape), bare)
    laid = 0.6 * specks + 0.5 * smooth_noise(shape, (2.4, 40.0), generator) + 0.35 * grain
    return light_relief(printed * (1 + 0.02 * mottle[..., None]), 0.3 * laid, 0.12)


def woodblock_waves() -> Array:
    """Curling waves with fingers of foam under a fading sky, as a print from carved wood."""
    generator = np.random.default_rng(1831)
    sheet = Print(wave_sky(generator))
    draw_clouds(sheet, generator)
    draw_swell(sheet, 0.400, 0.020, 7.0, 0.15, 5, generator)
    draw_wave(sheet, (1.10, 0.56), 0.26, -1.0, generator)
    draw_swell(sheet, 0.470, 0.034, 4.5, 0.55, 6, generator)
    draw_wave(sheet, (-0.05, 0.62), 0.50, 1.0, generator)
    draw_swell(sheet, 0.575, 0.042, 3.6, 0.30, 6, generator)
    draw_wave(sheet, (0.42, 0.70), 0.21, 1.0, generator)
    draw_wave(sheet, (1.16, 0.74), 0.30, -1.0, generator)
    draw_swell(sheet, 0.690, 0.045, 3.0, 0.80, 5, generator)
    drops = np.column_stack([generator.uniform(0.30, 0.85, 90), generator.uniform(0.06, 0.42, 90)])
    spray = np.column_stack([drops, generator.uniform(0.0010, 0.0036, 90)])
    sheet.discs(spray, WAVES_INDIGO, grow=2.0)
    sheet.discs(spray, WAVES_PAPER)
    return downsample(press(np.asarray(sheet.picture, dtype=np.float32) / 255, generator))


# ---------------------------------------------------------------------------------------------------------
# Stained glass
# ---------------------------------------------------------------------------------------------------------

GLASS_SHAPE = (1520, 1216)
GLASS_LEAD = 6.4  # half the width of a lead line, in pixels of the large canvas
GLASS_SUN = (0.36, 0.33)
# x, y, radius and number of petals of each flower
GLASS_FLOWERS = ((0.26, 0.98, 0.150, 8), (0.70, 0.90, 0.165, 9), (0.90, 0.60, 0.090, 7), (0.47, 1.125, 0.110, 7))
GLASS_TINTS = {
    "sky": palette("0d2f8f 1448b8 1f6fd0 2a93d8 123a9c 3b4fc0 5a3fae 1a86c4"),
    "core": palette("ffd23a ffe98a ffb81f"),
    "corona": palette("ff9a1a ff7a12 ffc02e f25a1a"),
    "ray": palette("f7d046 f2a02a e8662a ffdf7a"),
    "far": palette("1d7a6a 2a9a7a 175f70 3aae8a"),
    "near": palette("14602e 1f7a33 2f8f33 4a9a30 0f4a34"),
    "stem": palette("0f7a3a 1f9a3f"),
    "leaf": palette("8fd03a b8e048 6fc23a d8ea60"),
    "petal": palette("d01438 e83a5a f0648a b00f50"),
    "tip": palette("f58aa8 ffb3b8 e0306a f0508a"),
    "frame": palette("b01224 d8202c f2b21f 1340a8 8a1030 e07a18"),
    "eye": palette("ffcf33 ff9a1f"),
}


def pixel_span(low: float, high: float, scale: int, limit: int) -> slice:
    """Give the pixels between two unit coordinates, cut off at the edges of the picture."""
    return slice(min(max(int(low * scale), 0), limit), min(max(int(high * scale), 0), limit))


class Window:
    """The design of a glass window: for every pixel the number of its pane, and for every pane its colour."""

    def __init__(self, shape: tuple[int, int], generator: np.random.Generator) -> None:
        """Start with an empty frame."""
        self.shape = shape
        self.generator = generator
        self.panes = np.zeros(shape, dtype=np.int64)
        self.tints: list[Array] = []
        x, y = unit_grid(shape)
        # Hand-cut glass: every outline wanders a little.
        self.x = x + 0.004 * smooth_noise(shape, 70.0, generator)
        self.y = y + 0.004 * smooth_noise(shape, 70.0, generator)

    def place(self, mask: Array, cells: Array, kind: str) -> None:
        """Fit the panes numbered by ``cells`` into the part of the window where ``mask`` holds."""
        numbers, inverse = np.unique(cells[mask], return_inverse=True)
        self.panes[mask] = inverse.ravel() + len(self.tints)
        choices = GLASS_TINTS[kind]
        for _ in numbers:
            first, second = choices[self.generator.integers(len(choices), size=2)]
            tint = mix(first, second, self.generator.uniform(0, 0.6))
            self.tints.append(np.clip(tint * self.generator.uniform(0.72, 1.15), 0, 1))

    def crackle(self, spacing: float) -> Array:
        """Number the cells of an irregular net with about ``spacing`` (in widths) between its centres."""
        height, width = self.shape
        centres = scattered_points((int(1000 * height / width), 1000), 1000 * spacing, self.generator) / 1000
        best = np.full(self.shape, np.inf, dtype=np.float32)
        cells = np.zeros(self.shape, dtype=np.int64)
        reach = 2.2 * spacing
        for number, (centre_x, centre_y) in enumerate(centres):
            # Only pixels near the centre can belong to its cell.
            rows = pixel_span(centre_y - reach, centre_y + reach, width, height)
            columns = pixel_span(centre_x - reach, centre_x + reach, width, width)
            distance = (self.x[rows, columns] - centre_x) ** 2 + (self.y[rows, columns] - centre_y) ** 2
            closer = distance < best[rows, columns]
            best[rows, columns][closer] = distance[closer]
            cells[rows, columns][closer] = number
        return cells


def glass_sky(window: Window) -> None:
    """Blue panes in rings around the sun, cut across at irregular places."""
    distance = np.hypot(window.x - GLASS_SUN[0], window.y - GLASS_SUN[1])
    angle = np.arctan2(window.y - GLASS_SUN[1], window.x - GLASS_SUN[0])
    ring = np.floor((distance + 0.012 * np.sin(5 * angle)) / 0.074).astype(np.int64)
    pieces = 3 + 2 * ring
    piece = np.floor((angle / (2 * np.pi) + 0.37 * ring) * pieces % pieces).astype(np.int64)
    window.place(np.ones(window.shape, dtype=bool), ring * 1000 + piece, "sky")


def glass_sun(window: Window) -> None:
    """A sun of three rings: long wavy rays, a corona of wedges, and a core of irregular panes."""
    distance = np.hypot(window.x - GLASS_SUN[0], window.y - GLASS_SUN[1])
    angle = np.arctan2(window.y - GLASS_SUN[1], window.x - GLASS_SUN[0])
    turned = (angle / (2 * np.pi) + 0.030 * np.sin(distance * 24 - 2.5)) * 12 % 12
    within = np.abs(turned - np.floor(turned) - 0.5) * 2
    reach = np.where(np.floor(turned) % 2 == 0, 0.365, 0.285)
    ray = distance < 0.15 + (reach - 0.15) * (1 - within) ** 0.75
    window.place(ray, np.floor(turned).astype(np.int64), "ray")
    wedge = np.floor((angle / (2 * np.pi) * 14 + 0.3) % 14).astype(np.int64)
    window.place((distance < 0.155) & (distance >= 0.088), wedge, "corona")
    window.place(distance < 0.088, window.crackle(0.07), "core")


def glass_hills(window: Window) -> None:
    """Two ranges of hills, one behind the other, of panes like fields."""
    far = window.y > 0.800 + 0.055 * np.sin(6.0 * window.x + 2.2)
    window.place(far, window.crackle(0.085), "far")
    near = window.y > 0.935 + 0.050 * np.sin(5.0 * window.x + 0.2)
    window.place(near, window.crackle(0.075), "near")


def glass_stem(window: Window, foot: Point, head: Point) -> None:
    """A bent stem with two leaves, each divided by its rib."""
    along = np.clip((window.y - head[1]) / (foot[1] - head[1]), 0, 1)
    middle = head[0] + (foot[0] - head[0]) * along + 0.018 * np.sin(np.pi * along)
    between = (window.y > head[1]) & (window.y < foot[1])
    window.place((np.abs(window.x - middle) < 0.014) & between, np.floor(along * 4).astype(np.int64), "stem")
    for side, level, slope in ((1, 0.55, -0.55), (-1, 0.75, -0.75)):
        root_y = head[1] + level * (foot[1] - head[1])
        root_x = head[0] + (foot[0] - head[0]) * level
        reach = side * (window.x - root_x)
        lift = window.y - root_y - slope * reach
        bulge = 0.055 * np.sin(np.pi * np.clip(reach / 0.16, 0, 1))
        window.place((reach > 0) & (reach < 0.16) & (np.abs(lift) < bulge), (lift > 0) * 1, "leaf")


def glass_flower(window: Window, centre: Point, radius: float, petals: int) -> None:
    """A flower with an outer and an inner ring of petals around an eye."""
    distance = np.hypot(window.x - centre[0], window.y - centre[1])
    angle = np.arctan2(window.y - centre[1], window.x - centre[0]) / (2 * np.pi)
    for reach, shift, kind in ((1.0, 0.0, "tip"), (0.66, 0.5, "petal")):
        turned = angle * petals + shift
        within = np.abs(turned - np.floor(turned) - 0.5) * 2
        outline = radius * reach * (0.62 + 0.38 * np.sqrt(np.clip(1 - within**2.2, 0, 1)))
        window.place(distance < outline, np.floor(turned).astype(np.int64) % petals, kind)
    window.place(distance < 0.25 * radius, np.zeros(window.shape, dtype=np.int64), "eye")


def glass_frame(window: Window) -> None:
    """A border of small oblong panes around the picture."""
    x, y = unit_grid(window.shape)
    tall = window.shape[0] / window.shape[1]
    margin = np.minimum(np.minimum(x, 1 - x), np.minimum(y, tall - y))
    along = np.where(np.minimum(x, 1 - x) < np.minimum(y, tall - y), y / tall * 15, x * 12)
    side = (x > 0.5) * 1 + (y > 0.5 * tall) * 2 + (np.minimum(x, 1 - x) < np.minimum(y, tall - y)) * 4
    cells = np.floor(along).astype(np.int64) * 100 + side
    corner = (np.minimum(x, 1 - x) < 0.046) & (np.minimum(y, tall - y) < 0.046)
    cells[corner] = 10_000 + side[corner] % 4
    window.place(margin < 0.046, cells, "frame")


def lead_distance(panes: Array) -> Array:
    """Distance from every pixel to the nearest border between panes, up to some pixels, softly rounded."""
    border = np.zeros(panes.shape, dtype=np.float32)
    border[:, 1:] += panes[:, 1:] != panes[:, :-1]
    border[1:, :] += panes[1:, :] != panes[:-1, :]
    near = blur(np.clip(border, 0, 1), GLASS_LEAD * 0.75)
    return np.clip(near * GLASS_LEAD * 0.94, 0, 1.6)


def glass_texture(window: Window, generator: np.random.Generator) -> Array:
    """Streaks in the glass, running in another direction in every pane; about -1 to 1."""
    shape = window.shape
    size = 2048
    streaks = smooth_noise((size, size), (9.0, 130.0), generator)
    streaks += 0.6 * smooth_noise((size, size), (26.0, 60.0), generator)
    streaks += 0.35 * smooth_noise((size, size), (4.0, 40.0), generator)
    turns = generator.uniform(0, np.pi, len(window.tints))[window.panes]
    shifts = generator.uniform(0, size, (2, len(window.tints)))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x = x + 14 * smooth_noise(shape, 60.0, generator)
    y = y + 14 * smooth_noise(shape, 60.0, generator)
    columns = (x * np.cos(turns) + y * np.sin(turns) + shifts[0][window.panes]) % size
    rows = (y * np.cos(turns) - x * np.sin(turns) + shifts[1][window.panes]) % size
    return 0.6 * streaks[rows.astype(np.int32), columns.astype(np.int32)]


def light_window(window: Window, generator: np.random.Generator) -> Array:
    """Let daylight through the panes and put the lead between them."""
    shape = window.shape
    streaks = glass_texture(window, generator)
    ripples = layered_noise(shape, 22.0, generator, 3)
    daylight = 1.06 + 0.09 * layered_noise(shape, 380.0, generator, 3)
    distance = np.hypot(window.x - GLASS_SUN[0], window.y - GLASS_SUN[1])
    daylight += 0.30 * np.exp(-((distance / 0.45) ** 2))
    near_lead = lead_distance(window.panes)
    wide = blur((near_lead > 0.3).astype(np.float32), 13.0)
    brightness = daylight * (1.20 - 0.62 * wide) + 0.26 * streaks + 0.05 * ripples
    tints = np.stack(window.tints)[window.panes]
    # Thin glass lets more light through and is paler; thick glass is deeper in colour.
    depth = 1.45 - 0.40 * np.clip(brightness, 0.2, 2.0)
    glass = tints ** depth[..., None] * np.clip(brightness, 0.15, 1.6)[..., None]
    glass += 0.16 * np.clip(streaks - 0.55, 0, 1)[..., None]
    bubbles = (smooth_noise(shape, 5.0, generator) > 3.1).astype(np.float32)
    glass = light_relief(glass, 3.0 * streaks + 1.0 * ripples + 2.5 * bubbles, 0.24)
    lead = smoothstep(0.28, 0.46, near_lead)
    metal = colour("1c1c22") * (1 + 0.25 * ripples[..., None])
    metal = light_relief(metal, 7 * near_lead + 0.5 * ripples, 0.9, 0.32)
    return mix(glass, metal, lead)


def stained_glass() -> Array:
    """A church window with a sun, hills and flowers, and the daylight behind it."""
    generator = np.random.default_rng(1250)
    window = Window(GLASS_SHAPE, generator)
    glass_sky(window)
    glass_sun(window)
    glass_hills(window)
    for x, y, radius, _ in GLASS_FLOWERS:
        glass_stem(window, (x + 0.02, min(y + 3.2 * radius, 1.27)), (x, y))
    for x, y, radius, petals in GLASS_FLOWERS:
        glass_flower(window, (x, y), radius, petals)
    glass_frame(window)
    return downsample(light_window(window, generator))


# ---------------------------------------------------------------------------------------------------------
# Pointillist dabs
# ---------------------------------------------------------------------------------------------------------

DABS_SHAPE = (1184, 1536)
DABS_PAPER = colour("efe3c6")
# Pairs of opposite shifts of the colour: the eye mixes the dabs, so each pair adds up to nothing.
DABS_SHIFTS = np.array(
    [
        (0.20, 0.06, -0.20), (-0.20, -0.06, 0.20),
        (0.16, -0.14, 0.08), (-0.16, 0.14, -0.08),
        (0.10, 0.10, -0.12), (-0.10, -0.10, 0.12),
        (0.0, 0.0, 0.0), (0.0, 0.0, 0.0),
    ],
    dtype=np.float32,
)  # fmt: skip


class Scene:
    """The plan of a scene: colours, and the direction in which the dabs lie."""

    def __init__(self, shape: tuple[int, int], generator: np.random.Generator) -> None:
        """Start with an empty plan."""
        self.shape = shape
        self.generator = generator
        self.x, self.y = unit_grid(shape)
        self.plan = np.zeros((*shape, 3), dtype=np.float32)
        self.angles = np.zeros(shape, dtype=np.float32)
        self.rough = layered_noise(shape, 70.0, generator, 4)
        # Where small shapes need a last layer of fine dabs to be read
        self.detail = np.zeros(shape, dtype=bool)

    def fill(self, mask: Array, tints: Array, level: Array | float = 0.5, angle: Array | float | None = None) -> None:
        """Give the masked part colours from a ramp, and dabs of the given direction."""
        level = np.broadcast_to(np.asarray(level, dtype=np.float32), self.shape)
        self.plan[mask] = ramp(np.clip(level[mask], 0, 1), tints)
        if angle is not None:
            self.angles[mask] = np.broadcast_to(np.asarray(angle, dtype=np.float32), self.shape)[mask]

    def ellipse(self, centre: Point, radii: Point, ragged: float = 0.0) -> Array:
        """Mask of an ellipse; ``ragged`` frays its edge like leaves."""
        distance = np.hypot((self.x - centre[0]) / radii[0], (self.y - centre[1]) / radii[1])
        return distance + ragged * self.rough < 1

    def crown(self, centre: Point, radii: Point, tints: Array, ragged: float = 0.10) -> None:
        """A tree's crown, lit from the upper right."""
        lit = 0.5 + 0.35 * (self.x - centre[0]) / radii[0] - 0.40 * (self.y - centre[1]) / radii[1]
        angle = np.arctan2(self.y - centre[1], self.x - centre[0]) + np.pi / 2
        self.fill(self.ellipse(centre, radii, ragged), tints, lit + 0.20 * self.rough, angle)


def scene_sky_and_water(scene: Scene) -> None:
    """Evening sky, and a river that mirrors it in horizontal dabs."""
    everywhere = np.ones(scene.shape, dtype=bool)
    sky = palette("7fb0dc a9cbe6 d9dfdc f6dcae f7c893")
    scene.fill(everywhere, sky, scene.y / 0.27 + 0.10 * scene.rough, 0.15 + 0.4 * scene.rough)
    cloud = (scene.rough + 1.6 * np.exp(-(((scene.y - 0.10) / 0.04) ** 2)) > 1.45) & (scene.y < 0.2)
    scene.fill(cloud, palette("fdf3df f8d9c4 e8c4cc"), scene.y / 0.2, 0.1)
    water = scene.y > 0.268
    ripple = np.sin(240 * scene.y**0.8 + 3 * scene.rough) * 0.10
    depth = (scene.y - 0.268) / 0.28
    tints = palette("f3cf9c cfd3c4 8db9d2 5b93c4 3f6fae 38589a")
    scene.fill(water, tints, depth + ripple + 0.08 * scene.rough, 0.0)


def scene_far_bank(scene: Scene) -> None:
    """Trees and houses beyond the river, with their reflections."""
    generator = scene.generator
    tints = palette("2f4f86 3f6f7c 5d9468 a7b85c")
    for centre in np.linspace(0.38, 1.05, 15):
        size = generator.uniform(0.026, 0.048)
        mirror = scene.ellipse((centre, 0.30), (0.9 * size, 1.6 * size), 0.25)
        scene.fill(mirror & (scene.y > 0.268), palette("3a5f8f 4f8288 7ba384"), 0.5 + 0.3 * scene.rough)
        scene.crown((centre, 0.250 - 0.2 * size), (size, size * generator.uniform(0.8, 1.5)), tints, 0.15)
    for left in (0.52, 0.565, 0.78):
        wall = (np.abs(scene.x - left) < 0.016) & (np.abs(scene.y - 0.249) < 0.016)
        scene.fill(wall, palette("fbe9c8 f2c9a0"), 0.5 + 0.3 * scene.rough, np.pi / 2)
        roof = (scene.y > 0.215) & (scene.y < 0.235) & (np.abs(scene.x - left) < (scene.y - 0.210) * 0.9)
        scene.fill(roof, palette("d9552c e8843a"), 0.5 + 0.4 * scene.rough, 0.3)
    for centre in (0.455, 0.475, 0.70, 0.90, 0.925):
        scene.crown((centre, 0.195), (0.011, 0.078), palette("2a4a80 35706a 7fa55a"), 0.12)
    bank = np.abs(scene.y - 0.268) < 0.006
    scene.fill(bank, palette("c9b25c 8fa650"), 0.5 + 0.4 * scene.rough, 0.0)


def scene_boat(scene: Scene, foot: Point, size: float, sail: Array) -> None:
    """A sailing boat and its broken reflection."""
    x, y = (scene.x - foot[0]) / size, (scene.y - foot[1]) / size
    mirror = (y > 0) & (y < 0.8) & (np.abs(x - 0.1) < 0.35 * (1 - y)) & (np.sin(40 * y + 2 * scene.rough) > -0.3)
    scene.fill(mirror, palette("f4ead2 cfdbe0"), y, 0.0)
    scene.fill((y > -1.0) & (y < -0.06) & (x > 0.02) & (x < 0.5 * (1 + y)), sail, 0.5 + y, np.pi / 2)
    scene.fill((y > -0.85) & (y < -0.06) & (x < -0.02) & (x > -0.36 * (0.85 + y)), sail, 0.9 + y, np.pi / 2)
    scene.fill((np.abs(x) < 0.48 - 0.8 * y) & (y > -0.05) & (y < 0.09), palette("5a2432 8a3a30"), 0.5, 0.0)
    scene.detail |= (y > -1.0) & (y < 0.1) & (np.abs(x) < 0.5 * (1 + y) + 0.02)


def scene_lawn(scene: Scene) -> None:
    """The near bank: sunlit grass, crossed by the blue shade of trees."""
    shore = 0.560 - 0.165 * scene.x + 0.020 * np.sin(9 * scene.x)
    lawn = scene.y > shore
    tints = palette("7f9c34 a9bb3c d0cb4a efe06a f3e58c")
    angle = 0.9 + 0.5 * scene.rough
    scene.fill(lawn, tints, 0.55 + 0.22 * scene.rough - 0.6 * (scene.y - 0.6), angle)
    sunlit = 0.30 + 1.6 * np.clip(scene.x - 0.72, 0, 1)
    stripes = np.sin(26 * (scene.y - 0.33 * scene.x) + 0.5 * scene.rough + 1.0) > sunlit
    shade = lawn & stripes & (scene.y > shore + 0.05)
    scene.fill(shade, palette("23407a 2f6a66 4c8a4a"), 0.5 + 0.3 * scene.rough, angle)
    scene.fill(np.abs(scene.y - shore) < 0.005, palette("b58a4a e0bd74"), 0.5 + 0.4 * scene.rough, -0.15)


def scene_figure(scene: Scene, foot: Point, size: float, dress: Array, parasol: Array) -> None:
    """A stroller with a parasol, and the blue shadow at the feet."""
    scene.fill(scene.ellipse((foot[0] - 0.45 * size, foot[1]), (0.55 * size, 0.07 * size)), palette("24407e 3a5f80"))
    x, y = (scene.x - foot[0]) / size, (scene.y - foot[1]) / size
    skirt = (y < 0) & (y > -0.55) & (np.abs(x + 0.05) < 0.09 + 0.24 * np.clip(y + 0.58, 0, 1) ** 0.7)
    bodice = (y < -0.50) & (y > -0.80) & (np.abs(x) < 0.075 + 0.10 * np.clip(-0.62 - y, 0, 1))
    arm = (np.abs(y + 0.72 + 0.4 * (x - 0.1)) < 0.035) & (x > 0.05) & (x < 0.24)
    head, hat = np.hypot(x, y + 0.89) < 0.085, np.hypot(x / 1.7, (y + 0.985) * 1.5) < 0.085
    dome = (np.hypot(x - 0.18, (y + 1.06) * 1.15) < 0.44) & (y < -1.06 - 0.05 * np.cos(16 * x))
    pole = (np.abs(x - 0.20) < 0.016) & (y > -1.08) & (y < -0.62)
    scene.fill(skirt, dress, 0.5 + 2.0 * x + 0.15 * scene.rough, np.pi / 2)
    scene.fill(bodice | arm, dress, 0.35 + 3.0 * x, np.pi / 2)
    scene.fill(head, palette("b5705a f2c29a"), 0.5 + 4 * x)
    scene.fill(hat, palette("4a2430 7a3a30"), 0.5)
    scene.fill(pole, palette("5a3a30 7a4a30"), 0.5, np.pi / 2)
    scene.fill(dome, parasol, 0.5 + 1.1 * (x - 0.18), np.arctan2(y + 0.8, x - 0.18) + np.pi / 2)
    scene.detail |= skirt | bodice | arm | head | hat | dome | pole


def scene_flowers(scene: Scene) -> None:
    """A flower bed in the corner near the viewer."""
    bed = scene.ellipse((1.0, 0.80), (0.44, 0.17), 0.07)
    scene.fill(bed, palette("1f4a5a 2f7a4a 5a9a3f"), 0.5 + 0.4 * scene.rough, 1.2)
    blossoms = palette("d8203a f05a6a f7a8b8 fff2e0 f6c92f e8682a b04aa8")
    for _ in range(150):
        centre = (scene.generator.uniform(0.58, 1.0), scene.generator.uniform(0.64, 0.78))
        spot = scene.ellipse(centre, (0.011, 0.010), 0.15) & bed
        scene.fill(spot, blossoms[scene.generator.integers(len(blossoms))][None].repeat(2, 0), 0.5, 0.6)


def scene_large_tree(scene: Scene) -> None:
    """The tree that frames the scene on the left."""
    trunk_x = 0.125 + 0.03 * np.sin(7 * scene.y) + 0.012 * scene.rough
    trunk = (np.abs(scene.x - trunk_x) < 0.026 + 0.05 * np.clip(scene.y - 0.55, 0, 1)) & (scene.y < 0.66)
    scene.fill(trunk, palette("2a2858 5a3a5a 9a5a42 d89a5a"), 0.5 + 14 * (scene.x - trunk_x), np.pi / 2)
    leaves = palette("14265a 1a4462 236a58 3f8c4a 7fae42 cfd05a")
    for centre, radii in (((0.02, 0.10), (0.20, 0.17)), ((0.20, 0.02), (0.22, 0.13)), ((0.33, 0.10), (0.13, 0.085)),
                          ((0.10, 0.24), (0.13, 0.075)), ((0.24, 0.16), (0.10, 0.07))):  # fmt: skip
        scene.crown(centre, radii, leaves, 0.13)


def paint_dabs(
    canvas: Canvas, scene: Scene, size: Point, spacing: float, share: float, lift: float, region: Array | None = None
) -> None:
    """Set oval dabs all over the scene, or over a region of it only.

    ``size`` is the length and width of a dab in pixels; ``lift`` lightens the colours.
    """
    generator = scene.generator
    brush = Brush(size[1], size[0], spacing, streaks=0.02, thickness=1.1, dryness=0.2)
    starts = scattered_points(canvas.shape, spacing, generator)
    starts = starts[generator.random(len(starts)) < share]
    if region is not None:
        starts = starts[sample_field(region, starts[:, 0], starts[:, 1])]
    tints = sample_field(scene.plan, starts[:, 0], starts[:, 1])
    shifts = DABS_SHIFTS[generator.integers(len(DABS_SHIFTS), size=len(starts))]
    calm = 1.0 if region is None else 0.45
    tints = np.clip(tints + lift + calm * shifts * generator.uniform(0.5, 1.3, (len(starts), 1)), 0, 1)
    turns = sample_field(scene.angles, starts[:, 0], starts[:, 1]) + generator.normal(0, 0.35, len(starts))
    scales = generator.uniform(0.75, 1.25, len(starts))
    for start, tint, turn, scale in zip(starts, tints.astype(np.float32), turns, scales, strict=True):
        half = 0.5 * size[0] * scale * np.array([np.cos(turn), np.sin(turn)])
        paint_stroke(canvas, np.stack([start - half, start, start + half]), size[1] * scale, tint, brush, generator)


def pointillist_dabs() -> Array:
    """An afternoon by the river, in thousands of dabs of pure colour."""
    generator = np.random.default_rng(1886)
    canvas = new_canvas(DABS_SHAPE, DABS_PAPER, generator)
    scene = Scene(DABS_SHAPE, generator)
    scene_sky_and_water(scene)
    scene_far_bank(scene)
    scene_boat(scene, (0.62, 0.345), 0.115, palette("d8d8e8 fff8ea"))
    scene_boat(scene, (0.86, 0.315), 0.075, palette("e88a4a ffd9a0"))
    scene_boat(scene, (0.42, 0.385), 0.060, palette("d8d8e8 fff8ea"))
    scene_lawn(scene)
    scene_large_tree(scene)
    scene_flowers(scene)
    scene_figure(scene, (0.80, 0.545), 0.105, palette("5a3f8a b07ac0"), palette("f2b03a fff0b8"))
    scene_figure(scene, (0.69, 0.525), 0.085, palette("2a4a9a 6f9ad8"), palette("e8e0e8 ffffff"))
    scene_figure(scene, (0.345, 0.640), 0.165, palette("8a1f3a e8506a"), palette("c8321f ff9a5a"))
    scene_figure(scene, (0.485, 0.590), 0.130, palette("c8c0d8 fffaf0"), palette("c84a8a ffb0c0"))
    paint_dabs(canvas, scene, (16, 15), 14.5, 0.95, -0.04)
    paint_dabs(canvas, scene, (12, 11.5), 11.8, 0.85, 0.0)
    paint_dabs(canvas, scene, (7, 9), 12.0, 0.45, 0.07)
    paint_dabs(canvas, scene, (6, 7.5), 6.6, 0.85, 0.0, scene.detail)
    return finish(canvas, strength=0.13, gloss=0.03)


# ---------------------------------------------------------------------------------------------------------
# Fauvist harbour
# ---------------------------------------------------------------------------------------------------------

HARBOUR_SHAPE = (1200, 1536)
HARBOUR_GROUND = colour("f3e3cf")
HARBOUR_QUAY = 0.425
HARBOUR_CONTOUR = colour("1b2a8c")
HARBOUR_SKY = palette("46b8a4 9fdcc0 f6ef9a ffc9a8 f58fb0 f9d8c8")
HARBOUR_HILLS = (palette("8a5fd0 5a6ae0 e87ab0 3fa8c0"), palette("1f7a5a 3a4ac0 d8433a f08a2a"))
HARBOUR_WALLS = palette("f47a1f f9a8b8 f6c92f e8443a 35b8a0 f5e6c0 e85a9a ff9a5a")
HARBOUR_ROOFS = palette("c8202f 3a3fb0 7a3aa0 e0561f 1f8a6a")
HARBOUR_WATER = palette("0f8a7a 2fb89a 3a7ae0 f58fb0 ff9a3f f7e07a")


def harbour_sky_and_hills(canvas: Canvas, x: Array, y: Array, generator: np.random.Generator) -> None:
    """Slanting bricks of paint in the sky; two ranges of hills in colours that nature does not have."""
    angles = (-0.55 + 0.5 * smooth_noise(canvas.shape, 300.0, generator)).astype(np.float32)
    level = 0.2 + 2.2 * y + 0.16 * layered_noise(canvas.shape, 160.0, generator, 2)
    brick = Brush(27, 66, 24, colour_jitter=0.05, streaks=0.09, thickness=1.4, dryness=0.7, wobble=0.2)
    sky = ramp(np.clip(level, 0, 1), HARBOUR_SKY)
    paint_layer(canvas, sky, angles, brick, generator, y < 0.40)
    paint_layer(canvas, sky * 1.04, angles, brick, generator, y < 0.40, share=0.35)
    ridges = (0.200 - 0.050 * np.sin(6.5 * x + 0.6) - 0.02 * np.sin(15 * x), 0.285 - 0.045 * np.sin(5.0 * x + 3.4))
    for ridge, tints in zip(ridges, HARBOUR_HILLS, strict=True):
        slope = np.arctan(np.gradient(ridge, axis=1) * canvas.shape[1]).astype(np.float32)
        patches = 0.5 + 0.30 * layered_noise(canvas.shape, 110.0, generator, 2)
        region = (y > ridge) & (y < HARBOUR_QUAY)
        paint_layer(canvas, ramp(np.clip(patches, 0, 1), tints), slope + 0.7, brick, generator, region)
        places = np.linspace(0, canvas.shape[1] - 1, 15).astype(int)
        paint_line(canvas, [(x[0, place], ridge[0, place]) for place in places], 9, HARBOUR_CONTOUR, brick, generator)


def harbour_house(canvas: Canvas, left: float, wide: float, tall: float, generator: np.random.Generator) -> Array:
    """One house on the quay; returns the colour of its wall for the mirror in the water."""
    base = HARBOUR_QUAY
    wall_tint = HARBOUR_WALLS[generator.integers(len(HARBOUR_WALLS))]
    roof_tint = HARBOUR_ROOFS[generator.integers(len(HARBOUR_ROOFS))]
    right, top = left + wide, base - tall
    roof_height = generator.uniform(0.02, 0.045)
    wall = [(left, base), (left, top), (right, top), (right, base)]
    roof = [(left - 0.006, top), (left + 0.25 * wide, top - roof_height), (right - 0.2 * wide, top - roof_height),
            (right + 0.006, top)]  # fmt: skip
    fill = Brush(15, 34, 11, colour_jitter=0.06, streaks=0.09, thickness=1.2, dryness=0.4)
    pen = Brush(6, 30, 8, streaks=0.05, dryness=0.3, thickness=1.3)
    paint_block(canvas, wall, wall_tint, np.pi / 2, fill, generator)
    paint_block(canvas, roof, roof_tint, 0.3, fill, generator)
    for shape in (roof, wall):
        for start, end in pairwise(shape):
            paint_line(canvas, [start, end], 5.5, HARBOUR_CONTOUR, pen, generator)
    shutter = HARBOUR_WALLS[4] if wall_tint[0] > wall_tint[2] else HARBOUR_ROOFS[0]
    for window_y in np.arange(top + 0.022, base - 0.02, 0.034):
        for window_x in np.arange(left + 0.016, right - 0.008, 0.024):
            ends = [(window_x, window_y - 0.006), (window_x + 0.001, window_y + 0.008)]
            paint_line(canvas, ends, 13, shutter, pen, generator)
            paint_line(canvas, ends, 6, HARBOUR_CONTOUR, pen, generator)
    return wall_tint


def harbour_town(canvas: Canvas, generator: np.random.Generator) -> Array:
    """A row of houses; returns for every column of pixels the colour that the water mirrors there."""
    width = canvas.shape[1]
    mirror = np.broadcast_to(HARBOUR_HILLS[1][1], (width, 3)).copy()
    left = -0.02
    while left < 1.0:
        wide = generator.uniform(0.055, 0.100)
        tint = harbour_house(canvas, left, wide, generator.uniform(0.065, 0.150), generator)
        mirror[max(int(left * width), 0) : int((left + wide) * width)] = tint
        left += wide + generator.choice([0.0, 0.004, 0.03])
    return mirror


def harbour_water(canvas: Canvas, x: Array, y: Array, mirror: Array, generator: np.random.Generator) -> None:
    """Horizontal dashes: the colours of the town near the quay, then green, pink and orange water."""
    region = y > HARBOUR_QUAY
    depth = (y - HARBOUR_QUAY) / 0.36
    patches = 0.42 + 0.30 * smooth_noise(canvas.shape, (36.0, 210.0), generator) - 0.15 * (depth - 0.5)
    water = ramp(np.clip(patches, 0, 1), HARBOUR_WATER)
    wavering = x + 0.012 * np.sin(160 * y) + 0.008 * smooth_noise(canvas.shape, (14.0, 90.0), generator)
    columns = np.clip(wavering * canvas.shape[1], 0, canvas.shape[1] - 1).astype(int)
    plan = mix(water, mirror[columns], np.clip(0.95 - 1.5 * depth, 0.0, 0.8))
    angles = (0.10 * np.sin(14 * x + 30 * y)).astype(np.float32)
    dash = Brush(19, 88, 21, colour_jitter=0.05, streaks=0.09, thickness=1.5, dryness=0.65, wobble=0.07)
    paint_layer(canvas, plan, angles, dash, generator, region)
    paint_layer(canvas, plan, angles, dash, generator, region, share=0.45)


def harbour_boat(canvas: Canvas, foot: Point, size: float, tints: Array, generator: np.random.Generator) -> None:
    """A fishing boat: mirror image, hull with a stripe, mast, furled sail and rigging."""

    def at(x: float, y: float) -> Point:
        """Turn a position measured in boats into unit coordinates."""
        return foot[0] + x * size, foot[1] + y * size

    hull_tint, stripe_tint, sail_tint = tints
    fill = Brush(20, 64, 13, colour_jitter=0.05, streaks=0.10, thickness=1.5, dryness=0.4, wobble=0.05)
    pen = Brush(7, 30, 8, streaks=0.06, dryness=0.4, thickness=1.6)
    for level in np.arange(0.04, 0.75, 0.055):
        reach = 0.85 * (1 - 0.5 * level) * generator.uniform(0.5, 1.0)
        middle = generator.normal(0, 0.12)
        ends = [at(middle - reach, level), at(middle, level + 0.02), at(middle + reach, level)]
        paint_line(canvas, ends, 15, tints[generator.integers(3)] * 0.92, fill, generator)
    hull = [at(-1.05, -0.36), at(1.12, -0.46), at(0.80, 0.02), at(-0.75, 0.02)]
    stripe = [at(-1.05, -0.36), at(1.12, -0.46), at(1.03, -0.30), at(-0.97, -0.22)]
    cabin = [at(-0.65, -0.30), at(-0.62, -0.62), at(-0.15, -0.64), at(-0.12, -0.32)]
    paint_block(canvas, cabin, HARBOUR_WALLS[5], np.pi / 2, fill, generator)
    paint_block(canvas, hull, hull_tint, -0.04, fill, generator)
    paint_block(canvas, stripe, stripe_tint, -0.04, fill, generator)
    for shape in (hull, cabin):
        for start, end in pairwise([*shape, shape[0]]):
            paint_line(canvas, [start, end], 8, HARBOUR_CONTOUR, pen, generator)
    for level in np.linspace(-0.75, -0.55, 4):
        furled = [at(0.15, level), at(0.6, level + 0.08), at(1.0, level - 0.02)]
        paint_line(canvas, furled, 17, sail_tint, fill, generator)
    for mast, top in ((0.12, -2.5), (-0.78, -1.7)):
        paint_line(canvas, [at(mast, -0.35), at(mast + 0.05, top)], 12, HARBOUR_WALLS[3], pen, generator)
        paint_line(canvas, [at(mast - 0.03, -0.35), at(mast + 0.01, top)], 4, HARBOUR_CONTOUR, pen, generator)
        for end in (-1.0, 1.05):
            paint_line(canvas, [at(mast + 0.05, 0.96 * top), at(end, -0.42)], 4, HARBOUR_CONTOUR, pen, generator)


def fauvist_harbour() -> Array:
    """Boats before a southern town, in bricks of orange, pink, green and blue on bare canvas."""
    generator = np.random.default_rng(1905)
    canvas = new_canvas(HARBOUR_SHAPE, HARBOUR_GROUND, generator)
    x, y = unit_grid(HARBOUR_SHAPE)
    harbour_sky_and_hills(canvas, x, y, generator)
    mirror = harbour_town(canvas, generator)
    harbour_water(canvas, x, y, mirror, generator)
    blue_boat = np.stack([HARBOUR_ROOFS[1], HARBOUR_WALLS[1], HARBOUR_WALLS[2]])
    red_boat = np.stack([HARBOUR_ROOFS[0], HARBOUR_WALLS[4], HARBOUR_WALLS[2]])
    harbour_boat(canvas, (0.80, 0.525), 0.085, HARBOUR_WALLS[[4, 2, 5]], generator)
    harbour_boat(canvas, (0.46, 0.505), 0.065, HARBOUR_WALLS[[3, 5, 2]], generator)
    harbour_boat(canvas, (0.22, 0.640), 0.150, red_boat, generator)
    harbour_boat(canvas, (0.70, 0.715), 0.125, blue_boat, generator)
    return finish(canvas, strength=0.36)


PAINTINGS: dict[str, Callable[[], Array]] = {
    "swirling_night": swirling_night,
    "geometric_abstraction": geometric_abstraction,
    "woodblock_waves": woodblock_waves,
    "stained_glass": stained_glass,
    "pointillist_dabs": pointillist_dabs,
    "fauvist_harbour": fauvist_harbour,
}

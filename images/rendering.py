"""Shared helpers for the rendered photographs: noise, sampling of grids and the finishing of a linear picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

NOISE_TABLE_SIZE = 256
VOLUME_TABLE_SIZE = 64


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    position = np.clip((value - low) / (high - low), 0.0, 1.0)
    return position * position * (3.0 - 2.0 * position)


def mix(first: np.ndarray, second: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Blend two colours (or values) by an amount between 0 and 1 with one entry per pixel."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if amount.ndim < max(first.ndim, second.ndim) or amount.shape[-1] not in (1, 3):
        amount = amount[..., None]
    return first + (second - first) * amount


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors along the last axis to length one."""
    return vectors / np.maximum(np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True)), 1e-9)


class GradientNoise:
    """Two-dimensional Perlin noise whose lattice of random gradients comes from one seed."""

    def __init__(self, seed: int) -> None:
        """Draw the table of gradients."""
        angles = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, NOISE_TABLE_SIZE**2)
        self.gradient_x = np.cos(angles).astype(np.float32)
        self.gradient_y = np.sin(angles).astype(np.float32)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return noise between about -0.7 and 0.7 at the positions (x, y)."""
        cell_x, cell_y = np.floor(x), np.floor(y)
        inside_x, inside_y = (x - cell_x).astype(np.float32), (y - cell_y).astype(np.float32)
        column = cell_x.astype(np.int32) & (NOISE_TABLE_SIZE - 1)
        row = cell_y.astype(np.int32) & (NOISE_TABLE_SIZE - 1)
        next_column = (column + 1) & (NOISE_TABLE_SIZE - 1)
        next_row = (row + 1) & (NOISE_TABLE_SIZE - 1)

        def corner(corner_row: np.ndarray, corner_column: np.ndarray, shift_x: int, shift_y: int) -> np.ndarray:
            index = corner_row * NOISE_TABLE_SIZE + corner_column
            return self.gradient_x[index] * (inside_x - shift_x) + self.gradient_y[index] * (inside_y - shift_y)

        weight_x = inside_x**3 * (inside_x * (inside_x * 6 - 15) + 10)
        weight_y = inside_y**3 * (inside_y * (inside_y * 6 - 15) + 10)
        top_left, top_right = corner(row, column, 0, 0), corner(row, next_column, 1, 0)
        bottom_left, bottom_right = corner(next_row, column, 0, 1), corner(next_row, next_column, 1, 1)
        top = top_left + (top_right - top_left) * weight_x
        bottom = bottom_left + (bottom_right - bottom_left) * weight_x
        return top + (bottom - top) * weight_y

    def fractal(self, x: np.ndarray, y: np.ndarray, octaves: int, gain: float = 0.5) -> np.ndarray:
        """Sum octaves of noise, each twice as fine as and `gain` times as strong as the one before."""
        total, strength = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0
        for octave in range(octaves):
            # The shift keeps the lattices of the octaves from lining up at the origin.
            total += strength * self(x * 2.0**octave + 17.3 * octave, y * 2.0**octave - 9.1 * octave)
            strength *= gain
        return total

    def ridged(self, x: np.ndarray, y: np.ndarray, octaves: int, gain: float = 0.5) -> np.ndarray:
        """Sum octaves of folded noise, whose crests are sharp; between 0 and about 2."""
        total, strength = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0
        for octave in range(octaves):
            folded = 1.0 - 2.0 * np.abs(self(x * 2.03**octave + 5.7 * octave, y * 2.03**octave + 3.1 * octave))
            total += strength * folded**2
            strength *= gain
        return total


class VolumeNoise:
    """Three-dimensional value noise from one seed, for clouds and solid textures."""

    def __init__(self, seed: int) -> None:
        """Draw the cube of random values."""
        values = np.random.default_rng(seed).uniform(-1.0, 1.0, VOLUME_TABLE_SIZE**3)
        self.values = values.astype(np.float32)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return noise between -1 and 1 at the positions (x, y, z)."""
        mask, size = VOLUME_TABLE_SIZE - 1, VOLUME_TABLE_SIZE
        indices, weights = [], []
        for coordinate in (x, y, z):
            cell = np.floor(coordinate)
            inside = (coordinate - cell).astype(np.float32)
            lower = cell.astype(np.int32) & mask
            indices.append((lower, (lower + 1) & mask))
            weights.append(inside * inside * (3.0 - 2.0 * inside))
        (x0, x1), (y0, y1), (z0, z1) = indices
        layers = []
        for layer in (y0, y1):
            rows = []
            for row in (z0, z1):
                base = (layer * size + row) * size
                left, right = self.values[base + x0], self.values[base + x1]
                rows.append(left + (right - left) * weights[0])
            layers.append(rows[0] + (rows[1] - rows[0]) * weights[2])
        return layers[0] + (layers[1] - layers[0]) * weights[1]

    def fractal(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, octaves: int, gain: float = 0.5) -> np.ndarray:
        """Sum octaves of noise, each about twice as fine as the one before."""
        total, strength = np.zeros(np.broadcast(x, y, z).shape, np.float32), 1.0
        for octave in range(octaves):
            scale = 2.02**octave
            total += strength * self(x * scale + 11.7 * octave, y * scale + 5.3 * octave, z * scale + 7.9 * octave)
            strength *= gain
        return total


def sample_grid(grid: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Read a grid (rows, columns[, channels]) between its points by bilinear interpolation, clamped at the edges."""
    rows, columns = grid.shape[:2]
    row = np.clip(row, 0.0, rows - 1.001)
    column = np.clip(column, 0.0, columns - 1.001)
    upper, left = row.astype(np.int32), column.astype(np.int32)
    down, right = (row - upper).astype(np.float32), (column - left).astype(np.float32)
    flat = grid.reshape(rows * columns, *grid.shape[2:])
    index = upper * columns + left
    if grid.ndim == 3:
        down, right = down[..., None], right[..., None]
    top = flat[index] * (1 - right) + flat[index + 1] * right
    bottom = flat[index + columns] * (1 - right) + flat[index + columns + 1] * right
    return top * (1 - down) + bottom * down


def resize_grid(grid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resample a two-dimensional grid smoothly to another number of rows and columns."""
    picture = Image.fromarray(np.asarray(grid, np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32)


def blur(values: np.ndarray, radius: int) -> np.ndarray:
    """Blur the first two axes with three box filters in a row, which comes close to a Gaussian."""
    blurred = np.asarray(values, np.float32)
    if radius < 1:
        return blurred
    for axis in (0, 1):
        for _ in range(3):
            padding = [(0, 0)] * blurred.ndim
            padding[axis] = (radius + 1, radius)
            sums = np.cumsum(np.pad(blurred, padding, mode="edge"), axis=axis, dtype=np.float64)
            length = blurred.shape[axis]
            upper = np.take(sums, np.arange(2 * radius + 1, 2 * radius + 1 + length), axis=axis)
            lower = np.take(sums, np.arange(length), axis=axis)
            blurred = ((upper - lower) / (2 * radius + 1)).astype(np.float32)
    return blurred


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of factor x factor pixels, which smooths the edges of a picture rendered too large."""
    height, width, channels = picture.shape
    squares = picture.reshape(height // factor, factor, width // factor, factor, channels)
    return squares.mean(axis=(1, 3))


def film_curve(linear: np.ndarray) -> np.ndarray:
    """Compress light of any strength to [0, 1] with the soft toe and shoulder of film (the ACES fit of Narkowicz)."""
    light = np.maximum(linear, 0.0)
    return np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0.0, 1.0)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] as sRGB."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def develop(
    linear: np.ndarray,
    exposure: float = 1.0,
    bloom: float = 0.06,
    vignette: float = 0.18,
    grain: float = 0.006,
    contrast: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Turn a linear picture into a photograph: bloom, falling-off corners, film curve, sRGB and a little grain."""
    height, width = linear.shape[:2]
    light = linear * exposure
    glow = blur(np.minimum(light, 8.0), max(width // 60, 1))
    light = light * (1 - bloom) + glow * bloom
    row, column = np.mgrid[0:height, 0:width]
    radius = ((row / height - 0.5) ** 2 + (column / width - 0.5) ** 2) / 0.5
    light = light * (1 - vignette * radius[..., None])
    encoded = encode_srgb(film_curve(light))
    encoded = encoded + contrast * (smoothstep(0.0, 1.0, encoded) - encoded)
    noise = np.random.default_rng(seed).normal(0.0, grain, (height, width, 1))
    # Film shows its grain most in the middle tones.
    return np.clip(encoded + noise * (1.2 - np.abs(encoded - 0.45)), 0.0, 1.0)


# ----------------------------------------------------------------------------------------------------------------
# Tracing rays through a small scene of solids.
# ----------------------------------------------------------------------------------------------------------------

DistanceFunction = Callable[[np.ndarray], np.ndarray]
ColourFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]
HIT_DISTANCE = 0.0015
SHORTEST_STEP = 0.004
FAR_AWAY = 1e6


@dataclass
class Solid:
    """A thing in a scene: a signed distance within a bounding ball, and how its surface takes light."""

    distance: DistanceFunction
    centre: np.ndarray
    radius: float
    colour: ColourFunction
    gloss: float = 0.0
    roughness: float = 0.05
    glow_through: float = 0.0
    metal: bool = False
    caution: float = 0.95
    steps: int = 120


def ball_span(solid: Solid, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays enter and leave the bounding ball of a solid; the exit lies before the entry for a miss."""
    to_centre = solid.centre - origins
    along = np.einsum("ij,ij->i", to_centre, directions)
    nearest = np.einsum("ij,ij->i", to_centre, to_centre) - along * along
    half = np.sqrt(np.maximum(solid.radius**2 - nearest, 0.0))
    leave = np.where(nearest < solid.radius**2, along + half, -1.0)
    return np.maximum(along - half, 0.0), leave


def march(solid: Solid, origins: np.ndarray, directions: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Walk along rays by the distance to the solid's surface until they touch it; FAR_AWAY for those that miss."""
    travelled = start.copy()
    found = np.full(start.shape, FAR_AWAY, np.float32)
    active = np.arange(start.size)
    for _ in range(solid.steps):
        here = travelled[active]
        gap = solid.distance(origins[active] + directions[active] * here[:, None])
        close = gap < HIT_DISTANCE
        found[active[close]] = here[close]
        here = here + np.maximum(gap * solid.caution, SHORTEST_STEP)
        travelled[active] = here
        active = active[~close & (here < end[active])]
        if active.size == 0:
            break
    return found


def trace(scene: list[Solid], origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each ray the distance to the first solid and that solid's place in the scene (-1 for none)."""
    nearest = np.full(len(origins), FAR_AWAY, np.float32)
    which = np.full(len(origins), -1, np.int16)
    for index, solid in enumerate(scene):
        enter, leave = ball_span(solid, origins, directions)
        candidates = np.flatnonzero((leave > 0.0) & (enter < nearest))
        if candidates.size == 0:
            continue
        end = np.minimum(leave[candidates], nearest[candidates])
        distance = march(solid, origins[candidates], directions[candidates], enter[candidates], end)
        closer = distance < nearest[candidates]
        nearest[candidates[closer]] = distance[closer]
        which[candidates[closer]] = index
    return nearest, which


def blocked(scene: list[Solid], origins: np.ndarray, directions: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Say for each ray whether any solid stands in its way before `reach`."""
    shadow = np.zeros(len(origins), bool)
    for solid in scene:
        enter, leave = ball_span(solid, origins, directions)
        candidates = np.flatnonzero(~shadow & (leave > 0.0) & (enter < reach))
        if candidates.size == 0:
            continue
        end = np.minimum(leave[candidates], reach[candidates])
        distance = march(solid, origins[candidates], directions[candidates], enter[candidates], end)
        shadow[candidates] = distance < end
    return shadow


def surface_normals(solid: Solid, points: np.ndarray) -> np.ndarray:
    """Return the outward directions of a solid's surface from four distances about each point."""
    total = np.zeros_like(points)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        offset = np.array(corner, np.float32) * 0.004
        total += np.array(corner, np.float32) * solid.distance(points + offset)[:, None]
    return normalize(total)


def scatter(normals: np.ndarray, first_chance: np.ndarray, second_chance: np.ndarray) -> np.ndarray:
    """Turn two chances into directions as a matt surface sends its light (more straight up, less along it)."""
    return normalize(normals * 1.0005 + directions_from(first_chance, second_chance))


def directions_from(first_chance: np.ndarray, second_chance: np.ndarray) -> np.ndarray:
    """Turn two chances between 0 and 1 into directions spread evenly over the sphere."""
    up = 2.0 * first_chance - 1.0
    turn = 2.0 * np.pi * second_chance
    level = np.sqrt(1.0 - up * up)
    return np.stack([level * np.cos(turn), up, level * np.sin(turn)], axis=-1).astype(np.float32)


def average_alike(arriving: np.ndarray, colours: np.ndarray, normals: np.ndarray, rounds: int) -> np.ndarray:
    """Average light over neighbours that face the same way, have the same colour and are about as bright.

    Each round looks twice as far as the one before (the "à trous" filter).
    """
    for round_index in range(rounds):
        step = 2**round_index
        brightness = np.log1p(blur(arriving.mean(axis=-1), 2 * step))
        guides = np.concatenate([5.5 * normals, 6.3 * colours, 7.7 * brightness[..., None]], axis=-1)
        total, weights = arriving * 0.25, np.full(arriving.shape[:2], 0.25, np.float32)
        for down in range(-2, 3):
            for right in range(-2, 3):
                if down == 0 and right == 0:
                    continue
                shift = (down * step, right * step)
                difference = np.roll(guides, shift, axis=(0, 1)) - guides
                unlike = np.einsum("ijk,ijk->ij", difference, difference) + 0.12 * (down * down + right * right)
                weight = np.exp(-unlike)
                total += np.roll(arriving, shift, axis=(0, 1)) * weight[..., None]
                weights += weight
        arriving = total / weights[..., None]
    return arriving


def smooth_light(
    light: np.ndarray, colours: np.ndarray, normals: np.ndarray, edges: np.ndarray, rounds: int
) -> np.ndarray:
    """Take the noise out of light that leaves surfaces, without blurring their colours or touching their edges."""
    base = colours + 0.03
    smooth = average_alike(light / base, colours, normals, rounds) * base
    # Pixels on an edge mix two surfaces; they keep the average of their own samples.
    return mix(smooth, light, edges[..., None])


def random_directions(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw directions evenly over the sphere."""
    return directions_from(generator.random(count), generator.random(count))


def lathe_distance(profile: list[tuple[float, float]], cells: int = 220) -> DistanceFunction:
    """Return the signed distance to the solid that a profile (radius, height) sweeps when it turns about the y axis.

    The distances are worked out once on a grid of radii and heights, from which the function then reads.
    """
    corners = np.array(profile, np.float32)
    margin = 0.3
    lowest, highest = corners[:, 1].min() - margin, corners[:, 1].max() + margin
    widest = corners[:, 0].max() + margin
    heights, radii = np.meshgrid(np.linspace(lowest, highest, cells), np.linspace(0, widest, cells), indexing="ij")
    nearest, inside = np.full(heights.shape, 1e9), np.zeros(heights.shape, bool)
    for (radius_a, height_a), (radius_b, height_b) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along_radius, along_height = radius_b - radius_a, height_b - height_a
        length = max(along_radius**2 + along_height**2, 1e-12)
        # The edge along the axis closes the outline but is no surface.
        if radius_a > 0.0 or radius_b > 0.0:
            part = ((radii - radius_a) * along_radius + (heights - height_a) * along_height) / length
            part = np.clip(part, 0.0, 1.0)
            away = np.hypot(radii - radius_a - part * along_radius, heights - height_a - part * along_height)
            nearest = np.minimum(nearest, away)
        if height_a != height_b:
            crosses = (height_a > heights) != (height_b > heights)
            inside ^= crosses & (radii < radius_a + (heights - height_a) / along_height * along_radius)
    grid = np.where(inside, -nearest, nearest).astype(np.float32)

    def distance(points: np.ndarray) -> np.ndarray:
        radius = np.hypot(points[:, 0], points[:, 2])
        row = (points[:, 1] - lowest) / (highest - lowest) * (cells - 1)
        return sample_grid(grid, row, radius / widest * (cells - 1))

    return distance


def smooth_profile(points: list[tuple[float, float]], pieces: int = 10) -> list[tuple[float, float]]:
    """Round a profile off: a curve (Catmull and Rom's) through all of its points."""
    corners = np.array([points[0], *points, points[-1]], np.float64)
    curve = []
    for index in range(1, len(corners) - 2):
        before, start, end, after = corners[index - 1 : index + 3]
        for position in np.arange(pieces) / pieces:
            curve.append(
                0.5
                * (
                    2 * start
                    + (end - before) * position
                    + (2 * before - 5 * start + 4 * end - after) * position**2
                    + (3 * start - before - 3 * end + after) * position**3
                )
            )
    return [(max(float(radius), 0.0), float(height)) for radius, height in [*curve, corners[-1]]]


def rotation(turn: float, tilt: float, roll: float) -> np.ndarray:
    """Return the matrix that rolls about z, tilts about x and then turns about y (angles in degrees)."""
    cosines, sines = np.cos(np.radians([turn, tilt, roll])), np.sin(np.radians([turn, tilt, roll]))
    about_y = np.array([[cosines[0], 0, sines[0]], [0, 1, 0], [-sines[0], 0, cosines[0]]])
    about_x = np.array([[1, 0, 0], [0, cosines[1], -sines[1]], [0, sines[1], cosines[1]]])
    about_z = np.array([[cosines[2], -sines[2], 0], [sines[2], cosines[2], 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)

"""Shared helpers for the rendered photographs: noise, sampling of grids and the finishing of a linear picture."""

from __future__ import annotations

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
    grain: float = 0.012,
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
    noise = np.random.default_rng(seed).normal(0.0, grain, (height, width, 1))
    # Film shows its grain most in the middle tones.
    return np.clip(encoded + noise * (1.2 - np.abs(encoded - 0.45)), 0.0, 1.0)

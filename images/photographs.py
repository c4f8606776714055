"""Pictures that stand in for photographs: each function here computes one from geometry, light and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from rendering import (
    ColourFunction,
    DistanceFunction,
    GradientNoise,
    Solid,
    VolumeNoise,
    average_alike,
    blocked,
    blur,
    develop,
    lathe_distance,
    mix,
    normalize,
    random_directions,
    resize_grid,
    rotation,
    sample_grid,
    scatter,
    shrink,
    smooth_light,
    smooth_profile,
    smoothstep,
    surface_normals,
    trace,
)

# ----------------------------------------------------------------------------------------------------------------
# The mountain lake: x points right, z into the picture and y up, all in metres; the water lies at y = 0.
# ----------------------------------------------------------------------------------------------------------------

LAKE_WIDTH, LAKE_HEIGHT, LAKE_SUPERSAMPLING = 768, 512, 2
LAKE_FOCAL_LENGTH = 1.06  # in widths of the picture
LAKE_HORIZON = 0.61  # from the top, in heights of the picture
CAMERA_HEIGHT = 9.0
TERRAIN_SIZE = 12000.0
TERRAIN_CELLS = 2048
SUN_DIRECTION = normalize(np.array([-0.88, 0.33, 0.10], np.float32))
SUN_LIGHT = np.array([6.0, 3.75, 1.85], np.float32)
SKY_LIGHT = np.array([0.26, 0.40, 0.66], np.float32)
VALLEY_LIGHT = np.array([0.20, 0.17, 0.14], np.float32)
STEEPEST_SLOPE = 1.15
SOIL_CREEP = 0.12
TREE_LINE = 560.0


def to_grid(position: np.ndarray, along_x: bool) -> np.ndarray:
    """Turn a position in metres into a (fractional) row or column of the terrain's grid."""
    shifted = position + TERRAIN_SIZE / 2 if along_x else position
    return shifted / TERRAIN_SIZE * (TERRAIN_CELLS - 1)


def uplift_map(x: np.ndarray, z: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Say how fast each place is pushed up: a main massif behind the lake and a flank on either side."""
    centres = [
        (500.0, 6500.0, 1150.0, 1000.0, 1.95),
        (-1500.0, 7600.0, 1300.0, 1000.0, 1.15),
        (2300.0, 8000.0, 1100.0, 1000.0, 1.10),
        (-3000.0, 4700.0, 1000.0, 1500.0, 0.80),
        (3300.0, 5000.0, 1100.0, 1600.0, 0.62),
        (-3900.0, 2600.0, 1500.0, 1500.0, 0.50),
        (4000.0, 2400.0, 1500.0, 1500.0, 0.42),
        (0.0, 10500.0, 5000.0, 1200.0, 0.80),
    ]
    uplift = np.full(x.shape, 0.10, np.float32)
    for centre_x, centre_z, width, depth, strength in centres:
        uplift += strength * np.exp(-(((x - centre_x) / width) ** 2) - ((z - centre_z) / depth) ** 2)
    return uplift * np.clip(1.0 + 0.9 * noise.fractal(x / 1700.0, z / 1700.0, 4), 0.25, 2.0)


def lake_distance(x: np.ndarray, z: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Return roughly how far a place is outside the lake's shore (negative inside), in metres."""
    wobble = 420.0 * noise.fractal(x / 1300.0 + 40.0, z / 1300.0, 4)
    half_width = 620.0 + 0.24 * np.clip(z, 0.0, 2600.0)
    return np.maximum(np.abs(x + 60.0) - half_width, (z - 2900.0) * 0.9) + wobble


def flow_targets(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every cell the index of the neighbour that its water runs to and the distance in cells."""
    rows, columns = height.shape
    indices = np.arange(rows * columns).reshape(rows, columns)
    padded = np.pad(height, 1, constant_values=np.inf)
    target, steepest = indices.copy(), np.zeros_like(height)
    length = np.ones_like(height)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down == 0 and right == 0:
                continue
            step = float(np.hypot(down, right))
            drop = (height - padded[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]) / step
            better = drop > steepest
            steepest = np.where(better, drop, steepest)
            target = np.where(better, indices + down * columns + right, target)
            length = np.where(better, step, length)
    return target.ravel(), length.ravel()


def flow_levels(target: np.ndarray) -> list[np.ndarray]:
    """Group the cells by the number of steps that their water takes to its end (a lake, a pit or the border)."""
    steps = (target != np.arange(target.size)).astype(np.int32)
    pointer = target
    while True:
        # Each round doubles the length of path that a pointer covers.
        steps_ahead = steps[pointer]
        if not steps_ahead.any():
            break
        steps = steps + steps_ahead
        pointer = pointer[pointer]
    order = np.argsort(steps, kind="stable")
    return np.split(order, np.cumsum(np.bincount(steps))[:-1])


def erode(
    height: np.ndarray,
    uplift: np.ndarray,
    fixed: np.ndarray,
    steepest: np.ndarray,
    cell: float,
    steps: int,
    strength: float = 0.035,
) -> np.ndarray:
    """Raise the land and let rivers cut it: the stream-power law, solved from the mouths of the rivers upwards."""
    height = height.astype(np.float64)
    shape = height.shape
    fixed = fixed.ravel()
    highest_rise = steepest.ravel() * cell
    raised = np.where(fixed, 0.0, uplift.ravel())
    for _ in range(steps):
        target, length = flow_targets(height)
        target = np.where(fixed, np.arange(target.size), target)
        levels = flow_levels(target)
        area = np.full(target.size, cell * cell)
        for cells in reversed(levels[1:]):
            np.add.at(area, target[cells], area[cells])
        cut = strength * np.sqrt(area) / (length * cell)
        flat = height.ravel() + raised
        for cells in levels[1:]:
            below = flat[target[cells]]
            settled = (flat[cells] + cut[cells] * below) / (1.0 + cut[cells])
            flat[cells] = np.minimum(settled, below + highest_rise[cells] * length[cells])
        height = flat.reshape(shape)
        # Creeping soil rounds the facets that the eight directions of flow would leave.
        spread = np.pad(height, 1, mode="edge")
        around = (spread[:-2, 1:-1] + spread[2:, 1:-1] + spread[1:-1, :-2] + spread[1:-1, 2:]) / 4
        height = np.where(fixed.reshape(shape), height, height + SOIL_CREEP * (around - height))
    return height.astype(np.float32)


def grow_terrain(noise: GradientNoise) -> np.ndarray:
    """Grow the mountains on a coarse grid, then on finer ones, and roughen the rock last."""
    height = None
    for cells, steps in ((256, 130), (512, 40), (1024, 10)):
        axis = np.linspace(0.0, TERRAIN_SIZE, cells, dtype=np.float32)
        z, x = np.meshgrid(axis, axis - TERRAIN_SIZE / 2, indexing="ij")
        shore = lake_distance(x, z, noise)
        cell = TERRAIN_SIZE / (cells - 1)
        if height is None:
            height = np.maximum(shore, 0.0) * 0.04 + 30.0 * (1 + noise.fractal(x / 300.0, z / 300.0, 3))
        else:
            height = resize_grid(height, (cells, cells)) + 6.0 * noise.fractal(x / 60.0, z / 60.0, 2)
        fixed = shore < 0.0
        height = np.where(fixed, 0.0, np.maximum(height, 0.5))
        steepest = STEEPEST_SLOPE * np.clip(1.0 + 0.7 * noise.fractal(x / 420.0, z / 420.0, 6, 0.62), 0.4, 2.0)
        height = erode(height, 16.0 * uplift_map(x, z, noise), fixed, steepest, cell, steps)
    return roughen(height, noise)


def roughen(height: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Resample the eroded land on the final grid, bend its straight lines and add crags where it is steep."""
    axis = np.linspace(0.0, TERRAIN_SIZE, TERRAIN_CELLS, dtype=np.float32)
    z, x = np.meshgrid(axis, axis - TERRAIN_SIZE / 2, indexing="ij")
    scale = (height.shape[0] - 1) / TERRAIN_SIZE
    bend_x = 45.0 * noise.fractal(x / 260.0, z / 260.0, 4)
    bend_z = 45.0 * noise.fractal(x / 260.0 + 31.0, z / 260.0 + 77.0, 4)
    land = sample_grid(height, (z + bend_z) * scale, (x + bend_x + TERRAIN_SIZE / 2) * scale)
    rise_z, rise_x = np.gradient(blur(land, 3), TERRAIN_SIZE / (TERRAIN_CELLS - 1))
    steepness = np.hypot(rise_x, rise_z)
    crags = noise.ridged(x / 190.0, z / 190.0, 5, 0.55) - 0.9
    land = land + 30.0 * crags * smoothstep(0.25, 1.1, steepness) * smoothstep(150.0, 700.0, land)
    # Below the water the ground drops away at once, so that no ripple of land breaks the surface.
    return np.where(land < 1.0, -12.0, land)


def sun_shadow(height: np.ndarray) -> np.ndarray:
    """Return for every cell how much of the low sun reaches it, between 0 and 1."""
    cell = TERRAIN_SIZE / (TERRAIN_CELLS - 1)
    horizontal = float(np.hypot(SUN_DIRECTION[0], SUN_DIRECTION[2]))
    fall = float(SUN_DIRECTION[1]) / horizontal * cell
    step_row, step_column = SUN_DIRECTION[2] / horizontal, SUN_DIRECTION[0] / horizontal
    rows, columns = np.mgrid[0:TERRAIN_CELLS, 0:TERRAIN_CELLS].astype(np.float32)
    # Looking 1, 2, 4, ... cells towards the sun covers every distance, as each look includes the ones before.
    shade, distance = height - fall, 1.0
    shade = sample_grid(shade, rows + step_row, columns + step_column)
    while distance < TERRAIN_CELLS / 2:
        farther = sample_grid(shade, rows + distance * step_row, columns + distance * step_column)
        shade = np.maximum(shade, farther - distance * fall)
        distance *= 2.0
    return smoothstep(-14.0, 10.0, height - shade)


@dataclass
class Terrain:
    """The land and what its shading needs, all on one square grid."""

    height: np.ndarray
    normal: np.ndarray
    sunlight: np.ndarray
    openness: np.ndarray


def build_terrain(noise: GradientNoise) -> Terrain:
    """Grow the land and work out its normals, its shadows and how open to the sky each place is."""
    height = grow_terrain(noise)
    rise_z, rise_x = np.gradient(height, TERRAIN_SIZE / (TERRAIN_CELLS - 1))
    normal = normalize(np.stack([-rise_x, np.ones_like(rise_x), -rise_z], axis=-1))
    openness = np.ones_like(height)
    for radius in (4, 12, 40):
        openness *= np.clip(0.95 + (height - blur(height, radius)) / (14.0 * radius), 0.45, 1.1)
    return Terrain(height, normal.astype(np.float32), sun_shadow(height), openness)


def tree_height(x: np.ndarray, z: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return the height of a forest of cones at each place; `chance` is the share of spots with a tree."""
    spacing = 8.0
    values = np.random.default_rng(5).random((4, 256 * 256)).astype(np.float32)
    tallest = np.zeros(x.shape, np.float32)
    column, row = np.floor(x / spacing - 0.5), np.floor(z / spacing - 0.5)
    for down in (0, 1):
        for right in (0, 1):
            cell_x, cell_z = column + right, row + down
            index = (cell_z.astype(np.int32) & 255) * 256 + (cell_x.astype(np.int32) & 255)
            away_x = x - (cell_x + 0.25 + 0.5 * values[0][index]) * spacing
            away_z = z - (cell_z + 0.25 + 0.5 * values[1][index]) * spacing
            size = 12.0 + 14.0 * values[2][index]
            cone = size * (1.0 - np.hypot(away_x, away_z) / (0.26 * size))
            tallest = np.maximum(tallest, np.where(values[3][index] < chance, cone, 0.0))
    return tallest


def forest_chance(terrain: Terrain, x: np.ndarray, z: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Return how densely trees stand: on lower, gentler ground, with a ragged upper edge."""
    row, column = to_grid(z, False), to_grid(x, True)
    height = sample_grid(terrain.height, row, column)
    upright = sample_grid(terrain.normal[..., 1], row, column)
    ragged = height + 260.0 * noise.fractal(x / 380.0, z / 380.0, 4)
    chance = 1.0 - smoothstep(TREE_LINE - 160.0, TREE_LINE + 120.0, ragged)
    chance *= smoothstep(0.50, 0.66, upright)
    return np.where(height > 1.5, chance, 0.0)


@dataclass
class View:
    """What a set of pixels sees of the land: the place that each ray hits and whether it hits any."""

    hit: np.ndarray
    x: np.ndarray
    z: np.ndarray
    height: np.ndarray
    tree: np.ndarray


def trace_terrain(
    terrain: Terrain, camera_height: float, slopes: np.ndarray, sides: np.ndarray, noise: GradientNoise
) -> View:
    """March along the ground below each column of pixels and find what each pixel of the column sees.

    Every ray of a column lies in one upright plane, so one walk over the ground serves the whole column: a pixel
    sees the first place whose slope, as seen from the camera, reaches the slope of its ray.
    """
    depths = np.geomspace(60.0, TERRAIN_SIZE * 0.985, 1700).astype(np.float32)
    shape = (slopes.size, sides.size)
    view = View(np.zeros(shape, bool), *(np.zeros(shape, np.float32) for _ in range(4)))
    for start in range(0, sides.size, 128):
        block = sides[start : start + 128]
        x = block[:, None] * depths[None, :]
        z = np.broadcast_to(depths, x.shape)
        inside = np.abs(x) < TERRAIN_SIZE / 2 - 20.0
        ground = sample_grid(terrain.height, to_grid(z, False), to_grid(x, True))
        trees = np.zeros_like(ground)
        wooded = inside & (ground > 1.5) & (ground < TREE_LINE + 300.0)
        trees[wooded] = tree_height(x[wooded], z[wooded], forest_chance(terrain, x[wooded], z[wooded], noise))
        rise = np.where(inside, (ground + trees - camera_height) / depths, -9.0)
        highest = np.maximum.accumulate(rise, axis=1)
        for index in range(block.size):
            first = np.searchsorted(highest[index], slopes)
            hit = first < depths.size
            after = np.minimum(first, depths.size - 1)
            before = np.maximum(after - 1, 0)
            gap = np.maximum(rise[index, after] - highest[index, before], 1e-9)
            part = np.clip((slopes - highest[index, before]) / gap, 0.0, 1.0)
            depth = depths[before] + part * (depths[after] - depths[before])
            column = start + index
            view.hit[:, column] = hit
            view.z[:, column] = depth
            view.x[:, column] = depth * block[index]
            view.height[:, column] = camera_height + slopes * depth
            view.tree[:, column] = trees[index, after]
    return view


def ray_directions(slopes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return unit vectors for all pairs of a ray's slope and its step to the side."""
    slope, side = np.meshgrid(slopes, sides, indexing="ij")
    return normalize(np.stack([side, slope, np.ones_like(side)], axis=-1).astype(np.float32))


def air_colour(directions: np.ndarray) -> np.ndarray:
    """Return the light of the clear sky: blue above, warm near the horizon and brightest about the sun."""
    towards_sun = np.clip(directions @ SUN_DIRECTION, -1.0, 1.0)
    up = np.clip(directions[..., 1], 0.0, 1.0)
    near_sun = (0.5 + 0.5 * towards_sun) ** 2.6
    zenith = np.array([0.055, 0.175, 0.46], np.float32)
    horizon = mix(np.array([0.42, 0.58, 0.80], np.float32), np.array([1.35, 0.98, 0.62], np.float32), near_sun)
    colour = mix(horizon, zenith, 1.0 - np.exp(-up * 4.2))
    glow = np.array([1.5, 0.85, 0.40], np.float32)
    return colour + glow * (np.maximum(towards_sun, 0.0) ** 7.0 * 0.55)[..., None]


CLOUD_BASE, CLOUD_TOP, CLOUD_STEPS = 2300.0, 3300.0, 22


def cloud_density(x: np.ndarray, y: np.ndarray, z: np.ndarray, noise: VolumeNoise, octaves: int) -> np.ndarray:
    """Return how thick the clouds are at places in the layer: billows with a flat base and a rounded top."""
    level = (y - CLOUD_BASE) / (CLOUD_TOP - CLOUD_BASE)
    profile = smoothstep(0.0, 0.12, level) * (1.0 - smoothstep(0.25, 1.0, level))
    cover = noise(x / 5200.0 + 3.0, 0.0 * y + 0.5, z / 7000.0) * 0.35
    billows = noise.fractal(x / 1500.0, y / 900.0, z / 1500.0, octaves, 0.58)
    return np.clip((billows + cover - 0.06 - 0.62 * (1.0 - profile)) * 2.2, 0.0, 1.0) * (profile > 0)


def render_sky(slopes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Render air and clouds for rays that look upwards, marching through the layer of clouds."""
    noise = VolumeNoise(23)
    directions = ray_directions(slopes, sides)
    air = air_colour(directions)
    up = directions[..., 1]
    seen = up > 0.035
    ray, rise = directions[seen], up[seen]
    light, clear = np.zeros_like(ray), np.ones(rise.shape, np.float32)
    span = (CLOUD_TOP - CLOUD_BASE) / rise / CLOUD_STEPS
    jitter = np.random.default_rng(3).random(rise.shape).astype(np.float32)
    towards_sun = np.clip(ray @ SUN_DIRECTION, -1.0, 1.0)
    silver = 0.55 + 1.1 * np.maximum(towards_sun, 0.0) ** 5
    for step in range(CLOUD_STEPS):
        distance = CLOUD_BASE / rise + (step + jitter) * span
        x, y, z = (distance * ray[:, axis] for axis in range(3))
        density = cloud_density(x, y, z, noise, 6)
        inside = (density > 0.004) & (clear > 0.02)
        if not inside.any():
            continue
        shade = np.zeros(int(inside.sum()), np.float32)
        for reach in (90.0, 260.0, 600.0):
            offset = SUN_DIRECTION * np.float32(reach) * np.array([1, 1.6, 1], np.float32)
            shade += cloud_density(x[inside] + offset[0], y[inside] + offset[1], z[inside] + offset[2], noise, 3)
        lit = np.exp(-1.3 * shade) * silver[inside]
        height = np.clip((y[inside] - CLOUD_BASE) / (CLOUD_TOP - CLOUD_BASE), 0, 1)
        colour = lit[:, None] * SUN_LIGHT * 0.62 + SKY_LIGHT * (0.55 + 0.7 * height)[:, None]
        opaque = 1.0 - np.exp(-density[inside] * np.minimum(span[inside], 400.0) * 0.009)
        light[inside] += colour * (clear[inside] * opaque)[:, None]
        clear[inside] *= 1.0 - opaque
    # Far clouds fade into the haze of the horizon.
    haze = np.exp(-CLOUD_BASE / rise / 26000.0)
    sky = air.copy()
    sky[seen] = mix(air[seen], light + air[seen] * clear[:, None], haze)
    return sky


def ground_colour(terrain: Terrain, view: View, noise: GradientNoise) -> tuple[np.ndarray, np.ndarray]:
    """Return the colour and the upright part of the normal of the land that a view sees."""
    x, z = view.x, view.z
    row, column = to_grid(z, False), to_grid(x, True)
    normal = sample_grid(terrain.normal, row, column)
    upright, height = normal[..., 1], sample_grid(terrain.height, row, column)
    fine = noise.fractal(x / 34.0, z / 34.0, 4, 0.6)
    broad = noise.fractal(x / 300.0, z / 300.0, 4)
    layers = noise.fractal(height / 26.0 + 1.3 * broad, x / 900.0, 3)
    rock = mix(np.array([0.13, 0.118, 0.108]), np.array([0.30, 0.265, 0.23]), np.clip(0.5 + layers + 0.5 * fine, 0, 1))
    meadow = mix(np.array([0.10, 0.115, 0.035]), np.array([0.19, 0.155, 0.06]), np.clip(0.5 + 1.2 * broad + fine, 0, 1))
    snow = np.array([0.88, 0.90, 0.94], np.float32)
    grassy = smoothstep(0.66, 0.82, upright + 0.12 * fine)
    grassy = grassy * (1.0 - smoothstep(650.0, 1050.0, height + 260.0 * broad))
    colour = mix(rock, meadow, grassy)
    line = height + 320.0 * broad + 90.0 * fine
    snowy = smoothstep(820.0, 1120.0, line) * smoothstep(0.46, 0.60, upright + 0.10 * fine + (line - 1400.0) / 6000.0)
    return mix(colour, snow, snowy), normal


def shade_land(terrain: Terrain, view: View, directions: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Light the land that a view sees by the sun and the sky and put the air before it."""
    colour, normal = ground_colour(terrain, view, noise)
    row, column = to_grid(view.z, False), to_grid(view.x, True)
    sunlight = sample_grid(terrain.sunlight, row, column)
    openness = sample_grid(terrain.openness, row, column)
    ruffle = 0.28 * noise.fractal(view.x / 21.0, view.z / 21.0, 3)
    facing = np.clip(normal @ SUN_DIRECTION + ruffle * (1 - normal[..., 1]), 0.0, 1.0)
    wooded = smoothstep(0.3, 2.0, view.tree)
    tint = np.clip(0.5 + 1.3 * noise.fractal(view.x / 60.0, view.z / 60.0, 4, 0.7), 0.0, 1.0)
    leaves = mix(np.array([0.022, 0.040, 0.016]), np.array([0.075, 0.085, 0.022]), tint)
    colour = mix(colour, leaves, wooded)
    # Trees catch the sun on their tops, whatever the slope they stand on.
    facing = mix(facing[..., None], (0.25 + 0.03 * view.tree)[..., None], wooded)[..., 0]
    sky_share = (0.5 + 0.5 * normal[..., 1]) * openness
    light = SUN_LIGHT * (facing * sunlight)[..., None] + SKY_LIGHT * sky_share[..., None]
    light += VALLEY_LIGHT * ((1 - normal[..., 1]) * openness)[..., None]
    return through_air(colour * light, view, directions)


def through_air(colour: np.ndarray, view: View, directions: np.ndarray) -> np.ndarray:
    """Fade far things into the air, more so low down where the mist of the lake lies."""
    distance = np.hypot(view.x, view.z)
    depth = distance / 30000.0 + distance / 16000.0 * np.exp(-np.maximum(view.height, 0.0) / 170.0)
    kept = np.exp(-depth[..., None] * np.array([0.75, 1.0, 1.35], np.float32))
    level = directions * np.array([1, 0, 1], np.float32) + np.array([0, 0.10, 0], np.float32)
    haze = air_colour(normalize(level)) * np.array([0.50, 0.60, 0.76], np.float32)
    return colour * kept + haze * (1.0 - kept)


def upper_half(
    terrain: Terrain, camera_height: float, slopes: np.ndarray, sides: np.ndarray, sky: np.ndarray, noise: GradientNoise
) -> tuple[np.ndarray, View]:
    """Render land and sky from a height above the water (or below it, to see what the water mirrors)."""
    view = trace_terrain(terrain, camera_height, slopes, sides, noise)
    land = shade_land(terrain, view, ray_directions(slopes, sides), noise)
    return np.where(view.hit[..., None], land, sky), view


def ripple_slopes(x: np.ndarray, z: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Return how much the surface of the lake tilts towards the camera: wavelets, and calm and ruffled stretches."""
    ruffled = 0.30 + 0.9 * smoothstep(-0.15, 0.35, noise.fractal(x / 190.0, z / 75.0, 3))
    waves = noise.fractal(x / 3.2, z / 1.6, 3, 0.6) + 0.7 * noise.fractal(x / 11.0 + 8.0, z / 4.5, 3)
    return 0.015 * ruffled * waves


def render_water(
    mirror: np.ndarray, slopes: np.ndarray, sides: np.ndarray, focal: float, noise: GradientNoise
) -> np.ndarray:
    """Render the lake: the mirrored picture, shaken by ripples and fading to the water's own colour nearby."""
    slope, side = np.meshgrid(-slopes, sides, indexing="ij")
    z = CAMERA_HEIGHT / slope
    x = side * z
    tilt = ripple_slopes(x, z, noise)
    columns = np.broadcast_to(np.arange(sides.size), slope.shape)
    generator = np.random.default_rng(11)
    reflected = np.zeros((*slope.shape, 3), np.float32)
    tries = 10
    # Ripples finer than a pixel spread the reflection, so several tilts are averaged.
    unresolved = 0.008 * smoothstep(40.0, 500.0, z) + 0.0015
    for _ in range(tries):
        shaken = tilt + unresolved * generator.normal(0.0, 1.0, slope.shape)
        row = np.abs(slope + 2.0 * shaken) * focal
        reflected += sample_grid(mirror, row, columns) / tries
    facing = np.clip(slope + tilt, 0.004, 1.0)
    fresnel = 0.02 + 0.98 * (1.0 - facing / np.sqrt(1.0 + facing**2)) ** 5
    depth_colour = np.array([0.012, 0.045, 0.055], np.float32)
    return mix(depth_colour, reflected * np.array([0.93, 0.96, 0.97], np.float32), fresnel)


# Stems and heights of the conifers on the near shore: across the picture, foot from the top, height (all as shares).
SHORE_TREES = [
    (0.020, 0.97, 0.70),
    (0.075, 0.93, 0.50),
    (0.125, 0.99, 0.62),
    (0.175, 0.955, 0.34),
    (0.215, 0.985, 0.24),
    (0.945, 0.965, 0.46),
    (0.985, 0.985, 0.60),
    (0.895, 0.985, 0.27),
]


def draw_conifer(
    draw: ImageDraw.ImageDraw, foot: tuple[float, float], height: float, generator: np.random.Generator
) -> None:
    """Draw a spruce: a trunk and drooping branches full of hanging twigs, lit from the left."""
    foot_x, foot_y = foot
    lean = generator.normal(0.0, 0.012) * height
    draw.line([(foot_x, foot_y), (foot_x + lean, foot_y - height)], fill=(9, 7, 5), width=max(int(height * 0.012), 2))
    whorls = int(26 + height / 12)
    for whorl in range(whorls):
        down = (whorl + generator.uniform(-0.4, 0.4)) / whorls
        down = max(down, 0.0)
        start_x = foot_x + lean * (1 - down)
        start_y = foot_y - height * (1 - 0.93 * down)
        reach = height * (0.012 + 0.17 * down**0.8) * generator.uniform(0.6, 1.15)
        for _ in range(7):
            side = generator.uniform(-1.0, 1.0)
            side = np.sign(side) * abs(side) ** 0.5
            draw_branch(draw, (start_x, start_y), side * reach, reach * generator.uniform(0.10, 0.42), generator)


def draw_branch(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], across: float, droop: float, generator: np.random.Generator
) -> None:
    """Draw one branch of a spruce with the twigs that hang from it."""
    # Branches that reach to the left face the sun, those to the right lie in the tree's own shadow.
    sunny = float(np.clip(0.35 - 0.9 * across / (abs(across) + 1e-6) * generator.random(), 0.0, 1.0))
    twigs = int(4 + abs(across) / 2.2)
    for twig in range(twigs):
        part = (twig + generator.random()) / twigs
        x = start[0] + across * part
        y = start[1] + droop * part**1.3 - 0.25 * droop * part**3
        length = (0.10 * abs(across) + 3.0) * generator.uniform(0.4, 1.2)
        glint = sunny * part * generator.uniform(0.2, 1.0)
        colour = (int(7 + 52 * glint), int(12 + 46 * glint), int(8 + 10 * glint))
        tip = (x + np.sign(across) * 0.5 * length, y + length * generator.uniform(0.3, 1.0))
        draw.line([(x, y), tip], fill=colour, width=2)


def draw_bank(draw: ImageDraw.ImageDraw, width: int, height: int, generator: np.random.Generator) -> None:
    """Draw the near shore: a low bank that rises to both sides, thick with grass."""
    across = np.linspace(0.0, 1.0, width // 2)
    noise = GradientNoise(91)
    wave = 0.020 * noise.fractal(across * 7.0, across * 0.0, 5, 0.55)
    top = 1.012 - 0.085 * smoothstep(0.42, 0.0, across) - 0.060 * smoothstep(0.72, 1.0, across) + wave
    points = [(float(x * width), float(y * height)) for x, y in zip(across, top, strict=True)]
    draw.polygon([(0.0, float(height)), *points, (float(width), float(height))], fill=(14, 13, 8))
    for _ in range(15000):
        place = int(generator.integers(0, across.size))
        depth = generator.random() ** 1.5
        x, y = points[place][0], points[place][1] + depth * 0.16 * height
        tall = height * (0.010 + 0.016 * generator.random()) * (0.7 + depth)
        glint = generator.random() ** 2.5
        colour = (int(14 + 92 * glint), int(14 + 74 * glint), int(6 + 22 * glint))
        bend = generator.normal(0.25, 0.35) * tall
        draw.line([(x, y), (x + 0.4 * bend, y - 0.6 * tall), (x + bend, y - tall)], fill=colour, width=1)


def add_shore(linear: np.ndarray) -> np.ndarray:
    """Put the near shore with its conifers before the rendered lake."""
    height, width = linear.shape[:2]
    generator = np.random.default_rng(17)
    # Magenta marks what stays free; no plant has that colour.
    free = (255, 0, 255)
    picture = Image.new("RGB", (width, height), free)
    draw = ImageDraw.Draw(picture)
    for across, foot, tall in SHORE_TREES:
        draw_conifer(draw, (across * width, foot * height), tall * height, generator)
    draw_bank(draw, width, height, generator)
    painted = np.asarray(picture)
    covered = np.any(painted != np.array(free, np.uint8), axis=-1, keepdims=True)
    return np.where(covered, (painted / np.float32(255.0)) ** 1.5, linear)


def mountain_lake() -> np.ndarray:
    """Render a lake below snowy mountains under a low sun."""
    noise = GradientNoise(7)
    terrain = build_terrain(noise)
    width, height = LAKE_WIDTH * LAKE_SUPERSAMPLING, LAKE_HEIGHT * LAKE_SUPERSAMPLING
    focal = LAKE_FOCAL_LENGTH * width
    horizon = int(LAKE_HORIZON * height)
    sides = ((np.arange(width) + 0.5 - width / 2) / focal).astype(np.float32)
    rising = ((np.arange(max(horizon, height - horizon) + 40) + 0.5) / focal).astype(np.float32)
    sky = render_sky(rising[::LAKE_SUPERSAMPLING], sides[::LAKE_SUPERSAMPLING])
    rows, columns = np.mgrid[0 : rising.size, 0:width] / LAKE_SUPERSAMPLING
    sky = sample_grid(sky, rows, columns)
    seen, _ = upper_half(terrain, CAMERA_HEIGHT, rising[:horizon], sides, sky[:horizon], noise)
    mirror, _ = upper_half(terrain, -CAMERA_HEIGHT, rising, sides, sky, noise)
    falling = -rising[: height - horizon]
    water = render_water(mirror, falling, sides, focal, noise)
    below, view = upper_half(terrain, CAMERA_HEIGHT, falling[::-1], sides, water[::-1], noise)
    on_land = view.hit & (view.height > -1.0)
    lower = np.where(on_land[..., None], below, water[::-1])[::-1]
    linear = add_shore(np.concatenate([seen[::-1], lower]))
    return develop(shrink(linear, LAKE_SUPERSAMPLING), exposure=1.0, grain=0.005, contrast=0.35)


# ----------------------------------------------------------------------------------------------------------------
# The still life: x points right, y up and z towards the viewer, all in decimetres; the table top lies at y = 0.
# ----------------------------------------------------------------------------------------------------------------

STILL_WIDTH, STILL_HEIGHT, STILL_PASSES = 720, 540, 10
EYE = np.array([0.3, 3.9, 12.5], np.float32)
LOOK_AT = np.array([-0.08, 1.33, 0.0], np.float32)
STILL_FOCAL_LENGTH = 1.33  # in widths of the picture
TABLE_EDGE, TABLE_ROUNDING = 2.9, 0.12
WALL_Z = -4.2
WINDOW_X, WINDOW_Y, WINDOW_Z = -8.0, (2.2, 8.2), (-0.6, 5.4)
WINDOW_LIGHT = np.array([15.0, 15.0, 14.6], np.float32)
# The bars of the window darken it evenly as far as the light on matt things goes.
WINDOW_MEAN = 0.80
ROOM_LIGHT = np.array([0.085, 0.070, 0.055], np.float32)
# Powers of the root of x^5 = x + 1, whose multiples fill four dimensions evenly.
EVEN_STEPS = 1.1673039782614187 ** -np.arange(1.0, 5.0)
# The same for the two dimensions of a pixel, from the root of x^3 = x + 1.
EVEN_STEPS_IN_PIXEL = 1.3247179572447460 ** -np.arange(1.0, 3.0)
CLOTH_CELLS_PER_UNIT = 40
CLOTH_X, CLOTH_S = (-8.0, 8.0), (-4.5, 7.0)
APPLE = [
    (0, -0.62),
    (0.14, -0.70),
    (0.36, -0.76),
    (0.62, -0.62),
    (0.86, -0.2),
    (0.93, 0.18),
    (0.82, 0.56),
    (0.54, 0.77),
    (0.28, 0.74),
    (0.10, 0.58),
    (0, 0.50),
]
PEAR = [
    (0, -0.86),
    (0.16, -0.93),
    (0.46, -0.90),
    (0.78, -0.58),
    (0.86, -0.18),
    (0.72, 0.28),
    (0.47, 0.72),
    (0.37, 1.06),
    (0.30, 1.32),
    (0.14, 1.46),
    (0, 1.44),
]
LEMON = [
    (0, -1.02),
    (0.10, -1.0),
    (0.17, -0.88),
    (0.42, -0.68),
    (0.64, -0.3),
    (0.68, 0.05),
    (0.58, 0.42),
    (0.34, 0.72),
    (0.16, 0.84),
    (0.09, 0.92),
    (0, 0.93),
]
JUG = [
    (0, 0.0),
    (0.80, 0.0),
    (0.86, 0.06),
    (1.10, 0.55),
    (1.27, 1.15),
    (1.20, 1.8),
    (0.86, 2.4),
    (0.62, 2.85),
    (0.60, 3.2),
    (0.76, 3.62),
    (0.80, 3.68),
    (0.75, 3.70),
    (0.66, 3.58),
    (0.51, 3.2),
    (0.52, 2.85),
    (0.5, 2.6),
    (0, 2.5),
]
BOWL = [
    (0, 0.10),
    (0.55, 0.10),
    (0.60, 0.0),
    (0.74, 0.0),
    (0.76, 0.16),
    (1.30, 0.42),
    (1.72, 0.86),
    (1.93, 1.28),
    (1.94, 1.33),
    (1.89, 1.33),
    (1.64, 0.92),
    (1.2, 0.52),
    (0.6, 0.30),
    (0, 0.26),
]
BOTTLE = [
    (0, 0.0),
    (0.58, 0.0),
    (0.64, 0.06),
    (0.65, 0.3),
    (0.65, 2.7),
    (0.60, 3.1),
    (0.38, 3.55),
    (0.25, 3.85),
    (0.235, 4.5),
    (0.27, 4.52),
    (0.28, 4.72),
    (0.24, 4.78),
    (0, 4.78),
]


def place(
    shape: DistanceFunction,
    position: tuple[float, float, float],
    turned: np.ndarray,
    scale: float,
    lobes: float = 0.0,
    lean: float = 0.0,
) -> DistanceFunction:
    """Put a shape somewhere in the scene, turned and scaled, with lobes about its axis and a bend if asked for."""
    where = np.array(position, np.float32)

    def distance(points: np.ndarray) -> np.ndarray:
        local = (points - where) @ turned / np.float32(scale)
        if lean:
            local[:, 0] -= lean * np.maximum(local[:, 1], 0.0) ** 2
        gap = shape(local)
        if lobes:
            angle = np.arctan2(local[:, 2], local[:, 0])
            gap = gap + lobes * (np.cos(5 * angle) * np.clip(-local[:, 1] + 0.2, 0, 1) + np.cos(2 * angle + 1.0))
        return gap * scale

    return distance


def stem_distance(start: np.ndarray, end: np.ndarray, thickness: float) -> DistanceFunction:
    """Return the distance to a stalk between two points, a little thicker at its end."""
    along = end - start
    length = float(along @ along)

    def distance(points: np.ndarray) -> np.ndarray:
        offset = points - start
        part = np.clip(offset @ along / length, 0.0, 1.0)
        # A stalk bends a little to one side.
        middle = (part * (1.0 - part))[:, None] * np.array([0.22, 0, 0.1], np.float32)
        away = offset - part[:, None] * along - middle
        return np.sqrt(np.einsum("ij,ij->i", away, away)) - thickness * (0.75 + 0.6 * part**4)

    return distance


def ring_distance(centre: np.ndarray, radius: tuple[float, float], thickness: float) -> DistanceFunction:
    """Return the distance to an upright oval ring in the plane of x and y: the handle of the jug."""

    def distance(points: np.ndarray) -> np.ndarray:
        local = (points - centre) / np.array([radius[0], radius[1], 1.0], np.float32)
        around = (np.hypot(local[:, 0], local[:, 1]) - 1.0) * min(radius)
        return np.hypot(around, local[:, 2] * 0.8) - thickness

    return distance


def balls_distance(centres: np.ndarray, radii: np.ndarray) -> DistanceFunction:
    """Return the distance to the nearest of many balls: a bunch of grapes."""

    def distance(points: np.ndarray) -> np.ndarray:
        nearest = np.full(len(points), 9.0, np.float32)
        for centre, radius in zip(centres, radii, strict=True):
            away = points - centre
            nearest = np.minimum(nearest, np.sqrt(np.einsum("ij,ij->i", away, away)) - radius)
        return nearest

    return distance


def plain(red: float, green: float, blue: float) -> ColourFunction:
    """Return the colouring of a surface that has one colour all over."""
    colour = np.array([red, green, blue], np.float32)
    return lambda points, normals: np.broadcast_to(colour, points.shape)


def fruit_colour(
    position: tuple[float, float, float],
    turned: np.ndarray,
    ground: tuple[float, float, float],
    blush: tuple[float, float, float],
    amount: float,
    streaks: float,
    speckles: float,
    seed: int,
) -> ColourFunction:
    """Return the colouring of a fruit: a ground colour, a blush on one cheek, streaks from pole to pole and specks."""
    noise, where = VolumeNoise(seed), np.array(position, np.float32)
    ground_rgb, blush_rgb = np.array(ground, np.float32), np.array(blush, np.float32)

    def colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        local = (points - where) @ turned
        radius = np.maximum(np.hypot(local[:, 0], local[:, 2]), 0.02)
        round_x, round_z = local[:, 0] / radius, local[:, 2] / radius
        lines = noise.fractal(round_x * 9.0, local[:, 1] * 0.9, round_z * 9.0, 3)
        patch = noise.fractal(local[:, 0] * 1.3, local[:, 1] * 1.3, local[:, 2] * 1.3, 3)
        share = smoothstep(-0.35, 0.45, amount + 0.55 * patch + streaks * lines + 0.25 * round_x)
        skin = mix(ground_rgb, blush_rgb, share)
        specks = smoothstep(0.55, 0.80, noise(local[:, 0] * 26.0, local[:, 1] * 26.0, local[:, 2] * 26.0))
        skin = skin * (1.0 + speckles * specks)[:, None]
        # The hollow about the stalk is brown.
        hollow = smoothstep(0.22, 0.05, radius) * (local[:, 1] > 0)
        return mix(skin, np.array([0.16, 0.12, 0.03], np.float32), hollow * 0.7)

    return colour


def cloth_grid(kept_flat: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of the cloth above the table and, with it, how far each place lies inside the cloth.

    One axis runs along x, the other over the table and then down its front. The places `kept_flat` (x, z, radius) are
    where things stand.
    """
    columns = int((CLOTH_X[1] - CLOTH_X[0]) * CLOTH_CELLS_PER_UNIT)
    rows = int((CLOTH_S[1] - CLOTH_S[0]) * CLOTH_CELLS_PER_UNIT)
    drape, x = np.meshgrid(np.linspace(*CLOTH_S, rows), np.linspace(*CLOTH_X, columns), indexing="ij")
    noise = GradientNoise(31)
    across, along = 0.94 * (x - 0.7) - 0.34 * (drape - 1.4), 0.34 * (x - 0.7) + 0.94 * (drape - 1.4)
    hem = 0.05 * noise(x * 1.5, drape * 1.5)
    inside = np.minimum(3.3 - np.abs(across), 3.4 - np.abs(along)) + hem
    folds = np.zeros_like(x)
    generator = np.random.default_rng(12)
    for _ in range(26):
        centre_x, centre_s = generator.uniform(-3.2, 4.4), generator.uniform(-0.5, 4.0)
        angle = generator.normal(1.35, 0.45)
        length, width = generator.uniform(0.7, 1.9), generator.uniform(0.10, 0.24)
        lift = generator.uniform(0.08, 0.26)
        run = (x - centre_x) * np.cos(angle) + (drape - centre_s) * np.sin(angle)
        side = -(x - centre_x) * np.sin(angle) + (drape - centre_s) * np.cos(angle) + 0.16 * run**2 / length
        ridge = lift * np.exp(-((run / length) ** 2) - np.abs(side / width) ** 1.6)
        folds = np.sqrt(folds**2 + ridge**2)
    # Where the cloth hangs it falls into upright pleats.
    hanging = smoothstep(TABLE_EDGE - 0.3, TABLE_EDGE + 1.6, drape)
    pleats = 0.5 + 0.5 * np.sin(2.6 * x + 3.2 * noise(x * 0.5, drape * 0.12) + 0.25 * drape)
    folds = folds * (1 - 0.7 * hanging) + 0.42 * hanging * pleats**1.5
    for centre_x, centre_z, radius in kept_flat:
        folds *= smoothstep(radius * 0.85, radius + 0.55, np.hypot(x - centre_x, drape - centre_z))
    wrinkles = 0.014 * noise.fractal(x * 1.6, drape * 1.6, 4, 0.55) + 0.02
    height = (folds + wrinkles + 0.012) * smoothstep(0.0, 0.05, inside)
    return height.astype(np.float32), inside.astype(np.float32)


def cloth_position(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and column of the cloth's grid that belong to places at the table's surface."""
    drape = np.minimum(points[:, 2], TABLE_EDGE) + np.maximum(-points[:, 1], 0.0)
    return (drape - CLOTH_S[0]) * CLOTH_CELLS_PER_UNIT, (points[:, 0] - CLOTH_X[0]) * CLOTH_CELLS_PER_UNIT


def make_table(kept_flat: list[tuple[float, float, float]]) -> Solid:
    """Build the wooden table with the cloth that lies on it and hangs over its edge."""
    height, inside = cloth_grid(kept_flat)
    noise = GradientNoise(41)

    def distance(points: np.ndarray) -> np.ndarray:
        above, before = points[:, 1] + TABLE_ROUNDING, points[:, 2] - (TABLE_EDGE - TABLE_ROUNDING)
        board = np.hypot(np.maximum(above, 0), np.maximum(before, 0)) + np.minimum(np.maximum(above, before), 0)
        return board - TABLE_ROUNDING - sample_grid(height, *cloth_position(points))

    def colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        depth = sample_grid(inside, *cloth_position(points))
        x, drape = points[:, 0], np.minimum(points[:, 2], TABLE_EDGE) - np.minimum(points[:, 1], 0.0)
        plank = np.floor(drape / 1.45 + 0.3)
        grain = noise.fractal(x * 0.35 + 7.0 * plank, drape * 5.0, 5, 0.6)
        rings = noise(x * 0.22 + 3.0 * plank, drape * 1.6 + 2.0 * grain)
        wood = mix(np.array([0.085, 0.040, 0.018]), np.array([0.30, 0.155, 0.07]), np.clip(0.45 + grain + rings, 0, 1))
        gap = np.abs((drape / 1.45 + 0.3) % 1.0 - 0.5)
        wood = wood * (1.0 - 0.8 * smoothstep(0.490, 0.498, gap))[:, None]
        weave = 1.0 + 0.05 * np.sin(x * 55.0) * np.sin(drape * 55.0) + 0.05 * noise.fractal(x * 14.0, drape * 14.0, 3)
        linen = np.array([0.72, 0.69, 0.62], np.float32) * weave[:, None]
        stripe = smoothstep(0.20, 0.22, depth) * smoothstep(0.50, 0.48, depth)
        stripe = np.maximum(stripe, smoothstep(0.58, 0.60, depth) * smoothstep(0.68, 0.66, depth))
        linen = mix(linen, np.array([0.10, 0.17, 0.33], np.float32) * weave[:, None], stripe * 0.9)
        return mix(wood, linen, smoothstep(0.01, 0.02, depth))

    centre = np.array([0.0, -12.0, 0.0], np.float32)
    return Solid(distance, centre, 17.0, colour, caution=0.75, steps=140)


def make_wall() -> Solid:
    """Build the wall of rough plaster behind the table."""
    noise = GradientNoise(51)

    def colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        stains = noise.fractal(x * 0.45, y * 0.45, 6, 0.62)
        plaster = mix(np.array([0.15, 0.095, 0.06]), np.array([0.30, 0.205, 0.13]), np.clip(0.5 + 0.8 * stains, 0, 1))
        return plaster * (1.0 + 0.25 * noise.fractal(x * 5.0, y * 5.0, 3))[:, None]

    centre = np.array([0.0, 0.0, WALL_Z], np.float32)
    return Solid(lambda points: points[:, 2] - WALL_Z, centre, 60.0, colour)


def make_fruit(
    kind: str,
    position: tuple[float, float, float],
    angles: tuple[float, float, float],
    scale: float,
    seed: int,
    blush: float = 0.2,
) -> list[Solid]:
    """Build an apple, a green apple, a pear, a lemon or an orange, with its stalk where it has one."""
    turned = rotation(*angles)
    profiles = {"apple": APPLE, "green": APPLE, "pear": PEAR, "lemon": LEMON}
    lobes = {"apple": 0.018, "green": 0.016, "pear": 0.02, "lemon": 0.012}.get(kind, 0.004)
    looks = {
        "apple": ((0.55, 0.27, 0.05), (0.36, 0.022, 0.018), 0.20, 0.45),
        "green": ((0.36, 0.42, 0.06), (0.50, 0.30, 0.07), 0.10, 0.35),
        "pear": ((0.46, 0.40, 0.09), (0.45, 0.19, 0.06), 0.12, -0.35),
        "lemon": ((0.83, 0.56, 0.035), (0.70, 0.58, 0.06), 0.30, 0.2),
        "orange": ((0.83, 0.29, 0.02), (0.80, 0.24, 0.0), 0.30, 0.12),
    }
    ground, red, streaks, speckles = looks[kind]
    amount = blush if kind in ("apple", "green", "pear") else -0.2
    shape = lathe_distance(smooth_profile(profiles[kind])) if kind in profiles else ball_distance
    lean = 0.10 if kind == "pear" else 0.0
    body = place(shape, position, turned, scale, lobes, lean)
    pores = VolumeNoise(seed + 100)
    rough = {"orange": 0.010, "lemon": 0.009}.get(kind, 0.0)

    def dimpled(points: np.ndarray) -> np.ndarray:
        gap = body(points)
        near = np.flatnonzero(np.abs(gap) < 0.05)
        gap[near] += rough * scale * pores(*(points[near] * 13.0).T)
        return gap

    colour = fruit_colour(position, turned, ground, red, amount, streaks, speckles, seed)
    where = np.array(position, np.float32)
    gloss = {"apple": 1.0, "green": 1.0, "pear": 0.55}.get(kind, 0.7)
    roughness = {"apple": 0.07, "green": 0.08, "pear": 0.2}.get(kind, 0.18)
    middle = where + turned @ np.array([0, 0.27 if kind == "pear" else 0, 0], np.float32) * scale
    radius = scale * (1.35 if kind == "pear" else 1.12)
    solids = [Solid(dimpled if rough else body, middle, radius, colour, gloss, roughness, 0.12)]
    if kind in ("apple", "green", "pear"):
        low, high = (0.50, 1.02) if kind != "pear" else (1.40, 1.95)
        shift = lean * low**2
        start = where + turned @ np.array([shift, low, 0], np.float32) * scale
        end = where + turned @ np.array([shift + 0.14, high, 0.05], np.float32) * scale
        stem = stem_distance(start, end, 0.035 * scale)
        solids.append(Solid(stem, (start + end) / 2, 0.45 * scale, plain(0.10, 0.06, 0.03), 0.2, 0.4))
    return solids


def ball_distance(points: np.ndarray) -> np.ndarray:
    """Return the distance to a slightly flattened ball of radius 0.86: an orange."""
    squeezed = points * np.array([1.0, 1.05, 1.0], np.float32)
    return (np.sqrt(np.einsum("ij,ij->i", squeezed, squeezed)) - 0.86) * 0.96


def make_grapes() -> list[Solid]:
    """Build a bunch of dark grapes that lies on the table in a heap."""
    generator = np.random.default_rng(77)
    centres: list[np.ndarray] = []
    radii: list[float] = []
    for _ in range(4000):
        part = generator.random()
        radius = generator.uniform(0.20, 0.25)
        spread = 0.62 * (1.0 - part) ** 0.7 + 0.10
        centre = np.array(
            [
                -0.75 - 1.15 * part + generator.uniform(-spread, spread) * 0.7,
                radius + 0.04 + generator.random() ** 1.5 * 0.75 * (1 - part),
                1.85 + 0.2 * part + generator.uniform(-spread, spread) * 0.7,
            ]
        )
        if all(
            np.linalg.norm(centre - other) > 0.88 * (radius + size) for other, size in zip(centres, radii, strict=True)
        ):
            centres.append(centre)
            radii.append(radius)
    places, sizes = np.array(centres, np.float32), np.array(radii, np.float32)
    noise = VolumeNoise(78)

    def colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        bloom = np.clip(0.35 + 0.9 * noise.fractal(points[:, 0] * 4, points[:, 1] * 4, points[:, 2] * 4, 3), 0, 1)
        skin = mix(
            np.array([0.045, 0.010, 0.030]), np.array([0.14, 0.035, 0.075]), np.clip(normals[:, 1] * 0.5 + 0.4, 0, 1)
        )
        return mix(skin, np.array([0.17, 0.15, 0.23], np.float32), bloom * 0.55)

    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    reach = float(np.max(np.linalg.norm(places - middle, axis=1) + sizes)) + 0.02
    grapes = Solid(balls_distance(places, sizes), middle, reach, colour, 0.75, 0.12, 0.3)
    stalk = stem_distance(np.array([-0.7, 0.75, 1.75], np.float32), np.array([0.15, 1.0, 1.45], np.float32), 0.04)
    return [grapes, Solid(stalk, np.array([-0.25, 0.9, 1.6], np.float32), 0.75, plain(0.16, 0.11, 0.04))]


def make_crockery() -> list[Solid]:
    """Build the glazed jug with its handle, the bowl and the bottle."""
    noise = VolumeNoise(61)

    def glaze(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        speck = noise.fractal(points[:, 0] * 6, points[:, 1] * 6, points[:, 2] * 6, 3)
        drip = points[:, 1] + 0.35 * noise.fractal(points[:, 0] * 1.4, points[:, 2] * 1.4, points[:, 1] * 0.2, 3)
        upper = mix(np.array([0.10, 0.23, 0.27]), np.array([0.18, 0.36, 0.38]), np.clip(0.5 + 0.7 * speck, 0, 1))
        lower = np.array([0.60, 0.52, 0.40], np.float32) * (1.0 + 0.12 * speck)[:, None]
        return mix(lower, upper, smoothstep(1.02, 1.10, drip))

    def pottery(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        speck = noise.fractal(points[:, 0] * 5, points[:, 1] * 9, points[:, 2] * 5, 3)
        clay = np.array([0.70, 0.66, 0.57], np.float32) * (1.0 + 0.08 * speck)[:, None]
        band = smoothstep(1.04, 1.06, points[:, 1]) * smoothstep(1.20, 1.18, points[:, 1])
        return mix(clay, np.array([0.10, 0.16, 0.34], np.float32), band * 0.9)

    upright = rotation(0, 0, 0)
    jug_place, bowl_place, bottle_place = (-2.35, 0.0, -0.7), (1.35, 0.02, 0.1), (-0.62, 0.0, -2.0)
    jug = place(lathe_distance(smooth_profile(JUG)), jug_place, upright, 1.0)
    bowl = place(lathe_distance(smooth_profile(BOWL)), bowl_place, upright, 1.0)
    bottle = place(lathe_distance(smooth_profile(BOTTLE)), bottle_place, upright, 1.0)
    handle_centre = np.array([-2.35 - 1.12, 2.35, -0.7], np.float32)
    handle = ring_distance(handle_centre, (0.62, 0.85), 0.11)
    return [
        Solid(jug, np.array([-2.35, 1.85, -0.7], np.float32), 2.2, glaze, 1.0, 0.05),
        Solid(handle, handle_centre, 1.02, glaze, 1.0, 0.06, caution=0.7),
        Solid(bowl, np.array([1.35, 0.68, 0.1], np.float32), 2.1, pottery, 0.9, 0.06),
        Solid(bottle, np.array([-0.62, 2.4, -2.0], np.float32), 2.55, plain(0.014, 0.040, 0.018), 1.6, 0.03),
    ]


def still_life_scene() -> list[Solid]:
    """Lay the table."""
    scene = make_crockery()
    fruits = [
        ("apple", (0.62, 1.20, 0.55), (20, 14, -10), 0.80, 1, 0.35),
        ("orange", (2.05, 1.18, 0.62), (0, 30, 0), 0.88, 2, 0.2),
        ("green", (1.45, 1.42, -0.65), (70, -12, 12), 0.82, 3, -0.05),
        ("pear", (0.35, 1.45, -0.62), (10, -10, 24), 0.80, 4, 0.05),
        ("lemon", (1.40, 1.98, 0.22), (65, 15, 78), 0.74, 5, 0.2),
        ("apple", (3.35, 0.66, 1.25), (200, 10, 12), 0.85, 6, 0.22),
        ("pear", (-3.45, 0.74, 1.0), (150, 0, -7), 0.80, 7, 0.12),
        ("lemon", (1.05, 0.52, 2.18), (28, 6, 84), 0.74, 8, 0.2),
    ]
    for kind, position, angles, scale, seed, blush in fruits:
        scene += make_fruit(kind, position, angles, scale, seed, blush)
    scene += make_grapes()
    flat = [
        (-2.35, -0.7, 1.0),
        (1.35, 0.1, 0.95),
        (-0.62, -2.0, 0.7),
        (3.35, 1.25, 0.45),
        (-3.45, 1.0, 0.5),
        (1.05, 2.18, 0.7),
        (-1.3, 1.9, 1.0),
    ]
    return [*scene, make_table(flat), make_wall()]


def window_pattern(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return how bright the window is at places in its plane: panes between bars, dimmer low down."""
    across = (z - WINDOW_Z[0]) / (WINDOW_Z[1] - WINDOW_Z[0])
    up = (y - WINDOW_Y[0]) / (WINDOW_Y[1] - WINDOW_Y[0])
    inside = (across > 0) & (across < 1) & (up > 0) & (up < 1)
    bars = (np.abs(across - 0.5) < 0.03) | (np.abs(up - 0.36) < 0.025) | (np.abs(up - 0.70) < 0.025)
    return np.where(inside & ~bars, 0.65 + 0.5 * up, 0.0).astype(np.float32)


def window_light(
    scene: list[Solid], points: np.ndarray, normals: np.ndarray, wrap: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    """Return the window's light that reaches points: from the spot of the window that two chances choose for each."""
    count = len(points)
    spot_y = WINDOW_Y[0] + (WINDOW_Y[1] - WINDOW_Y[0]) * chances[:, 0]
    spot_z = WINDOW_Z[0] + (WINDOW_Z[1] - WINDOW_Z[0]) * chances[:, 1]
    towards = np.stack([np.full(count, WINDOW_X, np.float32), spot_y, spot_z], axis=-1) - points
    reach = np.sqrt(np.einsum("ij,ij->i", towards, towards))
    towards /= reach[:, None]
    facing = (np.einsum("ij,ij->i", towards, normals) + wrap) / (1.0 + wrap)
    area = (WINDOW_Y[1] - WINDOW_Y[0]) * (WINDOW_Z[1] - WINDOW_Z[0])
    strength = np.maximum(facing, 0) * np.maximum(-towards[:, 0], 0) * area / (np.pi * reach**2)
    strength *= WINDOW_MEAN
    lit = np.flatnonzero(strength > 1e-4)
    # Starting a little off the surface keeps a ray from meeting the surface it leaves.
    starts = points[lit] + normals[lit] * 0.012
    strength[lit[blocked(scene, starts, towards[lit], reach[lit])]] = 0.0
    return strength[:, None] * WINDOW_LIGHT


def room_light(origins: np.ndarray, directions: np.ndarray, sees_window: bool) -> np.ndarray:
    """Return the light from the rest of the room along rays that meet nothing, with or without the window."""
    light = ROOM_LIGHT * (1.0 + 0.9 * directions[:, 1:2] + 0.5 * directions[:, 2:3])
    if not sees_window:
        return light
    steps = (WINDOW_X - origins[:, 0]) / np.minimum(directions[:, 0], -1e-4)
    pane = window_pattern(origins[:, 1] + steps * directions[:, 1], origins[:, 2] + steps * directions[:, 2])
    return light + (pane * (directions[:, 0] < -0.01))[:, None] * WINDOW_LIGHT


@dataclass
class Surface:
    """What the rays that hit something meet: which solid, where, which way it faces and its colour."""

    hit: np.ndarray
    solid: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray


def meet(scene: list[Solid], origins: np.ndarray, directions: np.ndarray) -> Surface:
    """Follow rays to the surfaces they meet."""
    distance, which = trace(scene, origins, directions)
    hit = np.flatnonzero(which >= 0)
    points = origins[hit] + directions[hit] * distance[hit, None]
    normals, colours = np.zeros_like(points), np.zeros_like(points)
    for index in np.unique(which[hit]):
        members = which[hit] == index
        normals[members] = surface_normals(scene[index], points[members])
        colours[members] = scene[index].colour(points[members], normals[members])
    return Surface(hit, which[hit], points, normals, np.maximum(colours, 0.0))


def look(
    scene: list[Solid],
    origins: np.ndarray,
    directions: np.ndarray,
    sees_window: bool,
    ambient: np.ndarray | float,
    chances: np.ndarray,
) -> tuple[np.ndarray, Surface]:
    """Return the light that comes back along rays, by the window and an even `ambient` light, and what the rays meet.

    Two `chances` of each ray, between 0 and 1, choose the spot of the window that it asks for light.
    """
    surface = meet(scene, origins, directions)
    light = room_light(origins, directions, sees_window)
    wrap = traits_of(scene, surface, "glow_through")
    arriving = window_light(scene, surface.points, surface.normals, wrap, chances[surface.hit]) + ambient
    light[surface.hit] = surface.colours * arriving
    return light, surface


def traits_of(scene: list[Solid], surface: Surface, name: str) -> np.ndarray:
    """Return one trait of the solid that each ray met."""
    return np.array([getattr(solid, name) for solid in scene], np.float32)[surface.solid]


def bounced_light(
    scene: list[Solid], surface: Surface, chances: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return the light that reaches surfaces off other surfaces and from the room, along one direction for each."""
    chances = chances[surface.hit]
    onward = scatter(surface.normals, chances[:, 2], chances[:, 3])
    more = generator.random((len(onward), 2), np.float32)
    return look(scene, surface.points + surface.normals * 0.012, onward, False, ROOM_LIGHT, more)[0]


def add_reflections(
    scene: list[Solid], light: np.ndarray, directions: np.ndarray, surface: Surface, generator: np.random.Generator
) -> None:
    """Add to the light along rays what shiny surfaces mirror, the more the flatter they are looked at (Schlick)."""
    gloss, roughness = traits_of(scene, surface, "gloss"), traits_of(scene, surface, "roughness")
    shiny = np.flatnonzero(gloss > 0)
    gloss, roughness, normals = gloss[shiny], roughness[shiny], surface.normals[shiny]
    incoming = directions[surface.hit[shiny]]
    facing = np.clip(-np.einsum("ij,ij->i", incoming, normals), 0.0, 1.0)
    mirrored = incoming + 2.0 * facing[:, None] * normals
    spread = roughness * generator.random(shiny.size, np.float32)
    mirrored = normalize(mirrored + spread[:, None] * random_directions(shiny.size, generator)).astype(np.float32)
    fresnel = (0.04 + 0.96 * (1.0 - facing) ** 5 * (1.0 - roughness)) * gloss
    more = generator.random((shiny.size, 2), np.float32)
    seen, _ = look(scene, surface.points[shiny] + normals * 0.012, mirrored, True, ROOM_LIGHT, more)
    light[surface.hit[shiny]] += seen * fresnel[:, None]


@dataclass
class Exposure:
    """What the passes over a picture add up to: light straight from the sources, bounced light and what it falls on."""

    light: np.ndarray
    bounced: np.ndarray
    colours: np.ndarray
    normals: np.ndarray
    squared_colours: np.ndarray
    covered: np.ndarray

    @classmethod
    def empty(cls, pixels: int) -> Exposure:
        """Start with no light."""
        return cls(*(np.zeros((pixels, 3), np.float32) for _ in range(5)), np.zeros((pixels, 1), np.float32))

    def add(self, light: np.ndarray, surface: Surface, bounced: np.ndarray) -> None:
        """Add one pass; capping the rare very bright rays keeps them from leaving lone white pixels."""
        self.light += np.minimum(light, 8.0)
        self.bounced[surface.hit] += np.minimum(bounced, 4.0)
        self.colours[surface.hit] += surface.colours
        self.normals[surface.hit] += surface.normals
        self.squared_colours[surface.hit] += surface.colours**2
        self.covered[surface.hit] += 1.0

    def picture(self, shape: tuple[int, int], passes: int, direct_rounds: int) -> np.ndarray:
        """Return the picture: bounced light, which is noisy but soft, is smoothed before it colours the surfaces."""
        light, colours, normals, squares = (
            values.reshape(*shape, 3) / passes
            for values in (self.light, self.colours, self.normals, self.squared_colours)
        )
        bounced = (self.bounced / np.maximum(self.covered, 1.0)).reshape(*shape, 3)
        # Fine patterns of colour must not guide the bounced light, which does not depend on them.
        bounced = average_alike(bounced, 0.2 * colours, normals, 4)
        # Samples of one surface agree on colour and direction; where they differ, the pixel lies on an edge.
        disagreement = 6.0 * np.sum(squares - colours**2, axis=-1) + 1.0 - np.sum(normals**2, axis=-1)
        edges = smoothstep(0.06, 0.20, disagreement)
        return smooth_light(light, colours, normals, edges, direct_rounds) + bounced * colours


def pixel_spots(width: int, height: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of one spot in each pixel.

    A pass takes the same spot in all pixels and the passes spread over the pixel, which gives the cleanest edges.
    """
    down, right = (0.5 + index * EVEN_STEPS_IN_PIXEL) % 1.0
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1)
    return rows + down, columns + right


def camera_rays(index: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return one ray through each pixel, from a lens that leaves far things a little out of focus."""
    forward = normalize(LOOK_AT - EYE)
    right = normalize(np.cross(forward, np.array([0.0, 1.0, 0.0])))
    upward = np.cross(right, forward)
    rows, columns = pixel_spots(STILL_WIDTH, STILL_HEIGHT, index)
    across = (columns - STILL_WIDTH / 2) / (STILL_FOCAL_LENGTH * STILL_WIDTH)
    up = (STILL_HEIGHT / 2 - rows) / (STILL_FOCAL_LENGTH * STILL_WIDTH)
    towards = forward + across[:, None] * right + up[:, None] * upward
    focus = EYE + towards * 11.6
    turn, away = generator.uniform(0, 2 * np.pi, rows.size), 0.045 * np.sqrt(generator.random(rows.size))
    lens = (away * np.cos(turn))[:, None] * right + (away * np.sin(turn))[:, None] * upward
    origins = (EYE + lens).astype(np.float32)
    return origins, normalize(focus - origins).astype(np.float32)


def still_life() -> np.ndarray:
    """Render fruit, a jug, a bottle and a bowl on a table in the light of a window."""
    scene = still_life_scene()
    generator = np.random.default_rng(99)
    exposure = Exposure.empty(STILL_HEIGHT * STILL_WIDTH)
    first_chances = generator.random((STILL_HEIGHT * STILL_WIDTH, 4), np.float32)
    for index in range(STILL_PASSES):
        origins, directions = camera_rays(index, generator)
        # Steps that never repeat spread each pixel's samples evenly, which leaves far less noise than pure chance.
        chances = ((first_chances + index * EVEN_STEPS) % 1.0).astype(np.float32)
        light, surface = look(scene, origins, directions, True, 0.0, chances)
        add_reflections(scene, light, directions, surface, generator)
        exposure.add(light, surface, bounced_light(scene, surface, chances, generator))
    linear = exposure.picture((STILL_HEIGHT, STILL_WIDTH), STILL_PASSES, 1)
    return develop(linear, exposure=1.12, grain=0.004, contrast=0.12)


# ----------------------------------------------------------------------------------------------------------------
# The street: x points right, y up and z into the picture, all in metres; the paving starts at y = 0.
# ----------------------------------------------------------------------------------------------------------------

STREET_WIDTH, STREET_HEIGHT, STREET_PASSES = 576, 768, 11
STREET_FOCAL_LENGTH = 1.02  # in widths of the picture
STREET_HORIZON = 0.63  # from the top, in heights of the picture
STREET_EYE = np.array([0.25, 1.75, -1.2], np.float32)
NOON_DIRECTION = normalize(np.array([0.53, 0.92, -0.40], np.float32))
NOON_LIGHT = np.array([7.4, 6.3, 4.7], np.float32)
SHADE_LIGHT = np.array([0.34, 0.33, 0.32], np.float32)
STEP_HEIGHT, STEP_DEPTH, FIRST_STEP, STEPS = 0.13, 1.7, 3.6, 14
PLASTERS = {
    "ochre": (0.66, 0.42, 0.17),
    "rose": (0.60, 0.27, 0.18),
    "cream": (0.66, 0.52, 0.31),
    "white": (0.68, 0.61, 0.49),
    "terracotta": (0.56, 0.25, 0.13),
}


@dataclass
class Box:
    """A block with sides along the axes; its material says how its surface looks and `tint` in which colour."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    material: str
    tint: tuple[float, float, float] = (0.5, 0.5, 0.5)


@dataclass
class Block:
    """Boxes that stand together, with the box about them all, so that most rays can skip them at once."""

    boxes: list[Box]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest corner of the boxes together."""
        lows, highs = np.array([box.low for box in self.boxes]), np.array([box.high for box in self.boxes])
        return lows.min(axis=0), highs.max(axis=0)


def ground_height(z: float) -> float:
    """Return the height of the stepped paving at a depth."""
    return STEP_HEIGHT * float(np.clip(np.floor((z - FIRST_STEP) / STEP_DEPTH) + 1, 0, STEPS))


def window_boxes(
    side: int,
    wall: float,
    z: float,
    y: float,
    size: tuple[float, float],
    tint: tuple[float, float, float],
    opened: bool,
) -> list[Box]:
    """Build a window in a wall along the street: frame, sill, glass and a pair of shutters."""

    def slab(
        z_low: float,
        z_high: float,
        y_low: float,
        y_high: float,
        out: float,
        material: str,
        colour: tuple[float, float, float],
    ) -> Box:
        near, far = sorted((wall + side * 0.02, wall - side * out))
        return Box((near, y_low, z_low), (far, y_high, z_high), material, colour)

    width, height = size
    stone = (0.62, 0.57, 0.48)
    low, high = z - width / 2, z + width / 2
    boxes = [
        slab(low, high, y, y + height, 0.015, "glass", (0.05, 0.07, 0.09)),
        slab(low - 0.10, low, y, y + height, 0.06, "stone", stone),
        slab(high, high + 0.10, y, y + height, 0.06, "stone", stone),
        slab(low - 0.14, high + 0.14, y + height, y + height + 0.14, 0.09, "stone", stone),
        slab(low - 0.16, high + 0.16, y - 0.10, y, 0.20, "stone", stone),
    ]
    if opened:
        boxes.append(slab(low - 0.10 - width / 2, low - 0.02, y, y + height, 0.10, "shutter", tint))
        boxes.append(slab(high + 0.02, high + 0.10 + width / 2, y, y + height, 0.10, "shutter", tint))
    else:
        boxes.append(slab(low, z - 0.01, y, y + height, 0.05, "shutter", tint))
        boxes.append(slab(z + 0.01, high, y, y + height, 0.05, "shutter", tint))
    return boxes


def door_boxes(side: int, wall: float, z: float, tint: tuple[float, float, float]) -> list[Box]:
    """Build a door with a stone surround and a doorstep."""
    floor = ground_height(z)
    stone = (0.60, 0.54, 0.45)

    def slab(
        z_low: float,
        z_high: float,
        y_low: float,
        y_high: float,
        out: float,
        material: str,
        colour: tuple[float, float, float],
    ) -> Box:
        near, far = sorted((wall + side * 0.02, wall - side * out))
        return Box((near, floor + y_low, z_low), (far, floor + y_high, z_high), material, colour)

    return [
        slab(z - 0.5, z + 0.5, 0.0, 2.15, 0.03, "door", tint),
        slab(z - 0.68, z - 0.5, 0.0, 2.15, 0.12, "stone", stone),
        slab(z + 0.5, z + 0.68, 0.0, 2.15, 0.12, "stone", stone),
        slab(z - 0.74, z + 0.74, 2.15, 2.42, 0.15, "stone", stone),
        slab(z - 0.75, z + 0.75, -0.2, 0.09, 0.42, "stone", stone),
    ]


def house(
    side: int,
    wall: float,
    depths: tuple[float, float],
    height: float,
    plaster: str,
    shutter: tuple[float, float, float],
    doors: list[float],
    upper: list[float],
    lower: list[float],
    closed: tuple[int, ...] = (),
) -> Block:
    """Build a house on one side of the street (-1 left, 1 right) with its openings and its eaves."""
    start, end = depths
    near, far = sorted((wall, wall + side * 6.0))
    boxes = [Box((near, -1.0, start), (far, height, end), "plaster", PLASTERS[plaster])]
    eave_near, eave_far = sorted((wall - side * 0.42, wall + side * 6.2))
    boxes.append(Box((eave_near, height - 0.02, start - 0.06), (eave_far, height + 0.10, end + 0.06), "tiles"))
    corbel_near, corbel_far = sorted((wall - side * 0.18, wall + side * 0.1))
    boxes.append(Box((corbel_near, height - 0.20, start), (corbel_far, height - 0.02, end), "stone", (0.6, 0.54, 0.44)))
    for index, z in enumerate(upper):
        boxes += window_boxes(side, wall, z, height - 2.55, (0.95, 1.55), shutter, index not in closed)
    for z in lower:
        boxes += window_boxes(side, wall, z, ground_height(z) + 1.05, (0.80, 1.15), shutter, True)
    for z in doors:
        boxes += door_boxes(side, wall, z, shutter)
    return Block(boxes)


def street_blocks() -> list[Block]:
    """Build the houses, the steps, the tower and what stands about."""
    green, blue, brown = (0.06, 0.19, 0.13), (0.08, 0.24, 0.38), (0.24, 0.11, 0.05)
    blocks = [
        house(-1, -2.35, (-4.0, 4.6), 7.6, "cream", green, [1.5], [0.6, 3.2], [3.3]),
        house(-1, -2.05, (4.6, 9.6), 6.5, "rose", blue, [8.6], [5.9, 8.2], [6.3], (1,)),
        house(-1, -2.45, (9.6, 15.2), 8.2, "ochre", green, [11.0], [11.0, 13.6], [13.5]),
        house(-1, -2.10, (15.2, 21.0), 7.2, "white", brown, [16.6], [16.6, 19.3], [19.2], (0,)),
        house(-1, -1.50, (21.0, 30.0), 8.6, "terracotta", green, [], [22.6, 25.5], []),
        house(1, 2.45, (-4.0, 3.4), 5.2, "terracotta", blue, [], [2.2], [1.6]),
        house(1, 2.25, (3.4, 7.6), 6.2, "white", blue, [4.4], [4.6, 6.6], [6.6]),
        house(1, 2.45, (10.8, 16.0), 6.9, "ochre", brown, [14.6], [12.2, 14.6], [12.3], (1,)),
        house(1, 2.15, (16.0, 22.0), 6.0, "rose", green, [17.5], [17.4, 20.2], [20.2]),
        house(1, 1.10, (22.0, 31.0), 7.8, "cream", blue, [], [24.0, 27.0], []),
    ]
    garden = [Box((2.4, -1.0, 7.6), (2.75, 2.9, 10.8), "rubble", (0.50, 0.45, 0.37))]
    steps = [
        Box((-6, -2.0, FIRST_STEP + index * STEP_DEPTH), (6, (index + 1) * STEP_HEIGHT, 60.0), "paving")
        for index in range(STEPS)
    ]
    ground = [Box((-30.0, -2.0, -20.0), (30.0, 0.0, 60.0), "paving")]
    tower = [
        Box((-2.0, 0.0, 38.0), (2.6, 15.5, 42.6), "rubble", (0.50, 0.41, 0.29)),
        Box((-2.2, 15.5, 37.8), (2.8, 15.9, 42.8), "stone", (0.52, 0.44, 0.32)),
        Box((-1.8, 15.9, 38.2), (-0.7, 18.6, 42.4), "stone", (0.52, 0.44, 0.32)),
        Box((1.3, 15.9, 38.2), (2.4, 18.6, 42.4), "stone", (0.52, 0.44, 0.32)),
        Box((-0.9, 15.9, 40.2), (1.5, 18.6, 40.6), "stone", (0.16, 0.13, 0.11)),
        Box((-2.2, 18.6, 37.8), (2.8, 19.1, 42.8), "stone", (0.52, 0.44, 0.32)),
        Box((-1.9, 19.1, 38.1), (2.5, 19.6, 42.5), "tiles"),
        Box((-1.4, 19.6, 38.6), (2.0, 20.2, 42.0), "tiles"),
        Box((-0.8, 20.2, 39.2), (1.4, 20.9, 41.4), "tiles"),
    ]
    line = [Box((-2.1, 4.70, 8.99), (2.4, 4.712, 9.01), "cloth", (0.5, 0.5, 0.5))]
    colours = [(0.50, 0.44, 0.34), (0.42, 0.08, 0.06), (0.10, 0.17, 0.32), (0.55, 0.50, 0.42), (0.55, 0.34, 0.08)]
    spots = [(-1.75, -1.05, 0.95), (-0.85, -0.40, 0.70), (-0.15, 0.60, 1.10), (0.80, 1.25, 0.75), (1.40, 1.95, 0.60)]
    for (left, right, drop), colour in zip(spots, colours, strict=True):
        line.append(Box((left, 4.70 - drop, 8.985), (right, 4.70, 9.015), "cloth", colour))
    return [*blocks, Block(garden), Block(steps), Block(ground), Block(tower), Block(line)]


def foliage_distance(
    centre: np.ndarray, size: np.ndarray, cell: float, seed: int, fill: float = 0.8
) -> DistanceFunction:
    """Return the distance to a bush: small leaves, one in each cell of a lattice, within a ragged rounded shape."""
    chances = np.random.default_rng(seed).random((7, 32**3)).astype(np.float32)
    noise = VolumeNoise(seed)

    def distance(points: np.ndarray) -> np.ndarray:
        spread = (points - centre) / size
        ragged = 0.45 * noise.fractal(*(points * 2.2).T, 3)
        outside = (np.sqrt(np.einsum("ij,ij->i", spread, spread)) - 1.0 + ragged) * float(size.min())
        lattice = points / cell
        corner = np.floor(lattice)
        column = corner.astype(np.int32) & 31
        index = (column[:, 0] * 32 + column[:, 1]) * 32 + column[:, 2]
        middle = 0.36 + 0.28 * chances[:3, index].T
        away = (lattice - corner) - middle
        axis = normalize(chances[3:6, index].T - 0.5)
        along = np.einsum("ij,ij->i", away, axis)
        across = np.sqrt(np.maximum(np.einsum("ij,ij->i", away, away) - along**2, 0.0))
        # A leaf is a flat disc across its axis.
        leaf = np.hypot(along * 2.6, across) - 0.36
        leaf = np.where(chances[6, index] < fill, leaf, 0.4) * cell * 0.45
        return np.maximum(outside, leaf)

    return distance


def bush(centre: tuple[float, float, float], size: tuple[float, float, float], seed: int, blossom: float) -> Solid:
    """Build a bush with leaves in many greens and, if asked for, blossom."""
    where, extent = np.array(centre, np.float32), np.array(size, np.float32)
    noise = VolumeNoise(seed + 1)
    cell = 0.13

    def colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        leaf = np.floor(points / cell)
        chance = 0.5 + 0.5 * noise(*(leaf * 0.731 + 0.37).T)
        patch = noise.fractal(*(points * 1.8).T, 2)
        green = mix(np.array([0.045, 0.10, 0.02]), np.array([0.17, 0.25, 0.05]), chance)
        flower = mix(np.array([0.55, 0.03, 0.20]), np.array([0.75, 0.12, 0.36]), chance)
        return mix(green, flower, ((patch + 0.5 * (chance - 0.5)) > 1.0 - 2.0 * blossom).astype(np.float32))

    shape = foliage_distance(where, extent, cell, seed)
    return Solid(shape, where, float(extent.max()) * 1.35, colour, caution=0.9, glow_through=0.3)


def flower_pot(place_at: tuple[float, float, float], scale: float, seed: int, blossom: float) -> list[Solid]:
    """Build a clay pot with a plant."""
    profile = [(0, 0), (0.55, 0), (0.75, 1.05), (0.86, 1.08), (0.86, 1.3), (0.74, 1.3), (0.70, 1.15), (0, 1.1)]
    x, y, z = place_at
    pot = place(lathe_distance(profile, 120), place_at, rotation(0, 0, 0), 0.30 * scale)
    middle = np.array([x, y + 0.2 * scale, z], np.float32)
    plant = bush((x, y + 0.72 * scale, z), (0.38 * scale, 0.42 * scale, 0.38 * scale), seed, blossom)
    return [Solid(pot, middle, 0.42 * scale, plain(0.46, 0.20, 0.10), caution=0.9), plant]


def arch_distance(points: np.ndarray) -> np.ndarray:
    """Return the distance to the arch that joins the houses over the street."""
    x, y, z = points.T
    block = np.maximum(np.abs(y - 4.55) - 1.75, np.abs(z - 20.6) - 0.7)
    block = np.maximum(block, np.abs(x) - 3.0)
    opening = np.minimum(np.hypot(x - 0.05, np.maximum(y - 3.4, 0.0)) - 1.75, 9.0)
    return np.maximum(block, -opening)


def arch_colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the colour of the arch's masonry."""
    return box_colour(Box((0, 0, 0), (1, 1, 1), "rubble", (0.58, 0.50, 0.39)), points, normals)


def awning_distance(points: np.ndarray) -> np.ndarray:
    """Return the distance to the awning: a thin slanting sheet with a hem that hangs down."""
    x, y, z = points.T
    out = x + 2.05
    sheet = np.abs(y - (3.22 - 0.22 * out)) * 0.95 - 0.012
    sheet = np.maximum(sheet, np.maximum(np.abs(out - 0.55) - 0.55, np.abs(z - 6.4) - 1.15))
    hem = np.maximum(np.abs(out - 1.10) - 0.012, np.abs(y - 2.86) - 0.14 - 0.03 * np.cos(z * 13.66 * 2))
    return np.minimum(sheet, np.maximum(hem, np.abs(z - 6.4) - 1.15))


def awning_colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the stripes of the awning."""
    stripe = (np.sin(points[:, 2] * 13.66) > 0).astype(np.float32)
    return mix(np.array([0.74, 0.68, 0.56]), np.array([0.52, 0.10, 0.06]), stripe)


def street_solids() -> list[Solid]:
    """Build the arch, the awning and the plants."""
    arch = Solid(arch_distance, np.array([0.0, 4.6, 20.6], np.float32), 3.6, arch_colour, caution=0.9)
    awning = Solid(awning_distance, np.array([-1.4, 2.65, 6.4], np.float32), 1.5, awning_colour, caution=0.7)
    solids = [
        arch,
        awning,
        bush((2.35, 3.15, 9.2), (0.75, 0.85, 1.75), 301, 0.42),
        bush((-2.25, 5.1, 10.0), (0.42, 1.5, 0.55), 305, 0.05),
    ]
    solids += flower_pot((-1.75, ground_height(4.15), 4.15), 1.15, 311, 0.25)
    solids += flower_pot((-1.85, ground_height(2.35), 2.50), 0.85, 315, 0.0)
    solids += flower_pot((1.85, ground_height(5.45), 5.6), 1.2, 321, 0.0)
    solids += flower_pot((1.95, ground_height(2.9), 2.6), 1.0, 327, 0.38)
    solids += flower_pot((-1.75, ground_height(9.9), 9.4), 1.0, 331, 0.30)
    return solids


def nearest_box(
    blocks: list[Block], origins: np.ndarray, directions: np.ndarray, limit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each ray the distance to the first box before `limit` and that box's number (-1 for none)."""
    inverse = 1.0 / np.where(np.abs(directions) < 1e-6, 1e-6, directions)
    nearest, which = limit.copy(), np.full(len(origins), -1, np.int16)
    number = 0
    for block in blocks:
        enter, leave = box_span(*block.bounds(), origins, inverse)
        rays = np.flatnonzero((leave > np.maximum(enter, 0.0)) & (enter < nearest))
        some_origins, some_inverse = origins[rays], inverse[rays]
        for box in block.boxes:
            if rays.size:
                enter, leave = box_span(np.array(box.low), np.array(box.high), some_origins, some_inverse)
                closer = (leave > enter) & (enter > 0.0) & (enter < nearest[rays])
                nearest[rays[closer]] = enter[closer]
                which[rays[closer]] = number
            number += 1
    return nearest, which


def box_span(
    low: np.ndarray, high: np.ndarray, origins: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays enter and leave a box (they miss it if they would leave before they enter)."""
    enter, leave = np.full(len(origins), -np.inf, np.float32), np.full(len(origins), np.inf, np.float32)
    for axis in range(3):
        first = (np.float32(low[axis]) - origins[:, axis]) * inverse[:, axis]
        second = (np.float32(high[axis]) - origins[:, axis]) * inverse[:, axis]
        enter = np.maximum(enter, np.minimum(first, second))
        leave = np.minimum(leave, np.maximum(first, second))
    return enter, leave


def box_normals(box: Box, points: np.ndarray) -> np.ndarray:
    """Return which way the side of a box faces that each point lies on."""
    low, high = np.array(box.low, np.float32), np.array(box.high, np.float32)
    to_low, to_high = np.abs(points - low), np.abs(points - high)
    side = np.argmin(np.concatenate([to_low, to_high], axis=1), axis=1)
    directions = np.concatenate([-np.eye(3), np.eye(3)]).astype(np.float32)
    return directions[side]


STREET_NOISE = GradientNoise(71)


def masonry(across: np.ndarray, up: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a random tone for each stone of a wall of uneven courses, and how close each place is to a joint."""
    wobble = 0.22 * size
    across = across + wobble * STREET_NOISE(across * 1.7 / size, up * 1.7 / size)
    up = up + wobble * STREET_NOISE(across * 1.3 / size + 50.0, up * 1.3 / size)
    course = np.floor(up / (0.55 * size))
    shifted = across / size + 0.5 * (course % 2) + 0.3 * np.sin(course * 12.9)
    stone = np.floor(shifted)
    tone = np.modf(np.abs(np.sin(stone * 127.1 + course * 311.7)) * 437.58)[0]
    edge_across = np.minimum(shifted - stone, 1 - (shifted - stone)) * size
    inside = up / (0.55 * size) - course
    edge_up = np.minimum(inside, 1 - inside) * 0.55 * size
    return tone, smoothstep(0.09 * size, 0.02 * size, np.minimum(edge_across, edge_up))


def plaster_colour(box: Box, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return old limewash: faded, streaked by rain, damp near the ground and gone in places, down to the stones."""
    base = np.array(box.tint, np.float32)
    broad = STREET_NOISE.fractal(across * 0.45 + base[0] * 90, up * 0.45, 5, 0.6)
    streak = STREET_NOISE.fractal(across * 2.6, up * 0.22 + base[1] * 50, 4, 0.6)
    fine = STREET_NOISE.fractal(across * 9.0, up * 9.0, 3, 0.6)
    wash = base * (1.0 + 0.50 * broad + 0.26 * streak + 0.12 * fine)[:, None]
    faded = mix(wash, np.array([0.72, 0.66, 0.55], np.float32), smoothstep(0.1, 0.7, broad + 0.4 * fine) * 0.5)
    tone, joint = masonry(across, up, 0.34)
    stones = mix(np.array([0.33, 0.26, 0.19]), np.array([0.56, 0.46, 0.34]), tone)
    stones = mix(stones, np.array([0.52, 0.47, 0.38], np.float32), joint)
    bare = smoothstep(0.36, 0.42, broad + 0.25 * fine + 0.20 * smoothstep(2.6, 0.3, up) - 0.03)
    damp = smoothstep(1.5, 0.0, up - 1.2 * np.abs(streak)) * 0.45
    return mix(faded, stones, bare) * (1.0 - damp)[:, None]


def box_colour(box: Box, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the colour of a box's surface at points, by its material."""
    level = np.abs(normals[:, 1]) > 0.5
    across = np.where(np.abs(normals[:, 0]) > 0.5, points[:, 2], points[:, 0])
    up = np.where(level, points[:, 2], points[:, 1])
    tint = np.array(box.tint, np.float32)
    fine = STREET_NOISE.fractal(across * 7.0, up * 7.0, 4, 0.6)
    if box.material == "plaster":
        return plaster_colour(box, across, up)
    if box.material == "paving":
        tone, joint = masonry(across, up, 0.30)
        stones = mix(np.array([0.27, 0.235, 0.195]), np.array([0.42, 0.37, 0.30]), tone) * (1 + 0.5 * fine)[:, None]
        return mix(stones, np.array([0.15, 0.135, 0.095], np.float32), joint)
    if box.material == "rubble":
        tone, joint = masonry(across, up, 0.42)
        return mix(tint * (0.65 + 0.6 * tone + 0.3 * fine)[:, None], tint * 0.45, joint)
    if box.material == "shutter":
        slat = (up * 16.0) % 1.0
        worn = smoothstep(0.35, 0.6, fine) * 0.4
        return mix(tint * (0.45 + 0.8 * slat)[:, None], np.array([0.5, 0.47, 0.4], np.float32), worn)
    if box.material == "door":
        plank = (across * 6.0) % 1.0
        gap = smoothstep(0.10, 0.04, np.minimum(plank, 1 - plank))
        return tint * ((1.0 + 0.5 * fine) * (1 - 0.7 * gap))[:, None]
    if box.material == "tiles":
        bump = 0.5 + 0.5 * np.cos(across * 2 * np.pi / 0.21)
        clay = mix(np.array([0.30, 0.12, 0.06]), np.array([0.60, 0.30, 0.17]), np.clip(0.5 + fine, 0, 1))
        return clay * (0.35 + 0.65 * bump)[:, None]
    if box.material == "cloth":
        return tint * (1.0 + 0.5 * STREET_NOISE.fractal(across * 4.5, up * 0.5, 2) + 0.1 * fine)[:, None]
    if box.material == "glass":
        middle = (box.low[2] + box.high[2]) / 2
        bars = (np.abs(points[:, 2] - middle) < 0.025) | (np.abs((points[:, 1] - box.low[1]) % 0.52) < 0.03)
        return np.where(bars[:, None], np.array([0.55, 0.52, 0.46], np.float32), tint)
    return tint * (1.0 + 0.25 * fine)[:, None]


def street_sky(directions: np.ndarray) -> np.ndarray:
    """Return a blue sky with light clouds."""
    up = np.clip(directions[:, 1], 0.02, 1.0)
    x, z = directions[:, 0] / (up + 0.15), directions[:, 2] / (up + 0.15)
    warp = STREET_NOISE.fractal(x * 1.1, z * 1.1, 3)
    cloud = STREET_NOISE.fractal(x * 1.5 + warp, z * 1.5 - warp + 4.0, 6, 0.55)
    blue = mix(np.array([0.62, 0.86, 1.15], np.float32), np.array([0.10, 0.30, 0.85], np.float32), up**0.55)
    return mix(blue, np.array([1.75, 1.68, 1.55], np.float32), smoothstep(0.02, 0.55, cloud) * 0.85)


@dataclass
class Street:
    """Everything in the street: blocks of boxes and rounder solids."""

    blocks: list[Block]
    solids: list[Solid]

    def meet(self, origins: np.ndarray, directions: np.ndarray) -> Surface:
        """Follow rays to the first surface that they meet."""
        solid_distance, solid_number = trace(self.solids, origins, directions)
        distance, box_number = nearest_box(self.blocks, origins, directions, solid_distance)
        boxes = [box for block in self.blocks for box in block.boxes]
        # Boxes come first in the numbering and solids after them.
        number = np.where(box_number >= 0, box_number, np.where(solid_number >= 0, len(boxes) + solid_number, -1))
        hit = np.flatnonzero(number >= 0)
        number, points = number[hit], origins[hit] + directions[hit] * distance[hit, None]
        normals, colours = np.zeros_like(points), np.zeros_like(points)
        order = np.argsort(number, kind="stable")
        starts = np.flatnonzero(np.diff(number[order], prepend=-1))
        for members in np.split(order, starts[1:]):
            index = int(number[members[0]])
            here = points[members]
            if index < len(boxes):
                normals[members] = box_normals(boxes[index], here)
                colours[members] = box_colour(boxes[index], here, normals[members])
            else:
                solid = self.solids[index - len(boxes)]
                normals[members] = surface_normals(solid, here)
                colours[members] = solid.colour(here, normals[members])
        return Surface(hit, number, points, normals, np.clip(colours, 0.0, 0.9))

    def sunlight(self, points: np.ndarray, normals: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the sun's light at points, none where something stands before the sun."""
        towards = normalize(NOON_DIRECTION + 0.006 * random_directions(len(points), generator)).astype(np.float32)
        facing = np.maximum(np.einsum("ij,ij->i", towards, normals), 0.0)
        lit = np.flatnonzero(facing > 0.0)
        reach = np.full(lit.size, 60.0, np.float32)
        distance, _ = nearest_box(self.blocks, points[lit], towards[lit], reach)
        shaded = distance < reach
        open_rays = np.flatnonzero(~shaded)
        shaded[open_rays] = blocked(self.solids, points[lit[open_rays]], towards[lit[open_rays]], reach[open_rays])
        facing[lit[shaded]] = 0.0
        return facing[:, None] * NOON_LIGHT

    def look(
        self, origins: np.ndarray, directions: np.ndarray, ambient: np.ndarray | float, generator: np.random.Generator
    ) -> tuple[np.ndarray, Surface]:
        """Return the light that comes back along rays, by the sun and an even light, and the surfaces they meet."""
        surface = self.meet(origins, directions)
        light = street_sky(directions)
        starts = surface.points + surface.normals * 0.01
        light[surface.hit] = surface.colours * (self.sunlight(starts, surface.normals, generator) + ambient)
        return light, surface

    def bounced(self, surface: Surface, chances: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the light that reaches surfaces from the sky and off other surfaces."""
        onward = scatter(surface.normals, chances[surface.hit, 2], chances[surface.hit, 3])
        # Light that has bounced more than once is about the same everywhere.
        return self.look(surface.points + surface.normals * 0.01, onward, SHADE_LIGHT, generator)[0]


def street_rays(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return one ray through each pixel; the picture plane stands upright, so walls stay upright."""
    rows, columns = pixel_spots(STREET_WIDTH, STREET_HEIGHT, index)
    focal = STREET_FOCAL_LENGTH * STREET_WIDTH
    across = (columns - STREET_WIDTH / 2) / focal
    up = (STREET_HORIZON * STREET_HEIGHT - rows) / focal
    directions = normalize(np.stack([across, up, np.ones_like(up)], axis=-1)).astype(np.float32)
    return np.broadcast_to(STREET_EYE, directions.shape).copy(), directions


def street() -> np.ndarray:
    """Render a stepped street between old houses in strong sunlight."""
    scene = Street(street_blocks(), street_solids())
    generator = np.random.default_rng(55)
    exposure = Exposure.empty(STREET_WIDTH * STREET_HEIGHT)
    first_chances = generator.random((STREET_WIDTH * STREET_HEIGHT, 4), np.float32)
    for index in range(STREET_PASSES):
        origins, directions = street_rays(index)
        chances = ((first_chances + index * EVEN_STEPS) % 1.0).astype(np.float32)
        light, surface = scene.look(origins, directions, 0.0, generator)
        exposure.add(light, surface, scene.bounced(surface, chances, generator))
    linear = exposure.picture((STREET_HEIGHT, STREET_WIDTH), STREET_PASSES, 0)
    return develop(linear, exposure=0.54, grain=0.004, contrast=0.15)


PHOTOGRAPHS: dict[str, Callable[[], np.ndarray]] = {
    "mountain_lake": mountain_lake,
    "still_life": still_life,
    "street": street,
}

"""Pictures that stand in for photographs: each function here computes one from geometry, light and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from images.rendering import (
    GradientNoise,
    VolumeNoise,
    blur,
    develop,
    mix,
    normalize,
    resize_grid,
    sample_grid,
    shrink,
    smoothstep,
)

# ----------------------------------------------------------------------------------------------------------------
# The mountain lake: x points right, z into the picture and y up, all in metres; the water lies at y = 0.
# ----------------------------------------------------------------------------------------------------------------

LAKE_WIDTH, LAKE_HEIGHT, LAKE_SUPERSAMPLING = 768, 512, 2
LAKE_FOCAL_LENGTH = 0.98  # in widths of the picture
LAKE_HORIZON = 0.60  # from the top, in heights of the picture
CAMERA_HEIGHT = 9.0
TERRAIN_SIZE = 12000.0
TERRAIN_CELLS = 2048
SUN_DIRECTION = normalize(np.array([-0.80, 0.26, 0.42], np.float32))
SUN_LIGHT = np.array([4.6, 3.05, 1.75], np.float32)
SKY_LIGHT = np.array([0.30, 0.43, 0.66], np.float32)
SHORE_LIGHT = np.array([0.20, 0.17, 0.14], np.float32)
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
        (-700.0, 6900.0, 1500.0, 1300.0, 1.25),
        (1500.0, 7900.0, 1500.0, 1200.0, 1.00),
        (-2900.0, 5200.0, 1300.0, 1700.0, 0.95),
        (3300.0, 5300.0, 1300.0, 1900.0, 0.90),
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
        steepest = STEEPEST_SLOPE * np.clip(1.0 + 0.9 * noise.fractal(x / 420.0, z / 420.0, 6, 0.7), 0.35, 2.2)
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
    land = land + 42.0 * crags * smoothstep(0.25, 1.1, steepness) * smoothstep(150.0, 700.0, land)
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
    chance *= smoothstep(0.58, 0.74, upright)
    return np.where(height > 1.5, chance, 0.0)


@dataclass
class View:
    """What a set of pixels sees of the land: the place that each ray hits and whether it hits any."""

    hit: np.ndarray
    x: np.ndarray
    z: np.ndarray
    height: np.ndarray
    tree: np.ndarray


def trace_terrain(terrain: Terrain, camera_height: float, slopes: np.ndarray, sides: np.ndarray,
                  noise: GradientNoise) -> View:
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
    near_sun = (0.5 + 0.5 * towards_sun) ** 2.0
    zenith = np.array([0.085, 0.19, 0.43], np.float32)
    horizon = mix(np.array([0.50, 0.58, 0.72], np.float32), np.array([1.40, 0.93, 0.55], np.float32), near_sun)
    colour = mix(horizon, zenith, 1.0 - np.exp(-up * 4.2))
    glow = np.array([1.5, 0.85, 0.40], np.float32)
    return colour + glow * (np.maximum(towards_sun, 0.0) ** 7.0 * 0.55)[..., None]


CLOUD_BASE, CLOUD_TOP, CLOUD_STEPS = 2300.0, 3300.0, 22


def cloud_density(x: np.ndarray, y: np.ndarray, z: np.ndarray, noise: VolumeNoise, octaves: int) -> np.ndarray:
    """Return how thick the clouds are at places in the layer: billows with a flat base and a rounded top."""
    level = (y - CLOUD_BASE) / (CLOUD_TOP - CLOUD_BASE)
    profile = smoothstep(0.0, 0.12, level) * (1.0 - smoothstep(0.25, 1.0, level))
    cover = noise(x / 5200.0 + 3.0, 0.0 * y + 0.5, z / 7000.0) * 0.35
    billows = noise.fractal(x / 1500.0, y / 900.0, z / 1500.0, octaves, 0.52)
    return np.clip((billows + cover + 0.05 - 0.62 * (1.0 - profile)) * 2.2, 0.0, 1.0) * (profile > 0)


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
        density = cloud_density(x, y, z, noise, 5)
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
    rock = mix(np.array([0.20, 0.175, 0.155]), np.array([0.36, 0.315, 0.27]), np.clip(0.5 + layers + 0.5 * fine, 0, 1))
    meadow = mix(np.array([0.10, 0.115, 0.035]), np.array([0.19, 0.155, 0.06]), np.clip(0.5 + 1.2 * broad + fine, 0, 1))
    snow = np.array([0.88, 0.90, 0.94], np.float32)
    grassy = smoothstep(0.66, 0.82, upright + 0.12 * fine)
    grassy = grassy * (1.0 - smoothstep(650.0, 1050.0, height + 260.0 * broad))
    colour = mix(rock, meadow, grassy)
    line = height + 320.0 * broad + 90.0 * fine
    snowy = smoothstep(900.0, 1250.0, line) * smoothstep(0.50, 0.66, upright + 0.10 * fine + (line - 1400.0) / 6000.0)
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
    light += SHORE_LIGHT * ((1 - normal[..., 1]) * openness)[..., None]
    return through_air(colour * light, view, directions)


def through_air(colour: np.ndarray, view: View, directions: np.ndarray) -> np.ndarray:
    """Fade far things into the air, more so low down where the mist of the lake lies."""
    distance = np.hypot(view.x, view.z)
    depth = distance / 17000.0 + distance / 15000.0 * np.exp(-np.maximum(view.height, 0.0) / 260.0)
    kept = np.exp(-depth[..., None] * np.array([0.75, 1.0, 1.35], np.float32))
    level = directions * np.array([1, 0, 1], np.float32) + np.array([0, 0.10, 0], np.float32)
    haze = air_colour(normalize(level)) * np.array([0.62, 0.68, 0.80], np.float32)
    return colour * kept + haze * (1.0 - kept)


def upper_half(terrain: Terrain, camera_height: float, slopes: np.ndarray, sides: np.ndarray, sky: np.ndarray,
               noise: GradientNoise) -> tuple[np.ndarray, View]:
    """Render land and sky from a height above the water (or below it, to see what the water mirrors)."""
    view = trace_terrain(terrain, camera_height, slopes, sides, noise)
    land = shade_land(terrain, view, ray_directions(slopes, sides), noise)
    return np.where(view.hit[..., None], land, sky), view


def ripple_slopes(x: np.ndarray, z: np.ndarray, noise: GradientNoise) -> np.ndarray:
    """Return how much the surface of the lake tilts towards the camera: wavelets, and calm and ruffled stretches."""
    ruffled = 0.30 + 0.9 * smoothstep(-0.15, 0.35, noise.fractal(x / 190.0, z / 75.0, 3))
    waves = noise.fractal(x / 2.6, z / 1.3, 3, 0.6) + 0.7 * noise.fractal(x / 11.0 + 8.0, z / 4.5, 3)
    return 0.020 * ruffled * waves


def render_water(mirror: np.ndarray, slopes: np.ndarray, sides: np.ndarray, focal: float,
                 noise: GradientNoise) -> np.ndarray:
    """Render the lake: the mirrored picture, shaken by ripples and fading to the water's own colour nearby."""
    slope, side = np.meshgrid(-slopes, sides, indexing="ij")
    z = CAMERA_HEIGHT / slope
    x = side * z
    tilt = ripple_slopes(x, z, noise)
    columns = np.broadcast_to(np.arange(sides.size), slope.shape)
    generator = np.random.default_rng(11)
    reflected = np.zeros((*slope.shape, 3), np.float32)
    tries = 6
    # Ripples finer than a pixel spread the reflection, so several tilts are averaged.
    unresolved = 0.012 * smoothstep(40.0, 500.0, z) + 0.002
    for _ in range(tries):
        shaken = tilt + unresolved * generator.normal(0.0, 1.0, slope.shape)
        row = np.abs(slope + 2.0 * shaken) * focal
        reflected += sample_grid(mirror, row, columns) / tries
    facing = np.clip(slope + tilt, 0.004, 1.0)
    fresnel = 0.02 + 0.98 * (1.0 - facing / np.sqrt(1.0 + facing**2)) ** 5
    depth_colour = np.array([0.012, 0.045, 0.055], np.float32)
    return mix(depth_colour, reflected * np.array([0.93, 0.96, 0.97], np.float32), fresnel)


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
    linear = np.concatenate([seen[::-1], lower])
    return develop(shrink(linear, LAKE_SUPERSAMPLING), exposure=0.95)


PHOTOGRAPHS: dict[str, Callable[[], np.ndarray]] = {
    "mountain_lake": mountain_lake,
}

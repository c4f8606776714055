"""Make the pictures of notebook 03, of what VGG19's layers keep: make layer-pictures, or with names only those."""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import nst_tf

FOLDER = Path(__file__).resolve().parent
SIDE = 256
BLOCKS = range(1, 6)
CONTENT_STEPS = {1: 100, 2: 200, 3: 300, 4: 200, 5: 200}  # by block
STYLE_STEPS = 150
# The noise of the start is faint, and of the images with the same features the total variation asks for a smooth one:
# a layer hardly notices fine noise, and what is there at the start stays.
NOISE = (0.45, 0.55)
SMOOTHNESS = 0.1


def recipes() -> dict[str, tuple[nst_tf.Recipe, int]]:
    """Return by name what each picture is painted by, and in how many steps."""
    gram = nst_tf.RECIPES["gram"]
    from_noise = gram.changed(method="lbfgs", total_variation_weight=SMOOTHNESS)
    made = {}
    for block in BLOCKS:
        content = {"content_layers": {f"block{block}_conv2": 1.0}, "style_layers": {}, "style_weight": 0.0}
        made[f"content_block{block}"] = from_noise.changed(**content), CONTENT_STEPS[block]
    for block in BLOCKS:
        layers = dict.fromkeys((f"block{number}_conv1" for number in range(1, block + 1)), 1.0)
        style = {"content_layers": {}, "content_weight": 0.0, "style_layers": layers, "style_weight": 1.0}
        made[f"style_block{block}"] = from_noise.changed(**style), STYLE_STEPS
    for block in (1, 4, 5):
        made[f"transfer_block{block}"] = from_noise.changed(content_layers={f"block{block}_conv2": 1.0}), STYLE_STEPS
    for name, weights in {"early": (100, 10, 1, 0, 0), "equal": (1, 1, 1, 1, 1), "deep": (0, 0, 1, 10, 100)}.items():
        shares = zip(BLOCKS, weights, strict=True)
        layers = {f"block{block}_conv1": weight / sum(weights) for block, weight in shares if weight}
        made[f"weights_{name}"] = gram.changed(style_layers=layers), gram.stepping.steps
    return made


def main(names: list[str]) -> None:
    """Paint the pictures, and write beside them the weighted losses after half of the steps and after all."""
    content_image = nst_tf.load_image(FOLDER / "content" / "pagoda.jpg", max_side=SIDE)
    style_image = nst_tf.load_image(FOLDER / "style" / "starry_night.jpg", max_side=SIDE)
    noise = np.random.default_rng(0).uniform(*NOISE, size=content_image.shape)
    faint = tf.constant(noise, tf.float32)
    report = FOLDER / "layers" / "losses.json"
    for name, (recipe, steps) in recipes().items():
        if names and name not in names:
            continue
        start = None if name.startswith("weights") else faint  # these begin as the recipe does, with the content
        options = {"recipe": recipe, "features": "vgg19", "steps": steps, "start": start}
        result = nst_tf.stylize(content_image, style_image, **options)
        result.save(report.with_name(f"{name}.png"))
        losses = json.loads(report.read_text()) if report.exists() else {}
        # Without a decrease left L-BFGS stops early, so the last value is not always that of the last step.
        parts = {part: [float(values[len(values) // 2]), float(values[-1])] for part, values in result.history.items()}
        losses[name] = {"steps": result.steps, **parts}
        report.write_text(json.dumps(losses, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {result.steps} steps in {result.seconds:.0f} s, {losses[name]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

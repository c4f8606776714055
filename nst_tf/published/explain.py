"""Recipes in words and formulas: Markdown with LaTeX for notebooks, plain text for terminals."""

from __future__ import annotations

from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, TOTAL_VARIATION_FORMS, Form
from nst_tf.recipes import Recipe

STARTS = {
    "content": "the content image",
    "noise": "uniform white noise",
    "style": "the style image",
    "content_with_noise": "the content image plus uniform noise of ±0.25, clipped to [0, 1]",
}
UNIT_WORDS = {
    "unit": "for pictures in [0, 1]",
    "caffe": "in caffe units, where white is 255",
    "torch": "in ImageNet's standard deviations",
}


def explain(recipe: Recipe, *, plain: bool = False) -> str:
    """Describe a recipe: its loss with all constants, layers, start, optimiser, steps, sizes, quirks and source.

    Args:
        recipe: To be described.
        plain: Formulas in plain text, for a terminal, instead of LaTeX.

    Returns:
        Markdown, which Jupyter, Colab and GitHub render.
    """
    source = f"[{recipe.source}]({recipe.url})" if recipe.url else recipe.source
    loss, network = recipe.loss, recipe.network
    parts = [
        f"## {recipe.name}: {recipe.title}",
        _total(recipe, plain),
        _term(f"Content loss, {_layers(network.content_layers, plain)}", CONTENT_FORMS[loss.content_form], plain),
        _term(f"Style loss, {_layers(network.style_layers, plain)}", STYLE_FORMS[loss.style_form], plain),
        _total_variation(recipe, plain),
        _symbols(plain),
        "\n".join(f"- **{what}:** {words}" for what, words in _settings(recipe)),
        "\n".join(f"- {quirk}" for quirk in recipe.quirks),
        f"Source: {source}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview(recipes: list[Recipe]) -> str:
    """Return one line for each recipe: its name and title."""
    width = max(len(recipe.name) for recipe in recipes)
    return "\n".join(f"{recipe.name:{width}}  {recipe.title}" for recipe in recipes)


def constants_table(recipes: list[Recipe]) -> str:
    """Return a Markdown table of what the recipes differ in, one column a recipe."""
    rows = [dict(_settings(recipe)) | _weights(recipe) for recipe in recipes]
    lines = ["| | " + " | ".join(f"`{recipe.name}`" for recipe in recipes) + " |", "| --- " * (len(recipes) + 1) + "|"]
    lines += [f"| {what} | " + " | ".join(row[what] for row in rows) + " |" for what in rows[0]]
    return "\n".join(lines)


def _total(recipe: Recipe, plain: bool) -> str:
    terms = [(r"L_\text{content}", "content"), (r"L_\text{style}", "style")]
    weights = [recipe.loss.content_weight, recipe.loss.style_weight]
    if recipe.loss.total_variation_weight:
        terms.append((r"L_\text{variation}", "variation"))
        weights.append(recipe.loss.total_variation_weight)
    written = [
        f"{_number(weight, plain)} {'·' if plain else chr(92) + 'cdot'} {term[plain]}"
        for weight, term in zip(weights, terms, strict=True)
    ]
    return _formula(f"{'total' if plain else 'L'} = {' + '.join(written)}", plain)


def _total_variation(recipe: Recipe, plain: bool) -> str:
    if not recipe.loss.total_variation_weight:
        return "There is no total variation."
    per_pixel = ", divided by height × width" if recipe.loss.total_variation_per_pixel else ""
    what = f"Total variation, {UNIT_WORDS[recipe.loss.total_variation_units]}{per_pixel}"
    return _term(what, TOTAL_VARIATION_FORMS[recipe.loss.total_variation_form], plain)


def _term(what: str, form: Form, plain: bool) -> str:
    return f"{what}:\n\n{_formula(form.formula if plain else form.latex, plain)}"


def _symbols(plain: bool) -> str:
    words = (
        "Here {F}, {P} are the features of the generated and the content image, {C} channels at {M} positions; "
        "{G}, {A} the Gram matrices of the generated and the style image, summed over positions."
    )
    return words.format(**{symbol: symbol if plain else f"${symbol}$" for symbol in "FPCMGA"})


def _layers(layers: dict[str, float], plain: bool) -> str:
    mark = "" if plain else "`"
    return ", ".join(f"{mark}{layer}{mark} × {weight:.6g}" for layer, weight in layers.items())


def _weights(recipe: Recipe) -> dict[str, str]:
    """Return weights, layers and forms for the table of constants."""
    variation = "none"
    if recipe.loss.total_variation_weight:
        variation = (
            f"{_number(recipe.loss.total_variation_weight, False, dollars=True)} · {recipe.loss.total_variation_form}"
        )
    return {
        "content layers": ", ".join(recipe.network.content_layers),
        "content weight": _number(recipe.loss.content_weight, False, dollars=True),
        "content form": recipe.loss.content_form,
        "style layers": ", ".join(f"{layer} × {weight:g}" for layer, weight in recipe.network.style_layers.items()),
        "style weight": _number(recipe.loss.style_weight, False, dollars=True),
        "style form": recipe.loss.style_form,
        "total variation": variation,
    }


def _settings(recipe: Recipe) -> list[tuple[str, str]]:
    return [
        ("start", STARTS[recipe.stepping.start]),
        ("optimiser as published", _optimizer(recipe)),
        ("steps as published", str(recipe.stepping.published_steps or "none published")),
        ("fast solver", f"{FAST[recipe.stepping.method]}, {recipe.stepping.steps} steps"),
        ("clipped to the pixel range", "at each step" if recipe.stepping.clip else "only when saved"),
        ("network", f"VGG19, {recipe.network.pooling} pooling, preprocessing {recipe.network.preprocessing}"),
        ("seen beyond the edge", BEYOND_EDGE[recipe.network.border]),
        ("sizes", _sizes(recipe)),
        ("from coarse to fine", _coarse_to_fine(recipe)),
    ]


BEYOND_EDGE = {
    "zeros": "zeros",
    "replicate": "the outermost values again",
    "replicate_first": "the outermost values again at the first layer, then zeros",
}
FAST = {"adam": "Adam at four resolutions", "lbfgs": "L-BFGS"}


def _optimizer(recipe: Recipe) -> str:
    optimizer = recipe.stepping.optimizer
    if optimizer is None:
        return "none published"
    if optimizer.name == "lbfgs":
        return "L-BFGS"
    words = f"learning rate {optimizer.learning_rate:g} {UNIT_WORDS[optimizer.units]}"
    if optimizer.name == "sgd":
        return f"SGD, {words}, times {optimizer.decay_rate:g} every {optimizer.decay_steps} steps"
    averaged = f", pictures averaged by {optimizer.averaging:g}" if optimizer.averaging else ""
    betas = f"beta_1 {optimizer.beta_1:g}, beta_2 {optimizer.beta_2:g}, epsilon {optimizer.epsilon:g}"
    return f"Adam, {words}, {betas}{averaged}"


def _sizes(recipe: Recipe) -> str:
    measured = {
        "square": f"both pictures squashed to {recipe.pictures.size} × {recipe.pictures.size}",
        "longest side": f"longest side {recipe.pictures.size}",
        "rows": f"{recipe.pictures.size} rows",
        "shorter side": f"shorter side at most {recipe.pictures.size}",
    }[recipe.pictures.sizing]
    style = (
        "the style image keeps its aspect"
        if recipe.pictures.style_size == "own"
        else "the style image is squashed to the same"
    )
    return measured if recipe.pictures.sizing == "square" else f"{measured}; {style}"


def _coarse_to_fine(recipe: Recipe) -> str:
    stepping = recipe.stepping
    if stepping.coarsest is None:
        return "no"
    return f"from {stepping.coarsest} pixels on, each size {stepping.growth:.3g} times the one before"


def _number(value: float, plain: bool, *, dollars: bool = False) -> str:
    """Write 2.5e-08 as 2.5e-08 in plain text, and as 2.5 × 10⁻⁸ in LaTeX."""
    text = f"{value:.6g}"
    if plain or "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = f"10^{{{int(exponent)}}}"
    written = power if mantissa == "1" else rf"{mantissa} \cdot {power}"
    return f"${written}$" if dollars else written


def _formula(text: str, plain: bool) -> str:
    return f"    {text}" if plain else f"$${text}$$"

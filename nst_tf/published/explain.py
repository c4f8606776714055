"""Recipes in words and formulas: Markdown with LaTeX for notebooks, plain text for terminals."""

from __future__ import annotations

from collections.abc import Mapping

from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, TOTAL_VARIATION_FORMS, Form, VariationForm
from nst_tf.published.records import SIZINGS, STARTS, STYLE_SIZES
from nst_tf.published.sources import METHODS, OPTIMIZERS
from nst_tf.recipes import Recipe

UNITS = {
    "unit": "for pictures in [0, 1]",
    "caffe": "in caffe units, where white is 255",
    "torch": "in ImageNet's standard deviations",
}
BORDERS = {
    "zeros": "zeros",
    "replicate": "the outermost values again",
    "replicate_first": "the outermost values again at the first layer, then zeros",
}
SYMBOLS = (
    "Here {F}, {P} are the features of the generated and the content image, {C} channels at {M} positions; "
    "{G}, {A} the Gram matrices of the generated and the style image, summed over positions."
)


def explain(recipe: Recipe, *, plain: bool = False) -> str:
    """Describe a recipe: its loss with all constants, layers, start, optimizer, steps, sizes, quirks and source.

    Args:
        recipe: To be described.
        plain: Formulas in plain text, for a terminal, instead of LaTeX.

    Returns:
        Markdown, which Jupyter, Colab and GitHub render.
    """
    loss, network, mark = recipe.loss, recipe.network, "" if plain else "`"
    weights = {"content": loss.content_weight, "style": loss.style_weight}
    variation = "There is no total variation."
    if loss.total_variation_weight:
        weights["variation"] = loss.total_variation_weight
        per_pixel = ", divided by height × width" if loss.total_variation_per_pixel else ""
        variation = f"Total variation, {UNITS[loss.total_variation_units]}{per_pixel}"
        variation = _term(variation, TOTAL_VARIATION_FORMS[loss.total_variation_form], plain)
    written = "{} · {}" if plain else r"{} \cdot L_\text{{{}}}"
    total = " + ".join(written.format(_number(weight, plain), name) for name, weight in weights.items())
    content, style = (_layers(layers, mark) for layers in (network.content_layers, network.style_layers))
    parts = [
        f"## {recipe.name}: {recipe.title}",
        _formula(f"{'total' if plain else 'L'} = {total}", plain),
        _term(f"Content loss, {content}", CONTENT_FORMS[loss.content_form], plain),
        _term(f"Style loss, {style}", STYLE_FORMS[loss.style_form], plain),
        variation,
        SYMBOLS.format(**{symbol: symbol if plain else f"${symbol}$" for symbol in "FPCMGA"}),
        "\n".join(f"- **{what}:** {words(recipe)}" for what, words in SETTINGS.items()),
        "\n".join(f"- {quirk}" for quirk in recipe.quirks),
        f"Source: [{recipe.source}]({recipe.url})" if recipe.url else f"Source: {recipe.source}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def constants_table(recipes: list[Recipe]) -> str:
    """Return a Markdown table of what the recipes differ in, one column a recipe."""
    rows = {what: [words(recipe) for recipe in recipes] for what, words in (SETTINGS | CONSTANTS).items()}
    lines = ["| | " + " | ".join(f"`{recipe.name}`" for recipe in recipes) + " |", "| --- " * (len(recipes) + 1) + "|"]
    return "\n".join(lines + [f"| {what} | " + " | ".join(cells) + " |" for what, cells in rows.items()])


def _optimizer(recipe: Recipe) -> str:
    optimizer = recipe.stepping.optimizer
    if optimizer is None:
        return "none published"
    parts = [OPTIMIZERS[optimizer.name].words]
    for name, value in optimizer.arguments.items():
        rate = name == "learning_rate"
        parts.append(f"learning rate {value:g} {UNITS[optimizer.units]}" if rate else f"{name} {value:g}")
    if optimizer.decay_rate != 1:
        parts.append(f"times {optimizer.decay_rate:g} every {optimizer.decay_steps} steps")
    if optimizer.averaging:
        parts.append(f"pictures averaged by {optimizer.averaging:g}")
    return ", ".join(parts)


def _sizes(recipe: Recipe) -> str:
    pictures = recipe.pictures
    measured = SIZINGS[pictures.sizing].format(pictures.size)
    return measured if pictures.sizing == "square" else f"{measured}; {STYLE_SIZES[pictures.style_size]}"


def _coarse_to_fine(recipe: Recipe) -> str:
    stepping = recipe.stepping
    if stepping.coarsest is None:
        return "no"
    return f"from {stepping.coarsest} pixels on, each size {stepping.growth:.3g} times the one before"


def _variation(recipe: Recipe) -> str:
    weight = recipe.loss.total_variation_weight
    return f"{_cell(weight)} · {recipe.loss.total_variation_form}" if weight else "none"


# What a recipe says beside its formulas; and, for a table of many, what is in its formulas.
SETTINGS = {
    "start": lambda recipe: STARTS[recipe.stepping.start],
    "optimizer as published": _optimizer,
    "steps as published": lambda recipe: str(recipe.stepping.published_steps or "none published"),
    "fast solver": lambda recipe: f"{METHODS[recipe.stepping.method].words}, {recipe.stepping.steps} steps",
    "clipped to the pixel range": lambda recipe: "at each step" if recipe.stepping.clip else "only when saved",
    "network": lambda recipe: f"VGG19, {recipe.network.pooling} pooling, preprocessing {recipe.network.preprocessing}",
    "seen beyond the edge": lambda recipe: BORDERS[recipe.network.border],
    "sizes": _sizes,
    "from coarse to fine": _coarse_to_fine,
}
CONSTANTS = {
    "content layers": lambda recipe: ", ".join(recipe.network.content_layers),
    "content weight": lambda recipe: _cell(recipe.loss.content_weight),
    "content form": lambda recipe: recipe.loss.content_form,
    "style layers": lambda recipe: _layers(recipe.network.style_layers, ""),
    "style weight": lambda recipe: _cell(recipe.loss.style_weight),
    "style form": lambda recipe: recipe.loss.style_form,
    "total variation": _variation,
}


def _layers(layers: Mapping[str, float], mark: str) -> str:
    return ", ".join(f"{mark}{layer}{mark} × {weight:.6g}" for layer, weight in layers.items())


def _term(what: str, form: Form | VariationForm, plain: bool) -> str:
    return f"{what}:\n\n{_formula(form.formula if plain else form.latex, plain)}"


def _formula(text: str, plain: bool) -> str:
    return f"    {text}" if plain else f"$${text}$$"


def _number(value: float, plain: bool) -> str:
    r"""Write 2.5e-08 as it is in plain text, and as 2.5 \cdot 10^{-8} in LaTeX."""
    text = f"{value:.6g}"
    if plain or "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


def _cell(value: float) -> str:
    """Write a number for a cell of a Markdown table."""
    text = _number(value, plain=False)
    return f"${text}$" if "^" in text else text

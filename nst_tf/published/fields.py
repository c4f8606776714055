"""Fields of a recipe as text: on the command line, and as JSON inside a PNG."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nst_tf.ground.checks import number, suggestions, whole_number
from nst_tf.published.sources import FIRST_CONVOLUTIONS, Optimizer
from nst_tf.recipes import FIELDS, RECIPES, Recipe, fields_of

LAYERS = ("content_layers", "style_layers")
OPTIONS = ("steps", "size")
# Fields that text cannot set: prose and objects.
NOT_BY_TEXT = ("name", "title", "source", "url", "quirks", "optimizer")
# By the type of a field, what reads it from text or JSON, and what it says of itself.
KINDS = {
    "str": (lambda value: os.fspath(value).strip(), "text"),
    "int": (lambda value: whole_number(_as_number(value), "it", least=0), "a whole number of at least 0"),
    "float": (lambda value: number(_as_number(value), "it"), "a number of at least 0"),
    "bool": (lambda value: {"true": True, "false": False}[value.lower()], "true or false"),
}


def parse_change(text: str) -> tuple[str, Any]:
    """Return name and value of "style_weight=20"; raise ValueError if it is not of this form, or as `parse_value`."""
    name, equals, value = map(str.strip, text.partition("="))
    if not equals:
        raise ValueError(f"Expected a field of the recipe and its value, such as style_weight=20; got {text!r}.")
    if name in OPTIONS:
        raise ValueError(f"{name} has an option of its own: --{name} {value}.")
    return name, parse_value(name, value)


def parse_value(name: str, text: str) -> Any:
    """Return the value of a field of the recipe from text; raise ValueError if it cannot be such a value.

    That is a number, a word, or "none" where the field may be None; for layers "1-3" (the first convolution of each of
    these blocks, equally weighted), or names joined by plus signs, each with its weight after a colon if they differ:
    "block1_conv1:0.8+block4_conv2:0.2".
    """
    kinds = {field: kind for field, (kind, _) in FIELDS.items() if field not in NOT_BY_TEXT}
    if name not in kinds:
        raise ValueError(f"A recipe has no field {name!r} that can be set by text; it has {suggestions(name, kinds)}.")
    if name in LAYERS:
        return parse_layers(text)
    if "None" in kinds[name] and text.lower() == "none":
        return None
    return read_as(kinds[name], name, text)


def read_as(kind: str, name: str, value: Any) -> Any:
    """Return text, or what JSON holds, as a type such as "int | None" has it; raise ValueError if it cannot be that."""
    read, expected = KINDS[kind.removesuffix(" | None")]
    try:
        return read(value)
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{name} is {value!r}; expected {expected}.") from None


def _as_number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return int(value) if value.strip().isdecimal() else float(value)  # 5.0 in a table is 5


def parse_layers(text: str) -> dict[str, float]:
    """Return layers and their weights from text; see `parse_value`."""
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        if not 1 <= int(first) <= int(last) <= len(FIRST_CONVOLUTIONS):
            raise ValueError(f"Blocks run from 1 to {len(FIRST_CONVOLUTIONS)}; got {text!r}.")
        layers = FIRST_CONVOLUTIONS[int(first) - 1 : int(last)]
        return dict.fromkeys(layers, 1 / len(layers))
    parts = [part.partition(":") for part in text.split("+")]
    try:
        return {layer.strip(): float(weight) if colon else 1 / len(parts) for layer, colon, weight in parts}
    except ValueError:
        raise ValueError(f"A layer's weight is a number, such as block1_conv1:0.5; got {text!r}.") from None


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as "recipe", the name of one in `RECIPES`, and "changes", the fields that differ from it."""
    name = recipe.name if recipe.name in RECIPES else "studio"
    named = fields_of(RECIPES[name])
    changes = {field: value for field, value in fields_of(recipe).items() if value != named[field]}
    if changes.get("optimizer"):
        changes["optimizer"] = asdict(changes["optimizer"])
    return {"recipe": name, "changes": changes}


def changed_by_json(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the "changes" that `recipe_settings` returned; raise ValueError if they cannot be such."""
    try:
        changes = dict(changes)
        if isinstance(changes.get("optimizer"), dict):
            changes["optimizer"] = Optimizer(**changes["optimizer"])
        if isinstance(changes.get("quirks"), list):
            changes["quirks"] = tuple(changes["quirks"])
        return recipe.changed(**changes)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"The settings of the recipe {recipe.name!r} cannot be read: {error}.") from error

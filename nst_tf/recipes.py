"""Recipes: all that defines a style transfer, under one name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nst_tf.ground.checks import one_of, suggestions
from nst_tf.published.records import Loss, Network, Pictures, Stepping
from nst_tf.published.sources import SOURCES


@dataclass(frozen=True)
class Recipe:
    """All that defines a style transfer but the two images and the network's weights.

    `make_recipe` makes one, and `changed` changes it, by the names of all fields, whichever record they are in.

    Args:
        name: Its name in `RECIPES`.
        title: One line for lists.
        network: Which features are compared.
        loss: How they become a loss.
        stepping: Where the image starts and how it is moved.
        pictures: In which sizes and colors the images are compared.
        source: Where the recipe is from.
        url: Where to read it.
        quirks: What surprises in it, one sentence each.

    Raises:
        ValueError: If colors are to be kept where there is no content or no style, or a loss has a weight and no layer.
    """

    name: str
    title: str
    network: Network
    loss: Loss
    stepping: Stepping
    pictures: Pictures
    source: str = ""
    url: str = ""
    quirks: tuple[str, ...] = ()

    def __post_init__(self):
        """Reject records that contradict each other."""
        for kind in ("content", "style"):
            layers = getattr(self.network, f"{kind}_layers")
            if getattr(self.loss, f"{kind}_weight") and not any(layers.values()):
                raise ValueError(
                    f"{kind}_layers gives no layer any weight, so the {kind} would count for nothing. Name some, or "
                    f"set {kind}_weight=0."
                )
        color = self.pictures.color
        for weight in ("style_weight", "content_weight"):
            if color != "style" and not getattr(self.loss, weight):
                raise ValueError(f"{color=} needs a {weight} above 0. Change one of them.")

    def changed(self, **changes: Any) -> Recipe:
        """Return the recipe with some fields changed, such as `start="noise"` or `style_weight=3.0`.

        Raises:
            ValueError: If a field does not exist, or its value is out of range.
        """
        return make_recipe(**{**fields_of(self), **changes})


RECORDS = {"network": Network, "loss": Loss, "stepping": Stepping, "pictures": Pictures}
# By the name of each field that a recipe can be changed in, its type and the record it is in, "" for the recipe itself.
FIELDS = {field.name: (field.type, "") for field in fields(Recipe) if field.name not in RECORDS}
FIELDS |= {field.name: (field.type, name) for name, record in RECORDS.items() for field in fields(record)}


def make_recipe(**values: Any) -> Recipe:
    """Make a recipe from the fields of all its records by name.

    Raises:
        ValueError: If a field does not exist, or its value is out of range.
    """
    own, records = {}, {name: {} for name in RECORDS}
    for name, value in values.items():
        if name not in FIELDS:
            raise ValueError(f"A recipe has no field {name!r}; it has {suggestions(name, FIELDS)}.")
        kind, home = FIELDS[name]
        if kind == "bool" and not isinstance(value, (bool, np.bool_)):  # any text would count as True
            raise ValueError(f"{name} is {value!r}; expected True or False.")
        (records[home] if home else own)[name] = value
    return Recipe(**own, **{name: record(**records[name]) for name, record in RECORDS.items()})


def fields_of(recipe: Recipe) -> dict[str, Any]:
    """Return the values of all fields of a recipe by name, whichever record they are in."""
    return {name: getattr(getattr(recipe, home) if home else recipe, name) for name, (_, home) in FIELDS.items()}


def find_recipe(recipe: str | Recipe) -> Recipe:
    """Return the recipe of a name, or the recipe given; reject unknown names with a list of those that exist."""
    return recipe if isinstance(recipe, Recipe) else RECIPES[one_of(recipe, RECIPES, "recipe")]


RECIPES = {source["name"]: make_recipe(**source) for source in SOURCES}

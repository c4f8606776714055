"""Writing one recipe's weights in the forms of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, Size

if TYPE_CHECKING:
    from nst_tf.recipes import Recipe

VGG_CHANNELS = {"block1": 64, "block2": 128, "block3": 256, "block4": 512, "block5": 512}


def convert_weights(recipe: Recipe, to: Recipe, *, height: int, width: int) -> Recipe:
    """Express a recipe's weights in the forms of another, so that the objective stays the same.

    Writing S = Σ(G − A)² for a layer with C channels at M positions, every fixed style form is S times a number that
    depends on C, M and the picture's size, and every fixed content form is Σ(F − P)² times one.  The weights take up
    the quotients, layer by layer.

    Args:
        recipe: Whose objective is kept, with its layers, network, total variation and start.
        to: Whose `content_form` and `style_form` it is written in.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.

    Returns:
        The recipe in the other's forms.  Its `content_weight` and `style_weight` are `to`'s; its layers' weights take
        up the rest.

    Raises:
        ValueError: If a form is relative, for which no fixed weight exists; if a layer is not one of VGG's, whose
            channels and positions are known; or if the recipe has a total variation of another form than `to`.
    """
    for what in (recipe, to):
        if "relative" in (what.content_form, what.style_form):
            raise ValueError(
                f"{what.name!r} divides each loss by the energy of its target, which differs from picture to picture; "
                "no fixed weights say the same."
            )
    if not to.content_weight or not to.style_weight:
        raise ValueError(f"{to.name!r} has a weight of 0, in which no other can be expressed.")
    if recipe.total_variation_weight and recipe.total_variation_form != to.total_variation_form:
        raise ValueError(
            f"{recipe.name!r} has a total variation of the form {recipe.total_variation_form!r}, and {to.name!r} one "
            f"of the form {to.total_variation_form!r}; these are different functions, which no weight makes equal. "
            "Convert recipe.changed(total_variation_weight=0.0) instead."
        )
    content_layers, style_layers = {}, {}
    for layer, weight in recipe.content_layers.items():
        factors = (CONTENT_FORMS[one.content_form].factor for one in (recipe, to))
        content_layers[layer] = recipe.content_weight * weight * _quotient(factors, layer, height, width)
    for layer, weight in recipe.style_layers.items():
        factors = (STYLE_FORMS[one.style_form].factor for one in (recipe, to))
        style_layers[layer] = recipe.style_weight * weight * _quotient(factors, layer, height, width)
    return replace(
        recipe,
        name=f"{recipe.name} in the forms of {to.name}",
        content_layers={layer: weight / to.content_weight for layer, weight in content_layers.items()},
        content_weight=to.content_weight,
        content_form=to.content_form,
        style_layers={layer: weight / to.style_weight for layer, weight in style_layers.items()},
        style_weight=to.style_weight,
        style_form=to.style_form,
    )


def _quotient(factors: Iterable[Callable[[Size], float]], layer: str, height: int, width: int) -> float:
    """Return one form's factor over another's at one of VGG's convolutions, for a picture of this size."""
    block = layer.split("_")[0]
    if block not in VGG_CHANNELS or "_conv" not in layer:
        raise ValueError(
            f"The channels and positions of {layer!r} are not known; weights convert for VGG's convolutions only."
        )
    halvings = int(block[-1]) - 1
    size = Size(VGG_CHANNELS[block], (height >> halvings) * (width >> halvings), height * width)
    mine, others = (factor(size) for factor in factors)
    return mine / others

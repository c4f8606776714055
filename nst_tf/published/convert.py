"""Writing one recipe's weights in the forms of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, Size
from nst_tf.networks.vgg import channels_of

if TYPE_CHECKING:
    from nst_tf.recipes import Recipe


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
        ValueError: If a form is relative or Wasserstein's, for which no fixed weight exists; if a layer is not one of
            VGG's, whose channels and positions are known; or if the recipe has a total variation of another form than
            `to`.
    """
    for what in (recipe, to):
        for forms, form in ((CONTENT_FORMS, what.loss.content_form), (STYLE_FORMS, what.loss.style_form)):
            if forms[form].factor is None:
                raise ValueError(
                    f"{what.name!r} has a loss of the form {form!r}, which is no fixed multiple of a sum of squares; "
                    "no weights of another form say the same."
                )
    if not to.loss.content_weight or not to.loss.style_weight:
        raise ValueError(f"{to.name!r} has a weight of 0, in which no other can be expressed.")
    forms = [one.loss.total_variation_form for one in (recipe, to)]
    if recipe.loss.total_variation_weight and forms[0] != forms[1]:
        raise ValueError(
            f"{recipe.name!r} has a total variation of the form {forms[0]!r}, and {to.name!r} one of the form "
            f"{forms[1]!r}; these are different functions, which no weight makes equal. "
            "Convert recipe.changed(total_variation_weight=0.0) instead."
        )
    content_layers, style_layers = {}, {}
    for layer, weight in recipe.network.content_layers.items():
        factors = (CONTENT_FORMS[one.loss.content_form].factor for one in (recipe, to))
        content_layers[layer] = recipe.loss.content_weight * weight * _quotient(factors, layer, height, width)
    for layer, weight in recipe.network.style_layers.items():
        factors = (STYLE_FORMS[one.loss.style_form].factor for one in (recipe, to))
        style_layers[layer] = recipe.loss.style_weight * weight * _quotient(factors, layer, height, width)
    return recipe.changed(
        name=f"{recipe.name} in the forms of {to.name}",
        content_layers={layer: weight / to.loss.content_weight for layer, weight in content_layers.items()},
        content_weight=to.loss.content_weight,
        content_form=to.loss.content_form,
        style_layers={layer: weight / to.loss.style_weight for layer, weight in style_layers.items()},
        style_weight=to.loss.style_weight,
        style_form=to.loss.style_form,
    )


def _quotient(factors: Iterable[Callable[[Size], float]], layer: str, height: int, width: int) -> float:
    """Return one form's factor over another's at one of VGG's convolutions, for a picture of this size."""
    channels = channels_of("vgg19")
    if layer not in channels:
        raise ValueError(
            f"The channels and positions of {layer!r} are not known; weights convert for VGG's convolutions only."
        )
    halvings = int(layer[len("block")]) - 1
    size = Size(channels[layer], (height >> halvings) * (width >> halvings), height * width)
    mine, others = (factor(size) for factor in factors)
    return mine / others

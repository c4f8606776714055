"""Writing one recipe's weights in the forms of another."""

from __future__ import annotations

from nst_tf.losses import CONTENT_FORMS, STYLE_FORMS, Size
from nst_tf.networks.table import NETWORKS
from nst_tf.networks.vgg import geometry_of
from nst_tf.recipes import Recipe


def convert_weights(recipe: Recipe, to: Recipe, *, height: int, width: int) -> Recipe:
    """Express a recipe's weights in the forms of another, so that the objective stays the same.

    Writing S = Σ(G − A)² for a layer with C channels at M positions, every fixed style form is S times a number that
    depends on C, M and the image's size, and every fixed content form is Σ(F − P)² times one.  The weights take up
    the quotients, layer by layer.

    Args:
        recipe: Whose objective is kept, with its layers, network, total variation and start.
        to: Whose `content_form` and `style_form` it is written in.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        The recipe in the other's forms.  Its `content_weight` and `style_weight` are `to`'s, but for one that is 0 and
        stays so; its layers' weights take up the rest.

    Raises:
        ValueError: If a form is relative or Wasserstein's, for which no fixed weight exists; if a layer is not one of
            VGG19's, whose channels and positions are known; or if the recipe has a total variation of another form than
            `to`.
    """
    variations = [one.loss.total_variation_form for one in (recipe, to)]
    if recipe.loss.total_variation_weight and variations[0] != variations[1]:
        raise ValueError(
            f"No weight makes the total variations {variations[0]!r} of {recipe.name!r} and {variations[1]!r} of "
            f"{to.name!r} equal. Convert recipe.changed(total_variation_weight=0.0) instead."
        )
    changes = {"name": f"{recipe.name} in the forms of {to.name}"}
    for kind, forms in (("content", CONTENT_FORMS), ("style", STYLE_FORMS)):
        names = [getattr(one.loss, f"{kind}_form") for one in (recipe, to)]
        factors = [forms[name].factor for name in names]
        if None in factors:
            name = names[factors.index(None)]
            raise ValueError(f"The {kind} form {name!r} is no fixed multiple of a sum of squares, so no weight can do.")
        weight, new_weight = (getattr(one.loss, f"{kind}_weight") for one in (recipe, to))
        if not weight:
            changes[f"{kind}_form"] = names[1]
            continue
        if not new_weight:
            raise ValueError(f"{to.name!r} has {kind}_weight=0, in which no other weight can be expressed.")
        layers = {}
        for layer, share in getattr(recipe.network, f"{kind}_layers").items():
            factor, new_factor = (factor(_size_at(layer, recipe, height, width)) for factor in factors)
            layers[layer] = share * (weight * factor) / (new_weight * new_factor)
        changes |= {f"{kind}_{field}": getattr(to.loss, f"{kind}_{field}") for field in ("weight", "form")}
        changes[f"{kind}_layers"] = layers
    return recipe.changed(**changes)


def _size_at(layer: str, recipe: Recipe, height: int, width: int) -> Size:
    channels = NETWORKS["vgg19"].channels
    if layer not in channels:
        raise ValueError(f"The channels and positions of {layer!r} are not known; weights convert for VGG19's layers.")
    geometry = geometry_of(channels, recipe.network.border)[layer]
    return Size(channels[layer], geometry.positions(height) * geometry.positions(width), height * width)

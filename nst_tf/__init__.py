"""Neural style transfer by image optimization, with Keras and TensorFlow.

    import nst_tf

    content_image = nst_tf.load_image("content.jpg", max_side=512)
    style_image = nst_tf.load_image("style.jpg", max_side=512)
    nst_tf.stylize(content_image, style_image).save("stylized.png")

Names are loaded when they are first used, so that importing the package takes no time.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {  # by module, the names that it gives the package
    "images": "load_image save_image",
    "losses": "gram_matrix with_ones content_loss style_loss total_variation_loss",
    "features": "FeatureExtractor slim_features vgg19_features vgg16_features keras_features preprocess",
    "engine.extractors": "find_features",
    "networks.vgg": "keras_vgg19",
    "objective": "Objective Losses make_objective",
    "recipes": "Recipe RECIPES make_recipe",
    "published.convert": "convert_weights",
    "published.explain": "explain constants_table",
    "published.sources": "Optimizer",
    "pictures.settings": "settings_of",
    "controls.styles": "Style",
    "controls.sizes": "load_images",
    "controls.color": "match_colors",
    "controls.masks": "load_mask rest_of propose_regions",
    "transfer": "stylize Result Step",
    "engine.run": "Engine",
    "engine.memory": "estimate_memory",
    "engine.precision": "this_device choose_precision",
    "tools.special": "texture reconstruct",
    "tools.sweep": "sweep Axis",
    "tools.jobs": "Job read_jobs pairs",
    "tools.many": "stylize_many worker_processes",
    "tools.cluster": "cluster_workers",
    "tools.frames": "stylize_frames frame_jobs",
    "controls.previous": "Previous",
    "tools.notebook": "set_up_notebook in_colab",
    "display": "show_images plot_history contact_sheet",
    "tools.animations": "timelapse animate",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

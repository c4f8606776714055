"""What every notebook does first: quiet start, sharp small figures, and a line on where it runs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings

from nst_tf.ground.startup import show_log, start_tensorflow

JPEG_QUALITY = 82
FIGURE_DPI = 80
PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "pillow")


def set_up_notebook() -> str:
    """Set up figures and warnings for a notebook, start TensorFlow quietly, and say where it runs.

    Figures become JPEG, which keeps notebooks full of images small.  Warnings are printed as one line among the
    output, without the source line that raised them.

    Returns:
        Versions and device, for printing; where there is no GPU, how to get one in Colab.
    """
    import matplotlib
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    start_tensorflow()
    from nst_tf.engine.precision import this_device

    show_log()
    set_matplotlib_formats("jpeg", pil_kwargs={"quality": JPEG_QUALITY})
    matplotlib.rcParams.update({"figure.dpi": FIGURE_DPI, "savefig.dpi": FIGURE_DPI, "font.size": 9})
    warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    device, advice = this_device(), "All of it runs on a CPU."
    if device.kind == "GPU":
        return f"{versions}\nRunning on the GPU {device.name}."
    if in_colab():
        advice = "For a GPU: Runtime > Change runtime type > T4 GPU."
    return f"{versions}\nThere is no GPU here. {advice}"


def in_colab() -> bool:
    """Return whether this is Google Colab."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no package "google" at all
        return False

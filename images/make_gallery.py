"""Make the gallery of controls in docs/controls.md on one pair of pictures, with the code as it is: make gallery."""

from pathlib import Path

import nst_tf

FOLDER = Path(__file__).resolve().parent
CONTENT, STYLE, OTHER_STYLE = "content/pagoda.jpg", "style/starry_night.jpg", "style/the_scream.jpg"
MASK = "masks/pagoda.png"
SIDE = 400


def main() -> None:
    """Repaint one picture with one control after the other, and draw all of them."""
    content_image, style_image, other_image = (
        nst_tf.load_image(FOLDER / name, max_side=SIDE) for name in (CONTENT, STYLE, OTHER_STYLE)
    )
    building = nst_tf.load_mask(FOLDER / MASK, size=tuple(content_image.shape[1:3]), softness=2.0)
    around = nst_tf.rest_of(building)
    fine, coarse = (nst_tf.load_image(FOLDER / STYLE, max_side=round(s * SIDE), upscale=True) for s in (0.4, 3))
    runs = {
        "no control": (style_image, {}),
        'color="luminance"': (style_image, {"color": "luminance"}),
        'color="matching"': (style_image, {"color": "matching"}),
        "two styles, half and half": ([style_image, other_image], {}),
        "a mask: all but the building": (nst_tf.Style(style_image, content_mask=around), {}),
        "style_scale=0.4": (fine, {"style_scale": 0.4}),
        "style_scale=3": (coarse, {"style_scale": 3.0}),
        "total_variation_weight=60": (style_image, {"total_variation_weight": 60.0}),
    }
    pictures = {"content image": content_image}
    for caption, (style, changes) in runs.items():
        result = nst_tf.stylize(content_image, style, features="slim", **changes)
        print(f"{caption}: {result.seconds:.0f} s", flush=True)
        pictures[caption] = result.image
    figure = nst_tf.show_images(pictures, columns=3, height=2.5)
    figure.savefig(FOLDER / "gallery.jpg", dpi=110, pil_kwargs={"quality": 86})


if __name__ == "__main__":
    main()

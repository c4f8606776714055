"""Make the README's strip of pictures before and after, with the code as it is: make strip."""

from pathlib import Path

import nst_tf

FOLDER = Path(__file__).resolve().parent
PAIRS = (
    ("mountain_lake", "swirling_night"),
    ("street", "stained_glass"),
    ("still_life", "woodblock_waves"),
)
SIDE = 400


def main() -> None:
    """Stylize each pair with the slim network and draw content, style and result in a row."""
    pictures = {}
    for content, style in PAIRS:
        content_image = nst_tf.load_image(FOLDER / "content" / f"{content}.jpg", max_side=SIDE)
        style_image = nst_tf.load_image(FOLDER / "style" / f"{style}.jpg", max_side=SIDE)
        result = nst_tf.stylize(content_image, style_image, features="slim")
        print(f"{content} in the style of {style}: {result.seconds:.0f} s", flush=True)
        pictures[f"{content}.jpg"] = content_image
        pictures[f"{style}.jpg"] = style_image
        pictures[f"{content} in the style of {style}"] = result.image
    figure = nst_tf.show_images(pictures, columns=3, height=2.6)
    figure.savefig(FOLDER / "before_after.jpg", dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

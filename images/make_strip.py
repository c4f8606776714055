"""Make the README's strip of pictures before and after, with the code as it is: make strip."""

from pathlib import Path

import nst_tf

FOLDER = Path(__file__).resolve().parent
PAIRS = (
    ("astronaut", "portrait_of_metzinger", "Portrait of Metzinger"),
    ("chelsea", "starry_night", "The Starry Night"),
    ("coffee", "composition_vii", "Composition VII"),
)
SIDE = 512


def main() -> None:
    """Stylize each pair with the slim network and draw content, style and result in a row."""
    pictures = {}
    for content, style, title in PAIRS:
        content_image = nst_tf.load_image(FOLDER / "content" / f"{content}.jpg", max_side=SIDE)
        style_image = nst_tf.load_image(FOLDER / "style" / f"{style}.jpg", max_side=SIDE)
        result = nst_tf.stylize(content_image, style_image, features="slim")
        print(f"{content} in the style of {title}: {result.seconds:.0f} s", flush=True)
        pictures[content], pictures[title] = content_image, style_image
        pictures[f"{content}, in the style of {title}"] = result.image
    figure = nst_tf.show_images(pictures, columns=3, height=2.9)
    figure.savefig(FOLDER / "before_after.jpg", dpi=120, pil_kwargs={"quality": 86})


if __name__ == "__main__":
    main()

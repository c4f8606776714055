"""Make the README's pictures with the code as it is: make strip."""

from pathlib import Path

import nst_tf

FOLDER = Path(__file__).resolve().parent
# The first is the pair of `make demo`, at its size.
PAIRS = (
    ("pagoda", "starry_night", "The Starry Night"),
    ("pagoda", "the_scream", "The Scream"),
    ("coffee", "composition_vii", "Composition VII"),
)
SIDE = 400


def main() -> None:
    """Stylize each pair with the slim network and draw content, style and result in a row."""
    rows = []
    for content, style, title in PAIRS:
        content_image = nst_tf.load_image(FOLDER / "content" / f"{content}.jpg", max_side=SIDE)
        style_image = nst_tf.load_image(FOLDER / "style" / f"{style}.jpg", max_side=SIDE)
        result = nst_tf.stylize(content_image, style_image, features="slim")
        print(f"{content} in the style of {title}: {result.seconds:.0f} s", flush=True)
        rows.append({content: content_image, title: style_image, f"{content}, as in {title}": result.image})
    _draw(rows[0], "demo.jpg")
    # Captions are keys, and one photograph stands in two rows.
    pictures = {f"{caption}{' ' * number}": image for number, row in enumerate(rows) for caption, image in row.items()}
    _draw(pictures, "before_after.jpg")


def _draw(pictures: dict, name: str) -> None:
    figure = nst_tf.show_images(pictures, columns=3, height=2.9)
    figure.savefig(FOLDER / name, dpi=120, pil_kwargs={"quality": 86})


if __name__ == "__main__":
    main()

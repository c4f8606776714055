"""What the README and the pages of docs/ tell the reader to type into Python."""

import re

from conftest import REPOSITORY, smooth_picture, striped_picture

from nst_tf.images import save_image


def test_what_the_pages_show_in_python_runs_in_the_order_of_the_pages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for photograph in ("content.jpg", "lake.jpg", "sky.png", "sketch.png"):
        save_image(smooth_picture(48, 64), photograph)
    for painting in ("style.jpg", "night.jpg", "mosaic.jpg"):
        save_image(striped_picture(56, 48), painting)
    known = {}
    for page in ("README.md", "docs/controls.md", "docs/at-scale.md"):
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for table in re.findall(r"^```csv\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            (tmp_path / "jobs.csv").write_text(table, encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert blocks
        for block in blocks:
            exec(compile(block, page, "exec"), known)  # what one page defines the next may use
            known.setdefault("other_image", known["style_image"])
    assert (tmp_path / "stylized.png").exists()
    assert (tmp_path / "out" / "1.png").exists()
    assert (tmp_path / "out" / "2.png").exists()

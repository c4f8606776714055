import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import nst_tf
from nst_tf.display import contact_sheet, plot_history, show_images
from nst_tf.images import save_image
from nst_tf.tools.animations import timelapse


def test_show_images_draws_every_picture_under_its_caption(pair):
    figure = show_images({"content": pair[0], "style": pair[1]}, title="inputs")
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes] == ["content", "style"]
    shown = np.asarray(figure.axes[0].images[0].get_array()) / 255
    np.testing.assert_allclose(shown, pair[0].numpy()[0], atol=0.51 / 255)
    assert len(show_images([pair[0]] * 5, columns=3).axes) == 6
    with pytest.raises(ValueError, match="no picture"):
        show_images([])


def test_a_white_picture_is_seen_on_white_paper():
    canvas = FigureCanvasAgg(show_images([np.ones((1, 40, 60, 3), np.float32)]))
    canvas.draw()
    assert np.asarray(canvas.buffer_rgba()).min() < 230


def test_plot_history_draws_total_and_parts_on_a_logarithmic_scale_without_empty_ones():
    history = {"total": [3.0, 2.0], "content": [1.0, 1.0], "style": [2.0, 1.0], "total_variation": [0.0, 0.0]}
    axis = plot_history(history).axes[0]
    assert [line.get_label() for line in axis.lines] == ["total", "content", "style"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [3, 2])
    assert axis.get_yscale() == "log"


def test_timelapse_is_a_small_gif_that_loops_and_holds_its_last_picture(generator, tmp_path):
    pictures = generator.uniform(size=(60, 1, 40, 80, 3))
    path = timelapse(pictures, tmp_path / "x.gif", max_side=40, max_frames=12, seconds=2.4, hold_seconds=1.0)
    with Image.open(path) as animation:
        assert animation.size == (40, 20)
        assert animation.n_frames == 12
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == 200
        animation.seek(11)
        assert animation.info["duration"] == 1000


def test_timelapse_brings_pictures_of_all_sizes_to_one(pair, tmp_path):
    with Image.open(timelapse([pair[1], pair[0]], tmp_path / "x.gif")) as animation:
        assert animation.size == (64, 48)


def test_timelapse_is_also_a_webp(pair, tmp_path):
    with Image.open(timelapse([pair[0], pair[1]], tmp_path / "x.webp")) as animation:
        assert (animation.format, animation.n_frames) == ("WEBP", 2)


def test_timelapse_rejects_other_formats_and_no_images(pair, tmp_path):
    with pytest.raises(ValueError, match="gif"):
        timelapse([pair[0]], tmp_path / "x.mp4")
    with pytest.raises(ValueError, match="no image"):
        timelapse([], tmp_path / "x.gif")


def test_contact_sheet_names_rows_and_columns(generator):
    pictures = generator.uniform(size=(2, 3, 1, 20, 30, 3)).astype(np.float32)
    figure = contact_sheet(pictures, rows=("style_weight", ["1", "5"]), columns=("seed", ["0", "1", "2"]))
    words = {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}
    assert {"style_weight", "seed", "1", "5", "0", "2"} <= words


def test_bytes_are_saved_and_shown_as_they_are(tmp_path):
    picture = np.full((40, 40, 3), 100, np.uint8)
    assert np.asarray(Image.open(save_image(picture, tmp_path / "x.png"))).max() == 100
    (axis,) = nst_tf.show_images([picture]).axes
    assert axis.images[0].get_array().max() == 100

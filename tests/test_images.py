import base64
import contextlib
import http.server
import io
import os
import platform
import socket
import stat
import sys
import threading
import time
import warnings
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import on_transparent
from PIL import Image, ImageCms, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import nst_tf
from nst_tf.ground.checks import as_image
from nst_tf.ground.files import check_writable
from nst_tf.images import load_image, save_image
from nst_tf.pictures import reading
from nst_tf.pictures.reading import read_pixels
from nst_tf.transfer import stylize


def picture_bytes(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def gray_ramp(dtype, largest):
    ramp = np.linspace(0, largest, 64).astype(dtype)
    return np.tile(ramp, (48, 1))


@pytest.fixture
def photo(generator):
    return Image.fromarray(generator.integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_every_kind_of_source_gives_the_same_picture(photo, tmp_path):
    path = tmp_path / "a photo with spaces, 'quotes' and ünïcödé.png"
    photo.save(path)
    expected = np.asarray(photo, np.float32)[np.newaxis] / 255
    for source in (path, str(path), path.read_bytes(), photo, np.asarray(photo), expected, tf.constant(expected)):
        image = load_image(source)
        assert image.dtype == tf.float32
        np.testing.assert_array_equal(image, expected)


def test_max_side_keeps_the_aspect_and_enlarges_only_when_asked(photo):
    assert load_image(photo, max_side=48).shape == (1, 36, 48, 3)
    assert load_image(photo, max_side=640).shape == (1, 48, 64, 3)
    assert load_image(photo, max_side=128, upscale=True).shape == (1, 96, 128, 3)


def test_size_squashes_to_height_and_width(photo):
    assert load_image(photo, size=(40, 50)).shape == (1, 40, 50, 3)


def test_reduction_is_antialiased():
    checkerboard = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    reduced = load_image(Image.fromarray(checkerboard), size=(32, 32)).numpy()
    np.testing.assert_allclose(reduced[:, 4:-4, 4:-4], 0.5, atol=0.02)


def test_a_turned_phone_photo_is_put_upright(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    image = load_image(picture_bytes(photo, exif=exif))
    np.testing.assert_allclose(image[0], np.rot90(np.asarray(photo), k=-1) / 255, atol=1e-6)


def test_transparency_is_laid_on_white_and_hides_the_colors_under_it(generator):
    pixels = generator.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    pixels[:20, :, 3] = 0
    pixels[20:, :, 3] = 128
    image = load_image(picture_bytes(Image.fromarray(pixels)))[0].numpy()
    np.testing.assert_array_equal(image[:20], 1)
    alpha = 128 / 255
    np.testing.assert_allclose(image[20:], pixels[20:, :, :3] / 255 * alpha + 1 - alpha, atol=1e-6)


def test_sixteen_bit_gray_is_rescaled_and_not_saturated():
    deep = gray_ramp(np.uint16, 65535)
    image = load_image(picture_bytes(Image.fromarray(deep)))
    np.testing.assert_allclose(image[0, :, :, 0], deep / 65535, atol=1e-4)
    np.testing.assert_allclose(load_image(deep)[0, :, :, 1], deep / 65535, atol=1e-6)


def test_float_tiff_in_unit_range_is_read_and_any_other_refused():
    ramp = gray_ramp(np.float32, 1)
    image = load_image(picture_bytes(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_allclose(image[0, :, :, 2], ramp, atol=1e-6)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got values from 0 to 255"):
        load_image(picture_bytes(Image.fromarray(ramp * 255), "TIFF"))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_other_color_modes_keep_their_look(mode):
    smooth = Image.fromarray(np.dstack([gray_ramp(np.uint8, 255)] * 3))
    converted = smooth.quantize(64) if mode == "P" else smooth.convert(mode)
    image = load_image(converted)[0].numpy()
    if mode == "1":  # dithered: only averages keep the look
        image = image.reshape(6, 8, 8, 8, 3).mean(axis=(0, 1, 3))
        np.testing.assert_allclose(image[:, 0], np.linspace(0.05, 0.95, 8), atol=0.05)
        return
    np.testing.assert_allclose(image, np.asarray(smooth) / 255, atol=0.03)


def test_palette_with_a_transparent_entry_shows_white_there():
    picture = Image.fromarray(np.zeros((40, 40), np.uint8)).convert("P")
    picture.putpalette([255, 0, 0] * 256)
    data = picture_bytes(picture, transparency=0)
    np.testing.assert_array_equal(load_image(data), 1)


def test_a_profile_other_than_srgb_is_converted():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    colors = Image.new("RGB", (40, 40), (200, 100, 50))
    np.testing.assert_allclose(
        load_image(picture_bytes(colors, icc_profile=srgb.tobytes())), load_image(colors), atol=1 / 255
    )
    # A profile that does not fit the picture's mode is ignored, as viewers do.
    np.testing.assert_allclose(load_image(picture_bytes(colors, icc_profile=lab.tobytes())), load_image(colors))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_counts_in_every_color_mode(mode):
    # The simplest profile that cannot be overlooked: its red is sRGB's green.
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped = bytes(profile).replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    red = Image.new("RGB", (40, 40), (255, 0, 0)).convert(mode)
    image = load_image(picture_bytes(red, icc_profile=swapped)).numpy()
    np.testing.assert_allclose(image[0, 5, 5], (0, 1, 0), atol=0.1)


def test_a_small_overshoot_is_clipped_and_a_large_one_refused():
    picture = np.full((40, 40, 3), 1.0 + 1e-6, np.float32)
    assert load_image(picture).numpy().max() == 1
    with pytest.raises(ValueError, match="255"):
        load_image(picture * 2)


def test_first_frame_of_an_animation_is_taken(photo):
    data = picture_bytes(photo.convert("P"), "GIF", save_all=True, append_images=[Image.new("P", photo.size)])
    assert load_image(data).numpy().std() > 0.1


def bad_files(folder, photo):
    jpeg = picture_bytes(photo, "JPEG")
    contents = {
        "empty.jpg": b"",
        "text.jpg": b"this is not a picture at all" * 10,
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": picture_bytes(photo)[:2000],
        "tiny.png": picture_bytes(photo.resize((10, 10))),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in contents] + [folder / "missing.jpg", folder]


def test_bad_files_are_refused_with_their_name_and_what_to_do(photo, tmp_path):
    for path in bad_files(tmp_path, photo):
        with pytest.raises(ValueError) as refusal:
            load_image(path)
        assert str(path) in str(refusal.value)
        assert any(word in str(refusal.value) for word in ("Copy", "Check", "Give", "Choose")), path


def test_a_picture_beyond_pillows_limit_is_refused(photo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"1,000 pixels"):
        load_image(picture_bytes(photo))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # 3072 pixels: Pillow itself would only warn
    with pytest.raises(ValueError, match=r"2,000 pixels"):
        load_image(picture_bytes(photo))


def test_addresses_other_than_http_are_refused(tmp_path):
    for address in ("file:///etc/hostname", "ftp://127.0.0.1/x.png"):
        with pytest.raises(ValueError, match="only http and https"):
            load_image(address)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 40, 2), np.uint8),
        np.zeros((2, 40, 40, 3), np.uint8),
        np.zeros((40, 40, 3), np.int64),
        np.full((40, 40, 3), 200.0),
        np.full((40, 40, 3), np.nan),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array):
    with pytest.raises(ValueError):
        load_image(array)


def test_both_sizes_at_once_are_refused(photo):
    with pytest.raises(ValueError, match="not both"):
        load_image(photo, max_side=40, size=(40, 40))


def test_saving_rounds_and_clips(tmp_path):
    image = np.full((1, 32, 32, 3), 0.999 / 255 * 7.6)
    image[0, 0, 0] = (-0.2, 1.7, 0.5)
    saved = np.asarray(Image.open(save_image(image, tmp_path / "new" / "x.png")))
    assert saved[5, 5, 0] == 8
    assert tuple(saved[0, 0]) == (0, 255, 128)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_saved_picture_is_loaded_again(pair, tmp_path, suffix):
    content, _ = pair
    path = save_image(content, tmp_path / f"x{suffix}")
    np.testing.assert_allclose(load_image(path), content, atol=0.51 / 255 if suffix == ".png" else 0.1)


def test_saving_refuses_unknown_suffixes_and_what_is_not_a_picture(pair, tmp_path):
    with pytest.raises(ValueError, match=r"\.png"):
        save_image(pair[0], tmp_path / "x.tiff")
    with pytest.raises(ValueError, match="NaN"):
        save_image(np.full((1, 40, 40, 3), np.nan), tmp_path / "x.png")
    with pytest.raises(ValueError, match="shape"):
        save_image(np.zeros((40, 40)), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_file_before_it_and_nothing_else(pair, tmp_path, monkeypatch):
    path = save_image(pair[0], tmp_path / "x.png")
    before = path.read_bytes()

    def fail_half_way(self, target, **options):
        with open(target, "wb") as file:
            file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail_half_way)
    with pytest.raises(OSError, match="No space"):
        save_image(pair[1], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saved_file_has_the_permissions_any_new_file_gets(pair, tmp_path):
    mask = os.umask(0o022)
    os.umask(mask)
    mode = stat.S_IMODE(save_image(pair[0], tmp_path / "x.png").stat().st_mode)
    assert mode == 0o666 & ~mask


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 40, 40, 3), np.float32),
        np.zeros((1, 40, 40, 3), np.int64),
        np.zeros((1, 20, 40, 3), np.float32),
        np.full((1, 40, 40, 3), 128, np.float32),
        np.full((1, 40, 40, 3), np.nan, np.float32),
        "a path",
    ],
)
def test_pixel_contract_is_enforced_by_name(image):
    with pytest.raises(ValueError, match="content image"):
        as_image(image, "content image")


@pytest.mark.parametrize("name", ["with spaces.png", 'it\'s "quoted".png', "žlutý kůň 馬.png", "-dash.png", "%41.png"])
def test_names_that_people_give_files_are_read_and_written(pair, tmp_path, name):
    path = save_image(pair[0], tmp_path / "ordner mit ü" / name)
    np.testing.assert_allclose(load_image(path), pair[0], atol=0.51 / 255)
    np.testing.assert_allclose(load_image(str(path)), pair[0], atol=0.51 / 255)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs Unix")
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket.png"))
    for name in ("pipe.png", "socket.png", "."):
        with pytest.raises(ValueError, match="not a file"):
            load_image(tmp_path / name)
    listening.close()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".gif", ".bmp"])
def test_a_damaged_file_is_read_or_refused_but_nothing_else(photo, tmp_path, suffix):
    generator = np.random.default_rng(0)
    whole = io.BytesIO()
    photo.convert("RGB").save(whole, format={".jpg": "JPEG", ".tiff": "TIFF"}.get(suffix, suffix[1:].upper()))
    for _ in range(25):
        data = bytearray(whole.getvalue())
        for place in generator.integers(0, len(data), 3):
            data[place] ^= 1 << int(generator.integers(8))
        try:
            image = load_image(bytes(data))
        except ValueError as error:
            assert "bytes" in str(error)
        else:
            assert np.isfinite(image).all() and image.shape[-1] == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux")
def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("nst_tf.ground.files.secrets.token_hex", lambda size: "x")
    os.symlink("/dev/full", tmp_path / f".x.png.{platform.node()[:32]}-{os.getpid()}-x.part")
    with pytest.raises(OSError, match="No space left"):
        save_image(pair[0], tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


class Pictures(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path in ("/ftp", "/file"):
            self.send_response(302)
            self.send_header("Location", {"/ftp": "ftp://127.0.0.1/x.png", "/file": "file:///etc/hostname"}[self.path])
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/drip":
            with contextlib.suppress(ConnectionError):
                for byte in self.server.picture:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
        self.wfile.write(b"<html>not a picture</html>" if self.path == "/page" else self.server.picture)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(photo, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    buffer = io.BytesIO()
    photo.convert("RGB").save(buffer, "PNG")
    server.picture = buffer.getvalue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_picture_is_loaded_from_an_address(address, photo):
    np.testing.assert_array_equal(load_image(f"{address}/photo"), load_image(photo.convert("RGB")))


@pytest.mark.parametrize("path", ["ftp", "file", "page", "missing"])
def test_what_an_address_answers_is_checked(address, path):
    with pytest.raises(ValueError, match=address):
        load_image(f"{address}/{path}")


def test_an_address_that_sends_too_much_or_for_too_long_is_given_up(address, monkeypatch):
    monkeypatch.setattr("nst_tf.ground.download.DOWNLOAD_LIMIT_BYTES", 100)
    with pytest.raises(ValueError, match="larger than"):
        load_image(f"{address}/photo")
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("nst_tf.ground.download.DOWNLOAD_LIMIT_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"drip.*only a part came within 0\.5 s"):
        load_image(f"{address}/drip")
    assert time.monotonic() - begun < 5


def test_a_profile_of_a_wrong_kind_is_ignored(tmp_path):
    tags = ImageFileDirectory_v2()
    tags[34675], tags.tagtype[34675] = "hello", 2
    Image.new("RGB", (40, 40), (255, 0, 0)).save(tmp_path / "x.tiff", tiffinfo=tags)
    np.testing.assert_array_equal(read_pixels(tmp_path / "x.tiff")[0, 0], [1, 0, 0])


@pytest.mark.parametrize("url", ["http://[::1", "HTTP://127.0.0.1:9/x.png", "http://127.0.0.1:9/\u00e4.png"])
def test_odd_addresses_are_refused_by_name(url):
    with pytest.raises(ValueError, match="Cannot load") as refusal:
        read_pixels(url)
    assert url in str(refusal.value)
    assert "only http" not in str(refusal.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs Unix")
def test_pipes_are_not_replaced_and_links_are_followed(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="no ordinary file"):
        check_writable(tmp_path / "pipe.png")
    (tmp_path / "real").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "x.png")
    save_image(np.zeros((40, 40, 3), np.float32), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert Image.open(tmp_path / "real" / "x.png").size == (40, 40)


def test_long_names_in_other_scripts_can_be_written(tmp_path):
    path = tmp_path / ("\U0001f600" * 60 + ".png")
    check_writable(path)
    save_image(np.zeros((40, 40, 3), np.float32), path)
    assert path.exists()


def test_pictures_from_minus_one_to_one_are_told_how_to_be_right(pair):
    with pytest.raises(ValueError, match="Add 1 and divide by 2"):
        stylize(2 * pair[0] - 1, pair[1])
    with pytest.raises(ValueError, match=r"expected \(height, width\)"):
        load_image(pair[0], size=256)


def deep_gray(folder, dtype, most, *, tags=None, significant=None, step=1):
    """Write a gray ramp that ends at 0.9 of `most`, with what a TIFF or a PNG says of its values."""
    gray = (np.linspace(0, 0.9, 64 * 48).reshape(48, 64) * most / step).astype(dtype) * dtype(step)
    path = folder / ("x.tif" if tags is not None else "x.png")
    if tags is None:
        data = picture_bytes(Image.fromarray(gray))
        if significant:
            chunk = b"sBIT" + bytes([significant])
            chunk = b"\0\0\0\1" + chunk + zlib.crc32(chunk).to_bytes(4, "big")
            data = data[:33] + chunk + data[33:]  # after the header
        path.write_bytes(data)
    else:
        Image.fromarray(gray).save(path, tiffinfo=tags)
    return path


@pytest.mark.parametrize(
    ("dtype", "most", "said"),
    [
        (np.int32, 255, {"tags": {}}),  # 32 bits, of which nothing has so many
        (np.uint16, 65535, {}),
        (np.uint16, 65535, {"tags": {}}),
        (np.uint16, 4095, {"tags": {281: (4095,)}}),
        (np.uint16, 16383, {"tags": {281: (16383,)}}),
        (np.uint16, 4095, {"significant": 12}),
        (np.uint16, 65535, {"significant": 12, "step": 16}),
    ],
)
def test_deep_gray_is_as_bright_as_its_file_says(tmp_path, dtype, most, said):
    path = deep_gray(tmp_path, dtype, most, **said)
    assert load_image(path).numpy().max() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    "said", [{}, {"tags": {}}, {"tags": {281: (2900,)}}, {"significant": 16}, {"significant": 12, "step": 16}]
)
def test_a_night_in_16_bits_stays_dark_and_what_to_do_is_said(tmp_path, said):
    # Values to 3000 are a dark picture of 16 bits or a bright one of 12, and only who made it knows which.
    path = deep_gray(tmp_path, np.uint16, 3000, **said)
    with pytest.warns(UserWarning, match="If white is 4095") as warned:
        assert load_image(path).numpy().max() == pytest.approx(2700 / 65535, abs=1e-3)
    image = Image.open(path)
    assert load_image(followed(warned[0].message, image)).numpy().max() == pytest.approx(2700 / 4095, abs=0.01)


def test_white_may_be_zero_in_16_bits_too(tmp_path):
    Image.fromarray(np.full((40, 40), 20000, np.uint16)).save(tmp_path / "x.tif", tiffinfo={262: 0})
    assert load_image(tmp_path / "x.tif").numpy().max() == pytest.approx(45535 / 65535, abs=1e-3)


def followed(message, image):
    """Do what the code at the end of a message says to an image."""
    code = str(message).rpartition(": ")[2].removesuffix(".")
    return eval(code, {"image": image, "np": np, "tf": tf, "nst_tf": nst_tf})


def preprocessed(image):
    return 255 * image[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)


@pytest.mark.parametrize("name", ["the image", "load_image"])
@pytest.mark.parametrize(
    "change",
    [
        preprocessed,
        lambda image: preprocessed(image / 255),
        lambda image: 255 * image,
        lambda image: 1.04 * 255 * image - 6,  # as resampling overshoots
        lambda image: 65535 * image,
        lambda image: 2 * image - 1,
        lambda image: 1.1 * image - 0.05,
        lambda image: (image - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225]),
        lambda image: image / 255,
        lambda image: np.round(255 * image).astype(np.int32),
        lambda image: np.round(255 * image).astype(np.int16) - 128 + 128,
        lambda image: np.round(65535 * image).astype(np.int64),
        lambda image: np.concatenate([image, image]),
        lambda image: np.moveaxis(image, -1, 1),
        lambda image: np.moveaxis(image, -1, 1)[0],
        lambda image: np.moveaxis(np.concatenate([image, image]), -1, 1),
        lambda image: tf.constant(preprocessed(image)),
        lambda image: tf.cast(255 * image, tf.int32),
    ],
)
def test_advice_on_an_array_leads_to_the_image(pair, name, change):
    image = (pair[0].numpy() - pair[0].numpy().min()) / np.ptp(pair[0].numpy())
    taken = (lambda image: as_image(image, "image")) if name == "the image" else load_image
    given, followed_up = change(image), 0
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                loaded = taken(given)
            break
        except (ValueError, UserWarning) as advice:
            given, followed_up = followed(advice, given), followed_up + 1
            assert followed_up < 4, advice
    assert followed_up
    np.testing.assert_allclose(loaded, image, atol=0.051)  # of what was clipped


def test_what_cannot_be_undone_is_to_be_given_as_it_was(pair):
    for given in (preprocessed(pair[0]) / 255, 1e6 * pair[0]):
        with pytest.raises(ValueError, match="before it was preprocessed"):
            load_image(given)


def test_a_bool_array_is_told_to_be_converted():
    given = np.eye(40, dtype=bool)
    with pytest.raises(ValueError, match="bool") as advice:
        load_image(given)
    np.testing.assert_array_equal(load_image(followed(advice.value, given))[0, :, :, 0], given)


def test_a_heic_names_the_package_that_reads_it_and_uses_it(photo, monkeypatch):
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        load_image(heic)

    class Heif(ImageFile.StubImageFile):
        """What the package would bring: here always one photograph."""

        format = "HEIF"

        def _open(self):
            self._size = photo.size
            vars(self).update(mode=photo.mode, _mode=photo.mode)  # before and after Pillow 10.1

        def load(self):
            self.im = photo.im
            return photo.im.pixel_access(False)

    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    opener = SimpleNamespace(
        register_heif_opener=lambda: Image.register_open("HEIF", Heif, lambda start: start[4:8] == b"ftyp")
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", opener)
    np.testing.assert_array_equal(load_image(heic), load_image(photo))
    opener.register_heif_opener = lambda: Image.OPEN.pop("HEIF")
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    with pytest.raises(ValueError, match="damaged or cut off"):  # where the package is there, it is not advised
        load_image(heic)


def test_a_tiff_of_floats_says_what_to_do_with_them(tmp_path):
    colors = Image.new("RGB", (40, 40))
    with pytest.raises(ValueError, match="give load_image the array"):  # Pillow reads floats in gray only
        load_image(picture_bytes(colors, "TIFF", tiffinfo={339: (3, 3, 3)}))
    ramp = gray_ramp(np.float32, 255)
    Image.fromarray(ramp).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"np\.asarray\(PIL\.Image\.open\(path\)\)") as advice:
        load_image(tmp_path / "x.tif")
    given = followed(advice.value, np.asarray(Image.open(tmp_path / "x.tif")))
    np.testing.assert_allclose(load_image(given)[0, :, :, 0], ramp / 255, atol=1e-6)


def test_a_data_address_is_answered_in_some_lines_and_with_what_to_do(photo):
    address = "data:image/png;base64," + base64.b64encode(picture_bytes(photo)).decode()
    with pytest.raises(ValueError, match="only http and https") as advice:
        load_image(address)
    assert len(str(advice.value)) < 500
    code = str(advice.value).rpartition(": ")[2].removesuffix(".")
    np.testing.assert_array_equal(load_image(eval(code, {"address": address, "base64": base64})), load_image(photo))


@pytest.mark.parametrize("take", [load_image, check_writable, nst_tf.settings_of, lambda path: save_image(0, path)])
def test_no_message_repeats_a_path_without_end(take):
    with pytest.raises((ValueError, OSError)) as refusal:
        take("x/" * 9000 + "y.tiff")
    assert len(str(refusal.value)) < 500


def test_a_drives_letter_is_no_scheme():
    with pytest.raises(ValueError, match="There is no file"):
        load_image("C://pictures//photo.jpg")


def profile_of_gamma(gamma):
    """A gray profile: of its tags those that must be there."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    white = b"XYZ " + bytes(4) + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249))
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = white[8:]
    places = (b"kTRC", 128 + 28, len(curve)), (b"wtpt", 128 + 28 + len(curve), len(white))
    table = (2).to_bytes(4, "big") + b"".join(
        tag + start.to_bytes(4, "big") + size.to_bytes(4, "big") for tag, start, size in places
    )
    data = bytes(head) + table + curve + white
    return len(data).to_bytes(4, "big") + data[4:]


@pytest.mark.parametrize("kind", ["16 bits", "32 bits", "floats", "with alpha", "with a transparent level"])
def test_a_profile_counts_in_deep_gray_and_beside_alpha(kind):
    profile, gray = profile_of_gamma(1.0), gray_ramp(np.uint8, 255)
    expected = load_image(picture_bytes(Image.fromarray(gray), icc_profile=profile)).numpy()
    assert np.abs(expected[0, :, :, 0] - gray / 255).max() > 0.2
    picture, options = {
        "16 bits": (Image.fromarray(gray.astype(np.uint16) * 257), {}),
        "32 bits": (Image.fromarray(gray.astype(np.int32) * 257), {"format": "TIFF"}),
        "floats": (Image.fromarray(np.float32(gray / 255)), {"format": "TIFF"}),
        "with alpha": (Image.fromarray(gray).convert("LA"), {}),
        "with a transparent level": (Image.fromarray(np.maximum(gray, 1)), {"transparency": 0}),
    }[kind]
    loaded = load_image(picture_bytes(picture, icc_profile=profile, **options)).numpy()
    np.testing.assert_allclose(loaded[:, :, 1:], expected[:, :, 1:], atol=1.01 / 255)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "F"])
def test_a_large_scan_is_reduced_before_there_are_floats_and_looks_the_same(monkeypatch, mode):
    smooth = np.add.outer(np.linspace(40, 120, 1350), np.linspace(0, 90, 1800))
    if mode in ("I;16", "F"):
        picture = Image.fromarray((smooth * 257).astype(np.uint16) if mode == "I;16" else np.float32(smooth / 255))
    else:
        picture = Image.fromarray(smooth.astype(np.uint8))
        picture = picture.convert("RGB").quantize(256) if mode == "P" else picture.convert(mode)
    sizes, to_pixels = [], reading._array_to_pixels
    monkeypatch.setattr(reading, "_array_to_pixels", lambda *given: sizes.append(given[0].shape) or to_pixels(*given))
    loaded = load_image(picture_bytes(picture, "TIFF" if mode in ("CMYK", "F") else "PNG"), max_side=96).numpy()
    assert sizes[0][:2] == (270, 360)
    expected = load_image(load_image(picture), max_side=96).numpy()  # of floats, in one go
    if mode == "1":  # dithered, so that only the mean is kept
        loaded, expected = loaded.mean(), expected.mean()
    np.testing.assert_allclose(loaded, expected, atol=0.02)


def test_black_ink_on_a_transparent_ground_is_black_on_white():
    ink = np.zeros((40, 40), np.uint8)
    ink[10:20] = 1
    loaded = load_image(on_transparent(ink, 0)).numpy()
    assert loaded[0, 0, 0, 0] == 1 and loaded[0, 15, 15, 0] == 0


def test_a_large_jpeg_is_read_small(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((1600, 2400, 3), np.uint8)).save(tmp_path / "large.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_500_000)
    assert load_image(tmp_path / "large.jpg", max_side=300).shape == (1, 200, 300, 3)
    with pytest.raises(ValueError, match="more than 2,500,000 pixels"):
        load_image(tmp_path / "large.jpg")


def test_a_size_that_exceeds_the_photograph_is_warned_of(pair):
    with pytest.warns(UserWarning, match="has 64 pixels where 65 are asked for"):
        nst_tf.load_images(*pair, size=65)


@pytest.mark.parametrize(("scale", "side"), [(None, 64), (2.0, 128)])
def test_a_style_image_is_made_as_large_as_the_content_image_unless_its_scale_says_otherwise(pair, scale, side):
    recipe = nst_tf.RECIPES["studio"].changed(style_scale=scale)
    _, style = nst_tf.load_images(pair[0], tf.image.resize(pair[1], (240, 320)), recipe=recipe)
    assert max(style.shape[1:3]) == side

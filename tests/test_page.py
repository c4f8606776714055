"""Opens the page that paints in the browser in a real Chromium, as a visitor does (make test-browser)."""

import contextlib
import http.server
import shutil
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY
from PIL import Image

import nst_tf
from nst_tf.controls.color import match_colors

sys.path.insert(0, str(REPOSITORY / "docs" / "try"))
import page as page_files

pytestmark = [pytest.mark.browser, pytest.mark.slim]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = REPOSITORY / "outputs" / "browser"
QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
BACKENDS = {
    "wasm": QUIET,
    "webgl": (*QUIET, *SOFTWARE),
    "webgpu": (*QUIET, *SOFTWARE, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
}
PAGODA = REPOSITORY / "images" / "content" / "pagoda.jpg"
STARRY_NIGHT = REPOSITORY / "images" / "style" / "starry_night.jpg"
STYLE_LAYERS = [f"block{block}_conv1" for block in range(1, 6)]
SETTINGS = {
    "contentLayer": "block4_conv2",
    "styleLayers": STYLE_LAYERS,
    "styleWeight": 8,
    "keepColors": False,
    "start": "recolored",
}
A_MINUTE = 60_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the page is served, with the probe beside it."""
    if shutil.which("npm") is None:
        pytest.skip("There is no Node.js here, which assembles the page (nodejs.org).")
    folder = tmp_path_factory.mktemp("page")
    page_files.assemble(folder, also=(REPOSITORY / "tests" / "page_probe.js",))
    (folder / "probe.html").write_text('<script type="module" src="page_probe.js"></script>')
    shutil.copy(page_files.MODULES / "axe-core" / "axe.min.js", folder)
    with page_files.server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def playwright():
    if CHROMIUM is None:
        pytest.fail("There is no Chromium here: install it (Debian and Ubuntu: apt-get install chromium).")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browsers(playwright):
    """A browser for each backend, opened when it is first asked for."""
    opened = {}

    def browser(backend):
        if backend not in opened:
            opened[backend] = playwright.chromium.launch(executable_path=CHROMIUM, args=list(BACKENDS[backend]))
        return opened[backend]

    yield browser
    for each in opened.values():
        each.close()


@pytest.fixture(scope="module")
def probes(browsers, address):
    """For each backend a page with the page's own modules at hand, started when it is first asked for."""
    started = {}

    def probe(backend):
        if backend not in started:
            page = started[backend] = browsers(backend).new_page()
            page.goto(f"{address}/probe.html")
            page.wait_for_function("window.probe")
            assert page.evaluate("backend => probe.start(backend)", backend) == backend
        return started[backend]

    return probe


def plain(image):
    """An image as the page's modules take it."""
    _, height, width, _ = image.shape
    return {"values": np.asarray(image).ravel().tolist(), "width": width, "height": height}


def back(values, like):
    return tf.constant(np.array(values, np.float32).reshape(like.shape))


def pictures(height, width):
    content = nst_tf.load_image(PAGODA, size=(height, width))
    return content, nst_tf.load_image(STARRY_NIGHT, size=(width - 9, height + 5))


@pytest.mark.parametrize("size", [(64, 96), (67, 101)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_losses_and_gradient_are_those_of_nst_tf(probes, backend, size):
    content, style = pictures(*size)
    image = tf.clip_by_value(0.8 * content + 0.1, 0, 1)
    recipe = nst_tf.RECIPES["gram"]
    objective = nst_tf.make_objective(recipe, nst_tf.find_features("slim", recipe), content, style)
    with tf.GradientTape() as tape:
        tape.watch(image)
        losses = objective(image)
    gradient = tape.gradient(losses.total, image)
    asked = {"content": plain(content), "style": plain(style), "at": plain(image), "settings": SETTINGS}
    answer = probes(backend).evaluate("asked => probe.evaluate(asked)", asked)
    np.testing.assert_allclose(answer["losses"], losses[:3], rtol=1e-4)
    error = tf.norm(back(answer["gradient"], image) - gradient) / tf.norm(gradient)
    print(f"{backend} {size}: losses {np.array(answer['losses']) / losses[:3] - 1}, gradient {error:.1e}")
    assert error < 1e-3


def test_layers_that_are_off_count_for_nothing(probes):
    content, style = pictures(48, 64)
    settings = {**SETTINGS, "contentLayer": None, "styleLayers": ["block2_conv1", "block4_conv1"], "styleWeight": 3}
    recipe = nst_tf.RECIPES["gram"].changed(
        content_weight=0.0, style_weight=3.0, style_layers={"block2_conv1": 0.5, "block4_conv1": 0.5}
    )
    losses = nst_tf.make_objective(recipe, nst_tf.find_features("slim", recipe), content, style)(content)
    asked = {"content": plain(content), "style": plain(style), "at": plain(content), "settings": settings}
    answer = probes("wasm").evaluate("asked => probe.evaluate(asked)", asked)
    np.testing.assert_allclose(answer["losses"], losses[:3], rtol=1e-4)


@pytest.mark.parametrize("backend", ["wasm", "webgl"])
def test_thirty_steps_come_where_stylize_comes_from_the_same_start(probes, backend):
    # In smaller images two runs drift further apart.
    content, style = pictures(96, 128)
    asked = {"content": plain(content), "style": plain(style), "settings": {**SETTINGS, "steps": 30}}
    scene = probes(backend).evaluate("asked => probe.scene(asked)", asked)
    start = back(scene["start"], content)
    result = nst_tf.stylize(content, style, recipe="gram", features="slim", steps=30, start=start, precision="float32")
    answer = probes(backend).evaluate("asked => probe.descend(asked)", asked)
    totals = np.array(answer["losses"])[:, 0]
    print(f"{backend}: {totals.min():.4f}, stylize {result.history['total'].min():.4f}, start {totals[0]:.4f}")
    assert len(totals) == 31
    # Later on two runs drift apart, as two of nst_tf's own do, but come to nearly the same loss.
    np.testing.assert_allclose(totals[:4], result.history["total"][:4], rtol=1e-3)
    assert totals.min() == pytest.approx(result.history["total"].min(), rel=0.02)


@pytest.mark.parametrize("backend", ["wasm", "webgl"])
def test_no_tensor_is_left_over_a_hundred_steps(probes, backend):
    content, style = pictures(32, 48)
    style = nst_tf.load_image(STARRY_NIGHT, size=(32, 33))
    asked = {"content": plain(content), "style": plain(style), "settings": {**SETTINGS, "steps": 2}}
    before = probes(backend).evaluate("asked => probe.descend(asked)", asked)["left"]
    asked["settings"]["steps"] = 100
    answer = probes(backend).evaluate("asked => probe.descend(asked)", asked)
    assert len(set(answer["tensors"])) == 1
    assert answer["left"] == before


def test_colors_move_as_in_nst_tf(probes):
    content, style = pictures(48, 64)
    asked = {"content": plain(content), "style": plain(style), "settings": SETTINGS}
    scene = probes("wasm").evaluate("asked => probe.scene(asked)", asked)
    recolored = tf.clip_by_value(match_colors(content, style), 0, 1)
    np.testing.assert_allclose(scene["start"], np.ravel(recolored), atol=1e-4)
    asked["settings"] = {**SETTINGS, "keepColors": True, "start": "content"}
    scene = probes("wasm").evaluate("asked => probe.scene(asked)", asked)
    np.testing.assert_allclose(scene["style"], np.ravel(match_colors(style, content)), atol=1e-4)


def test_painting_without_colors_takes_the_photographs_away(probes):
    content, style = pictures(48, 64)
    drawing = tf.image.grayscale_to_rgb(style[..., :1])
    asked = {"content": plain(content), "style": plain(drawing), "settings": {**SETTINGS, "steps": 3}}
    best = back(probes("wasm").evaluate("asked => probe.descend(asked)", asked)["best"], content)
    assert np.ptp(best, axis=-1).max() < 1e-4


@pytest.fixture
def visit(browsers, address):
    """Opens the page for a visitor, and at the end looks that nothing was asked of anyone else."""
    contexts, asked = [], []

    def open_page(query="?backend=wasm", *, backend="wasm", script="", ready=True, **options):
        context = browsers(backend).new_context(viewport={"width": 1280, "height": 860}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(3 * A_MINUTE)
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(script)
        page.goto(f"{address}/{query}")
        if ready:
            page.wait_for_selector("#paint:enabled")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.removeprefix("blob:").startswith((address, "data:"))] == []


def choose_small(page, *, steps=10):
    """Set the smallest size and few steps, as a visitor would with the keys."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.focus("#size")
    page.keyboard.press("Home")
    page.focus("#steps")
    page.keyboard.press("Home")
    for _ in range((steps - 10) // 10):
        page.keyboard.press("ArrowRight")


def wait_for(page, words):
    page.wait_for_function("words => document.querySelector('#status').textContent.includes(words)", arg=words)


def shown(page):
    """The pixels that the page shows, (height, width, 3), in [0, 1]."""
    width, height, pixels = page.eval_on_selector(
        "#picture",
        "c => [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]",
    )
    return np.array(pixels, np.float32).reshape(height, width, 4)[..., :3] / 255


def saved_picture(page, tmp_path, press):
    with page.expect_download() as download:
        press()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".png"
    with Image.open(path) as image:
        assert image.format == "PNG"
    return nst_tf.load_image(path)


def style_losses(content, style, *images):
    recipe = nst_tf.RECIPES["gram"]
    objective = nst_tf.make_objective(recipe, nst_tf.find_features("slim", recipe), content, style)
    return [float(objective(image).style) for image in images]


def assert_painted(picture):
    """A picture is no longer the pagoda, and nearer to The Starry Night than a photograph is."""
    height, width = picture.shape[1:3]
    photograph = nst_tf.load_image(PAGODA, size=(height, width))
    style = nst_tf.load_image(STARRY_NIGHT, max_side=max(height, width))
    assert float(tf.reduce_mean(tf.abs(picture - photograph))) > 0.1
    before, after = style_losses(photograph, style, photograph, picture)
    assert after < 0.25 * before


@pytest.mark.parametrize("backend", ["wasm", "webgl"])
def test_visit_by_mouse(visit, tmp_path, backend):
    page = visit(f"?backend={backend}", backend=backend)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page_{backend}_at_rest.png")
    choose_small(page, steps=20)
    page.click("#paint")
    page.wait_for_function("() => document.querySelector('#progress').value > 0.1")
    page.click("#paint")
    wait_for(page, "Stopped")
    at_stop = page.eval_on_selector("#progress", "p => p.value")
    assert 0 < at_stop < 1
    page.click("#paint")
    wait_for(page, "Done")
    assert page.inner_text("#pace").startswith("Step 20 of 20")
    assert len(page.get_attribute("#curve .style", "points").split()) == 21
    picture = saved_picture(page, tmp_path, lambda: page.click("#save"))
    np.testing.assert_allclose(picture[0], shown(page), atol=1 / 255)
    assert max(picture.shape) == 128
    assert_painted(picture)
    page.screenshot(path=SCREENSHOTS / f"page_{backend}_done.png")


def test_starting_anew_drops_the_run_before(visit):
    page = visit()
    choose_small(page, steps=20)
    page.click("#paint")
    page.wait_for_function("() => document.querySelector('#progress').value > 0.1")
    page.check("text=Keep the photograph’s colors")
    assert "Start anew" in page.inner_text("#status")
    page.click("#anew")
    wait_for(page, "Done")
    assert page.inner_text("#pace").startswith("Step 20 of 20")
    photograph = nst_tf.load_image(PAGODA, size=shown(page).shape[:2])
    np.testing.assert_allclose(shown(page).mean((0, 1)), np.mean(photograph, (0, 1, 2)), atol=0.02)


def test_visit_by_keyboard(visit, tmp_path):
    page = visit()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
    assert reached[0] == "paint"
    assert {"Choose a photograph", "Choose a painting"} <= set(reached)
    page.focus("summary >> nth=0")
    page.keyboard.press("Enter")
    choose_small(page)
    page.focus("#paint")
    page.keyboard.press("Enter")
    wait_for(page, "Done")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "save"
    assert_painted(saved_picture(page, tmp_path, lambda: page.keyboard.press("Enter")))


DROP = """([name, bytes, selector, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
    const target = document.querySelector(selector);
    const how = { bubbles: true, cancelable: true };
    target.dispatchEvent(kind === 'drop'
        ? new DragEvent('drop', { ...how, dataTransfer: data })
        : new ClipboardEvent('paste', { ...how, clipboardData: data }));
}"""


def test_pictures_are_taken_by_choice_drop_and_paste(visit, tmp_path):
    page = visit()
    colors = {"choice": (200, 30, 30), "drop": (30, 200, 30), "paste": (30, 30, 200)}
    for name, color in colors.items():
        Image.new("RGB", (60, 45), color).save(tmp_path / f"{name}.png")
        path = tmp_path / f"{name}.png"
        if name == "choice":
            page.set_input_files("#content input >> nth=0", path)
        else:
            page.evaluate(DROP, [path.name, list(path.read_bytes()), "#content h2" if name == "drop" else "body", name])
        page.wait_for_function(
            "red => document.querySelector('#picture').getContext('2d').getImageData(9, 9, 1, 1).data.join() === red",
            arg=",".join(map(str, (*color, 255))),
        )
    page.evaluate(DROP, ["style.png", list((tmp_path / "drop.png").read_bytes()), "#style canvas", "drop"])
    page.wait_for_function(
        "() => document.querySelector('#style canvas').getContext('2d').getImageData(9, 9, 1, 1).data[1] === 200"
    )
    assert "Buechele" not in page.inner_text("#credit") and "Gogh" not in page.inner_text("#credit")


def test_photograph_of_fifty_megapixels_is_turned_upright_and_made_small(visit, tmp_path):
    page = visit()
    # Lying on its side as a camera saves it: what is to be the top is red.
    pixels = np.zeros((6250, 8000, 3), np.uint8)
    pixels[:, :800, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "camera.jpg", exif=exif, quality=50)
    page.set_input_files("#content input >> nth=0", tmp_path / "camera.jpg")
    page.wait_for_function("() => document.querySelector('#picture').height === 1024")
    picture = shown(page)
    assert picture.shape == (1024, 800, 3)
    # Orientation 6 is turned to the right: the left edge of what is stored becomes the top.
    assert picture[20, 400, 0] > 0.9 > 0.1 > picture[1000, 400, 0]


@pytest.mark.parametrize("name", ["words.png", "half.jpg"])
def test_file_that_is_no_picture_gets_one_sentence_and_changes_nothing(visit, tmp_path, name):
    page = visit()
    before = shown(page)
    (tmp_path / name).write_bytes(b"no picture" if name == "words.png" else PAGODA.read_bytes()[:200])
    page.set_input_files("#style input >> nth=0", tmp_path / name)
    wait_for(page, "not a picture")
    np.testing.assert_array_equal(shown(page), before)
    page.wait_for_selector("#paint:enabled")


def test_nothing_to_compare_gets_one_sentence(visit):
    page = visit()
    choose_small(page)
    for layer in STYLE_LAYERS:
        page.uncheck(f"input[value={layer}]")
    page.select_option("select[name=contentLayer]", "")
    page.click("#paint")
    wait_for(page, "Turn on a style layer")


def test_old_browser_is_told_so(visit):
    page = visit(script="delete window.DecompressionStream;", ready=False)
    wait_for(page, "too old")
    assert page.is_disabled("#paint")


def test_lost_graphics_card_leaves_the_last_picture_to_go_on_from(visit, browsers):
    page = visit("?backend=webgl", backend="webgl")
    choose_small(page, steps=20)
    page.click("#paint")
    page.wait_for_function("() => document.querySelector('#progress').value > 0.5")
    with contextlib.suppress(Exception):  # it answers only if it survives
        browsers("webgl").new_browser_cdp_session().send("Browser.crashGpuProcess")
    wait_for(page, "graphics card was taken away")
    picture = shown(page)
    assert_painted(tf.constant(picture[np.newaxis]))
    assert page.inner_text("#paint") == "Go on"
    page.click("#paint")
    wait_for(page, "Done")


def test_too_little_memory_gets_one_sentence_and_keeps_the_picture(playwright, address, tmp_path):
    # From a server that does not isolate the page, as GitHub's: in one thread, whose memory grows until it may not.
    page_files.assemble(tmp_path)
    little = "--js-flags=--wasm-max-mem-pages=3000"
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, little])
    with page_files.server(tmp_path, handler=http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_default_timeout(3 * A_MINUTE)
        page.goto(f"http://127.0.0.1:{server.server_port}/?backend=wasm")
        page.wait_for_selector("#paint:enabled")
        assert "threads: 1" in page.inner_text("#device")
        choose_small(page)
        page.click("#paint")
        wait_for(page, "Done")
        before = shown(page)
        page.focus("#size")
        page.keyboard.press("End")
        page.click("#paint")
        wait_for(page, "more memory than there is")
        np.testing.assert_array_equal(shown(page), before)
        page.focus("#size")
        page.keyboard.press("Home")
        page.click("#anew")
        wait_for(page, "Done")
        browser.close()
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_page_is_accessible_and_fits(visit, address, scheme, width):
    page = visit(color_scheme=scheme, bypass_csp=True)
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(url=f"{address}/axe.min.js")
    result = page.evaluate("axe.run()")
    assert [(each["id"], each["nodes"][0]["html"]) for each in result["violations"]] == []
    assert len(result["passes"]) > 20
    page.screenshot(path=SCREENSHOTS / f"page_{width}_{scheme}.png", full_page=True)


def test_nothing_can_be_sent_anywhere(visit, address):
    page = visit()
    elsewhere = address.replace("127.0.0.1", "localhost")
    send = f"fetch('{elsewhere}/slim.npz', {{ mode: 'no-cors' }}).then(() => 'sent', () => 'stopped')"
    painter = max(page.workers, key=lambda worker: worker.evaluate("Boolean(self.onmessage)"))
    assert page.evaluate(send) == painter.evaluate(send) == "stopped"
    inside = send.replace(elsewhere, address)
    assert page.evaluate(inside) == painter.evaluate(inside) == "sent"

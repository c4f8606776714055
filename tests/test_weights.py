import hashlib
import http.server
import threading
from dataclasses import replace

import pytest

from nst_tf.engine import weights
from nst_tf.engine.weights import IMAGENET, WeightsUnavailableError, imagenet_weights

CONTENT = b"pretend weights " * 1000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@pytest.fixture
def server(monkeypatch):
    """A local server of one file, which stands in for the published VGG19 file; counts what is asked of it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(server.content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.content = 0, CONTENT
    published = replace(
        IMAGENET["vgg19"],
        url=f"http://127.0.0.1:{server.server_port}/vgg19.h5",
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(weights.IMAGENET, "vgg19", published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_once_and_then_found(cache, server):
    path = imagenet_weights("vgg19")
    assert path.read_bytes() == CONTENT
    assert imagenet_weights("vgg19") == path
    assert server.asked == 1
    assert [file.name for file in cache.iterdir()] == [path.name]


def test_wrong_bytes_are_never_put_into_the_cache(cache, server):
    server.content = b"something else"
    with pytest.raises(WeightsUnavailableError, match="md5"):
        imagenet_weights("vgg19")
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(cache, server):
    cache.mkdir(parents=True)
    (cache / IMAGENET["vgg19"].name).write_bytes(b"half")
    assert imagenet_weights("vgg19").read_bytes() == CONTENT


def test_failure_says_url_file_md5_and_place(cache, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsUnavailableError) as failure:
        imagenet_weights("vgg19")
    wanted = weights.IMAGENET["vgg19"]
    for part in (wanted.url, wanted.md5, str(cache / wanted.name), "offline"):
        assert part in str(failure.value)

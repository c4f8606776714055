import os
import subprocess
import sys
import time

import pytest
from misbehaving_server import CONTENT, HALF, misbehaving

from nst_tf.engine import weights
from nst_tf.engine.weights import IMAGENET, WeightsUnavailableError, imagenet_weights, state_of_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@pytest.fixture
def server(monkeypatch):
    """A local server that stands in for the published VGG19 file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(weights, "_failures", {})
    with misbehaving() as server:
        yield server


def test_weights_are_downloaded_once_and_then_found(cache, server):
    assert state_of_cache("vgg19") == "missing"
    path = imagenet_weights("vgg19")
    assert path.read_bytes() == CONTENT
    assert imagenet_weights("vgg19") == path
    assert len(server.asked) == 1
    assert state_of_cache("vgg19") == "whole"
    assert [file.name for file in cache.iterdir()] == [path.name]


def test_a_download_that_is_cut_off_goes_on_where_it_was(cache, server):
    server.faults = ["cut"]
    assert imagenet_weights("vgg19").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={HALF}-"]


def test_a_server_that_cannot_send_parts_is_asked_for_the_whole_again(cache, server):
    server.faults, server.sends_parts = ["cut"], False
    assert imagenet_weights("vgg19").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_download_that_stalls_is_given_up_and_goes_on(cache, server, monkeypatch):
    monkeypatch.setattr(weights, "CONNECT_LIMIT_SECONDS", 0.3)
    server.faults = ["stall"]
    begun = time.monotonic()
    assert imagenet_weights("vgg19").read_bytes() == CONTENT
    assert time.monotonic() - begun < 8
    assert server.asked == [None, f"bytes={HALF}-"]


def test_a_download_that_takes_for_ever_ends_at_its_limit(cache, server, monkeypatch):
    monkeypatch.setattr(weights, "DOWNLOAD_LIMIT_SECONDS", -1)
    with pytest.raises(WeightsUnavailableError, match="took longer"):
        imagenet_weights("vgg19")
    assert len(server.asked) == 1


@pytest.mark.parametrize("faults", [["redirect"], [503, "redirect"], ["wrong"], ["cut", "wrong", 503]])
def test_faults_that_pass_are_survived(cache, server, faults):
    server.faults = list(faults)
    assert imagenet_weights("vgg19").read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_not_asked_for_again(cache, server):
    server.faults = [404] * 10
    with pytest.raises(WeightsUnavailableError, match=r"404|Not Found"):
        imagenet_weights("vgg19")
    assert len(server.asked) == 1


def test_after_a_failure_nobody_waits_for_the_next_for_a_while(cache, server, monkeypatch):
    server.faults = [404]
    for _ in range(2):
        with pytest.raises(WeightsUnavailableError, match="by hand"):
            imagenet_weights("vgg19")
    assert len(server.asked) == 1
    monkeypatch.setattr(weights, "FORGET_FAILURE_SECONDS", 0)
    assert imagenet_weights("vgg19").read_bytes() == CONTENT


def test_wrong_bytes_are_never_put_into_the_cache(cache, server):
    server.content = b"something else"
    with pytest.raises(WeightsUnavailableError, match="md5"):
        imagenet_weights("vgg19")
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced_but_stays_where_it_cannot_be(cache, server):
    cache.mkdir(parents=True)
    damaged = cache / IMAGENET["vgg19"].name
    damaged.write_bytes(b"half")
    assert state_of_cache("vgg19") == "damaged"
    server.faults = [404]
    with pytest.raises(WeightsUnavailableError):
        imagenet_weights("vgg19")
    assert damaged.read_bytes() == b"half"
    weights._failures.clear()
    assert imagenet_weights("vgg19").read_bytes() == CONTENT


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs Unix permissions")
def test_a_cache_that_cannot_be_written_to_is_read_all_the_same(cache, server):
    path = imagenet_weights("vgg19")
    cache.chmod(0o555)
    path.chmod(0o444)
    try:
        assert imagenet_weights("vgg19") == path
    finally:
        cache.chmod(0o755)


def test_two_processes_may_download_at_once(cache, server):
    code = (
        "import sys; from dataclasses import replace; from nst_tf.engine import weights; "
        "weights.IMAGENET['vgg19'] = replace(weights.IMAGENET['vgg19'], url=sys.argv[1], md5=sys.argv[2]); "
        "print(weights.imagenet_weights('vgg19'))"
    )
    wanted = weights.IMAGENET["vgg19"]
    command = [sys.executable, "-c", code, wanted.url, wanted.md5]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert all(process.returncode == 0 for process in both)
    assert len(paths) == 1
    assert state_of_cache("vgg19") == "whole"
    assert len(list(cache.iterdir())) == 1


def test_failure_says_url_file_md5_and_place(cache, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsUnavailableError) as failure:
        imagenet_weights("vgg19")
    wanted = weights.IMAGENET["vgg19"]
    for part in (wanted.url, wanted.md5, str(cache / wanted.name), "offline"):
        assert part in str(failure.value)

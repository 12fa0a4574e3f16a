"""A model file is fetched whole and checked, or it is not there."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.ai.local_model.weights import Weights, can_be_served, fetched
from backend.chassis.console import CannotRun
from backend.operations.model_download import fetch

DATA = bytes(range(256)) * 4_000
HASH = hashlib.sha256(DATA).hexdigest()
NOWHERE = "http://127.0.0.1:9/model.gguf"
NAME = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


class Hub(BaseHTTPRequestHandler):
    """Sends DATA from where it is asked to, and hangs up half-way as often as it is told."""

    protocol_version = "HTTP/1.1"
    breaks = 0
    asked: list[str]

    def do_GET(self):
        begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        type(self).asked.append(self.headers["Range"])
        self.send_response(206)
        self.send_header("Content-Length", str(len(DATA) - begin))
        self.end_headers()
        end = len(DATA)
        if type(self).breaks:
            type(self).breaks -= 1
            end, self.close_connection = begin + len(DATA) // 3, True
        self.wfile.write(DATA[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    handler = type("ItsHub", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_address[1]}/model.gguf"
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of two wheels that hold the data between them."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    half = len(DATA) // 2
    for number, part in enumerate((DATA[:half], DATA[half:]), 1):
        name = f"some_model_part{number}"
        told = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/data/part{number:02}.bin", part)
            wheel.writestr(
                f"{told}/METADATA",
                f"Metadata-Version: 2.1\nName: some-model-part{number}\nVersion: 1.0\n",
            )
            wheel.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{told}/RECORD", "")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wanted():
    return Weights("0.5b", NAME, NOWHERE, len(DATA), HASH, "some-model-part", 2, "1.0")


@pytest.fixture
def said():
    return []


def test_it_comes_from_the_hub_and_goes_on_where_it_broke_off(hub, wanted, tmp_path, said):
    hub.breaks = 1
    wanted = replace(wanted, url=hub.url, wheels="there-is-none")
    with pytest.raises(CannotRun):
        fetch(wanted, tmp_path / "models", said.append)
    assert fetched(tmp_path) is None

    file = fetch(wanted, tmp_path / "models", said.append)

    assert file.read_bytes() == DATA
    assert hub.asked == ["bytes=0-", f"bytes={len(DATA) // 3}-"]
    assert any("100 %" in each for each in said)
    assert fetched(tmp_path) == file


def test_it_is_put_together_from_the_index_where_there_is_no_hub(index, wanted, tmp_path, said):
    file = fetch(wanted, tmp_path / "models", said.append)

    assert file.read_bytes() == DATA
    assert [each.name for each in file.parent.iterdir() if "part" in each.name] == []
    assert "  part 2 of 2" in said
    assert fetch(wanted, tmp_path / "models", said.append) == file
    assert said[-1].endswith("is there already.")


def test_parts_that_are_there_are_not_fetched_again(index, wanted, tmp_path, said):
    second = index / "some_model_part2-1.0-py3-none-any.whl"
    hidden = second.rename(tmp_path / "hidden")
    with pytest.raises(CannotRun, match=r"some-model-part2==1\.0 could not be fetched"):
        fetch(wanted, tmp_path / "models", said.append)
    hidden.rename(second)
    said.clear()

    fetch(wanted, tmp_path / "models", said.append)

    assert [each for each in said if "part" in each] == ["  part 2 of 2"]


def test_what_has_another_hash_is_thrown_away(index, wanted, tmp_path, said):
    with pytest.raises(CannotRun, match="thrown away"):
        fetch(replace(wanted, sha256="0" * 64), tmp_path / "models", said.append)

    assert fetched(tmp_path) is None
    assert not can_be_served(tmp_path)
    assert [each.name for each in (tmp_path / "models").iterdir()] == [".fetch.lock"]


def test_a_full_disk_is_told_before_anything_is_fetched(hub, wanted, tmp_path, said):
    with pytest.raises(CannotRun, match="Make room"):
        fetch(replace(wanted, url=hub.url, bytes=10**18), tmp_path / "models", said.append)

    assert hub.asked == []

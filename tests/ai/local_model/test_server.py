"""The server of the downloaded model, in its own process.

TEST_MODEL_DATA is a data folder with a model. Without it, the smaller model is downloaded.
"""

import json
import os
import subprocess
import sys
import time
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import pytest

from backend.ai.local_model.model_files import MODEL_FILES, get_model_dir
from backend.ai.local_model.server import derive_api_key
from backend.operations.model_download import download_model
from tests.servers import free_port, process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(1_800)]

ROOT = Path(__file__).parents[3]
SECRET = "a secret of the tests"
LONG = {"messages": [{"role": "user", "content": "Count from 1 to 900 in words."}]}
STOPS_WITHIN_SECONDS = 2


@pytest.fixture(scope="module")
def data_dir() -> Path:
    configured = os.environ.get("TEST_MODEL_DATA")
    if configured is not None:
        return Path(configured)
    cache = ROOT / ".cache" / "local-model"
    download_model(MODEL_FILES[-1], get_model_dir(cache), print)
    return cache


@pytest.fixture(scope="module")
def engine_path() -> str:
    """Return a PYTHONPATH with llama.cpp, which is large and not in requirements-dev.lock."""
    if find_spec("xllamacpp") is not None:
        return ""
    cache = ROOT / ".cache" / "xllamacpp"
    if not cache.exists():
        uv = Path(sys.executable).with_name("uv")
        lock = ROOT / "requirements-extras" / "local-model.lock"
        locked = ["--no-deps", "--require-hashes", "--requirement", lock]
        subprocess.run([uv, "pip", "install", "--target", cache, *locked], check=True)
    return str(cache)


@pytest.fixture(scope="module")
def port(data_dir, engine_path, tmp_path_factory):
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "server.log"
    command = [sys.executable, "-m", "backend.ai.local_model"]
    variables = os.environ | {
        "PYTHONPATH": engine_path,
        "SECRET_KEY": SECRET,
        "DATA_DIR": str(data_dir),
    }
    arguments = [*command, "127.0.0.1", str(port), str(data_dir)]
    with process(arguments, log, cwd=ROOT, env=variables) as child:
        wait_until(lambda: child.poll() is not None or is_healthy(port), 120)
        assert child.poll() is None, log.read_text()
        yield port


def is_healthy(port):
    try:
        return send_request(port, "GET", "/health").status == 200
    except OSError:
        return False


def send_request(port, method, path, body=None, secret=SECRET):
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {
        "Authorization": f"Bearer {derive_api_key(secret)}",
        "Content-Type": "application/json",
    }
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    return connection.getresponse()


def is_busy(port):
    return any(slot["is_processing"] for slot in json.load(send_request(port, "GET", "/slots")))


def test_request_with_another_api_key_returns_401(port):
    assert send_request(port, "POST", "/v1/chat/completions", LONG, secret="another").status == 401


def test_response_conforms_to_the_json_schema(port):
    schema = {"type": "object", "properties": {"city": {"enum": ["Bergen", "Oslo"]}}}
    schema["required"] = ["city"]
    body = {"messages": [{"role": "user", "content": "A city in Norway?"}], "json_schema": schema}

    response = json.load(
        send_request(port, "POST", "/v1/chat/completions", body | {"max_tokens": 30})
    )

    text = response["choices"][0]["message"]["content"]
    assert json.loads(text)["city"] in {"Bergen", "Oslo"}


def test_beginning_of_a_prompt_is_read_from_the_cache(port):
    system = {"role": "system", "content": "You answer in one word. " * 20}
    timings = []
    for question in ("A city in Norway?", "A river in France?", "A lake in Italy?"):
        body = {"messages": [system, {"role": "user", "content": question}], "max_tokens": 4}
        response = json.load(send_request(port, "POST", "/v1/chat/completions", body))
        timings.append(response["timings"])

    assert timings[0]["prompt_n"] > 100
    assert all(later["cache_n"] > 100 for later in timings[1:])
    assert all(later["prompt_n"] < 50 for later in timings[1:])


def test_progress_of_a_long_prompt_is_reported_in_batches(port):
    text = " ".join(f"Item {number} is red." for number in range(60))
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2}
    body |= {"stream": True, "return_progress": True}

    response = send_request(port, "POST", "/v1/chat/completions", body)

    chunks = [
        json.loads(line.removeprefix(b"data: "))
        for line in response.read().splitlines()
        if line.startswith(b"data: {")
    ]
    progress = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
    assert len(progress) > 5
    assert progress[-1]["processed"] == progress[-1]["total"]


def test_prompt_stops_being_read_soon_after_the_client_disconnects(port):
    text = " ".join(f"Item {number} is blue." for number in range(900))
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2}
    body |= {"stream": True, "return_progress": True}
    response = send_request(port, "POST", "/v1/chat/completions", body)
    response.readline()
    assert is_busy(port)

    response.close()
    disconnected = time.monotonic()

    wait_until(lambda: not is_busy(port), 60)
    assert time.monotonic() - disconnected < STOPS_WITHIN_SECONDS


def test_generation_stops_soon_after_the_client_disconnects(port):
    response = send_request(
        port, "POST", "/v1/chat/completions", LONG | {"stream": True, "max_tokens": 2_000}
    )
    for _ in range(8):
        response.readline()
    assert is_busy(port)

    response.close()
    disconnected = time.monotonic()

    wait_until(lambda: not is_busy(port), 60)
    assert time.monotonic() - disconnected < STOPS_WITHIN_SECONDS

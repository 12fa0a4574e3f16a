"""The fetched model as it is really served: it answers its owner, and stops when nobody listens.

TEST_MODEL_DATA names a data folder with a model in it; without it, the smaller one is fetched.
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

from backend.ai.local_model.serving import key
from backend.ai.local_model.weights import WEIGHTS, folder
from backend.operations.model_download import fetch
from tests.servers import free_port, process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

ROOT = Path(__file__).parents[3]
SECRET = "a secret of the tests"
LONG = {"messages": [{"role": "user", "content": "Count from 1 to 900 in words."}]}
STOPS_WITHIN_SECONDS = 2


@pytest.fixture(scope="module")
def data() -> Path:
    named = os.environ.get("TEST_MODEL_DATA")
    if named is not None:
        return Path(named)
    kept = ROOT / ".cache" / "local-model"
    fetch(WEIGHTS[-1], folder(kept), print)
    return kept


@pytest.fixture(scope="module")
def engine() -> str:
    """What Python's path needs so that the engine is found, which no lock of the tests holds."""
    if find_spec("xllamacpp") is not None:
        return ""
    kept = ROOT / ".cache" / "xllamacpp"
    if not kept.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "pip", "install", "--target", kept, "xllamacpp"], check=True)
    return str(kept)


@pytest.fixture(scope="module")
def port(data, engine, tmp_path_factory):
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "server.log"
    command = [sys.executable, "-m", "backend.ai.local_model"]
    variables = os.environ | {"PYTHONPATH": engine, "SECRET_KEY": SECRET, "DATA_DIR": str(data)}
    arguments = [*command, "127.0.0.1", str(port), str(data)]
    with process(arguments, log, cwd=ROOT, env=variables) as child:
        wait_until(lambda: child.poll() is not None or healthy(port), 120)
        assert child.poll() is None, log.read_text()
        yield port


def healthy(port):
    try:
        return ask(port, "GET", "/health").status == 200
    except OSError:
        return False


def ask(port, method, path, body=None, secret=SECRET):
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Authorization": f"Bearer {key(secret)}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    return connection.getresponse()


def busy(port):
    return any(slot["is_processing"] for slot in json.load(ask(port, "GET", "/slots")))


def test_only_who_knows_the_suites_secret_is_answered(port):
    assert ask(port, "POST", "/v1/chat/completions", LONG, secret="another").status == 401


def test_it_writes_what_a_schema_allows_and_nothing_else(port):
    schema = {"type": "object", "properties": {"city": {"enum": ["Bergen", "Oslo"]}}}
    schema["required"] = ["city"]
    body = {"messages": [{"role": "user", "content": "A city in Norway?"}], "json_schema": schema}

    answer = json.load(ask(port, "POST", "/v1/chat/completions", body | {"max_tokens": 30}))

    text = answer["choices"][0]["message"]["content"]
    assert json.loads(text)["city"] in {"Bergen", "Oslo"}


def test_it_stops_soon_after_its_listener_has_left(port):
    answer = ask(port, "POST", "/v1/chat/completions", LONG | {"stream": True, "max_tokens": 2_000})
    for _ in range(8):
        answer.readline()
    assert busy(port)

    answer.close()
    left = time.monotonic()

    wait_until(lambda: not busy(port), 60)
    assert time.monotonic() - left < STOPS_WITHIN_SECONDS

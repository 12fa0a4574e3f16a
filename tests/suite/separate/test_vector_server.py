"""The services with the vector server of containers: a port, TLS, and a key in a file."""

import os
import subprocess
import sys

import pytest

from tests import servers
from tests.servers import wait_until
from tests.suite.conftest import ROOT, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]
TEXT = b"Ferries leave the northern quay at dawn."


def test_services_use_a_vector_server_with_a_port(tmp_path):
    key_file, port = tmp_path / "key", str(servers.free_port())
    key_file.write_text("the key that all containers share" * 2)
    environment = {
        **os.environ,
        "DATA_DIR": str(tmp_path / "vectors"),
        "CHROMA_PORT": port,
        "CHROMA_API_KEY_FILE": str(key_file),
    }
    command = [sys.executable, "-m", "backend.operations"]

    def is_ready() -> bool:
        check = [*command, "ready", "chroma"]
        return subprocess.run(check, cwd=ROOT, env=environment, timeout=60).returncode == 0

    serve = [*command, "serve", "chroma"]
    with servers.process(serve, tmp_path / "chroma.log", cwd=ROOT, env=environment):
        wait_until(is_ready)
        url = f"tls://127.0.0.1:{port}"
        variables = {"CHROMA_URL": url, "CHROMA_API_KEY_FILE": str(key_file)}
        with running_suite(tmp_path, **variables) as suite:
            ada = suite.register_user("ada")
            upload = {"file": ("ferries.txt", TEXT)}
            (document,) = ada("POST", "/rag/documents?wait=60", files=upload).json()["documents"]
            query = {"query": "When do boats sail?", "mode": "dense"}
            (found,) = ada("POST", "/rag/search", json=query).json()["results"]

    assert (document["status"], found["text"]) == ("ready", TEXT.decode())
    assert (tmp_path / "vectors" / "rag" / "vectors" / "chroma.sqlite3").exists()
    assert not (tmp_path / "data" / "rag" / "vectors").exists()

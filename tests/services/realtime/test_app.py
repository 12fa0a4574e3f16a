"""The development server of the realtime service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect

from tests.databases import variables_in
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("debug", ["0", "1"])
def test_development_server_serves_routes_and_sockets(tmp_path, debug):
    port = free_port()
    variables = {
        "REALTIME_SERVICE_PORT": str(port),
        "FLASK_DEBUG": debug,
        "DATA_DIR": str(tmp_path / "data"),
        "REDIS_URL": "",
        **variables_in(tmp_path / "data"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "backend.services.realtime.app"],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: responds(port))
            with connect(f"ws://127.0.0.1:{port}/ws/connect") as socket:
                socket.send(json.dumps({"id": 1, "connect": {"token": "x"}}))
                assert json.loads(socket.recv(30))["error"]["code"] == 101
        finally:
            process.terminate()


def responds(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=30).status_code == 200
    except requests.RequestException:
        return False

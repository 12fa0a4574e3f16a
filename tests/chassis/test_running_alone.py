"""A service by itself on Flask's own server, in debug mode with reload."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from backend.operations.supervisor.processes import start_time
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
ALONE = Path(__file__).parent / "stand_ins" / "service_alone.py"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of a service in debug mode whose file lies in tmp_path."""
    port = free_port()
    variables = {"AUTH_SERVICE_PORT": str(port), "FLASK_DEBUG": "1", "DATA_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, shutil.copy(ALONE, tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as parent:
        yield f"http://127.0.0.1:{port}/health"
        parent.kill()


def served_by(url: str) -> tuple[int, int]:
    """The process that answers, and its parent; zeros when none does."""
    try:
        child, parent = requests.get(url, timeout=5).text.split()
    except requests.ConnectionError:
        return 0, 0
    return int(child), int(parent)


def test_a_changed_file_is_served_by_a_new_process(url, tmp_path):
    wait_until(lambda: served_by(url) != (0, 0), seconds=20)
    first, parent = served_by(url)

    (tmp_path / "service_alone.py").touch()

    wait_until(lambda: served_by(url)[0] not in (0, first), seconds=20)
    assert served_by(url)[1] == parent


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_the_serving_process_does_not_outlive_the_one_that_watches(url):
    wait_until(lambda: served_by(url) != (0, 0), seconds=20)
    child, parent = served_by(url)

    os.kill(parent, 9)

    wait_until(lambda: start_time(child) is None, seconds=5)

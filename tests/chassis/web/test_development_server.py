"""A service on Flask's development server, in debug mode with reload."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from backend.operations.supervisor.processes.spawn import get_start_time
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]
SERVICE = Path(__file__).parents[1] / "stand_ins" / "development_service.py"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """URL of a service in debug mode whose source file is in tmp_path."""
    port = free_port()
    variables = {"AUTH_SERVICE_PORT": str(port), "FLASK_DEBUG": "1", "DATA_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, shutil.copy(SERVICE, tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        yield f"http://127.0.0.1:{port}/health"
        parent.kill()


def get_serving_pids(url: str) -> tuple[int, int]:
    """Return the ids of the serving process and its parent, or zeros if none responds."""
    try:
        child, parent = requests.get(url, timeout=5).text.split()
    except requests.RequestException:
        # The parent listens before the child serves, so a request may wait for its start; a child
        # that ends during a response cuts it off.
        return 0, 0
    return int(child), int(parent)


def test_changed_file_is_served_by_a_new_process(url, tmp_path):
    wait_until(lambda: get_serving_pids(url) != (0, 0), seconds=20)
    first, parent = get_serving_pids(url)

    (tmp_path / SERVICE.name).touch()

    wait_until(lambda: get_serving_pids(url)[0] not in (0, first), seconds=20)
    assert get_serving_pids(url)[1] == parent


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is specific to Linux")
def test_serving_process_ends_with_the_reloader(url):
    wait_until(lambda: get_serving_pids(url) != (0, 0), seconds=20)
    child, parent = get_serving_pids(url)

    os.kill(parent, 9)

    wait_until(lambda: get_start_time(child) is None, seconds=5)


def test_interrupt_of_the_terminal_stops_the_server(url):
    """Ctrl-C sends SIGINT to both processes."""
    wait_until(lambda: get_serving_pids(url) != (0, 0), seconds=20)
    child, parent = get_serving_pids(url)

    os.killpg(parent, signal.SIGINT)

    # An ended parent stays a zombie until the fixture waits for it.
    wait_until(lambda: read_state(parent) == "Z", seconds=20)
    assert read_state(child) in ("", "Z")


def read_state(pid: int) -> str:
    """Return the state of the process as in `ps`, or "" if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""

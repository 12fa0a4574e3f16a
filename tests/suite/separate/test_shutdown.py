"""Stopped and killed supervisors leave no process behind."""

import json

import pytest
import requests

from backend.chassis.catalog import CATALOG
from tests.servers import wait_until
from tests.suite.conftest import START_SECONDS, is_alive, prepare_suite

pytestmark = pytest.mark.suite


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_process_survives_a_killed_supervisor(tmp_path):
    suite = prepare_suite(tmp_path)
    suite.start()
    pids = list(suite.descendants())
    assert len(pids) >= 5

    suite.process.kill()
    suite.process.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in pids), seconds=20)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{suite.url}/health", timeout=5)


@pytest.mark.slow
def test_stop_shuts_down_every_service_gracefully(tmp_path):
    suite = prepare_suite(tmp_path)
    suite.start()
    state = tmp_path / "data" / "run" / "state.json"
    wait_until(lambda: json.loads(state.read_text())["ready"], START_SECONDS)

    suite.stop()

    assert suite.process.returncode == 0
    for entry in CATALOG:
        last_message = "Shutting down: Master" if entry.is_gateway else '"Stopped '
        assert last_message in (tmp_path / "logs" / entry.log_name).read_text()

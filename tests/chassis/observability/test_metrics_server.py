"""Metrics server of a process that serves nothing else."""

import requests

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.metrics_server import start_metrics_server
from tests.servers import free_port

KEY = MetricsKey("a secret of the tests, long enough")
HEADERS = {"Authorization": f"Bearer {KEY.text}"}


def test_metrics_server_serves_metrics_with_the_key_only():
    port = free_port()
    start_metrics_server("127.0.0.1", port, Metrics(), KEY)
    url = f"http://127.0.0.1:{port}/metrics"

    response = requests.get(url, headers=HEADERS, timeout=30)

    forged = {"Authorization": f"Bearer {KEY.text[:-1]}"}
    rejected = [requests.get(url, headers=headers, timeout=30) for headers in ({}, forged)]
    assert [answer.status_code for answer in rejected] == [401, 401]
    assert not any("process_resident" in answer.text for answer in rejected)
    assert "process_resident_memory_bytes" in response.text
    assert response.headers["Content-Type"].startswith("text/plain")
    assert requests.get(f"http://127.0.0.1:{port}/health/live", timeout=30).status_code == 200
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=30).status_code == 404
    assert requests.post(f"http://127.0.0.1:{port}/metrics", timeout=30).status_code == 501


def test_metrics_server_logs_a_warning_when_the_port_is_in_use(caplog):
    port = free_port()
    start_metrics_server("127.0.0.1", port, Metrics(), KEY)

    start_metrics_server("127.0.0.1", port, Metrics(), KEY)

    assert f"metrics are not served on 127.0.0.1:{port}" in caplog.text

"""Metrics server of a process that serves nothing else."""

import requests

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_server import start_metrics_server
from tests.servers import free_port


def test_metrics_server_serves_metrics_only():
    port = free_port()
    start_metrics_server("127.0.0.1", port, Metrics())

    response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)

    assert "process_resident_memory_bytes" in response.text
    assert response.headers["Content-Type"].startswith("text/plain")
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404
    assert requests.post(f"http://127.0.0.1:{port}/metrics", timeout=5).status_code == 501


def test_metrics_server_logs_a_warning_when_the_port_is_in_use(caplog):
    port = free_port()
    start_metrics_server("127.0.0.1", port, Metrics())

    start_metrics_server("127.0.0.1", port, Metrics())

    assert f"metrics are not served on 127.0.0.1:{port}" in caplog.text

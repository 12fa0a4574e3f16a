"""The page of a process that answers nothing else."""

import requests

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_server import open_page
from tests.servers import free_port


def test_the_page_tells_the_numbers_and_nothing_else(caplog):
    port = free_port()
    open_page("127.0.0.1", port, Metrics())

    page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)

    assert "process_resident_memory_bytes" in page.text
    assert page.headers["Content-Type"].startswith("text/plain")
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404
    assert requests.post(f"http://127.0.0.1:{port}/metrics", timeout=5).status_code == 501

    open_page("127.0.0.1", port, Metrics())
    assert "no numbers of this process" in caplog.text

"""Read the metrics of an app in tests."""

from flask.testing import FlaskClient

from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.web.app_factory import get_component
from tests.servers import wait_until


def read_metrics_page(client: FlaskClient) -> str:
    """Return the text of `/metrics`, requested with the metrics key."""
    key = get_component(client.application, MetricsKey).text
    response = client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200
    return response.text


def wait_for_metrics(client: FlaskClient, *samples: str) -> str:
    """Return the text of `/metrics` as soon as it contains all *samples*.

    Metrics of databases and disks are read in the background. A scrape waits for them for 0.4 s.
    """
    pages: list[str] = []

    def has_samples() -> bool:
        pages.append(read_metrics_page(client))
        return all(sample in pages[-1] for sample in samples)

    wait_until(has_samples)
    return pages[-1]

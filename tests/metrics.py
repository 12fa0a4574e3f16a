"""Read the metrics of an app in tests."""

from flask.testing import FlaskClient

from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.web.app_factory import get_component


def read_metrics_page(client: FlaskClient) -> str:
    """Return the text of `/metrics`, requested with the metrics key."""
    key = get_component(client.application, MetricsKey).text
    response = client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200
    return response.text

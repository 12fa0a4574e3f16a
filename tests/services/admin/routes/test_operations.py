"""State of all services: collected with the caller's credentials."""

import pytest

from backend.chassis.catalog import CATALOG
from backend.chassis.settings import Env
from backend.services.admin.app import create_app
from backend.services.admin.settings import Settings
from tests.servers import free_port

HEALTH = {
    "status": "healthy",
    "service": "rag-service",
    "timestamp": "2026-02-01T12:00:00Z",
    "version": "0.2.0",
    "dependencies": {"database": {"status": "healthy", "latency_ms": 1.5}},
}


@pytest.fixture
def client(tmp_path, services, identities):
    """The admin service in front of four services; the others do not respond."""
    urls = {entry.url_variable: f"http://127.0.0.1:{free_port()}" for entry in CATALOG}
    for name, service in services.items():
        service.documents["/health/detailed"] = HEALTH
        urls[f"{name.upper()}_SERVICE_URL"] = service.url
    app = create_app(Settings.from_env(Env({"DATA_DIR": str(tmp_path), **urls})))
    return identities.trust(app).test_client()


def test_state_of_every_other_service_is_listed(client, services, admin):
    services["agent"].documents["/health/detailed"] = HEALTH | {"status": "degraded"}
    services["auth"].documents["/health/detailed"] = {"status": "healthy"}

    report = client.get("/operations", headers=admin).json

    assert report["status"] == "degraded"
    assert set(report["services"]) == {entry.name for entry in CATALOG} - {"admin"}
    assert report["services"]["rag"] == {
        "status": "healthy",
        "version": "0.2.0",
        "dependencies": HEALTH["dependencies"],
    }
    assert report["services"]["agent"]["status"] == "degraded"
    unavailable = {"status": "unavailable", "version": None, "dependencies": {}}
    assert report["services"]["realtime"] == unavailable
    # Its response is no health document.
    assert report["services"]["auth"] == unavailable
    (request,) = services["rag"].requests
    assert dict(request["headers"])["Authorization"] == admin["Authorization"]


def test_state_requires_system_read(client, identities):
    assert client.get("/operations").status_code == 401
    reader = identities.bearer("user-cleo", permissions=["users:read"])
    assert client.get("/operations", headers=reader).status_code == 403

"""Documents that the gateway serves itself."""

from backend.chassis.messaging import asyncapi
from backend.services.gateway.app import create_app


def test_asyncapi_document_is_served_without_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    response = create_app().test_client().get("/asyncapi.json")

    assert response.status_code == 200
    assert response.json == asyncapi.build_document()

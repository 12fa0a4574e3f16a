"""Readiness, permissions and OpenAPI document of the app."""

import onnxruntime
import pytest

from backend.ai import model_files
from backend.ai.embedding import BuiltInEmbedder
from backend.security.guards import routes_without_guard
from backend.services.rag.app import create_app
from tests.services.rag.conftest import build_settings, stop_app


@pytest.fixture
def new_app(tmp_path, monkeypatch):
    """Return an app that fails if it loads the embedding model."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    app = create_app(build_settings(tmp_path), BuiltInEmbedder(threads=1))
    yield app
    stop_app(app)


def test_app_is_ready_without_loading_the_embedding_model(new_app):
    assert new_app.test_client().get("/health/ready").status_code == 200


def test_app_is_not_ready_when_the_embedding_model_is_missing(new_app, tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)

    assert new_app.test_client().get("/health/ready").status_code == 503


def test_app_is_ready_when_database_index_and_model_respond(app):
    assert app.test_client().get("/health/ready").status_code == 200


def test_every_route_requires_permission_and_is_documented(app):
    document = app.test_client().get("/openapi.json").json

    assert list(routes_without_guard(app)) == []
    assert {
        "/documents",
        "/documents/{document_id}",
        "/documents/{document_id}/events",
        "/documents/{document_id}/content",
        "/documents/{document_id}/chunks",
        "/documents/{document_id}/reindex",
        "/collections",
        "/collections/{name}",
        "/collections/{name}/grants/{user_id}",
        "/search",
        "/query",
    } <= set(document["paths"])
    upload = document["paths"]["/documents"]["post"]["requestBody"]["content"]
    assert "file" in upload["multipart/form-data"]["schema"]["required"]

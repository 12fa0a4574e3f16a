"""Readiness, permissions and OpenAPI document of the app."""

from backend.security.guards import routes_without_guard


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

"""The app as a whole: what it needs is told, and nothing is left open."""

from backend.security.guards import undeclared


def test_it_is_ready_when_database_index_and_model_answer(app):
    assert app.test_client().get("/health/ready").status_code == 200


def test_every_route_is_guarded_and_described(app):
    document = app.test_client().get("/openapi.json").json

    assert list(undeclared(app)) == []
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

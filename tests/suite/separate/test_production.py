"""Production settings: all services on one PostgreSQL server."""

import secrets

import pytest
import requests

from tests.databases import create_suite_database
from tests.suite.conftest import DATA, prepare_suite

pytestmark = [pytest.mark.suite, pytest.mark.postgres, pytest.mark.slow]
QUESTION = "Who patented the typewriter in 1868?"
PASSPHRASE = "seven quiet boats drift past"


@pytest.fixture(scope="module")
def suite(tmp_path_factory, postgres):
    running = prepare_suite(
        tmp_path_factory.mktemp("production"),
        APP_ENV="production",
        DATABASE_URL=create_suite_database(postgres).replace("+pg8000", ""),
        SECRET_KEY=secrets.token_urlsafe(48),
        JWT_SECRET_KEY=secrets.token_urlsafe(48),
        ADMIN_PASSWORD=PASSPHRASE,
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_document_is_cited_and_visible_only_to_its_owner(suite):
    owner, other = (
        suite.register_user("owner", PASSPHRASE),
        suite.register_user("other", PASSPHRASE),
    )
    document = owner.upload(DATA / "multi_page.pdf")

    answer = owner("POST", "/agent/query", json={"user_request": QUESTION}).json()

    assert "Sholes" in answer["response"]
    assert {citation["document_id"] for citation in answer["citations"]} == {document["id"]}
    assert other("POST", "/agent/query", json={"user_request": QUESTION}).json()["citations"] == []
    assert other("DELETE", f"/rag/documents/{document['id']}").status_code == 404
    assert owner("DELETE", f"/rag/documents/{document['id']}").status_code == 204


def test_admin_of_the_environment_can_list_users(suite):
    credentials = {"username": "admin", "password": PASSPHRASE}
    login = requests.post(f"{suite.url}/auth/login", json=credentials, timeout=10).json()

    users = requests.get(
        f"{suite.url}/auth/users",
        headers={"Authorization": f"Bearer {login['access_token']}"},
        timeout=10,
    ).json()

    assert "admin" in {user["username"] for user in users["items"]}


def test_development_password_is_rejected(suite):
    weak = {"username": "hasty", "password": "testpass123"}
    response = requests.post(f"{suite.url}/auth/register", json=weak, timeout=10)

    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == {"#/password"}

"""Domain events of accounts and sessions are stored with their changes."""

import pytest

from tests.services.auth.api_user import PASSWORD, ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def admin(client):
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)


def test_registration_is_published(ada, list_events):
    user = ada.user

    data = {"user_id": user["id"], "username": "ada", "tenant_id": user["tenant_id"]}
    assert list_events()[-1] == ("auth.user-created", user["id"], data)


def test_refused_registration_is_not_published(ada, client, list_events):
    before = list_events()

    client.post("/register", json={"username": "ada", "password": PASSWORD})

    assert list_events() == before


def test_changes_of_an_account_are_published_without_values(ada, client, list_events):
    client.patch(
        "/me",
        json={"display_name": "Ada L.", "preferences": {"theme": "dark"}},
        headers=ada.auth_headers,
    )

    kind, subject, data = list_events()[-1]
    assert (kind, subject) == ("auth.user-changed", ada.user["id"])
    assert data["fields"] == ["display_name", "preferences"]
    assert "Ada L." not in str(data)


def test_logout_is_published_once(ada, client, list_events):
    client.post("/logout", headers=ada.auth_headers)
    client.post("/logout", headers=ada.auth_headers)

    ended = [data for kind, _, data in list_events() if kind == "auth.session-ended"]
    assert [(data["user_id"], data["reason"]) for data in ended] == [(ada.user["id"], "logout")]


def test_logout_everywhere_is_published_for_each_session(ada, client, list_events):
    ApiUser.sign_in(client, "ada")
    client.post("/logout/all", headers=ada.auth_headers)

    ended = [data for kind, _, data in list_events() if kind == "auth.session-ended"]
    assert [data["reason"] for data in ended] == ["logout_all", "logout_all"]
    assert len({data["session_id"] for data in ended}) == 2


def test_reuse_of_a_refresh_token_is_published(ada, clock, list_events):
    first = ada.refresh_token
    ada.refresh()
    clock.advance(minutes=1)
    assert ada.refresh(first).status_code == 401

    assert list_events()[-1][2]["reason"] == "refresh_reused"


def test_disabled_and_deleted_users_are_published(admin, ada, client, list_events):
    path = f"/users/{ada.user['id']}"
    client.patch(path, json={"disabled": True}, headers=admin.auth_headers)
    client.delete(path, headers=admin.auth_headers)

    events = [(kind, data) for kind, subject, data in list_events() if "user_id" in data]
    of_ada = [(kind, data) for kind, data in events if data["user_id"] == ada.user["id"]]
    assert [kind for kind, _ in of_ada] == [
        *("auth.user-created", "auth.session-ended", "auth.user-changed", "auth.user-changed")
    ]
    assert of_ada[2][1]["fields"] == ["disabled"]
    assert of_ada[3][1]["is_deleted"] is True

"""Without Redis, revocations by other processes take effect at once."""

import pytest

from backend.services.auth.app import create_app
from tests.services.auth.api_user import ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def instances(make_settings, clock):
    """Return clients of two instances of the service on one database, without Redis."""
    settings = make_settings()
    return [create_app(settings, clock.now).test_client() for _ in "ab"]


def test_user_disabled_at_another_instance_is_rejected_at_once(instances):
    first, second = instances
    ada = ApiUser.register(first, "ada")
    admin = ApiUser.sign_in(second, "admin", ADMIN_PASSWORD)

    path = f"/users/{ada.user['id']}"
    second.patch(path, json={"disabled": True}, headers=admin.auth_headers)

    assert get_problem(ada.get("/me")) == (401, "session_ended")


def test_session_ended_at_another_instance_is_rejected_at_once(instances):
    first, second = instances
    ada = ApiUser.register(first, "ada")

    assert second.post("/logout", headers=ada.auth_headers).status_code == 204

    assert get_problem(ada.get("/me")) == (401, "session_ended")


def test_key_deleted_at_another_instance_is_rejected_at_once(instances):
    first, second = instances
    ada = ApiUser.register(first, "ada")
    key = first.post("/api-keys", json={"name": "x"}, headers=ada.auth_headers).json
    token = first.post("/api-keys/exchange", json={"key": key["key"]}).json["access_token"]

    second.delete(f"/api-keys/{key['id']}", headers=ada.auth_headers)

    response = first.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert get_problem(response) == (401, "session_ended")

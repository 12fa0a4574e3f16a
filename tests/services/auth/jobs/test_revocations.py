"""Revocations reach other services and survive Redis outages and data loss."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.chassis.database.sessions import open_database
from backend.security.authentication import get_security_context, open_revocations
from backend.security.redis import connect
from backend.security.revocation import (
    POPULATED_MARKER,
    SessionClaims,
    SessionStatus,
    SharedRevocations,
)
from backend.security.tokens import TokenVerifier
from backend.services.auth.app import create_app
from backend.services.auth.store.accounts import raise_generation
from tests.servers import wait_until
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def app(make_settings, valkey):
    """Return an auth service with Redis, on the system clock."""
    return create_app(make_settings(REDIS_URL=valkey.url))


@pytest.fixture
def get_status(app, valkey):
    """Return a function that checks a session as another service does."""
    verifier: TokenVerifier = get_security_context(app).tokens
    revocations = SharedRevocations(connect(valkey.url))

    def get_session_status(user: ApiUser) -> SessionStatus:
        claims = verifier.verify(user.access_token)
        tenant = claims.memberships[0]
        return revocations.session_status(
            SessionClaims(
                claims.session_id,
                claims.user_id,
                claims.generation,
                tenant.tenant_id,
                tenant.generation,
            )
        )

    return get_session_status


def test_logout_reaches_other_services_within_one_second(client, get_status, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(POPULATED_MARKER))
    ada, bob = ApiUser.register(client, "ada"), ApiUser.register(client, "bob")
    assert get_status(ada) is get_status(bob) is SessionStatus.VALID

    client.post("/logout", headers=ada.auth_headers)
    client.post("/logout/all", headers=bob.auth_headers)

    wait_until(lambda: get_status(ada) is SessionStatus.REVOKED)
    wait_until(lambda: get_status(bob) is SessionStatus.REVOKED)


def test_revocations_are_republished_after_redis_loses_its_data(client, get_status, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(POPULATED_MARKER))
    ada, bob, cy = (ApiUser.register(client, name) for name in ("ada", "bob", "cy"))
    client.post("/logout", headers=ada.auth_headers)
    client.post("/logout/all", headers=bob.auth_headers)

    valkey.client.flushall()

    def is_republished() -> bool:
        assert get_status(ada) is not SessionStatus.VALID
        assert get_status(bob) is not SessionStatus.VALID
        return bool(valkey.client.get(POPULATED_MARKER))

    wait_until(is_republished)
    assert (get_status(ada), get_status(bob)) == (SessionStatus.REVOKED, SessionStatus.REVOKED)
    assert get_status(cy) is SessionStatus.VALID


def test_change_of_a_command_without_redis_is_published_by_auth(
    make_settings, client, get_status, valkey, monkeypatch
):
    monkeypatch.setattr("backend.services.auth.domain.revocations._COMPARISON_INTERVAL_SECONDS", 1)
    wait_until(lambda: client.get("/health") and valkey.client.get(POPULATED_MARKER))
    ada, bob = ApiUser.register(client, "ada"), ApiUser.register(client, "bob")
    assert get_status(ada) is SessionStatus.VALID
    database = open_database(make_settings().database_url, "auth")
    with database.write() as session:
        raise_generation(session, ada.user["id"], datetime.now(UTC))
    database.engine.dispose()

    wait_until(lambda: get_status(ada) is SessionStatus.REVOKED)
    assert get_status(bob) is SessionStatus.VALID


def test_revoked_key_of_a_service_account_is_republished(client, get_status, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(POPULATED_MARKER))
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    body = {"name": "channel", "permissions": ["rag:read"]}
    account = client.post("/service-accounts", json=body, headers=admin.auth_headers).json
    token = client.post("/api-keys/exchange", json={"key": account["key"]}).json["access_token"]
    holder = replace(admin, access_token=token)
    assert get_status(holder) is SessionStatus.VALID
    path = f"/service-accounts/{account['id']}/rotate"
    client.post(path, json={"overlap_seconds": 0}, headers=admin.auth_headers)
    wait_until(lambda: get_status(holder) is SessionStatus.REVOKED)

    valkey.client.flushall()

    def is_republished() -> bool:
        assert get_status(holder) is not SessionStatus.VALID
        return bool(valkey.client.get(POPULATED_MARKER))

    wait_until(is_republished)
    assert get_status(holder) is SessionStatus.REVOKED


def test_logout_during_redis_outage_is_published_when_redis_responds(client, get_status, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(POPULATED_MARKER))
    ada = ApiUser.register(client, "ada")
    assert client.get("/me", headers=ada.auth_headers).status_code == 200
    assert get_status(ada) is SessionStatus.VALID

    valkey.freeze()
    response = client.post("/logout", headers=ada.auth_headers)
    valkey.thaw()

    # A logout is a write: while the session status is unavailable, it is rejected as a whole
    # rather than half completed.
    assert response.status_code in (204, 503)
    if response.status_code == 503:
        wait_until(lambda: client.post("/logout", headers=ada.auth_headers).status_code == 204)
    wait_until(lambda: get_status(ada) is SessionStatus.REVOKED)


def test_restarted_auth_without_redis_rejects_ended_sessions(make_settings):
    settings = make_settings()
    client = create_app(settings).test_client()
    ada = ApiUser.register(client, "ada")
    client.post("/logout", headers=ada.auth_headers)

    restarted = create_app(settings).test_client()

    assert restarted.get("/me", headers=ada.auth_headers).status_code == 401
    assert open_revocations(None).is_populated() is False

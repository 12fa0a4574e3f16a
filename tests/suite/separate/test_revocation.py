"""Revoked credentials are rejected by every service, even while Redis fails."""

import subprocess
import sys

import pytest
import requests

from tests import servers
from tests.servers import wait_until
from tests.suite.conftest import prepare_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]
PATHS = {"auth": "/me", "agent": "/sessions", "rag": "/documents"}
# The guarantee is one second; the rest is for a machine that is busy with other tests.
PROPAGATION_SECONDS = 5


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with servers.valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def suite(tmp_path_factory, redis):
    """A suite with a Redis server that the tests can freeze and empty."""
    running = prepare_suite(tmp_path_factory.mktemp("suite"), REDIS_URL=redis.url)
    try:
        running.start()
        yield running
    finally:
        redis.thaw()
        running.stop()


@pytest.fixture
def get_statuses(suite):
    """Return a function that sends a request to each service's own port and returns statuses."""

    def statuses(headers):
        return {
            name: requests.get(
                f"http://127.0.0.1:{suite.ports[name]}{path}", headers=headers, timeout=10
            ).status_code
            for name, path in PATHS.items()
        }

    return statuses


def bearer(user):
    return {"Authorization": user.session.headers["Authorization"]}


def all_services(status):
    return dict.fromkeys(PATHS, status)


def test_deleted_api_key_is_rejected_by_every_service(suite, get_statuses):
    owner = suite.register_user("owner")
    created = owner("POST", "/auth/api-keys", json={"name": "short-lived"}).json()
    key = {"X-API-Key": created["key"]}
    assert get_statuses(key) == all_services(200)

    assert owner("DELETE", f"/auth/api-keys/{created['id']}").status_code == 204

    wait_until(lambda: get_statuses(key) == all_services(401), PROPAGATION_SECONDS)


def test_logout_all_revokes_every_session_at_every_service(suite, get_statuses):
    user = suite.register_user("everywhere")
    credentials = {
        "username": user.account["user"]["username"],
        "password": "testpass123",
    }
    other = requests.post(f"{suite.url}/auth/login", json=credentials, timeout=10).json()
    second = {"Authorization": f"Bearer {other['access_token']}"}
    assert get_statuses(second) == all_services(200)

    assert user("POST", "/auth/logout/all").status_code == 204

    wait_until(
        lambda: get_statuses(second) == get_statuses(bearer(user)) == all_services(401),
        PROPAGATION_SECONDS,
    )


def test_known_sessions_may_only_read_while_redis_is_frozen(suite, redis, get_statuses):
    known, revoked = suite.register_user("known"), suite.register_user("revoked")
    assert get_statuses(bearer(known)) == all_services(200)
    assert revoked("POST", "/auth/logout").status_code == 204
    assert get_statuses(bearer(revoked)) == all_services(401)

    redis.freeze()
    try:
        wait_until(lambda: get_statuses(bearer(revoked)) != all_services(200), PROPAGATION_SECONDS)
        assert get_statuses(bearer(known)) == all_services(200)
        written = known(
            "POST",
            "/rag/documents",
            files={"file": ("note.txt", b"A note written while Redis is frozen.")},
        )
        assert written.status_code == 503
        assert "Retry-After" in written.headers
        assert set(get_statuses(bearer(revoked)).values()) <= {401, 503}
    finally:
        redis.thaw()

    wait_until(lambda: get_statuses(bearer(known)) == all_services(200))
    wait_until(lambda: get_statuses(bearer(revoked)) == all_services(401))


def test_account_disabled_by_command_while_redis_is_frozen_is_rejected_afterwards(
    suite, redis, get_statuses
):
    known, disabled = suite.register_user("known"), suite.register_user("disabled")
    # Services may still reconnect to Redis after the test before.
    wait_until(lambda: get_statuses(bearer(disabled)) == all_services(200))

    redis.freeze()
    try:
        name = disabled.account["user"]["username"]
        command = subprocess.run(
            [sys.executable, "-m", "backend", "users", "disable", name],
            cwd=suite.root,
            env=suite.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert command.returncode == 0, command.stderr
        assert "the services were not notified" in command.stderr
    finally:
        redis.thaw()

    wait_until(lambda: get_statuses(bearer(disabled)) == all_services(401), 20)
    wait_until(lambda: get_statuses(bearer(known)) == all_services(200))


def test_revocations_are_republished_after_redis_was_emptied(suite, redis, get_statuses):
    known, revoked = suite.register_user("known"), suite.register_user("revoked")
    assert revoked("POST", "/auth/logout").status_code == 204
    wait_until(lambda: get_statuses(bearer(known)) == all_services(200))

    redis.client.flushall()

    assert set(get_statuses(bearer(revoked)).values()) <= {401, 503}
    wait_until(lambda: get_statuses(bearer(known)) == all_services(200))
    wait_until(lambda: get_statuses(bearer(revoked)) == all_services(401), PROPAGATION_SECONDS)

"""What has ended is refused on every service, whatever becomes of the Redis-compatible server."""

import pytest
import requests

from tests import servers
from tests.servers import wait_until
from tests.suite.conftest import prepare

pytestmark = pytest.mark.suite
DOORS = {"auth": "/me", "agent": "/sessions", "rag": "/documents"}
# A second is the promise; the rest is for a machine that is busy with other tests.
PROMPTLY = 5


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with servers.valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def suite(tmp_path_factory, redis):
    """A suite on a server that these tests may freeze and empty."""
    running = prepare(tmp_path_factory.mktemp("suite"), REDIS_URL=redis.url)
    try:
        running.start()
        yield running
    finally:
        redis.thaw()
        running.stop()


@pytest.fixture
def ask(suite):
    """The status each service answers with to *headers*, at its own port."""

    def statuses(headers):
        return {
            name: requests.get(
                f"http://127.0.0.1:{suite.ports[name]}{path}", headers=headers, timeout=10
            ).status_code
            for name, path in DOORS.items()
        }

    return statuses


def bearer(person):
    return {"Authorization": person.session.headers["Authorization"]}


def everywhere(status):
    return dict.fromkeys(DOORS, status)


def test_a_deleted_api_key_is_refused_everywhere(suite, ask):
    owner = suite.person("owner")
    made = owner("POST", "/auth/api-keys", json={"name": "short-lived"}).json()
    key = {"X-API-Key": made["key"]}
    assert ask(key) == everywhere(200)

    assert owner("DELETE", f"/auth/api-keys/{made['id']}").status_code == 204

    wait_until(lambda: ask(key) == everywhere(401), PROMPTLY)


def test_logging_out_everywhere_ends_every_session_everywhere(suite, ask):
    person = suite.person("everywhere")
    credentials = {
        "username": person.account["user"]["username"],
        "password": "testpass123",
    }
    other = requests.post(f"{suite.url}/auth/login", json=credentials, timeout=10).json()
    second = {"Authorization": f"Bearer {other['access_token']}"}
    assert ask(second) == everywhere(200)

    assert person("POST", "/auth/logout/all").status_code == 204

    wait_until(lambda: ask(second) == ask(bearer(person)) == everywhere(401), PROMPTLY)


def test_while_the_server_is_frozen_the_known_read_and_nobody_writes(suite, redis, ask):
    known, ended = suite.person("known"), suite.person("ended")
    assert ask(bearer(known)) == everywhere(200)
    assert ended("POST", "/auth/logout").status_code == 204
    assert ask(bearer(ended)) == everywhere(401)

    redis.freeze()
    try:
        wait_until(lambda: ask(bearer(ended)) != everywhere(200), PROMPTLY)
        assert ask(bearer(known)) == everywhere(200)
        written = known(
            "POST", "/rag/documents", files={"file": ("note.txt", b"A note, while it is frozen.")}
        )
        assert written.status_code == 503
        assert "Retry-After" in written.headers
        assert set(ask(bearer(ended)).values()) <= {401, 503}
    finally:
        redis.thaw()

    wait_until(lambda: ask(bearer(known)) == everywhere(200))
    wait_until(lambda: ask(bearer(ended)) == everywhere(401))


def test_an_emptied_server_is_told_again_and_revives_nobody(suite, redis, ask):
    known, ended = suite.person("known"), suite.person("ended")
    assert ended("POST", "/auth/logout").status_code == 204
    wait_until(lambda: ask(bearer(known)) == everywhere(200))

    redis.client.flushall()

    assert set(ask(bearer(ended)).values()) <= {401, 503}
    wait_until(lambda: ask(bearer(known)) == everywhere(200))
    wait_until(lambda: ask(bearer(ended)) == everywhere(401), PROMPTLY)

"""Revocation: a revoked session is rejected in every process, even when Redis fails."""

import threading

import pytest
from flask import Flask
from redis.client import PubSub

from backend.security import (
    HttpError,
    authentication,
    caller_headers,
    current_principal,
    ensure_session_valid,
    revocation,
)
from backend.security.authentication import get_security_context, open_revocations
from backend.security.redis import connect
from backend.security.revocation import (
    CHANNEL,
    POPULATED_MARKER,
    LocalRevocations,
    RevocationHistory,
    SessionClaims,
    SessionStatus,
    SharedRevocations,
    session_key,
)
from tests import servers
from tests.servers import wait_until

ADA = SessionClaims("session-1", "ada", 3, "lab", 5)


@pytest.fixture
def shared(valkey):
    valkey.client.set(POPULATED_MARKER, "1")
    return SharedRevocations(connect(valkey.url))


@pytest.mark.parametrize("kind", ["local", "shared"])
@pytest.mark.parametrize(
    ("revoke", "status"),
    [
        pytest.param(lambda r: None, SessionStatus.VALID, id="nothing"),
        pytest.param(
            lambda r: r.revoke_session("session-1", 60), SessionStatus.REVOKED, id="its session"
        ),
        pytest.param(
            lambda r: r.revoke_session("session-2", 60), SessionStatus.VALID, id="another session"
        ),
        pytest.param(
            lambda r: r.raise_user_generation("ada", 4), SessionStatus.REVOKED, id="its user"
        ),
        pytest.param(
            lambda r: r.raise_user_generation("ada", 3), SessionStatus.VALID, id="older tokens"
        ),
        pytest.param(
            lambda r: r.raise_tenant_generation("lab", 6), SessionStatus.REVOKED, id="its tenant"
        ),
        pytest.param(
            lambda r: r.raise_tenant_generation("lab", 5),
            SessionStatus.VALID,
            id="older tenant",
        ),
    ],
)
def test_session_status_reflects_revocations(kind, revoke, status, request):
    revocations = LocalRevocations() if kind == "local" else request.getfixturevalue("shared")

    revoke(revocations)

    assert revocations.session_status(ADA) is status


def test_revocations_are_local_without_redis():
    assert isinstance(open_revocations(None), LocalRevocations)


def test_revocation_reaches_a_process_that_cached_the_status(shared, valkey):
    other = SharedRevocations(connect(valkey.url))
    wait_until(
        lambda: (
            valkey.client.pubsub_numsub("security.revoked")[0][1]
            or other.session_status(ADA) is None
        )
    )
    assert other.session_status(ADA) is SessionStatus.VALID

    shared.revoke_session("session-1", 60)

    wait_until(lambda: other.session_status(ADA) is SessionStatus.REVOKED)


def test_status_that_was_read_before_the_subscription_is_not_kept(shared, valkey, monkeypatch):
    monkeypatch.setattr(revocation, "CACHE_SECONDS", 3600)
    may_subscribe = threading.Event()
    subscribe = PubSub.subscribe

    def subscribe_late(self, *channels):
        assert may_subscribe.wait(60)
        return subscribe(self, *channels)

    monkeypatch.setattr(PubSub, "subscribe", subscribe_late)
    other = SharedRevocations(connect(valkey.url))
    assert other.session_status(ADA) is SessionStatus.VALID

    shared.revoke_session("session-1", 60)
    may_subscribe.set()

    wait_until(lambda: other.session_status(ADA) is SessionStatus.REVOKED)


def test_status_is_not_kept_when_the_subscription_was_cut(shared, valkey, monkeypatch):
    monkeypatch.setattr(revocation, "CACHE_SECONDS", 3600)
    assert shared.session_status(ADA) is SessionStatus.VALID
    wait_until(lambda: shared.is_subscribed)
    assert shared.session_status(ADA) is SessionStatus.VALID

    # The message of this revocation is lost.
    valkey.client.set(session_key("session-1"), "1")
    valkey.client.client_kill_filter(_type="pubsub")

    wait_until(lambda: shared.session_status(ADA) is SessionStatus.REVOKED)


def test_malformed_message_does_not_end_the_subscription(shared, valkey, monkeypatch):
    monkeypatch.setattr(revocation, "CACHE_SECONDS", 3600)
    monkeypatch.setattr(revocation, "_PAUSE_AFTER_FAILURE_SECONDS", 0.05)
    other = SharedRevocations(connect(valkey.url))
    other.session_status(ADA)
    wait_until(lambda: other.is_subscribed)

    valkey.client.publish(CHANNEL, "session session-2 soon")
    shared.revoke_session("session-1", 60)

    wait_until(lambda: other.session_status(ADA) is SessionStatus.REVOKED)


def test_frozen_redis_is_queried_once_and_then_skipped(shared, valkey, monkeypatch):
    assert shared.session_status(ADA) is SessionStatus.VALID
    stranger = SessionClaims("session-9", "bob", 0, "lab", 5)
    valkey.freeze()

    queries = []
    query_status = shared._query_status

    def count_query(claims):
        queries.append(claims)
        return query_status(claims)

    monkeypatch.setattr(shared, "_query_status", count_query)
    statuses = [shared.session_status(stranger) for _ in range(3)]
    valkey.thaw()

    assert statuses == [SessionStatus.UNKNOWN] * 3
    assert len(queries) == 1
    wait_until(lambda: shared.session_status(stranger) is SessionStatus.VALID)


def test_revoked_session_stays_revoked_after_redis_data_loss(shared, valkey):
    shared.revoke_session("session-1", 60)
    valkey.client.flushall()

    assert shared.session_status(ADA) is SessionStatus.REVOKED
    assert SharedRevocations(connect(valkey.url)).session_status(ADA) is SessionStatus.UNKNOWN


def test_status_is_unknown_when_redis_is_down(shared, valkey):
    valkey.end()
    assert shared.session_status(SessionClaims("s", "u", 0, "t", 0)) is SessionStatus.UNKNOWN


@pytest.mark.parametrize(("method", "path"), [("get", "/who"), ("post", "/items/top")])
def test_revoked_session_returns_401(client, identities, method, path):
    headers = identities.bearer()
    identities.revocations.revoke_session("session-of-user-ada", 60)

    response = getattr(client, method)(path, headers=headers)

    assert (response.status_code, response.json["code"]) == (401, "session_ended")


def test_recently_valid_session_may_read_but_not_write_while_status_is_unknown(client, identities):
    headers = identities.bearer()
    assert client.get("/who", headers=headers).status_code == 200
    identities.revocations.session_status = lambda claims: SessionStatus.UNKNOWN

    reading = client.get("/who", headers=headers)
    writing = client.post("/items/top", json={"name": "a"}, headers=headers)
    stranger = client.get("/who", headers=identities.bearer("user-bob"))

    assert reading.status_code == 200
    assert (writing.status_code, stranger.status_code) == (503, 503)
    assert "Retry-After" in writing.headers


HISTORY = RevocationHistory(
    revoked_session_ids=["session-2"],
    user_generations={"bob": 1},
    tenant_generations={"hall": 1},
    lifetime_seconds=60,
)


@pytest.mark.parametrize("kind", ["local", "shared"])
def test_repopulate_restores_all_revocations(kind, request):
    revocations = LocalRevocations() if kind == "local" else request.getfixturevalue("shared")
    assert not revocations.is_populated()

    revocations.repopulate(HISTORY)

    assert revocations.is_populated()
    revoked = [
        SessionClaims("session-2", "cy", 0, "lab", 0),
        SessionClaims("session-3", "bob", 0, "lab", 0),
        SessionClaims("session-4", "cy", 0, "hall", 0),
    ]
    assert {revocations.session_status(claims) for claims in revoked} == {SessionStatus.REVOKED}
    assert revocations.session_status(ADA) is SessionStatus.VALID


def test_is_populated_is_false_on_an_emptied_or_other_server(shared, valkey):
    shared.repopulate(HISTORY)
    valkey.client.flushall()
    emptied = shared.is_populated()
    valkey.client.set(POPULATED_MARKER, "the id of an earlier run")

    assert not emptied
    assert not shared.is_populated()


class ContendedLock:
    """A lock that is granted only after two threads have requested it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = threading.Barrier(2)

    def __enter__(self) -> None:
        self._requested.wait(timeout=10)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def run_in_two_threads(action) -> None:
    threads = [threading.Thread(target=action) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def listener_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate() if thread.name == "revocations"}


def test_concurrent_first_requests_start_one_listener(shared):
    before = listener_threads()
    shared._listener_lock = ContendedLock()

    run_in_two_threads(lambda: shared.session_status(ADA))
    shared.session_status(ADA)

    assert len(listener_threads() - before) == 1


def test_concurrent_first_requests_share_one_security_context(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr(authentication, "_context_lock", ContendedLock())
    app, contexts = Flask("bare"), []

    run_in_two_threads(lambda: contexts.append(get_security_context(app)))

    assert len(contexts) == 2
    assert contexts[0] is contexts[1]


def test_status_cache_is_bounded(shared, monkeypatch):
    monkeypatch.setattr("backend.security.revocation._CACHE_ENTRIES", 2)

    for number in range(5):
        assert (
            shared.session_status(SessionClaims(f"s{number}", "ada", 3, "lab", 5))
            is SessionStatus.VALID
        )

    assert len(shared._statuses) <= 2


def test_status_read_before_a_revocation_is_not_cached(shared, monkeypatch):
    query_status = shared._query_status

    def revoke_after_query(claims):
        status = query_status(claims)
        shared.revoke_session(claims.session_id, 60)
        return status

    monkeypatch.setattr(shared, "_query_status", revoke_after_query)
    shared.session_status(ADA)
    monkeypatch.undo()

    assert shared.session_status(ADA) is SessionStatus.REVOKED


def test_recently_valid_sessions_are_bounded(client, identities, monkeypatch):
    monkeypatch.setattr("backend.security.authentication._MAX_VALID_SESSIONS", 2)

    for number in range(5):
        bearer = identities.bearer(f"user-{number}")
        assert client.get("/who", headers=bearer).status_code == 200

    last_valid_at = get_security_context(client.application).last_valid_at
    assert len(last_valid_at) <= 3


def test_ensure_session_valid_raises_after_revocation(app, identities):
    with app.test_request_context(headers=identities.bearer()):
        app.view_functions["who"]()
        principal = current_principal()
        ensure_session_valid(principal)
        identities.revocations.revoke_session(principal.session_id, 60)

        with pytest.raises(HttpError) as error:
            ensure_session_valid(principal)

    assert error.value.code == 401


def test_caller_headers_forward_credentials_but_no_cookies_or_service_token(app, identities):
    headers = identities.bearer() | {
        "X-Tenant-ID": "lab",
        "X-Request-ID": "r1",
        "traceparent": "00-1-1-01",
        "X-Service-Token": "a token for this service",
        "Cookie": "a=b",
    }
    with app.test_request_context(headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.1"}):
        forwarded = caller_headers()

    del headers["Cookie"], headers["X-Service-Token"]
    assert forwarded == headers | {"X-Forwarded-For": "192.0.2.1"}


def test_announced_revocation_survives_redis_data_loss(shared, valkey):
    listener = SharedRevocations(connect(valkey.url))
    assert listener.session_status(ADA) is SessionStatus.VALID
    wait_until(lambda: valkey.client.pubsub_numsub(CHANNEL)[0][1])
    valkey.client.publish(CHANNEL, "all")  # clears caches and revokes nothing
    shared.raise_tenant_generation("lab", 6)
    wait_until(lambda: listener.session_status(ADA) is SessionStatus.REVOKED)

    valkey.client.flushall()

    assert listener.session_status(ADA) is SessionStatus.REVOKED
    assert shared.session_status(ADA) is SessionStatus.REVOKED


def test_status_is_queried_again_after_a_reconnect(tmp_path):
    port = servers.free_port()
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with servers.valkey(folders[0], port) as first:
        first.client.set(POPULATED_MARKER, "1")
        listener = SharedRevocations(connect(first.url))
        assert listener.session_status(ADA) is SessionStatus.VALID
        wait_until(lambda: first.client.pubsub_numsub(CHANNEL)[0][1])
    wait_until(lambda: listener.session_status(ADA) is SessionStatus.UNKNOWN)

    with servers.valkey(folders[1], port) as second:
        second.client.set(POPULATED_MARKER, "1")
        wait_until(lambda: listener.session_status(ADA) is SessionStatus.VALID)
        wait_until(lambda: second.client.pubsub_numsub(CHANNEL)[0][1])
        second.client.set(session_key("session-1"), "1")

        wait_until(lambda: listener.session_status(ADA) is SessionStatus.REVOKED)


def test_subscription_to_a_frozen_redis_counts_as_lost(shared, valkey, monkeypatch):
    monkeypatch.setattr(revocation, "_SILENCE_SECONDS", 0.3)
    shared.session_status(ADA)
    wait_until(lambda: shared.is_subscribed)
    valkey.freeze()
    try:
        wait_until(lambda: shared.is_subscribed is False)
    finally:
        valkey.thaw()

    wait_until(lambda: shared.is_subscribed)

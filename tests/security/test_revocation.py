"""What ends a session ends it in every process, whatever becomes of the server."""

import threading
import time

import pytest
from flask import Flask

from backend.security import (
    Refusal,
    authentication,
    caller_headers,
    current_principal,
    ensure_standing,
)
from backend.security.authentication import open_revocations, security_of
from backend.security.redis import connect
from backend.security.revocation import (
    CHANNEL,
    MARKER,
    History,
    LocalRevocations,
    SharedRevocations,
    Standing,
    Verdict,
    session_key,
)
from tests import servers
from tests.servers import wait_until

ADA = Standing("session-1", "ada", 3, "lab", 5)


@pytest.fixture
def shared(valkey):
    valkey.client.set(MARKER, "1")
    return SharedRevocations(connect(valkey.url))


@pytest.mark.parametrize("kind", ["local", "shared"])
@pytest.mark.parametrize(
    ("revoke", "verdict"),
    [
        pytest.param(lambda r: None, Verdict.GOOD, id="nothing"),
        pytest.param(lambda r: r.end_session("session-1", 60), Verdict.REVOKED, id="its session"),
        pytest.param(lambda r: r.end_session("session-2", 60), Verdict.GOOD, id="another session"),
        pytest.param(lambda r: r.raise_user("ada", 4), Verdict.REVOKED, id="its user"),
        pytest.param(lambda r: r.raise_user("ada", 3), Verdict.GOOD, id="older tokens"),
        pytest.param(lambda r: r.raise_tenant("lab", 6), Verdict.REVOKED, id="its tenant"),
        pytest.param(lambda r: r.raise_tenant("lab", 5), Verdict.GOOD, id="older in the tenant"),
    ],
)
def test_a_verdict_follows_from_what_was_revoked(kind, revoke, verdict, request):
    revocations = LocalRevocations() if kind == "local" else request.getfixturevalue("shared")

    revoke(revocations)

    assert revocations.verdict(ADA) is verdict


def test_without_a_server_revocations_are_local():
    assert isinstance(open_revocations(None), LocalRevocations)


def test_a_revocation_reaches_a_process_that_has_the_answer_in_its_cache(shared, valkey):
    other = SharedRevocations(connect(valkey.url))
    wait_until(
        lambda: valkey.client.pubsub_numsub("security.revoked")[0][1] or other.verdict(ADA) is None
    )
    assert other.verdict(ADA) is Verdict.GOOD

    shared.end_session("session-1", 60)

    wait_until(lambda: other.verdict(ADA) is Verdict.REVOKED, seconds=1.0)


def test_a_frozen_server_costs_one_short_wait_and_then_none(shared, valkey):
    assert shared.verdict(ADA) is Verdict.GOOD
    stranger = Standing("session-9", "bob", 0, "lab", 5)
    valkey.freeze()

    first = time.monotonic()
    assert shared.verdict(stranger) is Verdict.UNKNOWN
    second = time.monotonic()
    assert shared.verdict(stranger) is Verdict.UNKNOWN
    third = time.monotonic()
    valkey.thaw()

    assert second - first < 1.0
    assert third - second < 0.05
    wait_until(lambda: shared.verdict(stranger) is Verdict.GOOD)


def test_an_emptied_server_revives_nothing(shared, valkey):
    shared.end_session("session-1", 60)
    valkey.client.flushall()

    assert shared.verdict(ADA) is Verdict.REVOKED
    assert SharedRevocations(connect(valkey.url)).verdict(ADA) is Verdict.UNKNOWN


def test_a_server_that_is_gone_leaves_the_verdict_open(shared, valkey):
    valkey.end()
    assert shared.verdict(Standing("s", "u", 0, "t", 0)) is Verdict.UNKNOWN


@pytest.mark.parametrize(("method", "path"), [("get", "/who"), ("post", "/items/top")])
def test_a_revoked_session_gets_a_401(client, identities, method, path):
    headers = identities.bearer()
    identities.revocations.end_session("session-of-user-ada", 60)

    response = getattr(client, method)(path, headers=headers)

    assert (response.status_code, response.json["code"]) == (401, "session_ended")


def test_while_nobody_can_tell_a_known_session_may_read_and_not_write(client, identities):
    headers = identities.bearer()
    assert client.get("/who", headers=headers).status_code == 200
    identities.revocations.verdict = lambda standing: Verdict.UNKNOWN

    reading = client.get("/who", headers=headers)
    writing = client.post("/items/top", json={"name": "a"}, headers=headers)
    stranger = client.get("/who", headers=identities.bearer("user-bob"))

    assert reading.status_code == 200
    assert (writing.status_code, stranger.status_code) == (503, 503)
    assert "Retry-After" in writing.headers


EVERYTHING = History(
    ended_sessions=["session-2"], users={"bob": 1}, tenants={"hall": 1}, lifetime_seconds=60
)


@pytest.mark.parametrize("kind", ["local", "shared"])
def test_what_was_lost_can_be_told_again_at_once(kind, request):
    revocations = LocalRevocations() if kind == "local" else request.getfixturevalue("shared")
    assert not revocations.knows_all()

    revocations.tell_all(EVERYTHING)

    assert revocations.knows_all()
    ended = [
        Standing("session-2", "cy", 0, "lab", 0),
        Standing("session-3", "bob", 0, "lab", 0),
        Standing("session-4", "cy", 0, "hall", 0),
    ]
    assert {revocations.verdict(each) for each in ended} == {Verdict.REVOKED}
    assert revocations.verdict(ADA) is Verdict.GOOD


def test_an_emptied_or_another_server_does_not_know_all(shared, valkey):
    shared.tell_all(EVERYTHING)
    valkey.client.flushall()
    emptied = shared.knows_all()
    valkey.client.set(MARKER, "the id of an earlier run")

    assert not emptied
    assert not shared.knows_all()


def at_once(act, held) -> None:
    """Two threads *act* and meet at the lock *held*."""
    threads = [threading.Thread(target=act) for _ in range(2)]
    with held:
        for thread in threads:
            thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()


def test_first_questions_that_come_at_once_start_one_listener(shared):
    at_once(lambda: shared.verdict(ADA), shared._starting)

    assert [thread.name for thread in threading.enumerate()].count("revocations") >= 1
    listener = shared._listener
    shared.verdict(ADA)
    assert shared._listener is listener


def test_first_requests_that_come_at_once_decide_alike(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    app, found = Flask("bare"), []

    at_once(lambda: found.append(security_of(app)), authentication._creating)

    assert len(found) == 2
    assert found[0] is found[1]


def test_answers_are_forgotten_when_there_are_too_many(shared, monkeypatch):
    monkeypatch.setattr("backend.security.revocation._CACHE_ENTRIES", 2)

    for number in range(5):
        assert shared.verdict(Standing(f"s{number}", "ada", 3, "lab", 5)) is Verdict.GOOD

    assert len(shared._verdicts) <= 2


def test_an_answer_from_before_a_revocation_is_not_kept(shared, monkeypatch):
    ask = shared._ask

    def slowly(standing):
        verdict = ask(standing)
        shared.end_session(standing.session_id, 60)
        return verdict

    monkeypatch.setattr(shared, "_ask", slowly)
    shared.verdict(ADA)
    monkeypatch.undo()

    assert shared.verdict(ADA) is Verdict.REVOKED


def test_sessions_seen_good_are_forgotten_when_there_are_too_many(client, identities, monkeypatch):
    monkeypatch.setattr("backend.security.authentication._KEY_CACHE_ENTRIES", 2)

    for number in range(5):
        bearer = identities.bearer(f"user-{number}")
        assert client.get("/who", headers=bearer).status_code == 200

    seen = client.application.extensions["backend.security"].seen
    assert len(seen) <= 3


def test_a_stream_that_asks_hears_that_its_session_has_ended(app, identities):
    with app.test_request_context(headers=identities.bearer()):
        app.view_functions["who"]()
        principal = current_principal()
        ensure_standing(principal)
        identities.revocations.end_session(principal.session_id, 60)

        with pytest.raises(Refusal) as refused:
            ensure_standing(principal)

    assert refused.value.code == 401


def test_a_caller_is_made_known_to_others_as_they_came(app, identities):
    sent = identities.bearer() | {
        "X-Tenant-ID": "lab",
        "X-Request-ID": "r1",
        "traceparent": "00-1-1-01",
        "X-Service-Token": "what somebody signed for us",
        "Cookie": "a=b",
    }
    with app.test_request_context(headers=sent):
        passed_on = caller_headers()

    del sent["Cookie"], sent["X-Service-Token"]
    assert passed_on == sent


def test_what_was_heard_stays_true_when_the_server_has_forgotten_it(shared, valkey):
    listener = SharedRevocations(connect(valkey.url))
    assert listener.verdict(ADA) is Verdict.GOOD
    wait_until(lambda: valkey.client.pubsub_numsub(CHANNEL)[0][1])
    valkey.client.publish(CHANNEL, "all")  # heard, and nobody in particular
    shared.raise_tenant("lab", 6)
    wait_until(lambda: listener.verdict(ADA) is Verdict.REVOKED)

    valkey.client.flushall()

    assert listener.verdict(ADA) is Verdict.REVOKED
    assert shared.verdict(ADA) is Verdict.REVOKED


def test_what_was_said_while_the_server_was_away_is_asked_for_anew(tmp_path):
    port = servers.free_port()
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with servers.valkey(folders[0], port) as first:
        first.client.set(MARKER, "1")
        listener = SharedRevocations(connect(first.url))
        assert listener.verdict(ADA) is Verdict.GOOD
        wait_until(lambda: first.client.pubsub_numsub(CHANNEL)[0][1])
    wait_until(lambda: listener.verdict(ADA) is Verdict.UNKNOWN)

    with servers.valkey(folders[1], port) as second:
        second.client.set(MARKER, "1")
        wait_until(lambda: listener.verdict(ADA) is Verdict.GOOD)
        wait_until(lambda: second.client.pubsub_numsub(CHANNEL)[0][1])
        second.client.set(session_key("session-1"), "1")

        wait_until(lambda: listener.verdict(ADA) is Verdict.REVOKED)

"""What ends a session ends it in every process, whatever becomes of the server."""

import time

import pytest

from backend.security.authentication import open_revocations
from backend.security.redis import connect
from backend.security.revocation import (
    MARKER,
    History,
    LocalRevocations,
    SharedRevocations,
    Standing,
    Verdict,
)
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

    assert shared.verdict(ADA) is Verdict.UNKNOWN


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

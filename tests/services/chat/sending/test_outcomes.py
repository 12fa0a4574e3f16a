"""Reaction of the engine to each outcome at each provider."""

import pytest

from backend.services.chat.jobs.simulation.providers import SIMULATORS
from backend.services.chat.jobs.simulation.server import Fault
from tests.databases import database_in
from tests.services.chat.sending.harness import open_harness

ALL = sorted(SIMULATORS)
LOOKED_UP = ("slack", "twilio")
SETTLED_BY_EVENTS = ("whatsapp", "messenger")
NEVER_SETTLED = ("teams", "telegram")


def first_by_default(names):
    """Return *names* as parameters of which all but the first are slow."""
    first, *others = names
    return [first, *(pytest.param(name, marks=pytest.mark.slow) for name in others)]


@pytest.fixture
def provider(request, tmp_path):
    """A simulator and a harness for the channel of the parameter."""
    with (
        SIMULATORS[request.param]() as simulator,
        open_harness(database_in(tmp_path, "chat"), simulator) as harness,
    ):
        yield simulator, harness


@pytest.mark.parametrize("provider", ALL, indirect=True)
def test_message_is_sent_once_and_keeps_the_providers_id(provider):
    simulator, harness = provider
    message_id = harness.send(harness.start(simulator), "Hello **you**")

    harness.run()

    assert [message.text for message in simulator.messages] != []
    assert len(simulator.messages) == 1
    message = harness.get_message(message_id)
    assert message.state == "sent"
    if simulator.channel != "generic":
        assert message.external_id == simulator.messages[0].id


@pytest.mark.parametrize("provider", first_by_default(ALL), indirect=True)
def test_rate_limited_message_waits_for_retry_after_and_leaves_the_worker_free(provider):
    simulator, harness = provider
    simulator.plan(Fault("rate_limited", retry_after=30))
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run()
    harness.clock.advance(29)
    harness.run()

    assert simulator.messages == []
    assert harness.get_deliveries(message_id)[0].attempts == 0

    harness.clock.advance(2)
    harness.run()

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == 1


@pytest.mark.parametrize("provider", first_by_default(ALL), indirect=True)
def test_unavailable_provider_is_tried_again_after_one_and_four_seconds(provider):
    simulator, harness = provider
    simulator.plan("unavailable", "unavailable")
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run()
    assert harness.get_deliveries(message_id)[0].state == "queued"
    harness.clock.advance(1)
    harness.run()
    harness.clock.advance(3)
    assert harness.run() == 0
    harness.clock.advance(1)
    harness.run()

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == 1


@pytest.mark.parametrize("fault", ["lost", "slow"])
@pytest.mark.parametrize("provider", first_by_default(LOOKED_UP), indirect=True)
def test_lost_response_is_looked_up_and_the_message_is_not_sent_again(provider, fault):
    simulator, harness = provider
    harness.clock.time = _now()
    simulator.plan(fault)
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run(harness.create_engine(timeout_seconds=2 if fault == "slow" else 30))
    assert harness.get_message(message_id).state == "unknown"
    harness.run_for(60)

    assert harness.get_message(message_id).state == "sent"
    assert harness.get_message(message_id).external_id == simulator.messages[0].id
    assert len(simulator.messages) == 1


@pytest.mark.parametrize("provider", first_by_default(LOOKED_UP), indirect=True)
def test_message_that_the_provider_does_not_have_is_sent_again(provider):
    simulator, harness = provider
    harness.clock.time = _now()
    simulator.plan("dropped")
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(60)

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == 1


@pytest.mark.parametrize("fault", ["lost", "dropped"])
@pytest.mark.parametrize(
    "provider", first_by_default([*SETTLED_BY_EVENTS, *NEVER_SETTLED]), indirect=True
)
def test_lost_response_stays_unknown_without_proof(provider, fault):
    simulator, harness = provider
    simulator.plan(fault)
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(4000, step=60)

    assert harness.get_message(message_id).state == "unknown"
    assert len(simulator.messages) == (1 if fault == "lost" else 0)
    assert harness.get_deliveries(message_id)[0].next_attempt_at is None


@pytest.mark.parametrize("provider", ["generic"], indirect=True)
def test_webhook_is_repeated_with_the_same_id_after_a_lost_response(provider):
    simulator, harness = provider
    simulator.plan("lost")
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(5)

    assert harness.get_message(message_id).state == "sent"
    assert len({request.headers["webhook-id"] for request in simulator.requests}) == 1
    assert len({request.body for request in simulator.requests}) == 1
    assert len(simulator.messages) == 1


@pytest.mark.parametrize(
    "provider", first_by_default([name for name in ALL if name != "generic"]), indirect=True
)
def test_permanent_error_fails_the_message_with_its_reason(provider):
    simulator, harness = provider
    simulator.plan("rejected")
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(2000, step=100)

    message = harness.get_message(message_id)
    assert message.state == "failed"
    assert message.error["code"]
    assert simulator.messages == []


@pytest.mark.parametrize(
    "provider", first_by_default(["whatsapp", "messenger", "twilio"]), indirect=True
)
def test_closed_window_is_named_in_the_error(provider):
    simulator, harness = provider
    simulator.plan("window")
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run()

    assert harness.get_message(message_id).error["code"] == "window_closed"


@pytest.mark.parametrize(
    "provider", first_by_default([name for name in ALL if name != "generic"]), indirect=True
)
def test_revoked_token_stops_the_account_and_its_deliveries_wait(provider):
    simulator, harness = provider
    account_id = harness.add_account(simulator)
    conversation_id = harness.add_conversation(account_id)
    simulator.is_revoked = True
    message_ids = [harness.send(conversation_id, text) for text in ("one", "two")]

    harness.run_for(100, step=10)

    attempts = len(simulator.requests)
    assert harness.get_account(account_id).state == "revoked"
    assert [harness.get_message(message_id).state for message_id in message_ids] == ["queued"] * 2
    assert attempts <= 3

    simulator.is_revoked = False
    with harness.database.write() as session:
        session.get_one(type(harness.get_account(account_id)), account_id).state = "active"
    harness.run_for(10)

    assert [message.text for message in simulator.messages] == _wrap(simulator, ["one", "two"])


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["whatsapp"], indirect=True)
def test_message_fails_after_eight_attempts(provider):
    simulator, harness = provider
    simulator.plan(*["unavailable"] * 20)
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(4 * 3600, step=60)

    assert harness.get_message(message_id).state == "failed"
    assert len(simulator.requests) == 8


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["whatsapp"], indirect=True)
def test_message_fails_after_one_day_of_rate_limits(provider):
    simulator, harness = provider
    simulator.plan(*[Fault("rate_limited", retry_after=3600)] * 40)
    message_id = harness.send(harness.start(simulator), "Hello")

    harness.run_for(25 * 3600, step=1800)

    assert harness.get_message(message_id).state == "failed"


def _now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _wrap(simulator, texts):
    return [f"<p>{text}</p>" if simulator.channel == "teams" else text for text in texts]

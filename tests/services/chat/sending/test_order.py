"""Order of a conversation, several workers, dead workers, limits, circuits and windows."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.chat.domain.deliveries import DeliveryService
from backend.services.chat.domain.sending.states import apply_status, summarize_states
from backend.services.chat.errors import DeliveryNotChangeable, ResourceNotFound
from backend.services.chat.jobs.simulation.providers import (
    MessengerSimulator,
    SlackSimulator,
    TelegramSimulator,
    WhatsAppSimulator,
)
from backend.services.chat.jobs.simulation.server import Fault
from backend.services.chat.store import delivery_claims
from backend.services.chat.store.tables import Delivery
from tests.databases import database_in
from tests.services.chat.sending.harness import TENANT, open_harness

LONG = "\n\n".join(f"Paragraph {number}. " + "word " * 150 for number in range(12))


@pytest.fixture
def slack(tmp_path):
    with (
        SlackSimulator() as simulator,
        open_harness(database_in(tmp_path, "chat"), simulator) as harness,
    ):
        yield simulator, harness


@pytest.fixture
def whatsapp(tmp_path):
    with (
        WhatsAppSimulator() as simulator,
        open_harness(database_in(tmp_path, "chat"), simulator) as harness,
    ):
        yield simulator, harness


def test_second_part_waits_while_the_first_one_is_rate_limited(slack):
    simulator, harness = slack
    simulator.plan(Fault("rate_limited", retry_after=7))
    message_id = harness.send(harness.start(simulator), LONG)

    harness.run()
    states = [delivery.state for delivery in harness.get_deliveries(message_id)]
    harness.run_for(20)

    assert set(states) == {"queued"}
    texts = [message.text for message in simulator.messages]
    assert len(texts) > 1
    assert "Paragraph 0" in texts[0]
    numbers = [text.count("Paragraph") for text in texts]
    assert sum(numbers) == 12
    assert harness.get_message(message_id).state == "sent"


def test_messages_of_a_conversation_keep_their_order_over_retries(slack):
    simulator, harness = slack
    conversation_id = harness.start(simulator)
    simulator.plan("unavailable", "unavailable", Fault("rate_limited", retry_after=3))
    for number in range(6):
        harness.send(conversation_id, f"message {number}")

    harness.run_for(60)

    assert [message.text for message in simulator.messages] == [f"message {n}" for n in range(6)]


def test_another_conversation_is_served_while_one_waits(whatsapp):
    simulator, harness = whatsapp
    account_id = harness.add_account(simulator)
    waiting = harness.add_conversation(account_id, "user:1")
    other = harness.add_conversation(account_id, "user:2")
    simulator.plan("unavailable")
    harness.send(waiting, "waits")
    harness.send(other, "goes on")

    harness.run()

    assert [message.text for message in simulator.messages] == ["goes on"]


def test_later_message_waits_for_the_proof_of_an_unknown_one(slack):
    simulator, harness = slack
    harness.clock.time = datetime.now(UTC)
    conversation_id = harness.start(simulator)
    simulator.plan("dropped")
    harness.send(conversation_id, "first")
    harness.send(conversation_id, "second")

    harness.run_for(60)

    assert [message.text for message in simulator.messages] == ["first", "second"]


def test_parts_after_a_failed_one_are_cancelled_and_retried_with_it(slack):
    simulator, harness = slack
    simulator.plan("rejected")
    message_id = harness.send(harness.start(simulator), LONG)

    harness.run()
    first, *later = harness.get_deliveries(message_id)
    assert first.state == "failed"
    assert {delivery.state for delivery in later} == {"cancelled"}
    assert harness.get_message(message_id).state == "failed"

    service = DeliveryService(harness.database, harness.log, harness.clock)
    service.retry(TENANT, first.id)
    assert harness.get_message(message_id).state == "queued"
    harness.run_for(20)

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == len(later) + 1


def test_person_can_resend_or_give_up_a_message_of_unknown_outcome(tmp_path):
    with (
        TelegramSimulator() as simulator,
        open_harness(database_in(tmp_path, "chat"), simulator) as harness,
    ):
        conversation_id = harness.start(simulator)
        simulator.plan("dropped", "lost")
        resent, given_up = (harness.send(conversation_id, text) for text in ("one", "two"))
        harness.run_for(5)
        service = DeliveryService(harness.database, harness.log, harness.clock)

        service.retry(TENANT, harness.get_deliveries(resent)[0].id)
        service.cancel(TENANT, harness.get_deliveries(given_up)[0].id)
        harness.run_for(5)

        assert harness.get_message(resent).state == "sent"
        assert harness.get_message(given_up).state == "cancelled"
        assert sorted(message.text for message in simulator.messages) == ["one", "two"]


def test_sent_or_foreign_delivery_cannot_be_changed(slack):
    simulator, harness = slack
    message_id = harness.send(harness.start(simulator), "Hello")
    harness.run()
    delivery_id = harness.get_deliveries(message_id)[0].id
    service = DeliveryService(harness.database, harness.log, harness.clock)

    with pytest.raises(DeliveryNotChangeable):
        service.cancel(TENANT, delivery_id)
    with pytest.raises(DeliveryNotChangeable):
        service.retry(TENANT, delivery_id)
    with pytest.raises(ResourceNotFound):
        service.retry("another tenant", delivery_id)


def test_attempt_of_a_dead_worker_is_looked_up(slack):
    simulator, harness = slack
    harness.clock.time = datetime.now(UTC)
    message_id = harness.send(harness.start(simulator), "Hello")
    with harness.database.write() as session:
        lease_until = harness.clock() + timedelta(seconds=30)
        claimed = delivery_claims.claim_delivery(session, "dead", harness.clock(), lease_until)
        assert claimed.state == "sending"

    harness.run_for(25, step=5)
    assert simulator.messages == []
    harness.run_for(60)

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == 1


def test_worker_that_lost_its_lease_cannot_undo_what_was_found_out(slack):
    simulator, harness = slack
    message_id = harness.send(harness.start(simulator), "Hello")
    slow = harness.create_engine()
    original = slow._call

    def call_slowly(request):
        outcome = original(request)
        harness.clock.advance(40)
        harness.engine.recover()
        return outcome

    slow._call = call_slowly
    harness.run(slow)
    harness.run_for(60)

    assert harness.get_message(message_id).state == "sent"
    assert len(simulator.messages) == 1


def test_several_workers_send_each_message_once_and_in_order(tmp_path, each_database_url):
    with WhatsAppSimulator() as simulator, open_harness(each_database_url, simulator) as harness:
        account_id = harness.add_account(simulator)
        conversations = [harness.add_conversation(account_id, f"user:{n}") for n in range(4)]
        for number in range(5):
            for conversation_id in conversations:
                harness.send(conversation_id, f"{number}")
        engines = [harness.create_engine() for _ in range(4)]

        threads = [threading.Thread(target=harness.run, args=(engine,)) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        harness.run()

        sent = Counter((message.to, message.text) for message in simulator.messages)
        assert set(sent.values()) == {1}
        assert len(sent) == 20
        for number in range(4):
            texts = [message.text for message in simulator.messages if message.to == str(number)]
            assert texts == [str(n) for n in range(5)]


def test_conversation_sends_at_the_rate_of_its_channel(slack):
    simulator, harness = slack
    conversation_id = harness.start(simulator)
    for number in range(10):
        harness.send(conversation_id, str(number))

    harness.run()
    at_once = len(simulator.messages)
    harness.run_for(2)

    assert at_once == 4
    assert len(simulator.messages) == 6


def test_account_pauses_after_five_failures_and_resumes(whatsapp):
    simulator, harness = whatsapp
    account_id = harness.add_account(simulator)
    simulator.plan(*["unavailable"] * 5)
    for number in range(8):
        harness.send(harness.add_conversation(account_id, f"user:{number}"), str(number))

    harness.run()
    requests = len(simulator.requests)
    harness.clock.advance(9)
    harness.run()

    assert requests == len(simulator.requests) == 5
    harness.run_for(60)
    assert len(simulator.messages) == 8
    assert harness.get_account(account_id).failures == 0


def test_message_outside_the_window_fails_without_a_request(whatsapp):
    simulator, harness = whatsapp
    conversation_id = harness.start(simulator)
    harness.clock.advance(25 * 3600)

    late = harness.send(conversation_id, "Hello")
    template = harness.send(
        conversation_id, {"type": "template", "name": "hello", "language": "en"}
    )
    harness.run()

    assert harness.get_message(late).error["code"] == "window_closed"
    assert harness.get_message(template).state == "sent"


def test_message_that_was_deleted_in_time_is_not_sent(whatsapp):
    simulator, harness = whatsapp
    conversation_id = harness.start(simulator)
    message_id = harness.send(conversation_id, "Oops")
    with harness.database.write() as session:
        message = session.merge(harness.get_message(message_id))
        message.deleted_at = harness.clock()

    harness.run()

    assert simulator.messages == []
    assert harness.get_message(message_id).state == "cancelled"


def test_status_with_our_reference_settles_an_unknown_outcome(tmp_path):
    with (
        MessengerSimulator() as simulator,
        open_harness(database_in(tmp_path, "chat"), simulator) as harness,
    ):
        account_id = harness.add_account(simulator)
        simulator.plan("lost")
        message_id = harness.send(harness.add_conversation(account_id), "Hello")
        harness.run()
        assert harness.get_message(message_id).state == "unknown"

        stored = simulator.messages[0]
        with harness.database.write() as session:
            assert apply_status(
                session,
                harness.log,
                account_id,
                "sent",
                harness.clock(),
                ref=stored.ref,
                external_id=stored.id,
            )
        harness.run_for(300, step=30)

        message = harness.get_message(message_id)
        assert (message.state, message.external_id) == ("sent", stored.id)
        assert len(simulator.messages) == 1


def test_states_move_forward_in_any_order_of_statuses(whatsapp):
    simulator, harness = whatsapp
    account_id = harness.add_account(simulator)
    conversation_id = harness.add_conversation(account_id)

    def receive(message_id, *statuses):
        harness.run()
        external_id = harness.get_message(message_id).external_id
        for status, code in statuses:
            with harness.database.write() as session:
                apply_status(
                    session,
                    harness.log,
                    account_id,
                    status,
                    harness.clock(),
                    external_id=external_id,
                    error={"code": code} if code else None,
                )
        return harness.get_message(message_id)

    late = receive(harness.send(conversation_id, "1"), ("delivered", None), ("sent", None))
    read = receive(harness.send(conversation_id, "2"), ("read", None), ("failed", "131026"))
    failed = receive(
        harness.send(conversation_id, "3"), ("failed", "131026"), ("sent", None), ("failed", None)
    )

    assert late.state == "delivered"
    assert read.state == "read"
    assert failed.state == "failed"
    assert failed.error == {"code": "131026"}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["queued", "queued"], "queued"),
        (["sent", "queued"], "sending"),
        (["sent", "delivered"], "sent"),
        (["read", "delivered"], "delivered"),
        (["sent", "failed", "cancelled"], "failed"),
        (["sent", "unknown"], "unknown"),
        (["cancelled"], "cancelled"),
    ],
)
def test_message_has_the_state_of_its_parts(states, expected):
    assert summarize_states(states) == expected


def test_due_time_is_that_of_the_next_attempt(whatsapp):
    simulator, harness = whatsapp
    simulator.plan(Fault("rate_limited", retry_after=600))
    harness.send(harness.start(simulator), "Hello")
    harness.run()

    with harness.database.read() as session:
        due = delivery_claims.get_next_due_time(session, harness.clock())

    assert due == harness.clock() + timedelta(seconds=600)


def test_edit_and_reaction_use_the_providers_id_and_wait_for_the_message(slack):
    simulator, harness = slack
    conversation_id = harness.start(simulator)
    message_id = harness.send(conversation_id, "Hello")
    from backend.services.chat.domain.delivery_queue import queue_delivery
    from backend.services.chat.store.tables import Conversation, Message

    with harness.database.write() as session:
        conversation = session.get_one(Conversation, conversation_id)
        message = session.query(Message).filter_by(id=message_id).one()
        content = {"content": {"type": "text", "text": "Hello *there*"}}
        queue_delivery(session, conversation, message, "edit", content, harness.clock())
        reaction = {"emoji": "👍", "action": "add"}
        queue_delivery(session, conversation, message, "reaction", reaction, harness.clock())

    harness.run()

    calls = {request.path.rpartition("/")[2]: request.fields for request in simulator.requests}
    ts = simulator.messages[0].id
    assert calls["chat.update"]["ts"] == ts
    assert calls["chat.update"]["text"] == "Hello _there_"
    assert calls["reactions.add"] == {"channel": "C1", "timestamp": ts, "name": "+1"}
    assert {delivery.state for delivery in harness.get_deliveries()} == {"sent"}


def test_deliveries_are_listed_by_state_and_tenant(slack):
    simulator, harness = slack
    conversation_id = harness.start(simulator)
    harness.send(conversation_id, "sent")
    harness.run()
    harness.send(conversation_id, "queued")
    service = DeliveryService(harness.database, harness.log, harness.clock)

    listed = service.list_deliveries(TENANT, {"state": "queued"}, 10, None)

    assert [delivery.state for delivery in listed] == ["queued"]
    assert len(service.list_deliveries(TENANT, {}, 10, None)) == 2
    assert service.list_deliveries("other", {}, 10, None) == []
    assert isinstance(listed[0], Delivery)

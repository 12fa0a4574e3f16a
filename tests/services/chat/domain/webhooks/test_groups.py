"""Webhooks that are stored together in one transaction."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from backend.services.chat.domain.webhooks import ingestion, reception
from backend.services.chat.store.tables import Contact, Inbound, Participant
from tests.databases import on_postgresql
from tests.services.chat.domain.channels.normalising import (
    slack_message,
    telegram,
    whatsapp,
    whatsapp_message,
)
from tests.services.chat.webhook_senders import WebhookSenders

COUNT = 12


@pytest.fixture
def group_sizes(senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the numbers of webhooks that are stored together."""
    sizes: list[int] = []
    store = reception.store_events

    def store_and_count(session: Any, webhooks: Any, *arguments: Any) -> None:
        sizes.append(len(webhooks))
        store(session, webhooks, *arguments)

    monkeypatch.setattr(reception, "store_events", store_and_count)
    return sizes


def send_together(
    senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch, send: list[Callable[[], object]]
) -> None:
    """Call *send* in threads, in their order, so that all but the first are stored together."""
    entered, leave = threading.Event(), threading.Event()
    store = reception.store_events

    def store_after_others(*arguments: Any) -> None:
        if not entered.is_set():
            entered.set()
            assert leave.wait(60)
        store(*arguments)

    monkeypatch.setattr(reception, "store_events", store_after_others)
    with ThreadPoolExecutor(len(send)) as pool:
        results = [pool.submit(send[0])]
        assert entered.wait(60)
        for number, call in enumerate(send[1:], 1):
            results.append(pool.submit(call))
            while senders.receiver.count_waiting() < number:
                threading.Event().wait(0.01)
        leave.set()
        for result in results:
            result.result(60)


def write(number: int, **fields: Any) -> dict[str, Any]:
    text = {"type": "text", "text": {"body": str(number)}}
    return whatsapp_message(id=f"wamid.{number}", **{**text, **fields})


def test_first_messages_of_a_contact_become_one_conversation_in_their_order(
    senders: WebhookSenders, group_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("whatsapp")
    payloads = [write(number) for number in range(COUNT)]

    send_together(
        senders,
        monkeypatch,
        [partial(senders.send, "whatsapp", payload) for payload in payloads],
    )

    assert group_sizes == [1, COUNT - 1]
    messages = sorted(senders.list_messages(), key=lambda message: message.seq)
    assert [message.content["text"] for message in messages] == [str(n) for n in range(COUNT)]
    assert [message.seq for message in messages] == list(range(1, COUNT + 1))
    (conversation,) = senders.list_conversations()
    assert conversation.last_seq == COUNT
    assert conversation.change_seq >= messages[-1].change_seq
    assert len(senders.list_rows(Contact)) == len(senders.list_rows(Participant)) == 1


def test_new_contacts_of_several_channels_are_created(
    senders: WebhookSenders, group_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for channel in ("whatsapp", "telegram", "slack"):
        senders.add_account(channel, f"acc_{channel}")
    calls: list[Callable[[], object]] = []
    for number in range(3):
        user = str(100 + number)
        private = {"from": {"id": user, "first_name": "A"}, "chat": {"id": user, "type": "private"}}
        direct = {"user": f"U{user}", "channel": f"D{user}", "channel_type": "im"}
        for channel, payload in (
            ("telegram", telegram(text="hi", **private)),
            ("slack", slack_message(text="hi", **direct)),
            ("whatsapp", write(number)),
        ):
            calls.append(partial(senders.send, channel, payload, f"acc_{channel}"))

    send_together(senders, monkeypatch, calls)

    assert len(senders.list_messages()) == 9
    assert len(senders.list_conversations()) == 7
    assert group_sizes == [1, 8]


def test_webhooks_of_two_tenants_are_stored_in_their_tenants(
    senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_postgresql():
        pytest.skip("a transaction sees one tenant")
    for tenant in ("t1", "t2"):
        senders.add_account("whatsapp", f"acc_{tenant}", tenant)
    calls = [
        partial(senders.send, "whatsapp", write(number), f"acc_{tenant}")
        for number in range(4)
        for tenant in ("t1", "t2")
    ]

    send_together(senders, monkeypatch, calls)

    messages = senders.list_messages()
    for tenant in ("t1", "t2"):
        own = [message.content["text"] for message in messages if message.tenant_id == tenant]
        assert sorted(own) == ["0", "1", "2", "3"]


def test_repeated_webhook_in_a_group_is_stored_once(
    senders: WebhookSenders, group_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("whatsapp")
    payloads = [write(0), write(1), write(1), write(0), write(2), write(1)]

    send_together(
        senders,
        monkeypatch,
        [partial(senders.send, "whatsapp", payload) for payload in payloads],
    )

    assert group_sizes == [1, len(payloads) - 1]
    assert [message.content["text"] for message in senders.list_messages()] == ["0", "1", "2"]
    assert len(senders.list_inbound()) == 3


def test_changes_and_replies_apply_to_messages_of_the_same_group(
    senders: WebhookSenders, group_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("whatsapp")
    reaction = whatsapp_message(
        id="wamid.r", type="reaction", reaction={"message_id": "wamid.1", "emoji": "👍"}
    )
    edit = whatsapp_message(
        id="wamid.e",
        type="edit",
        edit={
            "original_message_id": "wamid.2",
            "message": {"type": "text", "text": {"body": "edited"}},
        },
    )
    payloads = [write(0), write(1), reaction, edit, write(2), write(3, context={"id": "wamid.2"})]

    send_together(
        senders,
        monkeypatch,
        [partial(senders.send, "whatsapp", payload) for payload in payloads],
    )

    assert group_sizes == [1, len(payloads) - 1]
    messages = sorted(senders.list_messages(), key=lambda message: message.seq)
    assert [message.content["text"] for message in messages] == ["0", "1", "edited", "3"]
    assert messages[3].reply_to_id == messages[2].id


def test_defect_of_one_webhook_of_a_group_does_not_affect_the_others(
    senders: WebhookSenders, group_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("whatsapp")
    original = ingestion.apply_messages

    def fail_for_one(arrivals: Any) -> Any:
        if any(arrival.event.get_text("external_id") == "wamid.3" for arrival in arrivals):
            raise ZeroDivisionError
        return original(arrivals)

    monkeypatch.setattr(ingestion, "apply_messages", fail_for_one)

    send_together(
        senders,
        monkeypatch,
        [partial(senders.send, "whatsapp", write(number)) for number in range(COUNT)],
    )

    texts = [int(message.content["text"]) for message in senders.list_messages()]
    assert sorted(texts) == [number for number in range(COUNT) if number != 3]
    failed = [row for row in senders.list_inbound() if row.state == "failed"]
    assert [row.error for row in failed] == ["ZeroDivisionError"]


def test_body_is_kept_with_the_first_new_event_of_a_webhook(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    senders.send("whatsapp", write(1))
    statuses = whatsapp(statuses=[{"id": "x", "status": "sent", "timestamp": "1749416390"}])
    both = json.loads(json.dumps(write(1)))
    both["entry"] += json.loads(json.dumps(write(2)))["entry"] + statuses["entry"]

    senders.send("whatsapp", both)

    has_body = {_get_name(row): row.raw is not None for row in senders.list_inbound()}
    assert has_body == {"wamid.1": True, "wamid.2": True, "status": False}


def _get_name(row: Inbound) -> str:
    return row.dedup_key.rpartition(":")[2] if row.kind == "message" else row.kind

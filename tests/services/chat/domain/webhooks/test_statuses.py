"""States of messages that were sent: forward only, also before their message is known."""

from typing import Any

import pytest

from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.store.tables import (
    Conversation,
    Delivery,
    EarlyStatus,
    Message,
    Reaction,
)
from tests.services.chat.domain.channels.normalising import (
    messenger,
    twilio,
    whatsapp,
    whatsapp_message,
)
from tests.services.chat.webhook_senders import WebhookSenders


def add_delivery(
    senders: WebhookSenders, external_id: str | None = "wamid.1", *, parts: int = 1
) -> None:
    """Add a conversation with a message of the agent that is being sent in *parts*."""
    now = senders.clock()
    with senders.database.write("t1") as session:
        conversation = Conversation(
            id="conv_1",
            tenant_id="t1",
            account_id="acc_1",
            channel="whatsapp",
            key="user:15550150100",
            created_at=now,
            updated_at=now,
        )
        session.add(conversation)
        session.flush()
        message, _ = senders.log.add_message(
            session,
            conversation,
            NewMessage("outbound", "agent", {"type": "text", "text": "Answer"}),
        )
        first = session.query(Delivery).one()
        first.state, first.external_id, first.ref = "sending", external_id, "ref-0"
        message.state = "sending"
        for part in range(1, parts):
            session.add(
                Delivery(
                    id=f"dlv_{part}",
                    tenant_id="t1",
                    account_id="acc_1",
                    conversation_id="conv_1",
                    message_id=message.id,
                    kind="message",
                    part=part,
                    state="sending",
                    ref=f"ref-{part}",
                    external_id=f"{external_id}-{part}",
                    payload={},
                    expires_at=now,
                    created_at=now,
                    updated_at=now,
                )
            )


def status(name: str, target: str = "wamid.1", **values: Any) -> dict[str, Any]:
    entry = {"id": target, "status": name, "timestamp": "1749416383", **values}
    return whatsapp(statuses=[entry])


def get_state(senders: WebhookSenders) -> str:
    (message,) = senders.list_messages()
    return message.state


def test_delivered_then_sent_stays_delivered(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    add_delivery(senders)

    senders.send("whatsapp", status("delivered"))
    senders.send("whatsapp", status("sent"))

    assert get_state(senders) == "delivered"
    assert senders.list_deliveries()[0].state == "delivered"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["sent", "failed"], "failed"),
        (["failed", "sent"], "failed"),
        (["delivered", "failed"], "delivered"),
        (["failed", "delivered"], "delivered"),
        (["read", "delivered", "sent"], "read"),
    ],
    ids=lambda value: str(value),
)
def test_state_does_not_depend_on_the_order(
    senders: WebhookSenders, states: list[str], expected: str
) -> None:
    senders.add_account("whatsapp")
    add_delivery(senders)

    for name in states:
        senders.send("whatsapp", status(name))

    assert get_state(senders) == expected


def test_first_reason_of_a_failure_stays(senders: WebhookSenders) -> None:
    senders.add_account("twilio")
    add_delivery(senders, "SM1")

    senders.send("twilio", twilio(MessageStatus="failed", ErrorCode="30008"))
    senders.send("twilio", twilio(MessageStatus="failed"))

    (message,) = senders.list_messages()
    assert (message.state, message.error) == ("failed", {"code": "30008"})


def test_reason_that_comes_second_is_added(senders: WebhookSenders) -> None:
    senders.add_account("twilio")
    add_delivery(senders, "SM1")

    senders.send("twilio", twilio(MessageStatus="failed"))
    senders.send("twilio", twilio(MessageStatus="failed", ErrorCode="30008"))

    (message,) = senders.list_messages()
    assert (message.state, message.error) == ("failed", {"code": "30008"})


def test_status_before_its_message_waits(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", status("delivered", "wamid.9"))
    (early,) = senders.list_rows(EarlyStatus)
    assert (early.target, early.status) == ("wamid.9", "delivered")

    echo = {"to": "15550150100", "id": "wamid.9", "type": "text", "text": {"body": "hi"}}
    senders.send("whatsapp", whatsapp("smb_message_echoes", message_echoes=[echo]))
    assert get_state(senders) == "delivered"
    assert senders.list_rows(EarlyStatus) == []


def test_status_with_our_reference_confirms_a_delivery_without_id(
    senders: WebhookSenders,
) -> None:
    senders.add_account("whatsapp")
    add_delivery(senders, None)

    senders.send("whatsapp", status("sent", biz_opaque_callback_data="ref-0"))

    assert get_state(senders) == "sent"
    assert senders.list_deliveries()[0].external_id == "wamid.1"


def test_message_is_delivered_when_all_its_parts_are(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    add_delivery(senders, parts=2)

    senders.send("whatsapp", status("delivered", "wamid.1"))
    assert get_state(senders) == "sending"

    senders.send("whatsapp", status("delivered", "wamid.1-1"))
    assert get_state(senders) == "delivered"


def test_echo_with_our_reference_confirms_the_delivery(senders: WebhookSenders) -> None:
    senders.add_account("messenger")
    add_delivery(senders, None)
    echo = messenger(
        recipient={"id": "15550150100"},
        message={"mid": "m1", "text": "Answer", "is_echo": True, "app_id": 1, "metadata": "ref-0"},
    )

    senders.send("messenger", echo)

    (message,) = senders.list_messages()
    assert (message.state, message.author) == ("sent", "agent")
    assert senders.list_conversations()[0].mode == "bot"


def test_watermark_moves_all_earlier_messages(senders: WebhookSenders) -> None:
    senders.add_account("messenger")
    senders.send("messenger", messenger(message={"mid": "m0", "text": "hi"}))
    (conversation,) = senders.list_conversations()
    with senders.database.write("t1") as session:
        stored = session.get_one(Conversation, conversation.id)
        for text in ("one", "two"):
            content = {"type": "text", "text": text}
            senders.log.add_message(session, stored, NewMessage("outbound", "agent", content))
    later = int(senders.clock().timestamp() * 1000) + 1000

    senders.send("messenger", messenger(read={"watermark": later}))

    states = [m.state for m in senders.list_rows(Message) if m.direction == "outbound"]
    assert states == ["read", "read"]


def test_status_of_another_account_changes_nothing(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    senders.add_account("whatsapp", "acc_2", "t2")
    add_delivery(senders)

    senders.send("whatsapp", status("read"), "acc_2")

    assert get_state(senders) == "sending"


def test_reaction_to_a_part_of_our_message_is_stored(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    add_delivery(senders, parts=2)

    senders.send(
        "whatsapp",
        whatsapp_message(type="reaction", reaction={"message_id": "wamid.1-1", "emoji": "👍"}),
    )

    assert [row.emoji for row in senders.list_rows(Reaction)] == ["👍"]

"""Any order of events, with duplicates, gives the same messages."""

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.chat.store.tables import Reaction
from tests.services.chat.domain.channels.normalising import whatsapp, whatsapp_message
from tests.services.chat.webhook_senders import WebhookSenders

TIME = 1_749_416_383
EVENTS: list[dict[str, Any]] = [
    whatsapp_message(id="wamid.1", timestamp=str(TIME), type="text", text={"body": "one"}),
    whatsapp_message(id="wamid.2", timestamp=str(TIME + 1), type="text", text={"body": "two"}),
    whatsapp_message(
        id="wamid.3",
        timestamp=str(TIME + 2),
        type="edit",
        edit={
            "original_message_id": "wamid.1",
            "message": {"type": "text", "text": {"body": "edited"}},
        },
    ),
    whatsapp_message(
        id="wamid.4",
        timestamp=str(TIME + 3),
        type="edit",
        edit={
            "original_message_id": "wamid.1",
            "message": {"type": "text", "text": {"body": "edited again"}},
        },
    ),
    whatsapp_message(
        id="wamid.5",
        timestamp=str(TIME + 4),
        type="revoke",
        revoke={"original_message_id": "wamid.2"},
    ),
    whatsapp_message(
        id="wamid.6",
        timestamp=str(TIME + 5),
        type="reaction",
        reaction={"message_id": "wamid.1", "emoji": "👍"},
    ),
    whatsapp(
        "smb_message_echoes",
        message_echoes=[
            {
                "to": "15550150100",
                "id": "wamid.7",
                "timestamp": str(TIME + 6),
                "type": "text",
                "text": {"body": "from a colleague"},
            }
        ],
    ),
    *(
        whatsapp(statuses=[{"id": "wamid.7", "status": name, "timestamp": str(TIME + 7)}])
        for name in ("sent", "delivered", "read")
    ),
]
EXPECTED = [
    ("inbound", "edited again", "received", False),
    ("inbound", "", "received", True),
    ("outbound", "from a colleague", "read", False),
]


def test_any_order_with_duplicates_gives_the_same_messages(senders: WebhookSenders) -> None:
    numbers = itertools.count()

    @given(
        order=st.permutations(range(len(EVENTS))),
        repeated=st.lists(st.integers(0, len(EVENTS) - 1), max_size=6),
    )
    @settings(max_examples=15, deadline=None)
    def check(order: list[int], repeated: list[int]) -> None:
        number = next(numbers)
        account, tenant = f"acc_{number}", f"t{number}"
        senders.add_account("whatsapp", account, tenant)

        for index in [*order, *repeated]:
            senders.send("whatsapp", EVENTS[index], account)

        assert [
            (message.direction, message.content["text"], message.state, bool(message.deleted_at))
            for message in senders.list_messages()
            if message.tenant_id == tenant
        ] == EXPECTED
        reactions = [row for row in senders.list_rows(Reaction) if row.tenant_id == tenant]
        assert [reaction.emoji for reaction in reactions] == ["👍"]
        conversations = senders.list_conversations()
        assert sum(row.tenant_id == tenant for row in conversations) == 1

    check()

"""Responses of the chat service for the screens of the team inbox and of channels."""

from collections.abc import Sequence
from typing import Any

from tests.services.console.browser.static_pages import Answer, EventStream, list_page

# The signed-in user of `AppPage` has the id user-1.
COLLEAGUES = [
    {"id": "user-1", "name": "Ada Lovelace", "can_reply": True},
    {"id": "user-2", "name": "Grace Hopper", "can_reply": True},
    {"id": "user-3", "name": "Alan Turing", "can_reply": False},
]
OPEN = (1, "open", {"change_seq": 1})


def conversation(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"conv_{number}",
        "account_id": "acc_1",
        "channel": "whatsapp",
        "is_group": False,
        "owner_id": None,
        "contact_id": f"cont_{number}",
        "title": "",
        "status": "open",
        "mode": "bot",
        "mode_until": None,
        "assignee_id": None,
        "last_seq": 1,
        "change_seq": 1,
        "read_seq": 1,
        "answer_error": None,
        "created_at": "2026-11-29T08:00:00Z",
        "updated_at": f"2026-11-29T09:{59 - number % 60:02}:00Z",
        "contact_name": f"Customer {number}",
        "account_name": "Shop",
        "account_state": "active",
        "window_closes_at": "2999-01-01T00:00:00Z",
        "last_message": {
            "seq": 1,
            "author": f"contact:cont_{number}",
            "direction": "inbound",
            "internal": False,
            "type": "text",
            "text": f"Where is order {number}?",
            "state": "received",
            "sent_at": "2026-11-29T09:00:00Z",
            "is_deleted": False,
        },
    } | changes


def message(seq: int, text: str = "Where is order 1?", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"msg_{seq}",
        "conversation_id": "conv_1",
        "seq": seq,
        "change_seq": seq,
        "direction": "inbound",
        "author": "contact:cont_1",
        "source": "webhook",
        "internal": False,
        "client_id": None,
        "content": {"type": "text", "text": text},
        "reply_to_id": None,
        "state": "received",
        "error": None,
        "citations": [],
        "steps": [],
        "reactions": [],
        "attachments": [],
        "sent_at": f"2026-11-29T09:{seq:02}:00Z",
        "created_at": f"2026-11-29T09:{seq:02}:00Z",
        "edited_at": None,
        "deleted_at": None,
    } | changes


def answer(seq: int, text: str, state: str = "sent", **changes: Any) -> dict[str, Any]:
    return message(seq, text, direction="outbound", author="user:user-1", state=state, **changes)


def account(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"acc_{number}",
        "channel": "whatsapp",
        "name": "Shop",
        "state": "active",
        "error": None,
        "settings": {"phone_number_id": "100000000000001"},
        "credential_names": ["access_token", "app_secret", "verify_token"],
        "has_agent_key": True,
        "checked_at": "2026-11-29T08:00:00Z",
        "created_at": "2026-11-29T08:00:00Z",
        "updated_at": "2026-11-29T08:00:00Z",
    } | changes


def template(
    name: str, text: str, status: str = "approved", reason: str | None = None
) -> dict[str, Any]:
    return {
        "id": f"tpl_{name}",
        "account_id": "acc_1",
        "name": name,
        "language": "en",
        "category": "UTILITY",
        "status": status,
        "reason": reason,
        "components": [{"type": "BODY", "text": text}],
        "synced_at": "2026-11-29T08:00:00Z",
    }


def contact(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"cont_{number}",
        "name": f"Customer {number}",
        "user_id": None,
        "is_blocked": False,
        "preferences": {},
        "attributes": {"company": "Analytical Engines"},
        "identities": [{"account_id": "acc_1", "scheme": "number", "value": f"4917{number}"}],
        "created_at": "2026-11-29T08:00:00Z",
        "updated_at": "2026-11-29T08:00:00Z",
    } | changes


class Inbox:
    """A conversation and its events, which the page requests until it is closed.

    Attributes:
        events: events that the next connection to the stream gets.
    """

    def __init__(self, current: dict[str, Any], messages: Sequence[dict[str, Any]]) -> None:
        self.current = current
        self.messages = list(messages)
        self.events: list[tuple[int | None, str, Any]] = []

    def push(self, name: str, data: Any, number: int | None = None) -> None:
        """Send an event with the next connection, which is at most one second away."""
        self.events.append((number, name, data))

    def answers(self) -> dict[str, Answer]:
        path = f"/chat/conversations/{self.current['id']}"
        return {
            "GET /auth/colleagues": list_page(COLLEAGUES),
            "GET /chat/conversations": lambda query, body: list_page([self.current]),
            f"GET {path}": lambda query, body: {
                **self.current,
                "messages": self.messages,
                "participants": [],
            },
            f"GET {path}/events": self._take_events,
            f"PUT {path}/read": lambda query, body: body,
            f"POST {path}/typing": {"_status": 202},
        }

    def _take_events(self, query: object, body: object) -> EventStream:
        del query, body
        events, self.events = self.events, []
        return EventStream(OPEN, *events)

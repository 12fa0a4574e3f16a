"""Conversations as the caller sees them, with their contact, account and last message."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.views import (
    ConversationView,
    LastMessageView,
    to_conversation_view,
)
from backend.services.chat.domain.windows import get_window_hours
from backend.services.chat.store import accounts, messages
from backend.services.chat.store import conversations as store
from backend.services.chat.store.tables import Contact, Conversation, Message

_MAX_PREVIEW_CHARACTERS = 160


def load_conversation_views(
    session: Session, caller: Caller, rows: Sequence[Conversation]
) -> list[ConversationView]:
    """Return the views of *rows*, with four queries for any number of them.

    A caller without `chat:read` sees no internal note as the last message.
    """
    if not rows:
        return []
    ids = [row.id for row in rows]
    positions = store.get_read_positions(session, ids, caller.actor)
    last = messages.list_last_messages(
        session, {row.id: row.last_seq for row in rows}, with_internal=caller.can_read_all
    )
    names = _load_contact_names(session, {row.contact_id for row in rows if row.contact_id})
    states = accounts.get_account_states(session, {row.account_id for row in rows})
    views = []
    for row in rows:
        name, state = states.get(row.account_id, ("", "stopped"))
        message = last.get(row.id)
        view = replace(
            to_conversation_view(row, positions.get(row.id, 0)),
            contact_name=names.get(row.contact_id or "", ""),
            account_name=name,
            account_state=state,
            window_closes_at=_get_window_end(row),
            last_message=None if message is None else _to_last_message(message),
        )
        views.append(view)
    return views


def _load_contact_names(session: Session, ids: set[str]) -> dict[str, str]:
    """Return the name of each contact, or an id of one without a name."""
    contacts: Sequence[Contact] = accounts.list_contacts_by_id(session, ids)
    nameless = [contact.id for contact in contacts if not contact.name]
    identities = accounts.list_identities(session, nameless) if nameless else {}
    return {
        contact.id: contact.name
        or next((identity.value for identity in identities.get(contact.id, ())), "")
        for contact in contacts
    }


def _get_window_end(row: Conversation) -> datetime | None:
    hours = get_window_hours(row)
    if hours is None:
        return None
    if row.last_inbound_at is None:
        return row.created_at
    return row.last_inbound_at + timedelta(hours=hours)


def _to_last_message(row: Message) -> LastMessageView:
    text = " ".join(get_text(row.content).split())
    if len(text) > _MAX_PREVIEW_CHARACTERS:
        text = f"{text[: _MAX_PREVIEW_CHARACTERS - 1]}…"
    return LastMessageView(
        seq=row.seq,
        author=row.author,
        direction=row.direction,
        internal=row.is_internal,
        type=str(row.content.get("type", "")),
        text=text,
        state=row.state,
        sent_at=row.sent_at,
        is_deleted=row.deleted_at is not None,
    )

"""Conversations as the caller sees them, with their contact, account and last message."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.views import ConversationView, LastMessageView
from backend.services.chat.domain.windows import get_window_hours
from backend.services.chat.store import accounts
from backend.services.chat.store.list_details import LastMessage, ListDetails, load_list_details
from backend.services.chat.store.tables import Conversation

_MAX_PREVIEW_CHARACTERS = 160


def load_conversation_views(
    session: Session, caller: Caller, rows: Sequence[Conversation]
) -> list[ConversationView]:
    """Return the views of *rows*, with at most three queries for any number of them.

    A caller without `chat:read` sees no internal note as the last message.
    """
    details = load_list_details(
        session, [row.id for row in rows], caller.actor, with_internal=caller.can_read_all
    )
    names = _load_contact_names(session, rows, details)
    return [_to_view(row, details[row.id], names.get(row.contact_id or "", "")) for row in rows]


def _load_contact_names(
    session: Session, rows: Sequence[Conversation], details: Mapping[str, ListDetails]
) -> dict[str, str]:
    """Return the name of each contact, or an id of one without a name."""
    names = {row.contact_id: details[row.id].contact_name for row in rows if row.contact_id}
    nameless = [contact_id for contact_id, name in names.items() if not name]
    if nameless:
        identities = accounts.list_identities(session, nameless)
        names |= {contact_id: found[0].value for contact_id, found in identities.items()}
    return names


def _to_view(row: Conversation, details: ListDetails, contact_name: str) -> ConversationView:
    return ConversationView(
        id=row.id,
        account_id=row.account_id,
        channel=row.channel,
        is_group=row.is_group,
        owner_id=row.owner_id,
        contact_id=row.contact_id,
        title=row.title,
        status=row.status,
        mode=row.mode,
        mode_until=row.mode_until,
        assignee_id=row.assignee_id,
        last_seq=row.last_seq,
        change_seq=row.change_seq,
        read_seq=details.read_seq,
        answer_error=row.answer_error,
        created_at=row.created_at,
        updated_at=row.updated_at,
        contact_name=contact_name,
        account_name=details.account_name,
        account_state=details.account_state,
        window_closes_at=_get_window_end(row),
        last_message=(
            None if details.last_message is None else _to_last_message(details.last_message)
        ),
    )


def _get_window_end(row: Conversation) -> datetime | None:
    hours = get_window_hours(row)
    if hours is None:
        return None
    if row.last_inbound_at is None:
        return row.created_at
    return row.last_inbound_at + timedelta(hours=hours)


def _to_last_message(row: LastMessage) -> LastMessageView:
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
        is_deleted=row.is_deleted,
    )

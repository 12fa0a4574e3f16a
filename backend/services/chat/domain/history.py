"""History of a tenant's conversations for its managers: search, export, deletion."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.chassis.csv_cells import make_formula_safe
from backend.chassis.database.sessions import Database
from backend.chassis.messaging.audit_events import AuditEvent, RequestOrigin, format_time
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.conversation_views import load_conversation_views
from backend.services.chat.domain.erasure import erase_messages
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.search_words import query_words
from backend.services.chat.domain.views import ConversationView
from backend.services.chat.errors import ConversationNotFound, ResourceNotFound
from backend.services.chat.model import HistoryFilter, contact_actor, user_actor
from backend.services.chat.store import accounts
from backend.services.chat.store import conversations as conversation_store
from backend.services.chat.store import history as store
from backend.services.chat.store.tables import Conversation, Message

_EXPORT_BATCH: Final = 500
_DELETION_BATCH: Final = 20
COLUMNS: Final = (
    "conversation_id",
    "channel",
    "account_id",
    "title",
    "status",
    "owner_id",
    "contact_id",
    "contact_name",
    "message_id",
    "seq",
    "direction",
    "author",
    "internal",
    "type",
    "text",
    "state",
    "sent_at",
    "created_at",
    "edited_at",
    "deleted_at",
)


@dataclass(frozen=True, slots=True)
class ErasureCounts:
    """Numbers of deleted conversations of a person, and of deleted messages in other ones."""

    conversations: int
    messages: int


class HistoryService:
    """The history of the caller's tenant. Exports and deletions are audited."""

    def __init__(
        self,
        database: Database,
        message_log: MessageLog,
        audit: AuditOutbox,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._message_log = message_log
        self._audit = audit
        self._now = now

    def list_conversations(
        self,
        caller: Caller,
        conditions: HistoryFilter,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> list[ConversationView]:
        """Return the matching conversations, most recently updated first."""
        words = query_words(conditions.text or "")
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_conversations(
                session, caller.tenant_id, conditions, words, limit, after
            )
            return load_conversation_views(session, caller, rows)

    def export_messages(
        self, caller: Caller, conditions: HistoryFilter, format_: str, origin: RequestOrigin
    ) -> Iterator[bytes]:
        """Return the messages of the matching conversations as `csv` or `jsonl`, in pieces.

        Each batch is read in a transaction of its own, so that memory use and the duration of
        transactions do not depend on the number of messages.
        """
        details = {"format": format_} | {
            name: str(getattr(conditions, name))
            for name in HistoryFilter.__slots__
            if getattr(conditions, name) is not None and name != "text"
        }
        self._record(caller, "chat.history-export", None, origin, details)
        rows = self._iterate_rows(caller, conditions)
        return _write_csv(rows) if format_ == "csv" else _write_jsonl(rows)

    def delete_conversation(
        self, caller: Caller, conversation_id: str, origin: RequestOrigin
    ) -> None:
        """Delete a conversation with all its messages. Raises ConversationNotFound."""
        with self._database.write(caller.tenant_id) as session:
            conversation = conversation_store.find_conversation(
                session, caller.tenant_id, conversation_id
            )
            if conversation is None:
                raise ConversationNotFound
            details = {"messages": store.count_messages(session, conversation_id)}
            self._message_log.delete_conversation(session, conversation)
            event = _build_event(
                caller, "chat.conversation-delete", conversation_id, origin, details
            )
            self._audit.add_event(session, event)

    def erase_user(self, caller: Caller, user_id: str, origin: RequestOrigin) -> ErasureCounts:
        """Delete the conversations of a user of the suite, and what they wrote in others.

        The user is erased in small transactions. A call after an interruption completes it.
        """
        actor = user_actor(user_id)
        erased = self._erase_batches(caller, [actor], origin, owner_id=user_id)
        with self._database.write(caller.tenant_id) as session:
            store.erase_actor(session, caller.tenant_id, actor, self._now())
            store.clear_user_references(session, caller.tenant_id, user_id)
        return erased

    def erase_contact(
        self, caller: Caller, contact_id: str, origin: RequestOrigin
    ) -> ErasureCounts:
        """Delete a contact, its conversations, and what it wrote in groups.

        The contact is erased in small transactions. A call after an interruption completes it.

        Raises:
            ResourceNotFound: the tenant has no such contact.
        """
        with self._database.read(caller.tenant_id) as session:
            contact = accounts.find_contact(session, caller.tenant_id, contact_id)
            if contact is None:
                raise ResourceNotFound("contact")
            contact_id = contact.id
            actors = list(map(contact_actor, accounts.list_person_ids(session, contact)))
        erased = self._erase_batches(caller, actors, origin, contact_id=contact_id)
        with self._database.write(caller.tenant_id) as session:
            contact = accounts.find_contact(session, caller.tenant_id, contact_id)
            if contact is not None:
                accounts.erase_contact(session, contact, self._now())
        return erased

    def _erase_batches(
        self, caller: Caller, actors: Sequence[str], origin: RequestOrigin, **owner: str
    ) -> ErasureCounts:
        """Delete the conversations and messages of a person in small transactions.

        The first of *actors* is the target of the audit event.

        The audit event is recorded first, with the numbers that are to be deleted, so that an
        interrupted erasure is recorded too. The next call records those that remained.
        """
        with self._database.read(caller.tenant_id) as session:
            found = store.count_of_person(session, caller.tenant_id, actors, **owner)
        details = {"conversations": found[0], "messages": found[1]}
        self._record(caller, "chat.person-erase", actors[0], origin, details)
        conversations = self._delete_conversations(caller, **owner)
        messages = sum(
            erase_messages(self._database, caller.tenant_id, actor, self._now) for actor in actors
        )
        return ErasureCounts(conversations, messages)

    def _delete_conversations(self, caller: Caller, **owner: str) -> int:
        """Delete the conversations of a person in small transactions. Returns their number."""
        count = 0
        while True:
            with self._database.write(caller.tenant_id) as session:
                rows = store.list_owned_conversations(
                    session, caller.tenant_id, _DELETION_BATCH, **owner
                )
                for conversation in rows:
                    self._message_log.delete_conversation(session, conversation)
            count += len(rows)
            if len(rows) < _DELETION_BATCH:
                return count

    def _iterate_rows(self, caller: Caller, conditions: HistoryFilter) -> Iterator[dict[str, Any]]:
        words = query_words(conditions.text or "")
        after = 0
        while True:
            with self._database.read(caller.tenant_id) as session:
                rows = store.list_messages(
                    session, caller.tenant_id, conditions, words, _EXPORT_BATCH, after
                )
                lines = [_to_line(*row) for row in rows]
                after = rows[-1][0].number if rows else after
            yield from lines
            if len(lines) < _EXPORT_BATCH:
                return

    def _record(
        self,
        caller: Caller,
        action: str,
        target: str | None,
        origin: RequestOrigin,
        details: dict[str, Any],
    ) -> None:
        with self._database.write(caller.tenant_id) as session:
            self._audit.add_event(session, _build_event(caller, action, target, origin, details))


def _build_event(
    caller: Caller, action: str, target: str | None, origin: RequestOrigin, details: dict[str, Any]
) -> AuditEvent:
    return AuditEvent(
        action, caller.user_id, caller.tenant_id, origin, target=target, details=details
    )


def _to_line(message: Message, conversation: Conversation, contact_name: str) -> dict[str, Any]:
    return {
        "conversation_id": conversation.id,
        "channel": conversation.channel,
        "account_id": conversation.account_id,
        "title": conversation.title,
        "status": conversation.status,
        "owner_id": conversation.owner_id,
        "contact_id": conversation.contact_id,
        "contact_name": contact_name,
        "message_id": message.id,
        "seq": message.seq,
        "direction": message.direction,
        "author": message.author,
        "internal": message.is_internal,
        "type": message.content.get("type"),
        "text": get_text(message.content),
        "state": message.state,
        "sent_at": _format(message.sent_at),
        "created_at": _format(message.created_at),
        "edited_at": _format(message.edited_at),
        "deleted_at": _format(message.deleted_at),
        "content": message.content,
    }


def _format(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def _write_jsonl(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    lines: list[str] = []
    for row in rows:
        lines.append(json.dumps(row, ensure_ascii=False))
        if len(lines) == _EXPORT_BATCH:
            yield _join(lines)
            lines = []
    if lines:
        yield _join(lines)


def _join(lines: Sequence[str]) -> bytes:
    # A provider's text may contain half of a surrogate pair, which UTF-8 cannot encode.
    return ("\n".join(lines) + "\n").encode(errors="replace")


def _write_csv(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a header line. Spreadsheets execute no cell as a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for count, row in enumerate(rows, 1):
        writer.writerow([make_formula_safe(row[name]) for name in COLUMNS])
        if count % _EXPORT_BATCH == 0:
            yield _drain(buffer)
    yield _drain(buffer)


def _drain(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode(errors="replace")
    buffer.seek(0)
    buffer.truncate()
    return content

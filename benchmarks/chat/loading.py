"""Many messages of one tenant, written directly into the tables of the chat service."""

import csv
import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Table, func, insert, select

from backend.services.chat.domain.search_words import index_words
from backend.services.chat.store.tables import (
    Account,
    Base,
    Contact,
    Conversation,
    Message,
    Participant,
)
from backend.services.chat.wiring import ChatComponents

TENANT: Final = "tenant-of-benchmark"
COLLEAGUE: Final = "colleague"
# A user with many conversations in web chat, and one with few.
BUSY_USER: Final = "user-0"
RARE_USER: Final = "user-7"
# A word of half of the messages, and one of each 57th.
COMMON_WORD: Final = "parcel"
FREQUENT_CJK: Final = "包裹"

_MESSAGES_PER_CONVERSATION: Final = 25
# Conversations that are active at the same time: their messages are interleaved.
_ACTIVE: Final = 200
_BATCH: Final = 10_000
_USERS: Final = 500
_COLLEAGUES: Final = (COLLEAGUE, *(f"colleague-{number}" for number in range(1, 10)))
_CHANNELS: Final = ("web", "whatsapp", "whatsapp", "telegram", "slack")
_VOCABULARY: Final = 20_000
_SYLLABLES: Final = ("ka", "lo", "mi", "ren", "sta", "vo", "ber", "til", "qua", "zed", "pin", "dor")
_CJK_TEXTS: Final = ("我的包裹在哪里", "荷物はどこですか", "ขอบคุณมากครับ")


def count_loaded(components: ChatComponents) -> int:
    """Return the number of messages of the tenant."""
    with components.database.read(TENANT) as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


def load_messages(components: ChatComponents, count: int) -> None:
    """Write *count* messages in conversations of all states, channels and assignees."""
    write = _copy_rows if components.database.engine.dialect.name == "postgresql" else _insert_rows
    random_source = random.Random(1)  # noqa: S311 - the same messages in each run
    words = _build_vocabulary()
    start = datetime.now(UTC) - timedelta(seconds=count)
    _add_accounts(components, start)
    for first in range(0, count, _BATCH):
        batch = _Batch()
        for number in range(first, min(count, first + _BATCH)):
            _add_message(batch, number, start + timedelta(seconds=number), random_source, words)
        for table, rows in batch.tables():
            write(components, table, rows)
    _analyze(components)


class _Batch:
    """Rows of some messages and of the conversations that begin with them."""

    def __init__(self) -> None:
        self.contacts: list[dict[str, Any]] = []
        self.conversations: list[dict[str, Any]] = []
        self.participants: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []

    def tables(self) -> Iterator[tuple[type[Base], Sequence[dict[str, Any]]]]:
        yield Contact, self.contacts
        yield Conversation, self.conversations
        yield Participant, self.participants
        yield Message, self.messages


def get_conversation_id(number: int) -> str:
    """Return the id of the conversation with message *number*, counted from 0."""
    block, rest = divmod(number, _ACTIVE * _MESSAGES_PER_CONVERSATION)
    return f"conv_{block * _ACTIVE + rest % _ACTIVE:08d}"


def _add_message(
    batch: _Batch, number: int, at: datetime, random_source: random.Random, words: Sequence[str]
) -> None:
    rest = number % (_ACTIVE * _MESSAGES_PER_CONVERSATION)
    conversation_id = get_conversation_id(number)
    index = int(conversation_id.removeprefix("conv_"))
    seq = rest // _ACTIVE + 1
    if seq == 1:
        _add_conversation(batch, index, conversation_id, at)
    text, indexed = _write_text(number, random_source, words)
    is_inbound = seq % 2 == 1
    batch.messages.append(
        {
            "id": f"msg_{number:010d}",
            "tenant_id": TENANT,
            "conversation_id": conversation_id,
            "seq": seq,
            "change_seq": seq,
            "direction": "inbound" if is_inbound else "outbound",
            "author": f"contact:con_{index:08d}" if is_inbound else "agent",
            "source": "webhook",
            "is_internal": False,
            "is_first_response": False,
            "external_id": f"wamid.{number:030d}",
            "content": {"type": "text", "text": text},
            "words": indexed,
            "state": "received" if is_inbound else "sent",
            "citations": [],
            "steps": [],
            "details": {},
            "sent_at": at,
            "created_at": at,
        }
    )


def _add_conversation(batch: _Batch, index: int, conversation_id: str, at: datetime) -> None:
    channel = _CHANNELS[index % len(_CHANNELS)]
    is_web = channel == "web"
    last_at = at + timedelta(seconds=_ACTIVE * (_MESSAGES_PER_CONVERSATION - 1))
    step = index // 5 % 50
    status = "open" if step % 10 == 0 else "pending" if step == 1 else "resolved"
    common = {"tenant_id": TENANT, "created_at": at, "updated_at": last_at}
    if not is_web:
        batch.contacts.append(
            {
                **common,
                "id": f"con_{index:08d}",
                "name": f"Person {index}",
                "is_blocked": False,
                "preferences": {},
                "attributes": {},
            }
        )
    owner = BUSY_USER if index // 5 % 4 == 0 else f"user-{index // 5 % _USERS}"
    batch.conversations.append(
        {
            **common,
            "id": conversation_id,
            "account_id": _get_account(channel),
            "channel": channel,
            "key": f"user:loaded-{index}",
            "is_group": False,
            "owner_id": owner if is_web else None,
            "contact_id": None if is_web else f"con_{index:08d}",
            "title": f"Person {index}",
            "status": status,
            "mode": "human" if index % 3 == 0 else "bot",
            "assignee_id": _COLLEAGUES[index % 30 // 3] if index % 3 == 0 else None,
            "last_seq": _MESSAGES_PER_CONVERSATION,
            "change_seq": _MESSAGES_PER_CONVERSATION,
            "answered_seq": _MESSAGES_PER_CONVERSATION,
            "changed_seq": 0,
            "answer_attempts": 0,
            "last_inbound_at": last_at,
            "details": {},
        }
    )
    if index % 3 == 0:
        batch.participants.append(
            {
                "conversation_id": conversation_id,
                "actor": f"user:{COLLEAGUE}",
                "tenant_id": TENANT,
                "read_seq": index % _MESSAGES_PER_CONVERSATION,
                "change_seq": 0,
                "joined_at": at,
            }
        )


def _write_text(number: int, random_source: random.Random, words: Sequence[str]) -> tuple[str, str]:
    """Return the text of message *number* and its indexed words."""
    # The logarithm of a uniform number: few words are frequent, most are rare.
    chosen = [words[int(_VOCABULARY ** random_source.random()) - 1] for _ in range(9)]
    if number // 7 % 2:
        chosen.insert(3, COMMON_WORD)
    if number % 997 == 0:
        chosen.append(f"rare{number // 40_000}")
    indexed = " ".join(dict.fromkeys(chosen))
    if number % 19 == 3:
        phrase = _CJK_TEXTS[number // 19 % len(_CJK_TEXTS)]
        return f"{' '.join(chosen)} {phrase}", f"{indexed} {_CJK_WORDS[phrase]}"
    return " ".join(chosen), indexed


_CJK_WORDS: Final[Mapping[str, str]] = {text: index_words(text) for text in _CJK_TEXTS}


def _build_vocabulary() -> list[str]:
    count = len(_SYLLABLES)
    return [
        _SYLLABLES[number % count]
        + _SYLLABLES[number // count % count]
        + _SYLLABLES[number // count**2 % count]
        + _SYLLABLES[number // count**3 % count]
        for number in range(_VOCABULARY)
    ]


def _get_account(channel: str) -> str:
    return f"acc_loaded_{channel}"


def _add_accounts(components: ChatComponents, at: datetime) -> None:
    with components.database.write(TENANT) as session:
        for channel in sorted(set(_CHANNELS)):
            session.merge(
                Account(
                    id=_get_account(channel),
                    tenant_id=TENANT,
                    channel=channel,
                    name=f"Loaded {channel}",
                    created_at=at,
                    updated_at=at,
                )
            )


def _insert_rows(
    components: ChatComponents, table: type[Base], rows: Sequence[dict[str, Any]]
) -> None:
    if rows:
        with components.database.write(TENANT) as session:
            session.execute(insert(table), rows)


def _copy_rows(
    components: ChatComponents, table: type[Base], rows: Sequence[dict[str, Any]]
) -> None:
    """Write *rows* with COPY: the driver sends inserts one by one."""
    if not rows:
        return
    names = list(rows[0])
    stream = io.StringIO()
    writer = csv.writer(stream)
    for row in rows:
        writer.writerow([_to_copied_value(row[name]) for name in names])
    stream.seek(0)
    name = table.__table__.name if isinstance(table.__table__, Table) else ""
    with components.database.as_owner() as connection:
        cursor: Any = connection.connection.cursor()
        cursor.execute(
            f"COPY {name} ({', '.join(names)}) FROM STDIN WITH (FORMAT csv)", stream=stream
        )


def _to_copied_value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat() if isinstance(value, datetime) else value


def _analyze(components: ChatComponents) -> None:
    """Do what autovacuum does on PostgreSQL after such a number of rows."""
    if components.database.engine.dialect.name != "postgresql":
        return
    with components.database.as_owner() as connection:
        for name in ("chat_messages", "chat_conversations", "chat_contacts", "chat_participants"):
            connection.exec_driver_sql(f"ANALYZE {name}")

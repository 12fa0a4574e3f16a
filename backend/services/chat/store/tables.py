"""Tables of the chat service.

Every table has the tenant of its rows, for row-level security. Ids are made by `new_id`. People and
programs are named by actors (`model.py`): `user:ID`, `contact:ID`, `agent`, `account:ID`.
`data_key_id` is the data key with which columns of a row are encrypted (`sealed_columns.py`).
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.chat.store.base import Base

# SQLite increments only a key of the type INTEGER.
_BIG_KEY = BigInteger().with_variant(Integer(), "sqlite")
_ACCOUNT = "chat_accounts.id"
_CONVERSATION = "chat_conversations.id"
_MESSAGE = "chat_messages.id"
_CONTACT = "chat_contacts.id"


class Account(Base):
    """An account of a channel, such as a WhatsApp number. Each tenant has one for web chat.

    `settings` is the account's configuration without secrets: policy, provider ids, base URL.
    `credentials` is a sealed JSON object: tokens and the secrets that verify webhooks.
    `agent_key` is the sealed key of a service account of auth. `state` is active, stopped or
    revoked; `error` has the reason. The circuit of deliveries is open until `open_until`.
    """

    __tablename__ = "chat_accounts"
    __table_args__ = (Index("ix_chat_accounts_tenant", "tenant_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16), default="active")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    credentials: Mapped[str | None] = mapped_column(Text)
    agent_key: Mapped[str | None] = mapped_column(Text)
    failures: Mapped[int] = mapped_column(default=0)
    open_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Contact(Base):
    """A person outside the suite. `user_id` is a linked user, which grants no permissions.

    `preferences` are opt-ins by category. `merged_into_id` is set if the contact was merged.
    """

    __tablename__ = "chat_contacts"
    __table_args__ = (Index("ix_chat_contacts_tenant", "tenant_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200), default="")
    user_id: Mapped[str | None] = mapped_column(String(64))
    is_blocked: Mapped[bool] = mapped_column(default=False)
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    merged_into_id: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Identity(Base):
    """An id of a contact at an account: `scheme` is id, wa_id, bsuid, aad, number and so on."""

    __tablename__ = "chat_identities"
    __table_args__ = (
        UniqueConstraint("account_id", "scheme", "value"),
        Index("ix_chat_identities_contact", "contact_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    contact_id: Mapped[str] = mapped_column(ForeignKey(_CONTACT, ondelete="CASCADE"))
    scheme: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Conversation(Base):
    """A conversation of an account. `key` identifies it at the channel.

    `owner_id` is the user of a web conversation, `contact_id` the contact of another one.
    `last_seq` and `change_seq` number messages and changes. Messages up to `answered_seq` need no
    answer of the agent. `answer_due_at` is set while an answer is needed, and to the time at which
    it is: the answering job finds its work there, and leases the conversation until `lease_until`.
    `shared_at` is the time at which a colleague joined: from then on the agent uses the rights of
    the account. `session_id` is the session of the auth service with which the owner last wrote,
    for delegated tokens. `last_inbound_at` opens the window of the channel. `details` is what a
    channel needs for sending, such as the service URL of Teams.
    """

    __tablename__ = "chat_conversations"
    __table_args__ = (
        UniqueConstraint("account_id", "key"),
        Index("ix_chat_conversations_owner", "tenant_id", "owner_id", "updated_at", "id"),
        # With the columns of the filters, which are compared before a row is read.
        Index(
            "ix_chat_conversations_tenant",
            "tenant_id",
            "updated_at",
            "id",
            "status",
            "mode",
            "channel",
            "account_id",
            "assignee_id",
        ),
        Index("ix_chat_conversations_assignee", "tenant_id", "assignee_id", "updated_at", "id"),
        Index("ix_chat_conversations_status", "tenant_id", "status", "updated_at", "id"),
        Index("ix_chat_conversations_created", "tenant_id", "created_at"),
        Index("ix_chat_conversations_due", "answer_due_at"),
        Index("ix_chat_conversations_contact", "contact_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(255))
    is_group: Mapped[bool] = mapped_column(default=False)
    owner_id: Mapped[str | None] = mapped_column(String(64))
    contact_id: Mapped[str | None] = mapped_column(ForeignKey(_CONTACT, ondelete="SET NULL"))
    title: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(16), default="open")
    mode: Mapped[str] = mapped_column(String(16), default="bot")
    mode_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    assignee_id: Mapped[str | None] = mapped_column(String(64))
    shared_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    session_id: Mapped[str | None] = mapped_column(String(64))
    agent_session_id: Mapped[str | None] = mapped_column(String(64))
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    change_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    answered_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    # The change in which the row itself last changed: title, status, mode or assignee.
    changed_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    answer_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answer_attempts: Mapped[int] = mapped_column(default=0)
    answer_error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_inbound_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Participant(Base):
    """An actor that takes part in a conversation, and how far it has read."""

    __tablename__ = "chat_participants"
    __table_args__ = (Index("ix_chat_participants_actor", "tenant_id", "actor"),)

    conversation_id: Mapped[str] = mapped_column(
        ForeignKey(_CONVERSATION, ondelete="CASCADE"), primary_key=True
    )
    actor: Mapped[str] = mapped_column(String(80), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    read_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    change_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    joined_at: Mapped[datetime] = mapped_column(UtcDateTime)
    left_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Message(Base):
    """A message. `seq` is its order of arrival in the conversation, `number` in the service.

    `change_seq` is the conversation's `change_seq` when the message last changed. `direction` is
    inbound (to the suite) or outbound. `words` are the distinct words of the text, for search:
    the tokeniser in `domain/search_words.py` makes them. `delivery_ref` finds the message of a
    provider's echo or status. `response_ms` is set on an answer: the time since the first message
    that waited for one.
    """

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        UniqueConstraint("conversation_id", "external_id"),
        UniqueConstraint("conversation_id", "author", "client_id"),
        Index("ix_chat_messages_change", "conversation_id", "change_seq"),
        Index("ix_chat_messages_author", "tenant_id", "author"),
        Index("ix_chat_messages_created", "tenant_id", "created_at"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey(_CONVERSATION, ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(BigInteger)
    change_seq: Mapped[int] = mapped_column(BigInteger)
    direction: Mapped[str] = mapped_column(String(8))
    author: Mapped[str] = mapped_column(String(80))
    source: Mapped[str] = mapped_column(String(80), default="api")
    is_internal: Mapped[bool] = mapped_column(default=False)
    external_id: Mapped[str | None] = mapped_column(String(255))
    client_id: Mapped[str | None] = mapped_column(String(64))
    delivery_ref: Mapped[str | None] = mapped_column(String(255), index=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    words: Mapped[str] = mapped_column(Text, default="")
    reply_to_id: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    response_ms: Mapped[int | None] = mapped_column(BigInteger)
    is_first_response: Mapped[bool] = mapped_column(default=False)
    sent_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    edited_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Revision(Base):
    """The content of a message before an edit."""

    __tablename__ = "chat_revisions"
    __table_args__ = (
        Index("ix_chat_revisions_message", "message_id"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    message_id: Mapped[str] = mapped_column(ForeignKey(_MESSAGE, ondelete="CASCADE"))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    replaced_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Attachment(Base):
    """A file of a message. `state` is pending, stored, failed or expired.

    A pending one is downloaded by a job, which leases it until `lease_until`. `blob` names the
    stored file. `media_id` and `url` are the provider's references.
    """

    __tablename__ = "chat_attachments"
    __table_args__ = (
        UniqueConstraint("message_id", "position"),
        Index("ix_chat_attachments_due", "state", "next_attempt_at"),
        Index("ix_chat_attachments_conversation", "conversation_id"),
        Index("ix_chat_attachments_blob", "blob"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey(_CONVERSATION, ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(ForeignKey(_MESSAGE, ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(255), default="")
    mime: Mapped[str] = mapped_column(String(100), default="")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    media_id: Mapped[str | None] = mapped_column(String(500))
    url: Mapped[str | None] = mapped_column(Text)
    blob: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Upload(Base):
    """A file that a colleague has uploaded for a message of a conversation.

    It becomes an attachment when the message is posted, and is deleted at `expires_at` otherwise.
    """

    __tablename__ = "chat_uploads"
    __table_args__ = (
        Index("ix_chat_uploads_conversation", "conversation_id"),
        Index("ix_chat_uploads_user", "tenant_id", "user_id"),
        Index("ix_chat_uploads_expiry", "expires_at"),
        Index("ix_chat_uploads_blob", "blob"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey(_CONVERSATION, ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    mime: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VoiceJob(Base):
    """A recording that is transcribed, or an answer that is converted to speech.

    `kind` is transcription or speech, `state` pending, running, done or failed. `language` and
    `seconds` are of the recording, whose text is in the content of its message. `message_id` is the
    message of the recording, or the answer. While a worker runs the job, it moves
    `next_attempt_at` to the end of its lease.
    """

    __tablename__ = "chat_voice_jobs"
    __table_args__ = (
        UniqueConstraint("kind", "message_id", "attachment_id"),
        Index("ix_chat_voice_jobs_due", "state", "next_attempt_at"),
        Index("ix_chat_voice_jobs_message", "message_id"),
        Index("ix_chat_voice_jobs_attachment", "attachment_id"),
        Index("ix_chat_voice_jobs_conversation", "conversation_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey(_CONVERSATION, ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(ForeignKey(_MESSAGE, ondelete="CASCADE"))
    attachment_id: Mapped[str | None] = mapped_column(
        ForeignKey("chat_attachments.id", ondelete="CASCADE")
    )
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    language: Mapped[str] = mapped_column(String(16), default="")
    seconds: Mapped[float | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Reaction(Base):
    """A reaction of an actor to a message."""

    __tablename__ = "chat_reactions"

    message_id: Mapped[str] = mapped_column(
        ForeignKey(_MESSAGE, ondelete="CASCADE"), primary_key=True
    )
    actor: Mapped[str] = mapped_column(String(80), primary_key=True)
    emoji: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Inbound(Base):
    """A received webhook event. The unique key makes a repeated one stop.

    `state` is done, ignored or failed. `raw` is the sealed body and `headers` are its sealed
    headers; both are deleted at `delete_raw_at`.
    """

    __tablename__ = "chat_inbound"
    __table_args__ = (
        UniqueConstraint("account_id", "dedup_key"),
        Index("ix_chat_inbound_state", "tenant_id", "state", "received_at", "id"),
        Index("ix_chat_inbound_raw", "delete_raw_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    dedup_key: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(32), default="")
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    headers: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str | None] = mapped_column(String(500))
    attempts: Mapped[int] = mapped_column(default=0)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    delete_raw_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EarlyStatus(Base):
    """A status that arrived before its message. It waits until `expires_at`."""

    __tablename__ = "chat_early_statuses"
    __table_args__ = (
        UniqueConstraint("account_id", "target", "status"),
        Index("ix_chat_early_statuses_expiry", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    target: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    event: Mapped[dict[str, Any]] = mapped_column(JSON)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Base):
    """Something to send: a part of a message, an edit, a deletion, a reaction, or to a hook.

    `position` orders the deliveries of a conversation. `state` is queued, sending, sent, delivered,
    read, failed, unknown or cancelled. `ref` is our reference, which the provider returns.
    """

    __tablename__ = "chat_deliveries"
    __table_args__ = (
        Index("ix_chat_deliveries_due", "state", "next_attempt_at"),
        Index("ix_chat_deliveries_conversation", "conversation_id", "position"),
        Index("ix_chat_deliveries_message", "message_id", "part"),
        Index("ix_chat_deliveries_tenant", "tenant_id", "state", "position"),
        Index("ix_chat_deliveries_external", "account_id", "external_id"),
        Index("ix_chat_deliveries_hook", "hook_id", "state", "position"),
        {"sqlite_autoincrement": True},
    )

    position: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str | None] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    conversation_id: Mapped[str | None] = mapped_column(
        ForeignKey(_CONVERSATION, ondelete="CASCADE")
    )
    message_id: Mapped[str | None] = mapped_column(ForeignKey(_MESSAGE, ondelete="CASCADE"))
    hook_id: Mapped[str | None] = mapped_column(ForeignKey("chat_hooks.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    part: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16))
    ref: Mapped[str] = mapped_column(String(64), unique=True)
    external_id: Mapped[str | None] = mapped_column(String(255))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    degradations: Mapped[list[str]] = mapped_column(JSON, default=list)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Template(Base):
    """A message template of an account, as the provider lists it.

    `status` is the provider's in lower case; `reason` says why it is rejected.
    """

    __tablename__ = "chat_templates"
    __table_args__ = (UniqueConstraint("account_id", "name", "language"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    external_id: Mapped[str | None] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(512))
    language: Mapped[str] = mapped_column(String(16))
    category: Mapped[str] = mapped_column(String(32), default="")
    status: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[str | None] = mapped_column(String(200))
    components: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    synced_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VisitorSession(Base):
    """The session of a visitor of a web page, who has a token and no user account."""

    __tablename__ = "chat_sessions"
    __table_args__ = (Index("ix_chat_sessions_expiry", "expires_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    contact_id: Mapped[str] = mapped_column(ForeignKey(_CONTACT, ondelete="CASCADE"))
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    origin: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DailyStats(Base):
    """Counts of one account and day (UTC), or with the account "" of all accounts of the tenant.

    `conversations` were opened on the day, and `completed` of them are resolved now. `closed` were
    resolved on the day. `active_users` are the distinct authors of inbound messages. `failures` are
    messages of the day that could not be delivered. Response times are counts by seconds, rounded
    to three digits, so that days can be added (`domain/duration_counts.py`).
    """

    __tablename__ = "chat_daily_stats"
    __table_args__ = (Index("ix_chat_daily_stats_day", "day", "account_id"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16))
    conversations: Mapped[int] = mapped_column(default=0)
    closed: Mapped[int] = mapped_column(default=0)
    completed: Mapped[int] = mapped_column(default=0)
    active_users: Mapped[int] = mapped_column(default=0)
    inbound: Mapped[int] = mapped_column(default=0)
    outbound: Mapped[int] = mapped_column(default=0)
    answers: Mapped[int] = mapped_column(default=0)
    handovers: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    response_times: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    first_response_times: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)


class Milestone(Base):
    """A step of a conversation that statistics count: `resolved`, or `handed_over` to people."""

    __tablename__ = "chat_milestones"
    __table_args__ = (
        Index("ix_chat_milestones_created", "tenant_id", "created_at"),
        Index("ix_chat_milestones_conversation", "conversation_id"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey(_CONVERSATION, ondelete="CASCADE"))
    account_id: Mapped[str] = mapped_column(String(80))
    channel: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChangedDay(Base):
    """A day of a tenant whose statistics are counted again. Each change sets another `token`."""

    __tablename__ = "chat_changed_days"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(16))


class TenantState(Base):
    """Retention and statistics of a tenant.

    Messages are kept for `retention_days`, without limit if it is null. Those of days before
    `kept_from` are deleted or being deleted, and the statistics of these days no longer change;
    before `deleted_until`, everything is deleted. Statistics contain everything that was committed
    before `counted_at`, except for changed days.
    """

    __tablename__ = "chat_tenants"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    retention_days: Mapped[int | None]
    kept_from: Mapped[date | None]
    deleted_until: Mapped[date | None]
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_by: Mapped[str | None] = mapped_column(String(80))


class EndedSession(Base):
    """A session of the agent whose conversation, or a part of it, was deleted here."""

    __tablename__ = "chat_ended_sessions"

    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Hook(Base):
    """A URL to which events are sent as Standard Webhooks. `secret` is sealed.

    `failures` counts the failed attempts since the last accepted event, the first of them at
    `failing_since`. Nothing is sent until `open_until`.
    """

    __tablename__ = "chat_hooks"
    __table_args__ = (Index("ix_chat_hooks_tenant", "tenant_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(JSON, default=list)
    is_enabled: Mapped[bool] = mapped_column(default=True)
    disabled_reason: Mapped[str | None] = mapped_column(String(200))
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    open_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

"""Tables of the agent service: conversations, feedback, personas, usage, evaluations, drift.

`data_key_id` is the data key with which columns of a row are encrypted (`sealed_columns.py`).
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.chassis.database.types import UtcDateTime


class Base(DeclarativeBase):
    """Base class of the agent's tables."""


class Conversation(Base):
    """A conversation of one user. `run_id` is set while a run writes an answer.

    The run holds a lease until `run_until` and renews it while it is active, so a killed worker
    does not block the conversation forever. `leaf_id` is the last message of the active branch.
    `origin` is agent, or chat for one that the chat service shows.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        Index("conversations_of_owner", "tenant_id", "owner_id", "updated_at", "id"),
        Index("ix_conversations_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(String(16), default="agent")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    leaf_id: Mapped[str | None] = mapped_column(String(40))
    run_id: Mapped[str | None] = mapped_column(String(40))
    run_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    paused: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Message(Base):
    """A message of a conversation. Assistant messages have citations, steps and token counts.

    `position` numbers the messages of a conversation in order of creation. `summary` covers all
    messages from the root to this one, so that every branch through this message can use it.
    `request_ref` is the client's reference of a request: it is answered once.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position"),
        Index("ix_messages_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    position: Mapped[int]
    parent_id: Mapped[str | None] = mapped_column(String(40))
    request_ref: Mapped[str | None] = mapped_column(String(128), index=True)
    role: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[str | None] = mapped_column(String(40))
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    model: Mapped[str | None] = mapped_column(String(128))
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    took_ms: Mapped[int] = mapped_column(default=0)
    summary: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Feedback(Base):
    """Feedback of one user on one answer; `thumb` is up or down."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("message_id", "user_id"),
        Index("feedback_of_tenant", "tenant_id", "updated_at", "id"),
        Index("feedback_of_conversation", "conversation_id"),
        Index("ix_feedback_updated_at", "updated_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    thumb: Mapped[str] = mapped_column(String(4))
    text: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Persona(Base):
    """A persona of a user; a shared persona is available to all users of the tenant."""

    __tablename__ = "personas"
    __table_args__ = (Index("personas_of_owner", "tenant_id", "owner_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str] = mapped_column(String(64))
    shared: Mapped[bool]
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text)
    system_prompt: Mapped[str] = mapped_column(Text)
    temperature: Mapped[float | None]
    max_tokens: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Usage(Base):
    """Tokens of one user, model and day (UTC)."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_day", "day", "model"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[int]


class Reservation(Base):
    """Tokens reserved by a current run; ignored after `until`."""

    __tablename__ = "token_reservations"
    __table_args__ = (Index("reservations_of_tenant", "tenant_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    tokens: Mapped[int]
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class RunRecord(Base):
    """Input, tool results and outcome of a run, for replay, and the states of its nodes."""

    __tablename__ = "run_records"
    __table_args__ = (Index("records_of_conversation", "conversation_id", "created_at"),)

    run_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSON)
    outcome: Mapped[dict[str, Any]] = mapped_column(JSON)
    # None for records that were written before the states of nodes were stored.
    nodes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class Evaluation(Base):
    """An evaluation of one or more variants; `status` is running, done or interrupted."""

    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    file: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    questions: Mapped[int]
    variants: Mapped[list[str]] = mapped_column(JSON)


class EvaluationAnswer(Base):
    """The scored answer of one variant to one question of an evaluation."""

    __tablename__ = "evaluation_answers"

    evaluation_id: Mapped[str] = mapped_column(
        ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True
    )
    question_number: Mapped[int] = mapped_column(primary_key=True)
    variant_number: Mapped[int] = mapped_column(primary_key=True)
    question: Mapped[str] = mapped_column(Text)
    expected: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(String(64))
    scores: Mapped[dict[str, float]] = mapped_column(JSON)
    metric_errors: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cost: Mapped[float | None]
    took_ms: Mapped[int]
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class RunMeasure(Base):
    """Measures of one finished run, deleted when they are added to the values of their hour.

    `searched` is set if the run searched documents; `best_score` is the score of its best chunk.
    """

    __tablename__ = "run_measures"
    __table_args__ = (Index("ix_run_measures_finished_at", "finished_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime)
    failed: Mapped[bool]
    took_ms: Mapped[int]
    tokens: Mapped[int]
    searched: Mapped[bool]
    refused: Mapped[bool]
    best_score: Mapped[float | None]


class HourlyValueRow(Base):
    """Number, sum and sum of squares of the values of one series in one hour of all tenants.

    `assessment` is the comparison with the baseline, None until the hour is assessed.
    """

    __tablename__ = "hourly_values"

    series: Mapped[str] = mapped_column(String(32), primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    requests: Mapped[int]
    total: Mapped[float]
    squares: Mapped[float]
    assessment: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class DriftFinding(Base):
    """A difference from the baseline; `kind` is jump or trend.

    `notified` is set if an event was published for it.
    """

    __tablename__ = "drift_findings"
    __table_args__ = (Index("ix_drift_findings_found_at", "found_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    series: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(8))
    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    found_at: Mapped[datetime] = mapped_column(UtcDateTime)
    notified: Mapped[bool]
    comparison: Mapped[dict[str, Any]] = mapped_column(JSON)

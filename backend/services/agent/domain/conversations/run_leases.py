"""Leases of conversations: across all processes, one run at a time writes to a conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backend.ai.citations import Citation
from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.audit_events import AuditEvent
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.agent.domain.conversations.approvals import Approval
from backend.services.agent.domain.conversations.conversations import (
    WRITING,
    discard_paused_run,
    get_own_conversation,
)
from backend.services.agent.errors import (
    ApprovalExpired,
    ConversationBusy,
    MessageNotEditable,
    MessageNotFound,
    NoPendingApproval,
)
from backend.services.agent.events import RunStarted
from backend.services.agent.model import Caller
from backend.services.agent.store import conversations as store
from backend.services.agent.store import messages
from backend.services.agent.store.tables import Conversation, Message

# An active run renews its lease, so a killed worker blocks its conversation only briefly.
LEASE_DURATION: Final = timedelta(seconds=9)
# Interval in which a run renews its lease and stores its unfinished answer.
LEASE_RENEWAL_INTERVAL: Final = timedelta(seconds=3)

_MAX_TITLE_CHARACTERS: Final = 80
_EVENTS: Final = EventRecorder("agent")


@dataclass(frozen=True, slots=True)
class UserRequest:
    """The user message to answer, and its position in the message tree.

    Attributes:
        text: text of a new message; None to answer the message *message_id* again.
        conversation_id: None to create a conversation.
        message_id: None to append the text to the active branch; otherwise the user message that
            the new text replaces in a new branch.
        request_ref: the client's reference of the request, or None.
        origin: origin of a new conversation.
    """

    text: str | None
    conversation_id: str | None = None
    message_id: str | None = None
    request_ref: str | None = None
    origin: str = "agent"


@dataclass(frozen=True, slots=True)
class Step:
    """A tool call of an answer; `took_ms` is its duration in milliseconds."""

    tool: str
    arguments: Mapping[str, Any]
    status: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class AnswerSnapshot:
    """The state of an answer that is being written or was completed."""

    text: str
    status: str
    finish_reason: str | None
    model: str
    citations: Sequence[Citation]
    steps: Sequence[Step]
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


@dataclass(frozen=True, slots=True)
class BranchMessage:
    """A message of a branch. `summary` covers all messages up to and including this one."""

    id: str
    role: str
    text: str
    summary: str | None


@dataclass(frozen=True, slots=True)
class LeasedRun:
    """A run that holds the lease of its conversation, and the message that it writes.

    `path` is the branch up to the request. It starts with the last message that has a summary, or
    with the first message.
    """

    conversation_id: str
    run_id: str
    message_id: str
    parent_id: str
    path: Sequence[BranchMessage]

    @property
    def request(self) -> str:
        """Return the text of the user message to answer."""
        return self.path[-1].text


class RunLeases:
    """Gives one run at a time the lease of a conversation, and stores its answer."""

    def __init__(self, database: Database, now: Callable[[], datetime], audit: AuditOutbox) -> None:
        self._database = database
        self._now = now
        self._audit = audit

    def start_run(self, caller: Caller, user_request: UserRequest) -> LeasedRun:
        """Acquire the lease and add an empty answer to the conversation.

        Raises:
            ConversationBusy: another run holds the lease.
            ConversationNotFound, MessageNotFound, MessageNotEditable: *user_request* is invalid.
        """
        now, run_id = self._now(), create_id("run")
        with self._database.write(caller.tenant_id) as session:
            if user_request.conversation_id is None:
                run = _create_conversation(session, caller, user_request, run_id, now)
                _record_start(session, caller, run, now)
                return run
            conversation = get_own_conversation(session, caller, user_request.conversation_id)
            self._acquire_lease(session, conversation, run_id, now)
            # A new request replaces a pending approval.
            discard_paused_run(session, conversation)
            request = _get_or_create_request(session, conversation, user_request, now)
            answer = _create_answer(request, run_id, now)
            is_new_request = user_request.text is not None
            messages.append_messages(session, [request, answer] if is_new_request else [answer])
            conversation.leaf_id = answer.id
            conversation.updated_at = now
            run = _to_leased_run(session, answer, request)
            _record_start(session, caller, run, now)
            return run

    def is_conversation_free(self, caller: Caller, conversation_id: str) -> bool:
        """Return whether no run holds the lease. Only reads, so it does not block writers."""
        with self._database.read(caller.tenant_id) as session:
            until = get_own_conversation(session, caller, conversation_id).run_until
        return until is None or until < self._now()

    def resume_run(
        self,
        caller: Caller,
        conversation_id: str,
        approval_id: str | None = None,
        *,
        approved: bool = False,
    ) -> tuple[LeasedRun, Mapping[str, Any]]:
        """Acquire the lease of a conversation with a paused run, and return its stored state.

        Args:
            approval_id: if set, it must be the id of the pending approval.
            approved: whether the user approves the calls, which is recorded in the audit log.

        Raises:
            NoPendingApproval: no run is paused, or another decision was faster.
            ApprovalChanged: *approval_id* belongs to another approval.
            ApprovalExpired: the approval has expired. The paused run is discarded.
            ConversationBusy: another run holds the lease.
        """
        now, run_id = self._now(), create_id("run")
        with self._database.write(caller.tenant_id) as session:
            conversation = get_own_conversation(session, caller, conversation_id, for_update=True)
            paused = conversation.paused
            if paused is None:
                raise NoPendingApproval
            approval = Approval.from_json(paused["approval"])
            approval.verify_id(approval_id)
            if now < approval.expires_at:
                self._acquire_lease(session, conversation, run_id, now)
                if conversation.paused != paused:  # another decision acquired the lease first
                    raise NoPendingApproval
                conversation.paused = None
                answer = _get_message(session, conversation_id, paused["message_id"])
                answer.status, answer.run_id = WRITING, run_id
                request = _get_message(session, conversation_id, answer.parent_id)
                if approved:
                    self._record_approval(session, caller, conversation_id, paused)
                run = _to_leased_run(session, answer, request)
                _record_start(session, caller, run, now)
                return run, paused
            discard_paused_run(session, conversation)
        raise ApprovalExpired

    def _record_approval(
        self, session: Session, caller: Caller, conversation_id: str, paused: Mapping[str, Any]
    ) -> None:
        for call in paused["calls"]:
            self._audit.add_event(
                session,
                AuditEvent(
                    "tool.approved",
                    caller.user_id,
                    caller.tenant_id,
                    caller.origin,
                    target=call["tool"],
                    details={"call_id": call["id"][:128], "conversation_id": conversation_id},
                ),
            )

    def should_stop_run(
        self, caller: Caller, run: LeasedRun, take_snapshot: Callable[[], AnswerSnapshot]
    ) -> bool:
        """Return whether the run was cancelled or lost its lease; otherwise renew the lease.

        A renewal also stores the snapshot of the answer: a killed worker cannot store it later.
        """
        now = self._now()
        with self._database.read(caller.tenant_id) as session:
            until = store.get_lease_end(session, run.conversation_id, run.run_id)
        if until is not None and until - now < LEASE_DURATION - LEASE_RENEWAL_INTERVAL:
            with self._database.write(caller.tenant_id) as session:
                if store.extend_lease(
                    session, run.conversation_id, run.run_id, now + LEASE_DURATION
                ):
                    _write_snapshot(session, run, take_snapshot())
        return until is None

    def finish_run(
        self,
        session: Session,
        run: LeasedRun,
        snapshot: AnswerSnapshot,
        paused: Mapping[str, Any] | None = None,
    ) -> bool:
        """Store the answer and release the lease. Returns False if the run had lost its lease.

        Args:
            session: writes the outcome of the run.
            paused: state of a run that waits until the user decides, else None.
        """
        state = None if paused is None else {**paused, "message_id": run.message_id}
        if not store.finish_run(session, run.conversation_id, run.run_id, self._now(), state):
            return False  # the conversation was deleted, or a later run holds the lease
        _write_snapshot(session, run, snapshot)
        return True

    def save_summary(
        self, caller: Caller, conversation_id: str, message_id: str, summary: str
    ) -> None:
        """Store the summary of all messages up to *message_id*, unless this one was deleted."""
        with self._database.write(caller.tenant_id) as session:
            message = messages.find_message(session, conversation_id, message_id)
            if message is not None:
                message.summary = summary

    def _acquire_lease(
        self, session: Session, conversation: Conversation, run_id: str, now: datetime
    ) -> None:
        if not store.acquire_lease(session, conversation.id, run_id, now, now + LEASE_DURATION):
            raise ConversationBusy
        messages.mark_interrupted(session, conversation.id)
        session.refresh(conversation)


def _create_conversation(
    session: Session, caller: Caller, user_request: UserRequest, run_id: str, now: datetime
) -> LeasedRun:
    """Create a conversation with the request, and give *run_id* the lease."""
    text = user_request.text or ""
    conversation_id = create_id("conv")
    request = create_message(conversation_id, None, now, "user", text, "done")
    request.request_ref = user_request.request_ref
    answer = _create_answer(request, run_id, now)
    conversation = Conversation(
        id=conversation_id,
        tenant_id=caller.tenant_id,
        owner_id=caller.user_id,
        title=create_title(text),
        origin=user_request.origin,
        created_at=now,
        updated_at=now,
        leaf_id=answer.id,
        run_id=run_id,
        run_until=now + LEASE_DURATION,
    )
    session.add(conversation)
    messages.append_messages(session, [request, answer], position=0)
    return _to_leased_run(session, answer, request)


def create_title(text: str) -> str:
    """Return the title of a conversation that starts with *text*."""
    title = " ".join(text.split())
    if len(title) <= _MAX_TITLE_CHARACTERS:
        return title
    return f"{title[: _MAX_TITLE_CHARACTERS - 1]}…"


def _record_start(session: Session, caller: Caller, run: LeasedRun, now: datetime) -> None:
    _EVENTS.record_event(
        session,
        RunStarted(
            run_id=run.run_id,
            conversation_id=run.conversation_id,
            message_id=run.message_id,
            user_id=caller.user_id,
        ),
        subject=run.run_id,
        key=run.conversation_id,
        tenant_id=caller.tenant_id,
        time=now,
    )


def _get_or_create_request(
    session: Session, conversation: Conversation, user_request: UserRequest, now: datetime
) -> Message:
    """Return the user message to answer: an existing or a new one, which is not stored yet."""
    parent_id = conversation.leaf_id
    if user_request.message_id is not None:
        message = _get_message(session, conversation.id, user_request.message_id)
        if user_request.text is None:
            if message.role == "user":
                return message
            return _get_message(session, conversation.id, message.parent_id)
        if message.role != "user":
            raise MessageNotEditable
        parent_id = message.parent_id
    request = create_message(
        conversation.id, parent_id, now, "user", user_request.text or "", "done"
    )
    request.request_ref = user_request.request_ref
    return request


def _get_message(session: Session, conversation_id: str, message_id: str | None) -> Message:
    message = messages.find_message(session, conversation_id, message_id or "")
    if message is None:
        raise MessageNotFound
    return message


def create_message(
    conversation_id: str, parent_id: str | None, now: datetime, role: str, text: str, status: str
) -> Message:
    """Return a new message, which is not stored yet."""
    return Message(
        id=create_id("msg"),
        conversation_id=conversation_id,
        parent_id=parent_id,
        role=role,
        text=text,
        status=status,
        created_at=now,
    )


def _create_answer(request: Message, run_id: str, now: datetime) -> Message:
    answer = create_message(request.conversation_id, request.id, now, "assistant", "", WRITING)
    answer.run_id = run_id
    return answer


def _to_leased_run(session: Session, answer: Message, request: Message) -> LeasedRun:
    parent_id = request.parent_id
    path = [] if parent_id is None else messages.get_path(session, parent_id)
    return LeasedRun(
        answer.conversation_id,
        answer.run_id or "",
        answer.id,
        request.id,
        [
            BranchMessage(message.id, message.role, message.text, message.summary)
            for message in (*path, request)
        ],
    )


def _write_snapshot(session: Session, run: LeasedRun, snapshot: AnswerSnapshot) -> None:
    values = {name: getattr(snapshot, name) for name in messages.ANSWER_COLUMNS}
    values["citations"] = [asdict(citation) for citation in snapshot.citations]
    values["steps"] = [asdict(step) for step in snapshot.steps]
    messages.update_answer(session, run.message_id, values)


def create_id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex}"

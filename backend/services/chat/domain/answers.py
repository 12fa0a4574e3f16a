"""Answers of the agent: fold the unanswered messages, request the answer, store and deliver it."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from backend.ai.speech.engines import Synthesizer
from backend.chassis.background import PeriodicTask
from backend.chassis.database.sessions import Database, Session
from backend.chassis.http import UpstreamError
from backend.chassis.service_accounts import ServiceAccountKeyRejected, ServiceAccountUnavailable
from backend.services.chat.clients.agent import (
    AgentAnswer,
    AgentClient,
    AgentMessage,
    AgentProblem,
    AgentRequest,
    AgentSessionMissing,
    RunStarted,
    StepPart,
    TextPart,
)
from backend.services.chat.clients.delegations import DelegationRefused
from backend.services.chat.clients.metrics import ChatMetrics
from backend.services.chat.domain.answer_limits import ContactLimits, reserve_tenant_answer
from backend.services.chat.domain.answer_memory import AnswerMemory
from backend.services.chat.domain.answer_rights import AccountKeyMissing, AnswerRights, RightsSource
from backend.services.chat.domain.changes import ChangeSignals
from backend.services.chat.domain.content_text import get_request_text
from backend.services.chat.domain.inbox import change_mode
from backend.services.chat.domain.message_log import MessageLog, NewMessage
from backend.services.chat.domain.voice.queue import queue_speech
from backend.services.chat.model import AGENT_ACTOR, SPEECH_SOURCE
from backend.services.chat.store import accounts, messages, voice_jobs
from backend.services.chat.store import conversations as store
from backend.services.chat.store.tables import Account, Conversation, Message
from backend.services.chat.store.work import announce_work

_log = logging.getLogger(__name__)
# A killed process blocks its conversation for this time at most.
LEASE_DURATION: Final = timedelta(seconds=9)
_RENEWAL_SECONDS: Final = 3.0
_MAX_ATTEMPTS: Final = 6
_MAX_BACKOFF: Final = timedelta(minutes=5)
_MAX_FOLDED_MESSAGES: Final = 50
# A session of the agent that is gone is rebuilt from this number of messages.
HISTORY_MESSAGES: Final = 40
_DELTA_SECONDS: Final = 0.05
_INTERRUPTION_SECONDS: Final = 0.5
# An answer waits this long for files of the messages.
_MAX_MEDIA_WAIT: Final = timedelta(seconds=20)
_MEDIA_POLL: Final = timedelta(seconds=1)
_UNAVAILABLE_TEXT: Final = "The agent is unavailable at present."
_APPROVAL_TEXT: Final = "A step of this answer needs an approval, so it was not carried out."


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """A request to the agent: the folded messages up to `upto`, with the history before them.

    Attributes:
        history: messages that the agent's session does not contain yet.
        session_id: session of the agent, or None to create one from the history.
        version: the change of the conversation that the plan was made at.
        caches_answer: the account allows that equal first messages get one answer.
        is_interruptible: a new message of the contact ends the answer, and is answered with it.
    """

    tenant_id: str
    conversation_id: str
    upto: int
    text: str
    request_ref: str
    session_id: str | None
    history: Sequence[AgentMessage]
    rights: AnswerRights
    persona: str | None = None
    collection: str | None = None
    attempts: int = 0
    version: int = 0
    caches_answer: bool = False
    is_interruptible: bool = False


class _AnswerInterrupted(Exception):
    """The answer in progress is unwanted."""


class _RunningAnswer:
    """An answer in progress: the agent's session once it is known, and whether it is unwanted."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.headers: Mapping[str, str] = {}
        self.is_unwanted = False
        self.checked_at = monotonic()


class AnswerService:
    """Answers conversations whose answer is due. Any process can do it: each is leased.

    Args:
        database: sees the rows of all tenants.
        transcribes: True if answers wait for the transcription of recordings.
        synthesizer: used for accounts that want answers as speech too; None for text only.
    """

    def __init__(
        self,
        database: Database,
        message_log: MessageLog,
        agent: AgentClient,
        rights: RightsSource,
        signals: ChangeSignals,
        metrics: ChatMetrics,
        memory: AnswerMemory,
        now: Callable[[], datetime],
        *,
        transcribes: bool = False,
        synthesizer: Synthesizer | None = None,
    ) -> None:
        self._transcribes = transcribes
        self._synthesizer = synthesizer
        self._memory = memory
        self._database = database
        self._message_log = message_log
        self._agent = agent
        self._rights = rights
        self._signals = signals
        self._metrics = metrics
        self._now = now

    def has_due_answer(self) -> bool:
        """Return whether an answer is due that no worker writes yet."""
        with self._database.read() as session:
            return store.has_due_conversation(session, self._now())

    def answer_next(self) -> bool:
        """Answer the conversation that waits for the longest time. Returns False without one."""
        # Nearly always none is due, and a transaction that writes blocks others on SQLite.
        if not self.has_due_answer():
            return False
        holder, now = _new_holder(), self._now()
        with self._database.write() as session:
            conversation = store.lease_due_conversation(session, holder, now, now + LEASE_DURATION)
            if conversation is None:
                return False
            tenant_id, conversation_id = conversation.tenant_id, conversation.id
        self.answer_leased(tenant_id, conversation_id, holder, None)
        return True

    def lease_due(self, tenant_id: str, conversation_id: str) -> str | None:
        """Lease a conversation whose answer is due. Returns the holder, or None if it is not."""
        holder, now = _new_holder(), self._now()
        with self._database.write(tenant_id) as session:
            conversation = store.find_conversation(session, tenant_id, conversation_id)
            due = None if conversation is None else conversation.answer_due_at
            if due is None or due > now:
                return None
            until = now + LEASE_DURATION
            is_leased = store.lease_conversation(session, conversation_id, holder, now, until)
            return holder if is_leased else None

    def get_next_due_time(self) -> datetime | None:
        """Return the earliest time at which an answer is due, or None."""
        with self._database.read() as session:
            return store.get_next_due_time(session)

    def count_waiting(self) -> int:
        """Return the number of conversations that wait for an answer."""
        with self._database.read() as session:
            return store.count_due(session)

    def answer_leased(
        self,
        tenant_id: str,
        conversation_id: str,
        holder: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        """Answer a leased conversation.

        Args:
            headers: identify the owner, whose request is in progress; None otherwise.
        """
        try:
            self._answer_leased(tenant_id, conversation_id, holder, headers)
        except Exception as error:  # noqa: BLE001 - it would be tried again at the end of the lease
            _log.error("an answer failed", exc_info=error)
            self._release_failed(tenant_id, conversation_id, holder)

    def _answer_leased(
        self,
        tenant_id: str,
        conversation_id: str,
        holder: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        plan = self._plan_answer(tenant_id, conversation_id, holder)
        if plan is None:
            return
        started_at = monotonic()
        running = _RunningAnswer()
        renewal = PeriodicTask(
            "answer lease",
            _RENEWAL_SECONDS,
            lambda: self._renew(plan, holder, running),
            runs_at_start=False,
        )
        renewal.start()
        try:
            answer = self._request_answer(plan, headers, running)
            if running.is_unwanted:
                raise _AnswerInterrupted  # noqa: TRY301 - the agent has ended it early
        except _AnswerInterrupted:
            self._release_interrupted(plan, holder)
        except (UpstreamError, ServiceAccountUnavailable) as error:
            _log.warning("the agent does not answer: %s", error)
            self._postpone(plan, holder, "agent_unavailable", _UNAVAILABLE_TEXT)
        except AgentProblem as error:
            self._give_up(plan, holder, error.code, error.detail)
        except DelegationRefused:
            self._give_up(plan, holder, "session_ended", "The session of the user has ended.")
        except (ServiceAccountKeyRejected, AccountKeyMissing) as error:
            self._give_up(plan, holder, "agent_key_rejected", str(error))
        else:
            self._store_answer(plan, holder, answer)
            self._metrics.record_processing_time("answer", monotonic() - started_at)
        finally:
            renewal.stop()

    def _plan_answer(self, tenant_id: str, conversation_id: str, holder: str) -> AnswerPlan | None:
        """Return what to ask, or release the lease and return None if nothing needs an answer."""
        with self._database.write(tenant_id) as session:
            conversation = store.lock_conversation(session, tenant_id, conversation_id)
            if conversation is None or conversation.lease_holder != holder:
                return None
            unanswered = messages.list_unanswered(
                session, conversation_id, conversation.answered_seq, _MAX_FOLDED_MESSAGES
            )
            if conversation.mode != "bot" or not unanswered:
                conversation.answer_due_at = None
                conversation.lease_holder = conversation.lease_until = None
                return None
            account = accounts.get_account(session, conversation.account_id)
            if _is_for_people(conversation, account):
                self._leave_to_people(session, conversation)
                return None
            if self._waits_for_media(session, unanswered):
                conversation.answer_due_at = self._now() + _MEDIA_POLL
                conversation.lease_holder = conversation.lease_until = None
                return None
            # After a crash the same messages are folded again: the reference stays the same.
            upto = conversation.details.get("pending_seq") or max(row.seq for row in unanswered)
            folded = [row for row in unanswered if row.seq <= upto] or list(unanswered)
            upto = max(row.seq for row in folded)
            conversation.details = {**conversation.details, "pending_seq": upto}
            settings = {} if account is None else account.settings
            rights = self._rights.choose(conversation, account)
            if rights.user_id is None and self._exceeds_limits(
                session, conversation, folded, settings
            ):
                return None
            is_known = conversation.details.get("agent_owner") == rights.owner
            session_id = conversation.agent_session_id if is_known else None
            history = self._load_history(session, conversation, folded, session_id)
            return AnswerPlan(
                tenant_id=tenant_id,
                conversation_id=conversation_id,
                upto=upto,
                text="\n\n".join(filter(None, (get_request_text(row.content) for row in folded))),
                request_ref=f"{conversation_id}:{upto}",
                session_id=session_id,
                history=history,
                rights=rights,
                persona=settings.get("persona"),
                collection=settings.get("collection"),
                attempts=conversation.answer_attempts,
                version=conversation.change_seq,
                caches_answer=settings.get("cache_answers") is True
                and rights.user_id is None
                and session_id is None
                and not history,
                is_interruptible=settings.get("on_busy") == "interrupt",
            )

    def _leave_to_people(self, session: Session, conversation: Conversation) -> None:
        self._message_log.change_conversation(
            session,
            conversation,
            **change_mode(conversation, "human", self._now()),
            answer_attempts=0,
            answer_error=None,
            lease_holder=None,
            lease_until=None,
        )

    def _exceeds_limits(
        self,
        session: Session,
        conversation: Conversation,
        folded: Sequence[Message],
        settings: Mapping[str, Any],
    ) -> bool:
        """Return whether there is no answer now, after setting when there may be one."""
        now = self._now()
        limits = ContactLimits.from_settings(settings)
        reached = limits.find_reached_limit(session, conversation, folded, now)
        reached = reached or reserve_tenant_answer(session, conversation, now)
        if reached is None:
            return False
        retries = reached.until is not None
        error = {"code": reached.code, "detail": reached.detail, "retries": retries}
        self._message_log.change_conversation(
            session,
            conversation,
            answer_due_at=reached.until,
            answer_error=error,
            lease_holder=None,
            lease_until=None,
        )
        return True

    def _waits_for_media(self, session: Session, rows: Sequence[Message]) -> bool:
        """Return whether files of *rows* are downloaded, for a short time only, or transcribed.

        The attempts of a transcription are limited, so it ends.
        """
        ids = [row.id for row in rows]
        if messages.has_pending_attachments(session, ids, self._now() - _MAX_MEDIA_WAIT):
            return True
        return self._transcribes and voice_jobs.has_open_transcriptions(session, ids)

    def _load_history(
        self,
        session: Session,
        conversation: Conversation,
        folded: Sequence[Message],
        session_id: str | None,
    ) -> list[AgentMessage]:
        after = 0 if session_id is None else int(conversation.details.get("agent_seq", 0))
        folded_ids = {row.id for row in folded}
        rows = messages.list_messages(
            session,
            conversation.id,
            HISTORY_MESSAGES + len(folded),
            before_seq=folded[-1].seq + 1,
            with_internal=False,
        )
        history = [
            AgentMessage(
                "user" if row.direction == "inbound" else "assistant",
                get_request_text(row.content),
            )
            for row in rows
            if row.seq > after
            and row.id not in folded_ids
            and row.deleted_at is None
            and row.source != SPEECH_SOURCE
        ]
        return [message for message in history if message.text.strip()][-HISTORY_MESSAGES:]

    def _request_answer(
        self, plan: AnswerPlan, headers: Mapping[str, str] | None, running: _RunningAnswer
    ) -> AgentAnswer:
        scope = f"{plan.persona}/{plan.collection}"
        if plan.caches_answer:
            stored = self._memory.find_answer(plan.rights.account_id, scope, plan.text)
            if stored is not None:
                return stored
        answer = self._request_new_answer(plan, headers, running)
        if plan.caches_answer and not running.is_unwanted:
            self._memory.store_answer(plan.rights.account_id, scope, plan.text, answer)
        return answer

    def _request_new_answer(
        self, plan: AnswerPlan, headers: Mapping[str, str] | None, running: _RunningAnswer
    ) -> AgentAnswer:
        headers = running.headers = self._rights.get_headers(plan.rights, headers)
        session_id = self._prepare_session(plan, headers)
        try:
            return self._stream_answer(plan, session_id, headers, running)
        except AgentSessionMissing:
            history = self._load_all_history(plan)
            session_id = self._agent.create_session(history, headers) if history else None
            return self._stream_answer(plan, session_id, headers, running)

    def _stream_answer(
        self,
        plan: AnswerPlan,
        session_id: str | None,
        headers: Mapping[str, str],
        running: _RunningAnswer,
    ) -> AgentAnswer:
        request = AgentRequest(
            text=plan.text or " ",
            request_ref=plan.request_ref,
            session_id=session_id,
            persona=plan.persona,
            collection=plan.collection,
        )
        try:
            return self._read_stream(plan, request, headers, running)
        except (UpstreamError, AgentProblem):
            # The failure of a run that was cancelled must not be stored as an error.
            if running.is_unwanted:
                raise _AnswerInterrupted from None
            raise

    def _read_stream(
        self,
        plan: AnswerPlan,
        request: AgentRequest,
        headers: Mapping[str, str],
        running: _RunningAnswer,
    ) -> AgentAnswer:
        progress = _Progress(self._signals, plan)
        for event in self._agent.stream_answer(request, headers):
            self._check_interruption(plan, running)
            match event:
                case RunStarted(run_session_id):
                    running.session_id = run_session_id
                case TextPart(text):
                    progress.add_text(text)
                case StepPart(tool, status):
                    progress.add_step(tool, status)
                case AgentAnswer():
                    progress.flush()
                    return event
        raise AssertionError("The events of an answer end with the answer or an exception.")

    def _check_interruption(self, plan: AnswerPlan, running: _RunningAnswer) -> None:
        """Raise _AnswerInterrupted if the answer is unwanted. Queries at most twice a second."""
        if running.is_unwanted:
            raise _AnswerInterrupted
        if monotonic() - running.checked_at < _INTERRUPTION_SECONDS:
            return
        running.checked_at = monotonic()
        if self._is_unwanted(plan):
            self._cancel_run(running)
            raise _AnswerInterrupted

    def _is_unwanted(self, plan: AnswerPlan) -> bool:
        """Return whether a colleague has taken over, or the contact has written again."""
        with self._database.read(plan.tenant_id) as session:
            conversation = store.find_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None or conversation.mode != "bot":
                return True
            return plan.is_interruptible and bool(
                messages.list_unanswered(session, plan.conversation_id, plan.upto, 1)
            )

    def _cancel_run(self, running: _RunningAnswer) -> None:
        """Cancel the agent's run to save tokens. If that fails, the run ends by itself."""
        running.is_unwanted = True
        if running.session_id is None:
            return
        try:
            self._agent.cancel_run(running.session_id, running.headers)
        except UpstreamError as error:
            _log.warning("the answer of the agent cannot be cancelled: %s", error)

    def _prepare_session(self, plan: AnswerPlan, headers: Mapping[str, str]) -> str | None:
        """Add the missing history to the agent's session. Returns its id, or None for a new one."""
        if plan.session_id is not None:
            if not plan.history or self._agent.append_messages(
                plan.session_id, plan.history, headers
            ):
                return plan.session_id
            return self._agent.create_session(self._load_all_history(plan), headers)
        return self._agent.create_session(plan.history, headers) if plan.history else None

    def _load_all_history(self, plan: AnswerPlan) -> list[AgentMessage]:
        """Return the messages before the folded ones, to build a lost session again."""
        return self._memory.load_history(
            plan.conversation_id, plan.version, lambda: self._read_history(plan)
        )

    def _read_history(self, plan: AnswerPlan) -> list[AgentMessage]:
        with self._database.read(plan.tenant_id) as session:
            conversation = store.find_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None:
                return []
            folded = messages.list_unanswered(
                session, plan.conversation_id, conversation.answered_seq, _MAX_FOLDED_MESSAGES
            )
            kept = [row for row in folded if row.seq <= plan.upto]
            return self._load_history(session, conversation, kept, None) if kept else []

    def _store_answer(self, plan: AnswerPlan, holder: str, answer: AgentAnswer) -> None:
        text = answer.text
        if answer.is_waiting:
            text = f"{text}\n\n{_APPROVAL_TEXT}".strip()
        with self._database.write(plan.tenant_id) as session:
            conversation = store.lock_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None or conversation.lease_holder != holder:
                return
            details = {**conversation.details, "agent_owner": plan.rights.owner}
            details.pop("pending_seq", None)
            columns: dict[str, Any] = {
                "lease_holder": None,
                "lease_until": None,
                "answer_attempts": 0,
                "answer_error": None,
                "agent_session_id": answer.session_id,
            }
            if conversation.mode != "bot":
                # A person has taken over meanwhile: the answer is not shown.
                details["agent_seq"] = plan.upto
                columns |= {"answer_due_at": None, "details": details}
                store.update_conversation(session, conversation.id, **columns)
                return
            later = messages.list_unanswered(session, conversation.id, plan.upto, 1)
            columns |= {
                "answered_seq": plan.upto,
                "answer_due_at": self._now() if later else None,
                # The answer's own number: messages that arrived during the run come after it or
                # are not answered yet.
                "details": {**details, "agent_seq": conversation.last_seq + 1},
            }
            message, _ = self._message_log.add_message(
                session,
                conversation,
                NewMessage(
                    "outbound",
                    AGENT_ACTOR,
                    {"type": "text", "text": text},
                    source="agent",
                    citations=answer.citations,
                    steps=answer.steps,
                    details={
                        "answers_seq": plan.upto,
                        "model": answer.model,
                        "tokens": answer.prompt_tokens + answer.completion_tokens,
                    },
                ),
                **columns,
            )
            self._queue_speech(session, conversation, message)

    def _queue_speech(self, session: Session, conversation: Conversation, message: Message) -> None:
        account = accounts.get_account(session, conversation.account_id)
        if self._synthesizer is not None and account is not None:
            queue_speech(
                session, conversation, message, account.settings, self._synthesizer, self._now()
            )

    def _release_interrupted(self, plan: AnswerPlan, holder: str) -> None:
        """Release the lease without storing an answer. In mode `bot`, an answer is due immediately.

        The messages are answered together with the new one, under another reference.
        """
        now = self._now()
        with self._database.write(plan.tenant_id) as session:
            conversation = store.lock_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None or conversation.lease_holder != holder:
                return
            details = dict(conversation.details)
            details.pop("pending_seq", None)
            is_due = conversation.mode == "bot"
            store.update_conversation(
                session,
                conversation.id,
                details=details,
                answer_due_at=(conversation.answer_due_at or now) if is_due else None,
                lease_holder=None,
                lease_until=None,
            )
            if is_due:
                announce_work(session)

    def _postpone(self, plan: AnswerPlan, holder: str, code: str, detail: str) -> None:
        if plan.attempts + 1 >= _MAX_ATTEMPTS:
            self._give_up(plan, holder, code, detail)
            return
        pause = min(_MAX_BACKOFF, timedelta(seconds=2 ** (plan.attempts + 1)))
        self._release(
            plan,
            holder,
            answer_due_at=self._now() + pause,
            answer_attempts=plan.attempts + 1,
            answer_error={"code": code, "detail": detail[:500], "retries": True},
        )

    def _give_up(self, plan: AnswerPlan, holder: str, code: str, detail: str) -> None:
        """Leave the messages unanswered. The next message of the user is answered with them."""
        _log.warning("no answer: %s", code)
        self._release(
            plan,
            holder,
            answer_due_at=None,
            answer_attempts=0,
            answer_error={"code": code, "detail": detail[:500], "retries": False},
        )

    def _release(self, plan: AnswerPlan, holder: str, **columns: Any) -> None:
        with self._database.write(plan.tenant_id) as session:
            conversation = store.lock_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None or conversation.lease_holder != holder:
                return
            columns |= {"lease_holder": None, "lease_until": None}
            if columns["answer_due_at"] is None:
                later = messages.list_unanswered(session, conversation.id, plan.upto, 1)
                columns["answer_due_at"] = self._now() if later else None
                details = dict(conversation.details)
                details.pop("pending_seq", None)
                columns["details"] = details
            self._message_log.change_conversation(session, conversation, **columns)

    def _release_failed(self, tenant_id: str, conversation_id: str, holder: str) -> None:
        """Release the lease after an unforeseen error, and try again later a few times."""
        with self._database.write(tenant_id) as session:
            conversation = store.lock_conversation(session, tenant_id, conversation_id)
            if conversation is None or conversation.lease_holder != holder:
                return
            attempts = conversation.answer_attempts + 1
            retries = attempts < _MAX_ATTEMPTS
            pause = min(_MAX_BACKOFF, timedelta(seconds=2**attempts))
            detail = "An unexpected error occurred. The log has the rest."
            self._message_log.change_conversation(
                session,
                conversation,
                answer_due_at=self._now() + pause if retries else None,
                answer_attempts=attempts if retries else 0,
                answer_error={"code": "internal_error", "detail": detail, "retries": retries},
                lease_holder=None,
                lease_until=None,
            )

    def _renew(self, plan: AnswerPlan, holder: str, running: _RunningAnswer) -> None:
        until = self._now() + LEASE_DURATION
        with self._database.write(plan.tenant_id) as session:
            store.renew_lease(session, plan.conversation_id, holder, until)
        # The stream may be silent while a tool works.
        if not running.is_unwanted and self._is_unwanted(plan):
            self._cancel_run(running)


class _Progress:
    """Sends the progress of an answer to the readers, text in pieces of some milliseconds."""

    def __init__(self, signals: ChangeSignals, plan: AnswerPlan) -> None:
        self._signals = signals
        self._plan = plan
        self._offset = 0
        self._waiting = ""
        self._sent_at = 0.0

    def add_text(self, text: str) -> None:
        self._waiting += text
        if monotonic() - self._sent_at >= _DELTA_SECONDS:
            self.flush()

    def add_step(self, tool: str, status: str) -> None:
        self._publish("answer-step", {"tool": tool, "status": status})

    def flush(self) -> None:
        text, self._waiting = self._waiting, ""
        if text:
            self._publish("answer-delta", {"offset": self._offset, "text": text})
            self._offset += len(text)
            self._sent_at = monotonic()

    def _publish(self, name: str, data: Mapping[str, Any]) -> None:
        plan = self._plan
        content = {"answers_seq": plan.upto, **data}
        self._signals.publish_event(plan.tenant_id, plan.conversation_id, name, content)


def _is_for_people(conversation: Conversation, account: Account | None) -> bool:
    """Return whether only people answer: the account has no key, and the owner is no user."""
    has_no_key = account is not None and account.agent_key is None
    return has_no_key and conversation.owner_id is None


def _new_holder() -> str:
    return secrets.token_hex(12)

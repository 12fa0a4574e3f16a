"""Answers of the agent: fold the unanswered messages, request the answer, store and deliver it."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from backend.ai.speech.engines import Synthesizer
from backend.chassis.background import PeriodicTask
from backend.chassis.database.sessions import Database, Session
from backend.chassis.http import UpstreamError
from backend.chassis.service_accounts import ServiceAccountKeyRejected, ServiceAccountUnavailable
from backend.services.chat.clients.agent import AgentAnswer, AgentProblem
from backend.services.chat.clients.delegations import DelegationRefused
from backend.services.chat.clients.metrics import ChatMetrics
from backend.services.chat.domain.answer_history import MAX_FOLDED_MESSAGES, load_history
from backend.services.chat.domain.answer_limits import ContactLimits, reserve_tenant_answer
from backend.services.chat.domain.answer_requests import (
    AnswerInterrupted,
    AnswerPlan,
    AnswerRequests,
    RunningAnswer,
)
from backend.services.chat.domain.answer_rights import AccountKeyMissing, RightsSource
from backend.services.chat.domain.content_text import get_request_text
from backend.services.chat.domain.inbox import change_mode
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.voice.queue import queue_speech
from backend.services.chat.model import AGENT_ACTOR
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
# An answer waits this long for files of the messages.
_MAX_MEDIA_WAIT: Final = timedelta(seconds=20)
_MEDIA_POLL: Final = timedelta(seconds=1)
_UNAVAILABLE_TEXT: Final = "The agent is unavailable at present."
_APPROVAL_TEXT: Final = "A step of this answer needs an approval, so it was not carried out."


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
        requests: AnswerRequests,
        rights: RightsSource,
        metrics: ChatMetrics,
        now: Callable[[], datetime],
        *,
        transcribes: bool = False,
        synthesizer: Synthesizer | None = None,
    ) -> None:
        self._transcribes = transcribes
        self._synthesizer = synthesizer
        self._database = database
        self._message_log = message_log
        self._requests = requests
        self._rights = rights
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
        running = RunningAnswer()
        renewal = PeriodicTask(
            "answer lease",
            _RENEWAL_SECONDS,
            lambda: self._renew(plan, holder, running),
            runs_at_start=False,
        )
        renewal.start()
        try:
            answer = self._requests.request_answer(plan, headers, running)
            if running.is_unwanted:
                raise AnswerInterrupted  # noqa: TRY301 - the agent has ended it early
        except AnswerInterrupted:
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
                session, conversation_id, conversation.answered_seq, MAX_FOLDED_MESSAGES
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
            history = load_history(session, conversation, folded, session_id)
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

    def _renew(self, plan: AnswerPlan, holder: str, running: RunningAnswer) -> None:
        until = self._now() + LEASE_DURATION
        with self._database.write(plan.tenant_id) as session:
            store.renew_lease(session, plan.conversation_id, holder, until)
        # The stream may be silent while a tool works.
        self._requests.cancel_if_unwanted(plan, running)


def _is_for_people(conversation: Conversation, account: Account | None) -> bool:
    """Return whether only people answer: the account has no key, and the owner is no user."""
    has_no_key = account is not None and account.agent_key is None
    return has_no_key and conversation.owner_id is None


def _new_holder() -> str:
    return secrets.token_hex(12)

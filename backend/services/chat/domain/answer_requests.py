"""Requests to the agent: its sessions, the answer's stream, and answers that are not wanted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.chassis.http import UpstreamError
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
from backend.services.chat.domain.answer_history import MAX_FOLDED_MESSAGES, load_history
from backend.services.chat.domain.answer_memory import AnswerMemory
from backend.services.chat.domain.answer_rights import AnswerRights, RightsSource
from backend.services.chat.domain.changes import ChangeSignals
from backend.services.chat.store import conversations as store
from backend.services.chat.store import messages

_log = logging.getLogger(__name__)
_DELTA_SECONDS: Final = 0.05
_INTERRUPTION_SECONDS: Final = 0.5


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


class AnswerInterrupted(Exception):
    """The answer in progress is unwanted."""


class RunningAnswer:
    """An answer in progress: the agent's session once it is known, and whether it is unwanted."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.headers: Mapping[str, str] = {}
        self.is_unwanted = False
        self.checked_at = monotonic()


class AnswerRequests:
    """Requests answers from the agent, and shows their progress to the readers.

    Args:
        database: sees the rows of all tenants.
    """

    def __init__(
        self,
        database: Database,
        agent: AgentClient,
        rights: RightsSource,
        signals: ChangeSignals,
        memory: AnswerMemory,
    ) -> None:
        self._database = database
        self._agent = agent
        self._rights = rights
        self._signals = signals
        self._memory = memory

    def request_answer(
        self, plan: AnswerPlan, headers: Mapping[str, str] | None, running: RunningAnswer
    ) -> AgentAnswer:
        """Return the agent's answer, or a stored one to an equal first message.

        Args:
            headers: identify the owner, whose request is in progress; None otherwise.

        Raises:
            AnswerInterrupted: the answer is not wanted any more.
            AgentProblem: the agent refuses the request, or its run failed.
            UpstreamError, ServiceAccountUnavailable: the agent or auth does not respond.
            DelegationRefused, ServiceAccountKeyRejected, AccountKeyMissing: there are no rights to
                ask the agent with.
        """
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
        self, plan: AnswerPlan, headers: Mapping[str, str] | None, running: RunningAnswer
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
        running: RunningAnswer,
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
                raise AnswerInterrupted from None
            raise

    def _read_stream(
        self,
        plan: AnswerPlan,
        request: AgentRequest,
        headers: Mapping[str, str],
        running: RunningAnswer,
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

    def _check_interruption(self, plan: AnswerPlan, running: RunningAnswer) -> None:
        """Raise AnswerInterrupted if the answer is unwanted. Queries at most twice a second."""
        if running.is_unwanted:
            raise AnswerInterrupted
        if monotonic() - running.checked_at < _INTERRUPTION_SECONDS:
            return
        running.checked_at = monotonic()
        self.cancel_if_unwanted(plan, running)
        if running.is_unwanted:
            raise AnswerInterrupted

    def cancel_if_unwanted(self, plan: AnswerPlan, running: RunningAnswer) -> None:
        """Cancel the agent's run if a colleague has taken over, or the contact has written again.

        Another thread may call this while the answer is requested.
        """
        if not running.is_unwanted and self._is_unwanted(plan):
            self._cancel_run(running)

    def _is_unwanted(self, plan: AnswerPlan) -> bool:
        with self._database.read(plan.tenant_id) as session:
            conversation = store.find_conversation(session, plan.tenant_id, plan.conversation_id)
            if conversation is None or conversation.mode != "bot":
                return True
            return plan.is_interruptible and bool(
                messages.list_unanswered(session, plan.conversation_id, plan.upto, 1)
            )

    def _cancel_run(self, running: RunningAnswer) -> None:
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
                session, plan.conversation_id, conversation.answered_seq, MAX_FOLDED_MESSAGES
            )
            kept = [row for row in folded if row.seq <= plan.upto]
            return load_history(session, conversation, kept, None) if kept else []


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

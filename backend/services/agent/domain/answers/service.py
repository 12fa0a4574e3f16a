"""Answer requests: run the model with tools, add citations and store the conversation."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from backend.ai.citations import CitationFinder
from backend.ai.embedder import Embedder
from backend.services.agent.clients.rag_client import RagClient
from backend.services.agent.domain.answers.drafts import AnswerDraft
from backend.services.agent.domain.answers.events import (
    Answer,
    Caller,
    HistoryMessage,
    IdleEvent,
    RunProgress,
    RunStarted,
    StreamEvents,
    TextDelta,
    ToolCall,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.domain.answers.run_outcomes import RunOutcomeService
from backend.services.agent.domain.conversations.approvals import ApprovalFactory
from backend.services.agent.domain.conversations.conversations import (
    CANCELLED,
    WRITING,
    ConversationService,
)
from backend.services.agent.domain.conversations.history import History, HistoryBuilder
from backend.services.agent.domain.conversations.run_leases import LeasedRun, RunLeases, UserRequest
from backend.services.agent.domain.personas import Persona, PersonaService
from backend.services.agent.domain.quotas import QuotaService, UsageMeter
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.engine.start_queue import StartSlot
from backend.services.agent.errors import CollectionNotFound, ConversationBusy
from backend.services.agent.events import RunStatus
from backend.services.agent.model import (
    DEFAULT_REQUEST_TYPE,
    ModelCallEnded,
    PausedRun,
    RequestType,
    RunFinished,
    RunRequest,
    TokenUsage,
    ToolContext,
)

OnBusy = Literal["enqueue", "interrupt", "reject"]

_CANCEL_CHECK_INTERVAL_SECONDS: Final = 0.5
# Limit of the wait for a busy conversation. Must be below the gateway's timeout for answers.
MAX_QUEUE_TIME: Final = timedelta(seconds=100)
_QUEUE_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A user request with the options of its answer. `on_busy` applies to a busy conversation."""

    user_request: UserRequest
    collection: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    persona: str | None = None
    on_busy: OnBusy = "enqueue"
    request_type: RequestType = DEFAULT_REQUEST_TYPE


class AnswerService:
    """Answers requests in stored conversations, and single requests that are not stored."""

    def __init__(
        self,
        conversations: ConversationService,
        run_leases: RunLeases,
        history_builder: HistoryBuilder,
        rag_client: RagClient,
        run_outcomes: RunOutcomeService,
        runner: AgentRunner,
        models: ChatModelRegistry,
        embedder: Embedder,
        personas: PersonaService,
        quotas: QuotaService,
        approvals: ApprovalFactory,
    ) -> None:
        self._conversations = conversations
        self._run_leases = run_leases
        self._history_builder = history_builder
        self._rag_client = rag_client
        self._run_outcomes = run_outcomes
        self._runner = runner
        self._models = models
        self._embedder = embedder
        self._personas = personas
        self._quotas = quotas
        self._approvals = approvals

    def start_answer(self, caller: Caller, answer_request: AnswerRequest) -> StreamEvents:
        """Start to answer *answer_request* and return the events of the run.

        Errors of the request are raised here, before the first event. Closing the events cancels
        the answer.
        """
        slot = self._runner.start_queue.acquire_slot()
        try:
            return self._start_answer(caller, answer_request, slot)
        except BaseException:
            slot.release()
            raise

    def _start_answer(
        self, caller: Caller, answer_request: AnswerRequest, slot: StartSlot
    ) -> StreamEvents:
        model = self._models.resolve_name(answer_request.model)
        persona = self._personas.find_persona(caller, answer_request.persona)
        self._quotas.check_quota(caller)
        if answer_request.collection is not None and self._rag_client.is_collection_missing(
            caller, answer_request.collection
        ):
            raise CollectionNotFound
        try:
            run = self._run_leases.start_run(caller, answer_request.user_request)
        except ConversationBusy:
            if answer_request.on_busy == "reject":
                raise
            run = None
        return _start_events(
            self._generate_answer(caller, answer_request, model, persona, run, slot)
        )

    def resume_answer(
        self, caller: Caller, conversation_id: str, *, approved: bool, approval_id: str | None
    ) -> StreamEvents:
        """Resume the paused run of a conversation after the user's decision."""
        slot = self._runner.start_queue.acquire_slot()
        try:
            return self._resume_answer(
                caller, conversation_id, slot, approved=approved, approval_id=approval_id
            )
        except BaseException:
            slot.release()
            raise

    def _resume_answer(
        self,
        caller: Caller,
        conversation_id: str,
        slot: StartSlot,
        *,
        approved: bool,
        approval_id: str | None,
    ) -> StreamEvents:
        run, state = self._run_leases.resume_run(
            caller, conversation_id, approval_id, approved=approved
        )
        run_request = RunRequest(
            state["model"],
            (),
            ToolContext(caller, state["collection"]),
            state["temperature"],
            state["max_tokens"],
            paused=PausedRun(state["messages"], [ToolCall(**call) for call in state["calls"]]),
            approved=approved,
            instructions=state.get("instructions", ""),
            request_type=state.get("request_type", DEFAULT_REQUEST_TYPE),
        )
        draft = AnswerDraft(run_request, CitationFinder(self._embedder, run.request))
        draft.restore_paused_state(state)
        return _start_events(self._generate_stored_answer(caller, run, draft, slot))

    def answer_without_conversation(self, run_request: RunRequest) -> StreamEvents:
        """Answer the last message of the request's history. The client stores the conversation."""
        self._quotas.check_quota(run_request.tool_context.caller)
        return self._generate_answer_without_conversation(run_request)

    def _generate_answer_without_conversation(self, run_request: RunRequest) -> StreamEvents:
        draft = AnswerDraft(
            run_request, CitationFinder(self._embedder, _get_last_user_text(run_request.history))
        )
        caller = run_request.tool_context.caller
        meter = self._quotas.create_meter(caller, run_request.model)
        status: RunStatus = "failed"
        slot = self._runner.start_queue.acquire_slot()
        try:
            meter.reserve_tokens()
            with closing(self._generate_events(draft, None, lambda: False, meter, slot)) as events:
                for event in events:
                    # Callers may close the events after the answer.
                    if isinstance(event, Answer):
                        status = "done"
                    yield event
        except GeneratorExit:
            status = "done" if status == "done" else CANCELLED
            raise
        finally:
            slot.release()
            _add_interrupted_response(draft, meter)
            self._run_outcomes.store_usage(caller, draft, meter, status)

    def _add_history(
        self, caller: Caller, run: LeasedRun, draft: AnswerDraft, must_stop: Callable[[], bool]
    ) -> StreamEvents:
        """Add the history of the conversation to the run request of *draft*."""
        model = draft.run_request.model
        with (
            self._quotas.reserve_tokens(caller, model) as meter,
            closing(
                self._history_builder.build_history(caller, run, model, must_stop)
            ) as history_events,
        ):
            for event in history_events:
                match event:
                    case History(messages):
                        draft.run_request = replace(draft.run_request, history=messages)
                    case TokenUsage():
                        meter.count_event(event)
                        draft.add_usage(event)
                    case IdleEvent():
                        yield event

    def _generate_answer(
        self,
        caller: Caller,
        answer_request: AnswerRequest,
        model: str,
        persona: Persona,
        run: LeasedRun | None,
        slot: StartSlot,
    ) -> StreamEvents:
        if run is None:
            slot.release()
            run = yield from self._wait_for_conversation(caller, answer_request)
        run_request = RunRequest(
            model,
            (),
            ToolContext(caller, answer_request.collection),
            persona.temperature
            if answer_request.temperature is None
            else answer_request.temperature,
            answer_request.max_tokens or persona.max_tokens,
            instructions=persona.system_prompt,
            request_type=answer_request.request_type,
        )
        draft = AnswerDraft(run_request, CitationFinder(self._embedder, run.request))
        yield from self._generate_stored_answer(caller, run, draft, slot)

    def _wait_for_conversation(
        self, caller: Caller, answer_request: AnswerRequest
    ) -> Generator[IdleEvent, None, LeasedRun]:
        """Wait until the current run has ended, or cancel it, and start a run.

        Raises:
            ConversationBusy: the conversation stayed busy for MAX_QUEUE_TIME.
        """
        conversation_id = answer_request.user_request.conversation_id or ""
        deadline = time.monotonic() + MAX_QUEUE_TIME.total_seconds()
        if answer_request.on_busy == "interrupt":
            self._conversations.cancel_run(caller, conversation_id)
        while time.monotonic() < deadline:
            yield IdleEvent()
            time.sleep(_QUEUE_POLL_SECONDS)
            if self._run_leases.is_conversation_free(caller, conversation_id):
                with suppress(ConversationBusy):  # another request was faster
                    return self._run_leases.start_run(caller, answer_request.user_request)
        raise ConversationBusy

    def _generate_stored_answer(
        self, caller: Caller, run: LeasedRun, draft: AnswerDraft, slot: StartSlot
    ) -> StreamEvents:
        """Yield the events of the answer. Its result is stored before the final event is sent.

        *slot* is released when the run has called its model, has its first event, or ends.
        """
        status: RunStatus = "failed"
        answer = None
        meter = self._quotas.create_meter(caller, draft.run_request.model)
        must_stop = _throttle(
            partial(
                self._run_leases.should_stop_run, caller, run, lambda: draft.to_snapshot(WRITING)
            )
        )
        try:
            yield IdleEvent()
            yield RunStarted(run.conversation_id, run.run_id, run.message_id, run.parent_id)
            for event in self._add_history(caller, run, draft, must_stop):
                slot.release()  # the model writes a summary
                yield event
            meter.reserve_tokens()
            with closing(self._generate_events(draft, run, must_stop, meter, slot)) as events:
                for event in events:
                    if isinstance(event, Answer):
                        answer = event
                        break
                    yield event
            cancelled = answer is not None and answer.finish_reason == CANCELLED
            status = CANCELLED if cancelled else "done"
        except GeneratorExit:
            status = CANCELLED
            raise
        finally:
            slot.release()
            _add_interrupted_response(draft, meter)
            finish_reason = status if answer is None else answer.finish_reason
            self._run_outcomes.store_outcome(caller, run, draft, meter, status, finish_reason)
        if answer is not None:
            yield answer

    def _generate_events(
        self,
        draft: AnswerDraft,
        run: LeasedRun | None,
        must_stop: Callable[[], bool],
        meter: UsageMeter,
        slot: StartSlot,
    ) -> StreamEvents:
        request = replace(draft.run_request, remaining_daily_tokens=meter.remaining_tokens)
        with closing(self._runner.stream_run(request, slot.release)) as events:
            for event in events:
                slot.release()
                meter.count_event(event)
                if must_stop():
                    _add_interrupted_response(draft, meter)
                    yield draft.to_answer(run, CANCELLED)
                    return
                match event:
                    case TextDelta(text):
                        yield from draft.add_text(text)
                    case ToolEnded():
                        draft.add_tool_call(event)
                        yield event
                    case ModelCallEnded():
                        draft.nodes.add_model_call(event)
                    case ToolStarted() | RunProgress() | IdleEvent():
                        yield event
                    case TokenUsage():
                        draft.add_usage(event)
                    case RunFinished():
                        draft.approval = self._approvals.create_approval() if event.paused else None
                        yield from draft.finish(event)
                        yield draft.to_answer(run, event.finish_reason)


def _add_interrupted_response(draft: AnswerDraft, meter: UsageMeter) -> None:
    """Add the tokens of a response that ended before it reported them."""
    if estimate := meter.estimate_interrupted_response():
        draft.add_usage(estimate)


def _start_events(events: StreamEvents) -> StreamEvents:
    """Advance *events* to the first event. Only a started generator releases the lease on close."""
    next(events)
    return events


def _throttle(check: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that calls *check* once per interval, and returns False in between."""
    checked_at = time.monotonic()

    def throttled_check() -> bool:
        nonlocal checked_at
        if time.monotonic() - checked_at < _CANCEL_CHECK_INTERVAL_SECONDS:
            return False
        checked_at = time.monotonic()
        return check()

    return throttled_check


def _get_last_user_text(history: Sequence[HistoryMessage]) -> str:
    return next((message.text for message in reversed(history) if message.role == "user"), "")

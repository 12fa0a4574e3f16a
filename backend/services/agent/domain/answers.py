"""Answer a request: let the model choose tools, cite what it says, keep it in the conversation."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from backend.ai.citations import Embedder, Sources
from backend.services.agent.clients.library import Library
from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Finished, Paused, Run, Setting, Used
from backend.services.agent.domain.approvals import Approvals
from backend.services.agent.domain.conversations import CANCELLED, WRITING, Conversations
from backend.services.agent.domain.drafts import Draft
from backend.services.agent.domain.events import (
    Answer,
    Begun,
    Call,
    Caller,
    Idle,
    Said,
    Telling,
    Text,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.domain.memory import Memory, Recalled
from backend.services.agent.domain.personas import Persona, Personas
from backend.services.agent.domain.quotas import Quotas
from backend.services.agent.domain.records import Records
from backend.services.agent.domain.turns import Asked, Turn, Turns
from backend.services.agent.errors import CollectionNotFound, ConversationBusy

OnBusy = Literal["enqueue", "interrupt", "reject"]

_LOOK_AROUND_SECONDS: Final = 0.5
# How long a request waits for its conversation: less than the gateway waits for an answer.
PATIENCE: Final = timedelta(seconds=100)
_ASKED_AGAIN_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how it shall be answered."""

    asked: Asked
    collection: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    persona: str | None = None
    on_busy: OnBusy = "enqueue"


class Answers:
    """Answers requests in conversations, and single ones that nobody keeps."""

    def __init__(
        self,
        conversations: Conversations,
        turns: Turns,
        memory: Memory,
        library: Library,
        records: Records,
        runner: Runner,
        models: Models,
        embedder: Embedder,
        personas: Personas,
        quotas: Quotas,
        approvals: Approvals,
    ) -> None:
        self._conversations = conversations
        self._turns = turns
        self._memory = memory
        self._library = library
        self._records = records
        self._runner = runner
        self._models = models
        self._embedder = embedder
        self._personas = personas
        self._quotas = quotas
        self._approvals = approvals

    def ask(self, caller: Caller, question: Question) -> Telling:
        """Begin to answer *question*; what is wrong with it is raised here, before a word.

        Iterate over what is told; close it and the answer is cancelled.
        """
        model = self._models.name_of(question.model)
        persona = self._personas.named(caller, question.persona)
        self._quotas.check(caller)
        if question.collection is not None and self._library.has_no(caller, question.collection):
            raise CollectionNotFound
        try:
            turn = self._turns.begin(caller, question.asked)
        except ConversationBusy:
            if question.on_busy == "reject":
                raise
            turn = None
        return _begun(self._answered(caller, question, model, persona, turn))

    def resume(
        self, caller: Caller, conversation_id: str, *, approved: bool, approval_id: str | None
    ) -> Telling:
        """Go on with the answer that waited for this decision."""
        turn, kept = self._turns.go_on(caller, conversation_id, approval_id)
        run = Run(
            kept["model"],
            (),
            Setting(caller, kept["collection"]),
            kept["temperature"],
            kept["max_tokens"],
            paused=Paused(kept["messages"], [Call(**each) for each in kept["calls"]]),
            approved=approved,
            instructions=kept.get("instructions", ""),
        )
        draft = Draft(run, Sources(self._embedder, turn.request))
        draft.restore(kept)
        return _begun(self._kept(caller, turn, draft))

    def once(self, run: Run) -> Telling:
        """Answer the last of the run's history, which is the client's to keep."""
        self._quotas.check(run.setting.caller)
        draft = Draft(run, Sources(self._embedder, _question(run.history)))
        return self._told(draft, None, lambda: False)

    def _recalled(
        self, caller: Caller, turn: Turn, draft: Draft, must_stop: Callable[[], bool]
    ) -> Telling:
        """Give the draft's run its history."""
        model = draft.run.model
        with (
            self._quotas.admitted(caller, model) as meter,
            closing(self._memory.recall(caller, turn, model, must_stop)) as recalling,
        ):
            for each in recalling:
                match each:
                    case Recalled(history):
                        draft.run = replace(draft.run, history=history)
                    case Used():
                        meter.see(each)
                        draft.use(each)
                    case Idle():
                        yield each

    def _answered(
        self,
        caller: Caller,
        question: Question,
        model: str,
        persona: Persona,
        turn: Turn | None,
    ) -> Telling:
        if turn is None:
            turn = yield from self._in_turn(caller, question)
        run = Run(
            model,
            (),
            Setting(caller, question.collection),
            persona.temperature if question.temperature is None else question.temperature,
            question.max_tokens or persona.max_tokens,
            instructions=persona.system_prompt,
        )
        draft = Draft(run, Sources(self._embedder, turn.request))
        yield from self._kept(caller, turn, draft)

    def _in_turn(self, caller: Caller, question: Question) -> Generator[Idle, None, Turn]:
        """Wait until the answer that is being written has ended, or end it."""
        conversation_id = question.asked.conversation_id or ""
        until = time.monotonic() + PATIENCE.total_seconds()
        if question.on_busy == "interrupt":
            self._conversations.cancel(caller, conversation_id)
        while time.monotonic() < until:
            yield Idle()
            time.sleep(_ASKED_AGAIN_SECONDS)
            if self._turns.is_free(caller, conversation_id):
                with suppress(ConversationBusy):  # another was quicker
                    return self._turns.begin(caller, question.asked)
        raise ConversationBusy

    def _kept(self, caller: Caller, turn: Turn, draft: Draft) -> Telling:
        """The answer; whatever becomes of it is kept before its reader hears that it is done."""
        status, answer = "failed", None
        stop = _now_and_then(
            partial(self._turns.must_stop, caller, turn, lambda: draft.written(WRITING))
        )
        try:
            yield Idle()
            yield Begun(turn.conversation_id, turn.run_id, turn.message_id, turn.parent_id)
            yield from self._recalled(caller, turn, draft, stop)
            with closing(self._told(draft, turn, stop)) as told:
                for each in told:
                    if isinstance(each, Answer):
                        answer = each
                        break
                    yield each
            cancelled = answer is not None and answer.finish_reason == CANCELLED
            status = CANCELLED if cancelled else "done"
        except GeneratorExit:
            status = CANCELLED
            raise
        finally:
            reason = status if answer is None else answer.finish_reason
            if draft.paused is not None and status == "done":
                written = draft.written("waiting", "paused")
                self._turns.pause(caller, turn, written, draft.kept(draft.paused))
            else:
                self._turns.finish(caller, turn, draft.written(status, reason))
            self._records.keep(caller, turn, draft, reason)
        if answer is not None:
            yield answer

    def _told(self, draft: Draft, turn: Turn | None, must_stop: Callable[[], bool]) -> Telling:
        run = draft.run
        with (
            self._quotas.admitted(run.setting.caller, run.model) as meter,
            closing(self._runner.run(replace(run, most_tokens=meter.left))) as events,
        ):
            for event in events:
                meter.see(event)
                if must_stop():
                    yield draft.answer(turn, CANCELLED)
                    return
                match event:
                    case Text(text):
                        yield from draft.say(text)
                    case ToolEnded():
                        draft.take(event)
                        yield event
                    case ToolStarted() | Idle():
                        yield event
                    case Used():
                        draft.use(event)
                    case Finished():
                        draft.approval = self._approvals.ask() if event.paused else None
                        yield from draft.end(event)
                        yield draft.answer(turn, event.finish_reason)


def _begun(told: Telling) -> Telling:
    """*told*, begun: only then does closing it let the conversation go."""
    next(told)
    return told


def _now_and_then(ask: Callable[[], bool]) -> Callable[[], bool]:
    """*ask*, but not more often than it changes: False in between."""
    asked = time.monotonic()

    def due() -> bool:
        nonlocal asked
        if time.monotonic() - asked < _LOOK_AROUND_SECONDS:
            return False
        asked = time.monotonic()
        return ask()

    return due


def _question(history: Sequence[Said]) -> str:
    return next((said.text for said in reversed(history) if said.role == "user"), "")

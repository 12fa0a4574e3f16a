"""Answer a request: let the model choose tools, cite what it says, keep it in the conversation."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Finished, Passage, Paused, Run, Setting
from backend.services.agent.domain.citations import Citation, Embedder, Sources, Weaver
from backend.services.agent.domain.conversations import Conversations, Step, Turn, Written
from backend.services.agent.domain.events import (
    Answer,
    Call,
    Caller,
    Idle,
    Said,
    Telling,
    Text,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.errors import ModelMisbehaved

CANCELLED: Final = "cancelled"

_LOOK_AROUND_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how it shall be answered."""

    request: str
    conversation_id: str | None = None
    collection: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer under way. Iterate over it; close `told` and the answer is cancelled."""

    conversation_id: str
    told: Telling


@dataclass(slots=True)
class _Draft:
    """An answer while it is being written."""

    run: Run
    sources: Sources
    weaver: Weaver = field(init=False)
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    paused: Paused | None = None

    def __post_init__(self) -> None:
        self.weaver = Weaver(self.sources.cite)

    def say(self, text: str) -> Iterator[Text]:
        """Add *text*, with the markers that are due."""
        if woven := self.weaver.feed(text) if self.sources else text:
            self.text += woven
            yield Text(woven)

    def take(self, ended: ToolEnded) -> None:
        """Add a tool's outcome to the steps, its passages to the sources."""
        status = "error" if ended.outcome.failed else "ok"
        self.steps.append(Step(ended.call.tool, ended.call.arguments, status, ended.took_ms))
        self.learn(ended.outcome.passages)

    def learn(self, passages: Sequence[Passage]) -> None:
        """Let the answer rest on *passages*."""
        self.passages += passages
        self.sources.add(passages)

    def end(self, finished: Finished) -> Iterator[Text]:
        """Say what was held back; an answer must not end in silence."""
        self.prompt_tokens += finished.prompt_tokens
        self.completion_tokens += finished.completion_tokens
        self.paused = finished.paused
        if rest := self.weaver.end():
            self.text += rest
            yield Text(rest)
        if self.paused is None and not self.text.strip():
            raise ModelMisbehaved("The model ended without an answer.")

    def answer(self, conversation_id: str | None, reason: str) -> Answer:
        """The answer as it stands."""
        return Answer(
            text=self.text,
            conversation_id=conversation_id,
            citations=self.sources.citations,
            steps=self.steps,
            model=self.run.model,
            finish_reason=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            took_ms=round((time.monotonic() - self.begun) * 1000),
            waiting=() if self.paused is None else self.paused.calls,
        )

    def kept(self, paused: Paused) -> dict[str, Any]:
        """All that it takes to go on in another process, as JSON."""
        return {
            "model": self.run.model,
            "collection": self.run.setting.collection,
            "temperature": self.run.temperature,
            "max_tokens": self.run.max_tokens,
            "messages": list(paused.messages),
            "calls": [asdict(call) for call in paused.calls],
            "text": self.text,
            "steps": [asdict(step) for step in self.steps],
            "passages": [asdict(passage) for passage in self.passages],
            "citations": [asdict(citation) for citation in self.sources.citations],
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }

    def written(self, status: str) -> Written:
        return Written(
            text=self.text,
            status=status,
            model=self.run.model,
            citations=self.sources.citations,
            steps=self.steps,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


class Answers:
    """Answers requests in conversations, and single ones that nobody keeps."""

    def __init__(
        self,
        conversations: Conversations,
        runner: Runner,
        models: Models,
        embedder: Embedder,
    ) -> None:
        self._conversations = conversations
        self._runner = runner
        self._models = models
        self._embedder = embedder

    def ask(self, caller: Caller, question: Question) -> Answering:
        """Begin to answer *question*; what is wrong with it is raised here, before a word."""
        model = self._models.name_of(question.model)
        turn = self._conversations.begin(caller, question.conversation_id, question.request)
        run = Run(
            model,
            turn.history,
            Setting(caller, question.collection),
            question.temperature,
            question.max_tokens,
        )
        draft = _Draft(run, Sources(self._embedder, question.request))
        return self._begun(caller, turn, draft)

    def resume(self, caller: Caller, conversation_id: str, *, approved: bool) -> Answering:
        """Go on with the answer that waited for this decision."""
        turn, kept = self._conversations.go_on(caller, conversation_id)
        run = Run(
            kept["model"],
            turn.history,
            Setting(caller, kept["collection"]),
            kept["temperature"],
            kept["max_tokens"],
            paused=Paused(kept["messages"], [Call(**each) for each in kept["calls"]]),
            approved=approved,
        )
        draft = _Draft(run, Sources(self._embedder, _question(turn.history)))
        draft.text = kept["text"]
        draft.steps = [Step(**each) for each in kept["steps"]]
        draft.learn([Passage(**each) for each in kept["passages"]])
        draft.sources.citations = [Citation(**each) for each in kept["citations"]]
        draft.prompt_tokens = kept["prompt_tokens"]
        draft.completion_tokens = kept["completion_tokens"]
        return self._begun(caller, turn, draft)

    def once(self, run: Run) -> Telling:
        """Answer the last of the run's history, which is the client's to keep."""
        draft = _Draft(run, Sources(self._embedder, _question(run.history)))
        return self._told(draft, None, lambda: False)

    def _begun(self, caller: Caller, turn: Turn, draft: _Draft) -> Answering:
        told = self._kept(caller, turn, draft)
        next(told)  # only a generator that has begun lets the conversation go when it is closed
        return Answering(turn.conversation_id, told)

    def _kept(self, caller: Caller, turn: Turn, draft: _Draft) -> Telling:
        """The answer; whatever becomes of it is kept before its reader hears that it is done."""
        status, answer = "failed", None
        try:
            yield Idle()
            stop = partial(self._conversations.must_stop, caller, turn)
            with closing(self._told(draft, turn.conversation_id, stop)) as told:
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
            if draft.paused is not None and status == "done":
                self._conversations.pause(caller, turn, draft.kept(draft.paused))
            else:
                self._conversations.finish(caller, turn, draft.written(status))
        if answer is not None:
            yield answer

    def _told(
        self, draft: _Draft, conversation_id: str | None, must_stop: Callable[[], bool]
    ) -> Telling:
        looked = time.monotonic()
        with closing(self._runner.run(draft.run)) as events:
            for event in events:
                if time.monotonic() - looked >= _LOOK_AROUND_SECONDS:
                    looked = time.monotonic()
                    if must_stop():
                        yield draft.answer(conversation_id, CANCELLED)
                        return
                match event:
                    case Text(text):
                        yield from draft.say(text)
                    case ToolEnded():
                        draft.take(event)
                        yield event
                    case ToolStarted() | Idle():
                        yield event
                    case Finished():
                        yield from draft.end(event)
                        yield draft.answer(conversation_id, event.finish_reason)


def _question(history: Sequence[Said]) -> str:
    return next((said.text for said in reversed(history) if said.role == "user"), "")

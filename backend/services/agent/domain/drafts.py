"""An answer while it is being written."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.ai.citations import Citation, Sources, Weaver
from backend.services.agent.clients.runs import Finished, Passage, Paused, Run, Used
from backend.services.agent.domain.approvals import Approval
from backend.services.agent.domain.events import Answer, Text, ToolEnded
from backend.services.agent.domain.turns import Step, Turn, Written
from backend.services.agent.errors import ModelMisbehaved


@dataclass(slots=True)
class Draft:
    """What *run* has said so far, and what it rests on."""

    run: Run
    sources: Sources
    weaver: Weaver = field(init=False)
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    used: list[ToolEnded] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    paused: Paused | None = None
    approval: Approval | None = None
    model: str = field(init=False)

    def __post_init__(self) -> None:
        self.weaver = Weaver(self.sources.cite)
        self.model = self.run.model

    def say(self, text: str) -> Iterator[Text]:
        """Add *text*, with the markers that are due."""
        if woven := self.weaver.feed(text) if self.sources else text:
            self.text += woven
            yield Text(woven)

    def take(self, ended: ToolEnded) -> None:
        """Add a tool's outcome to the steps, its passages to the sources."""
        call, status = ended.call, ended.outcome.status
        self.steps.append(Step(call.tool, call.arguments, status, ended.took_ms))
        self.used.append(ended)
        self.learn(ended.outcome.passages)

    def learn(self, passages: Sequence[Passage]) -> None:
        """Let the answer rest on *passages*."""
        self.passages += passages
        self.sources.add(passages)

    def use(self, used: Used) -> None:
        """Count what a model's answer cost; the model need not be the one that was asked for."""
        self.model = used.model
        self.prompt_tokens += used.prompt_tokens
        self.completion_tokens += used.completion_tokens

    def end(self, finished: Finished) -> Iterator[Text]:
        """Say what was held back; an answer must not end in silence."""
        self.paused = finished.paused
        if rest := self.weaver.end():
            self.text += rest
            yield Text(rest)
        if self.paused is None and not self.text.strip():
            raise ModelMisbehaved("The model ended without an answer.")

    def answer(self, turn: Turn | None, reason: str) -> Answer:
        """The answer as it stands."""
        return Answer(
            text=self.text,
            conversation_id=None if turn is None else turn.conversation_id,
            message_id=None if turn is None else turn.message_id,
            citations=self.sources.citations,
            steps=self.steps,
            model=self.model,
            finish_reason=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            took_ms=self.took_ms(),
            waiting=() if self.paused is None else self.paused.calls,
            approval=self.approval,
        )

    def kept(self, paused: Paused) -> dict[str, Any]:
        """All that it takes to go on in another process, as JSON."""
        return {
            "model": self.run.model,
            "collection": self.run.setting.collection,
            "temperature": self.run.temperature,
            "max_tokens": self.run.max_tokens,
            "instructions": self.run.instructions,
            "messages": list(paused.messages),
            "calls": [asdict(call) for call in paused.calls],
            "approval": None if self.approval is None else self.approval.kept(),
            "text": self.text,
            "steps": [asdict(step) for step in self.steps],
            "passages": [asdict(passage) for passage in self.passages],
            "citations": [asdict(citation) for citation in self.sources.citations],
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave."""
        self.text = kept["text"]
        self.steps = [Step(**each) for each in kept["steps"]]
        self.learn([Passage(**each) for each in kept["passages"]])
        self.sources.citations = [Citation(**each) for each in kept["citations"]]
        self.prompt_tokens = kept["prompt_tokens"]
        self.completion_tokens = kept["completion_tokens"]

    def written(self, status: str, reason: str | None = None) -> Written:
        """The answer as its conversation keeps it."""
        return Written(
            text=self.text,
            status=status,
            finish_reason=reason,
            model=self.model,
            citations=self.sources.citations,
            steps=self.steps,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            took_ms=self.took_ms(),
        )

    def took_ms(self) -> int:
        """How long it has been written so far."""
        return round((time.monotonic() - self.begun) * 1000)

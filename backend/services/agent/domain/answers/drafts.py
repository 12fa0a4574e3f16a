"""Answers that are being generated."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.ai.citations import Citation, CitationFinder, CitationInserter
from backend.services.agent.domain.answers.events import Answer, TextDelta, ToolEnded
from backend.services.agent.domain.answers.run_nodes import NodeRecorder
from backend.services.agent.domain.conversations.approvals import Approval
from backend.services.agent.domain.conversations.run_leases import AnswerSnapshot, LeasedRun, Step
from backend.services.agent.errors import InvalidModelResponse
from backend.services.agent.model import Chunk, PausedRun, RunFinished, RunRequest, TokenUsage


@dataclass(slots=True)
class AnswerDraft:
    """The answer of a run so far: text, tool calls, citations and token usage."""

    run_request: RunRequest
    citation_finder: CitationFinder
    citation_inserter: CitationInserter = field(init=False)
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    tool_calls: list[ToolEnded] = field(default_factory=list)
    nodes: NodeRecorder = field(default_factory=NodeRecorder)
    started_at: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    paused: PausedRun | None = None
    approval: Approval | None = None
    model: str = field(init=False)

    def __post_init__(self) -> None:
        self.citation_inserter = CitationInserter(
            self.citation_finder.cite_sentence, self.citation_finder.is_bracket_of_text
        )
        self.model = self.run_request.model

    def add_text(self, text: str) -> Iterator[TextDelta]:
        """Add *text* of the model, and yield it with citation markers."""
        if marked_text := self.citation_inserter.feed(text) if self.citation_finder else text:
            self.text += marked_text
            yield TextDelta(marked_text)

    def add_tool_call(self, ended: ToolEnded) -> None:
        """Add a completed tool call to the steps, and its chunks to the citable chunks."""
        call, status = ended.call, ended.result.status
        self.steps.append(Step(call.tool, call.arguments, status, ended.took_ms))
        self.tool_calls.append(ended)
        self.nodes.add_tool_call(ended)
        self.add_chunks(ended.result.chunks)

    def add_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Add *chunks* that the answer may cite."""
        self.chunks += chunks
        self.citation_finder.add_chunks(chunks)

    def add_usage(self, usage: TokenUsage) -> None:
        """Add the tokens of one model response, and store its model, which can be a fallback."""
        self.model = usage.model
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens

    def finish(self, finished: RunFinished) -> Iterator[TextDelta]:
        """Yield the remaining text, or raise InvalidModelResponse if the answer is empty."""
        self.paused = finished.paused
        if rest := self.citation_inserter.finish():
            self.text += rest
            yield TextDelta(rest)
        if self.paused is None and not self.text.strip():
            raise InvalidModelResponse("The model ended without an answer.")

    def to_answer(self, run: LeasedRun | None, reason: str) -> Answer:
        """Return the answer in its current state."""
        return Answer(
            text=self.text,
            conversation_id=None if run is None else run.conversation_id,
            message_id=None if run is None else run.message_id,
            citations=self.citation_finder.citations,
            steps=self.steps,
            model=self.model,
            finish_reason=reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            took_ms=self.get_elapsed_ms(),
            waiting=() if self.paused is None else self.paused.calls,
            approval=self.approval,
        )

    def to_paused_state(self, paused: PausedRun) -> dict[str, Any]:
        """Return the state that another process needs to resume the run, as JSON values."""
        return {
            "model": self.run_request.model,
            "collection": self.run_request.tool_context.collection,
            "temperature": self.run_request.temperature,
            "max_tokens": self.run_request.max_tokens,
            "instructions": self.run_request.instructions,
            "request_type": self.run_request.request_type,
            "messages": list(paused.messages),
            "calls": [asdict(call) for call in paused.calls],
            "approval": None if self.approval is None else self.approval.to_json(),
            "text": self.text,
            "steps": [asdict(step) for step in self.steps],
            "passages": [asdict(chunk) for chunk in self.chunks],
            "citations": [asdict(citation) for citation in self.citation_finder.citations],
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }

    def restore_paused_state(self, state: Mapping[str, Any]) -> None:
        """Restore the state that to_paused_state returned."""
        self.text = state["text"]
        self.steps = [Step(**step) for step in state["steps"]]
        self.add_chunks([Chunk(**chunk) for chunk in state["passages"]])
        self.citation_finder.citations = [Citation(**citation) for citation in state["citations"]]
        self.prompt_tokens = state["prompt_tokens"]
        self.completion_tokens = state["completion_tokens"]

    def to_snapshot(self, status: str, reason: str | None = None) -> AnswerSnapshot:
        """Return the answer in the form that its conversation stores."""
        return AnswerSnapshot(
            text=self.text,
            status=status,
            finish_reason=reason,
            model=self.model,
            citations=self.citation_finder.citations,
            steps=self.steps,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            took_ms=self.get_elapsed_ms(),
        )

    def get_elapsed_ms(self) -> int:
        """Return the milliseconds since the start of the answer."""
        return round((time.monotonic() - self.started_at) * 1000)

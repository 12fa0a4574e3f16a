"""Interface of the planner: tool choice and answers without a language model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from backend.services.agent.model import Chunk, ToolExample

# How a language model answers a request: from passages, with a summary of a document, with a text
# of its own, with such a text about documents, or by changing its previous answer.
RequestKind = Literal["question", "summary", "writing", "document writing", "revision"]


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that may be called. Tools that a client defined have no examples."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    examples: Sequence[ToolExample] = ()


@dataclass(frozen=True, slots=True)
class PlannedToolCall:
    """A tool call that a planner or a small model has chosen."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CompletedToolCall:
    """A tool call of the current request, with its result.

    *term_weights* are the inverse document frequencies of the terms that were searched, and
    *identifiers* the ids that the result contains.
    """

    tool: str
    arguments: Mapping[str, Any]
    content: str
    chunks: Sequence[Chunk]
    failed: bool
    term_weights: Mapping[str, float] = field(default_factory=dict)
    identifiers: Sequence[str] = ()


class Planner(Protocol):
    """Chooses tools for a request and composes an answer from their results."""

    def resolve_references(self, request: str, previous_request: str) -> str:
        """Return *request* with its references to *previous_request* replaced."""
        ...

    def choose_tool_calls(
        self, request: str, tools: Sequence[OfferedTool], *, required: bool
    ) -> Sequence[PlannedToolCall]:
        """Return the tool calls for *request*; none if it can be answered without tools.

        With *required*, at least one of *tools* must be called if possible.
        """
        ...

    def choose_by_rules(
        self, request: str, tools: Sequence[OfferedTool]
    ) -> Sequence[PlannedToolCall] | None:
        """Return what choose_tool_calls returns if rules alone decide it, else None."""
        ...

    def certain_tool_calls(
        self, request: str, tools: Sequence[OfferedTool]
    ) -> Sequence[PlannedToolCall]:
        """Return the tool calls that *request* needs with certainty; none if there is doubt."""
        ...

    def direct_answer(self, request: str, completed: Sequence[CompletedToolCall]) -> str | None:
        """Return an answer that needs no language model, or None.

        These are answers to small talk and exact results of tools, such as a calculation.
        """
        ...

    def compose_answer(self, request: str, completed: Sequence[CompletedToolCall]) -> str:
        """Return the answer to *request* from the results of the *completed* calls."""
        ...


class ModelPlanner(Planner, Protocol):
    """Also decides how a small language model is used, so that its prompts are short."""

    def classify_request(self, request: str, previous_answer: str) -> RequestKind:
        """Return the kind of *request*, which follows *previous_answer* ("" for none)."""
        ...

    def select_model_tools(
        self, request: str, tools: Sequence[OfferedTool], *, required: bool
    ) -> Sequence[OfferedTool]:
        """Return the tools that only a language model can call, if *request* may need one."""
        ...

    def choose_document_calls(
        self,
        kind: RequestKind,
        request: str,
        previous_request: str,
        completed: Sequence[CompletedToolCall],
        tools: Sequence[OfferedTool],
    ) -> Sequence[PlannedToolCall]:
        """Return the next calls that find and read the documents for a text; none at the end.

        The text is a summary or a "document writing".
        """
        ...

    def has_exact_answer(self, completed: Sequence[CompletedToolCall]) -> bool:
        """Return True if the results are the answer, such as a calculation or a failure."""
        ...

    def is_worded_as_question(self, request: str) -> bool:
        """Return True if *request* is a question and not an instruction."""
        ...

    def select_passages(
        self, request: str, completed: Sequence[CompletedToolCall], max_tokens: int
    ) -> Sequence[Chunk]:
        """Return the parts of the chunks around the sentences that answer *request* best."""
        ...

"""What the embedded chat model asks of whoever thinks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.services.agent.clients.runs import Example, Passage


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool that may be called: ours with its examples, a client's own with none."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    examples: Sequence[Example] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tool to call now."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """A tool that was called for this request, and what it gave back."""

    tool: str
    arguments: Mapping[str, Any]
    content: str
    passages: Sequence[Passage]
    failed: bool


class Mind(Protocol):
    """Chooses a tool for a request, then says what the tools found."""

    def meant(self, request: str, earlier: str) -> str:
        """*request* with what it leaves unsaid because *earlier*, the one before, has said it."""
        ...

    def choose(self, request: str, tools: Sequence[Offered], *, required: bool) -> Sequence[Chosen]:
        """The calls to make, none where words alone answer."""
        ...

    def plainly_chosen(self, request: str, tools: Sequence[Offered]) -> Sequence[Chosen]:
        """The calls that *request* asks for beyond doubt."""
        ...

    def plainly_said(self, request: str, answered: Sequence[Answered]) -> str | None:
        """What needs no writer: small talk, and what tools have worked out to the letter."""
        ...

    def say(self, request: str, answered: Sequence[Answered]) -> str: ...

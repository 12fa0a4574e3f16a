"""What a run takes and what it tells: the shapes between the domain and the agent's machinery.

No LangChain in here, so that the domain may name these without waiting for its import.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose rights a run has; the headers are what carries them to other services."""

    user_id: str
    tenant_id: str
    headers: Mapping[str, str] = field(repr=False)
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document: `text` is the document's extracted text at `start`..`end`."""

    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    text: str
    score: float = 0.0


Status = Literal["ok", "error", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool gave back: words for the model, and what the words came from.

    `identifiers` are the ids that the model may use from now on, beside those the user typed.
    What was tried and failed is an error; what was never tried was refused.
    """

    content: str
    passages: Sequence[Passage] = ()
    identifiers: Sequence[str] = ()
    status: Status = "ok"

    @property
    def failed(self) -> bool:
        return self.status != "ok"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a tool knows beside its arguments: things that no model may choose."""

    caller: Caller
    collection: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """Something a user says, and the arguments that it asks for; REQUEST stands for their words."""

    utterance: str
    arguments: Mapping[str, Any]


REQUEST = "{request}"

# Where a tool of the suite itself comes from.
SUITE = "suite"


class Arguments(Protocol):
    """What a tool may be called with."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema that a model is shown."""

    def checked(self, given: Mapping[str, Any]) -> Any:
        """*given* as the tool takes it, or ToolRefused."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the agent can do.

    Arguments that name a thing (`identifiers`) must have been typed by the user or come from a
    tool: a document that the model has read could otherwise name its next victim. A tool with
    side effects waits for a person. Who lacks one of its `permissions` does not see it.
    """

    name: str
    description: str
    arguments: Arguments
    run: Callable[[Any, Setting], Awaitable[Outcome]]
    examples: Sequence[Example] = ()
    identifiers: frozenset[str] = frozenset()
    side_effects: bool = False
    permissions: frozenset[str] = frozenset()
    source: str = SUITE
    time: timedelta | None = None

    def granted_to(self, caller: Caller) -> bool:
        """Whether *caller* may use it."""
        return self.permissions <= caller.permissions


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use before it is stopped."""

    model_calls: int = 8
    tool_calls: int = 12
    tokens: int = 60_000
    run_time: timedelta = timedelta(seconds=120)
    tool_time: timedelta = timedelta(seconds=20)
    tool_output: int = 16_000
    approval_time: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Said:
    """One earlier message of the conversation; `role` is user, assistant or system."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the model made it."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Paused:
    """A run that waits for a person: its own messages so far, and the calls it wants to make."""

    messages: Sequence[Mapping[str, Any]]
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one run starts from.

    One that may not pause gets no tools with side effects: nobody could approve them.
    `instructions` are added to the prompt; `wishes` are settings in OpenAI's words, as far as the
    model heeds them; `most_tokens` is what the caller may still use today.
    """

    model: str
    history: Sequence[Said]
    setting: Setting
    temperature: float | None = None
    max_tokens: int | None = None
    may_pause: bool = True
    paused: Paused | None = None
    approved: bool = False
    instructions: str = ""
    wishes: Mapping[str, Any] = field(default_factory=dict)
    most_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """Messages, tools and settings in OpenAI's form, as a client sent them."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)
    most_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool was called."""

    call: Call


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool gave its outcome, or failed."""

    call: Call
    outcome: Outcome
    took_ms: int


@dataclass(frozen=True, slots=True)
class Called:
    """The model calls tools of the client's own: they are the client's to run."""

    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Used:
    """What one answer of a model cost in tokens."""

    model: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happened for a moment: time to see whether anyone still listens."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over, or waits for a person when `paused` is set.

    `model` is the one that answered, which need not be the one that was asked.
    """

    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    paused: Paused | None = None


Event = Text | ToolStarted | ToolEnded | Called | Used | Idle | Finished

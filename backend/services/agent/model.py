"""Value types of runs, tools and run events that several packages of the agent share.

This module does not import LangChain, whose import takes seconds.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, Protocol

from backend.chassis.messaging.audit_events import NO_REQUEST, AuditEvent, RequestOrigin

# Origin of a run, as a label of metrics: a JSON answer or a stream of `/query`, an OpenAI chat
# completion, a conversation of the chat service, a gRPC call, the summary of a long conversation,
# and the commands `evaluate` and `replay`.
RequestType = Literal[
    "query", "stream", "openai", "chat", "grpc", "summary", "evaluation", "replay"
]
DEFAULT_REQUEST_TYPE: Final = "query"


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of a run. *headers* identify the caller to other services.

    *origin* is the address and id of the caller's request, for audit events.
    """

    user_id: str
    tenant_id: str
    headers: Mapping[str, str] = field(repr=False)
    permissions: frozenset[str] = frozenset()
    origin: RequestOrigin = field(default=NO_REQUEST, compare=False)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a document: `text` is the document's extracted text from `start` to `end`.

    `section` is the heading of the section that contains `start`, and `headings` are the
    headings within the part. `table_header` is the header row of the table that the part
    continues, or "".
    `similarities` contains, for sentences of a search hit, (start, end, similarity to the query).
    `is_multilingual` is True if they are of a model that knows other languages than English.
    """

    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    text: str
    score: float = 0.0
    title: str = ""
    section: str = ""
    headings: Sequence[str] = ()
    table_header: str = ""
    similarities: Sequence[tuple[int, int, float]] = ()
    is_multilingual: bool = False


ToolStatus = Literal["ok", "error", "refused"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of a tool call: text for the model, and the chunks that the text came from.

    `identifiers` are ids and URLs that the model may pass to tools from now on, in addition to
    those that the user typed. The status is "error" if the call was made and failed, and "refused"
    if it was never made. `term_weights` are the inverse document frequencies of the terms that were
    searched.
    """

    content: str
    chunks: Sequence[Chunk] = ()
    identifiers: Sequence[str] = ()
    status: ToolStatus = "ok"
    term_weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.status != "ok"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Input of a tool call that the model cannot choose.

    `language` is that of the user's request, as an ISO 639-1 code, or "" if it is unknown.
    """

    caller: Caller
    collection: str | None
    language: str = ""


@dataclass(frozen=True, slots=True)
class ToolExample:
    """A user request and the tool arguments for it.

    The argument value REQUEST_PLACEHOLDER is replaced with the text of the request.
    """

    utterance: str
    arguments: Mapping[str, Any]


REQUEST_PLACEHOLDER = "{request}"

# The `source` of the agent's own tools.
SUITE_SOURCE = "suite"


class ArgumentSchema(Protocol):
    """Schema and validation of a tool's arguments."""

    @property
    def json_schema(self) -> Mapping[str, Any]:
        """The JSON schema that is sent to models."""

    def validate(self, arguments: Mapping[str, Any]) -> Any:
        """Return *arguments* in the form that the tool expects. Raises ToolRefused."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that models can call.

    Attributes:
        arguments: schema and validation of the arguments.
        run: executes a call with validated arguments.
        examples: requests that this tool serves, for the rule-based planner and small models.
        identifier_arguments: names of arguments whose values must have been typed by the user or
            returned by a tool. Otherwise instructions in a document could choose the target.
        side_effects: whether a call requires the user's approval.
        permissions: the caller must have all of them, or the tool is not offered.
        source: SUITE_SOURCE, "service:<name>" or "mcp:<server>".
        timeout: limit of one call; None for RunLimits.tool_timeout.
        is_computation: whether a call only computes: it waits for nothing and reads no user data.
    """

    name: str
    description: str
    arguments: ArgumentSchema
    run: Callable[[Any, ToolContext], Awaitable[ToolResult]]
    examples: Sequence[ToolExample] = ()
    identifier_arguments: frozenset[str] = frozenset()
    side_effects: bool = False
    permissions: frozenset[str] = frozenset()
    source: str = SUITE_SOURCE
    timeout: timedelta | None = None
    is_computation: bool = False

    def is_allowed_for(self, caller: Caller) -> bool:
        """Return whether *caller* has all permissions of the tool."""
        return self.permissions <= caller.permissions


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of one run. A run that exceeds one is stopped."""

    max_model_calls: int = 8
    max_tool_calls: int = 12
    max_tokens: int = 60_000
    run_timeout: timedelta = timedelta(seconds=120)
    tool_timeout: timedelta = timedelta(seconds=20)
    max_tool_output_characters: int = 16_000
    approval_timeout: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class HistoryMessage:
    """An earlier message of the conversation; `role` is user, assistant or system."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it; `arguments` are not validated."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PausedRun:
    """A run that waits for the user's approval of tool calls.

    `messages` are the messages of the run so far, as LangChain serialises them; `calls` are the
    tool calls that wait.
    """

    messages: Sequence[Mapping[str, Any]]
    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Input of one run.

    Attributes:
        history: the conversation up to and including the user's request.
        max_tokens: limit of one response of the model, in tokens.
        can_pause: False if there is no user to approve tool calls. Tools with side effects are
            not offered then.
        paused: state of the paused run that this run resumes.
        approved: the user's decision on the calls of `paused`.
        instructions: text that is appended to the system prompt.
        model_parameters: parameters under their OpenAI names; only those that the model supports.
        remaining_daily_tokens: tokens that the caller may still use today; None for no quota.
        request_type: origin of the run, for metrics.
    """

    model: str
    history: Sequence[HistoryMessage]
    tool_context: ToolContext
    temperature: float | None = None
    max_tokens: int | None = None
    can_pause: bool = True
    paused: PausedRun | None = None
    approved: bool = False
    instructions: str = ""
    model_parameters: Mapping[str, Any] = field(default_factory=dict)
    remaining_daily_tokens: int | None = None
    request_type: RequestType = DEFAULT_REQUEST_TYPE


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Input of one completion: messages, tools and parameters of a client, in OpenAI's format."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    model_parameters: Mapping[str, Any] = field(default_factory=dict)
    remaining_daily_tokens: int | None = None
    request_type: RequestType = DEFAULT_REQUEST_TYPE


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call has started."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call has ended, successfully or not; `took_ms` is its duration in milliseconds.

    `audit_event` is to be stored with the outcome of the run; None if it has been recorded.
    """

    call: ToolCall
    result: ToolResult
    took_ms: int
    audit_event: AuditEvent | None = None


@dataclass(frozen=True, slots=True)
class ClientToolCalls:
    """Calls of tools that the client defined. The client executes them, not the agent."""

    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one response of a model."""

    model: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class ModelCallEnded:
    """A model call has ended, for the record of the run.

    Attributes:
        messages: the messages that the model received, with `role`, `content` and `tool_calls`.
        tools: names of the tools that it could call.
        text, calls: its response.
        error: code of the error; "" for a response.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[str]
    text: str
    calls: Sequence[ToolCall]
    took_ms: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress of a run before its text: *done* of *total* steps of the *stage*."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class IdleEvent:
    """No event for a moment. Consumers can check whether the client is still connected."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended, or waits for the user's approval if `paused` is set.

    `model` is the model that answered; after a fallback it differs from the requested one.
    """

    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    paused: PausedRun | None = None


RunEvent = (
    TextDelta
    | ToolStarted
    | ToolEnded
    | ClientToolCalls
    | TokenUsage
    | ModelCallEnded
    | RunProgress
    | IdleEvent
    | RunFinished
)

# Receives the events of a run.
EmitEvent = Callable[[RunEvent], Coroutine[Any, Any, None]]

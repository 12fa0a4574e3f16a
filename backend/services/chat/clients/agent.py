"""Client of the agent service: answers as events, sessions and messages without an answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.http import (
    ServiceClient,
    UpstreamProblem,
    UpstreamUnavailable,
    quote_path_segment,
)

_MAX_REQUEST_CHARACTERS = 20_000
# 401: the token has expired meanwhile. 409: another answer is being written.
_TEMPORARY = frozenset({401, 408, 409, 429})


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A request to the agent. With a known *request_ref* it returns the answer of the first one."""

    text: str
    request_ref: str
    session_id: str | None = None
    persona: str | None = None
    collection: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The agent has started the answer in this session."""

    session_id: str


@dataclass(frozen=True, slots=True)
class TextPart:
    """The next part of the text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class StepPart:
    """A tool call that has ended."""

    tool: str
    status: str


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """The complete answer. `is_waiting` is True if a tool call waits for approval.

    `session_id` is None for an answer that was stored before.
    """

    text: str
    session_id: str | None
    citations: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    model: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_waiting: bool = False


AgentEvent = RunStarted | TextPart | StepPart | AgentAnswer


class AgentProblem(Exception):
    """The agent cannot answer this request. A repetition does not help."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class AgentSessionMissing(Exception):
    """The agent has no such session for this user."""


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(BaseModel):
    response: str
    session_id: str
    citations: list[dict[str, Any]] = Field(default_factory=list)
    steps: list[dict[str, Any]] = Field(default_factory=list)
    model: str = ""
    finish_reason: str = ""
    usage: _Usage = Field(default_factory=_Usage)
    waiting: list[dict[str, Any]] = Field(default_factory=list)


class _Session(BaseModel):
    id: str


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message of the history. `role` is user or assistant."""

    role: str
    text: str = field(repr=False)


class AgentClient:
    """Calls of the agent with the headers of a user or of a service account."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def delete_sessions(self, ids: Sequence[str]) -> None:
        """Delete sessions of conversations that were deleted here. Raises UpstreamError."""
        self._service.post("/internal/sessions/delete", {"ids": list(ids)}, {})

    def stream_answer(
        self, request: AgentRequest, headers: Mapping[str, str]
    ) -> Iterator[AgentEvent]:
        """Yield the parts of the answer, and the complete answer at the end.

        The agent completes the answer also if the iterator is closed.

        Raises:
            UpstreamError: the agent cannot be reached, or its stream broke off. Retry.
            AgentSessionMissing: there is no session *request.session_id* for this user.
            AgentProblem: the agent refused the request.
        """
        body = {
            "user_request": request.text[:_MAX_REQUEST_CHARACTERS],
            "request_ref": request.request_ref,
            "origin": "chat",
            "stream": True,
            "on_disconnect": "continue",
        }
        for name in ("session_id", "persona", "collection", "model"):
            value = getattr(request, name)
            if value is not None:
                body[name] = value
        try:
            for name, data in self._service.stream_events("/query", body, headers):
                event = _parse_event(name, data)
                if event is not None:
                    yield event
                if isinstance(event, AgentAnswer):
                    return
        except ValidationError as error:
            raise UpstreamUnavailable("The agent sent an invalid event.") from error
        except UpstreamProblem as error:
            raise _translate_problem(error) from error
        raise UpstreamUnavailable("The stream of the agent ended without an answer.")

    def create_session(self, messages: Sequence[AgentMessage], headers: Mapping[str, str]) -> str:
        """Create a session with these messages. Returns its id. Raises UpstreamError."""
        body = {"origin": "chat", "messages": _to_inputs(messages)}
        response = self._service.post("/sessions", body, headers)
        try:
            return _Session.model_validate(response).id
        except ValidationError as error:
            raise UpstreamUnavailable("The agent sent an invalid session.") from error

    def append_messages(
        self, session_id: str, messages: Sequence[AgentMessage], headers: Mapping[str, str]
    ) -> bool:
        """Append messages to a session. Returns False if it does not exist for this user."""
        path = f"/sessions/{quote_path_segment(session_id)}/messages"
        try:
            self._service.post(path, {"messages": _to_inputs(messages)}, headers)
        except UpstreamProblem as error:
            if error.status == 404:
                return False
            raise
        return True

    def cancel_run(self, session_id: str, headers: Mapping[str, str]) -> None:
        """Cancel the answer in progress of a session, if there is one. Raises UpstreamError."""
        path = f"/sessions/{quote_path_segment(session_id)}/cancel"
        try:
            self._service.post(path, {}, headers)
        except UpstreamProblem as error:
            if error.status >= 500:
                raise

    def delete_session(self, session_id: str, headers: Mapping[str, str]) -> None:
        """Delete a session. Raises UpstreamError."""
        path = f"/sessions/{quote_path_segment(session_id)}"
        self._service.send_json("DELETE", path, None, headers)


def _to_inputs(messages: Sequence[AgentMessage]) -> list[dict[str, str]]:
    return [
        {"role": message.role, "content": message.text[:_MAX_REQUEST_CHARACTERS]}
        for message in messages
    ]


def _parse_event(name: str, data: Any) -> AgentEvent | None:
    match name:
        case "session":
            return RunStarted(str(data.get("session_id", "")))
        case "token":
            return TextPart(str(data.get("text", "")))
        case "tool_end":
            return StepPart(str(data.get("tool", "")), str(data.get("status", "")))
        case "done":
            answer = _Answer.model_validate(data)
            return AgentAnswer(
                text=answer.response,
                session_id=answer.session_id,
                citations=answer.citations,
                steps=answer.steps,
                model=answer.model,
                finish_reason=answer.finish_reason,
                prompt_tokens=answer.usage.prompt_tokens,
                completion_tokens=answer.usage.completion_tokens,
                is_waiting=bool(answer.waiting),
            )
        case "error":
            raise UpstreamProblem(
                int(data.get("status", 500)),
                str(data.get("code", "unknown")),
                str(data.get("detail", "")),
            )
    return None


def _translate_problem(error: UpstreamProblem) -> Exception:
    """Return the exception for a problem of the agent: itself if a repetition can help."""
    if error.status >= 500 or error.status in _TEMPORARY:
        return error
    if error.code == "conversation_not_found":
        return AgentSessionMissing()
    return AgentProblem(error.code, error.detail)

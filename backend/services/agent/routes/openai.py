"""OpenAI-compatible routes. Clients authenticate with an API key or an access token."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from typing import Any, Final
from uuid import uuid4

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict

from backend.chassis.web.app_factory import use
from backend.chassis.web.openai_errors import (
    OpenAIError,
    convert_problem_to_openai_error,
    to_openai_error,
)
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.sse import HEARTBEAT
from backend.security import Permission, require_permission, validate_input
from backend.services.agent.domain.answers.completions import Completion, CompletionService
from backend.services.agent.domain.answers.events import (
    Answer,
    ClientToolCalls,
    IdleEvent,
    StreamEvent,
    StreamEvents,
    TextDelta,
    ToolCall,
)
from backend.services.agent.domain.tool_list import ToolListService
from backend.services.agent.errors import (
    DailyTokensExhausted,
    InvalidModelResponse,
    ModelNotFound,
    ModelTimeout,
    ModelUnavailable,
    RunLimitExceeded,
    UnknownModel,
    UnsupportedParameter,
)
from backend.services.agent.routes.openai_schemas import ChatRequest, format_tool_call
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.stream_responses import (
    StreamSubscriber,
    create_stream_response,
    log_stream_error,
    to_problem_document,
)

bp = Blueprint("openai", __name__, url_prefix="/v1")
bp.after_app_request(convert_problem_to_openai_error)

_DONE: Final = b"data: [DONE]\n\n"
_FIRST_EVENT_TIMEOUT_SECONDS: Final = 10.0


class ChatCompletionResponse(BaseModel):
    """A completed chat in OpenAI's format, with the extensions `citations` and `steps`."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[dict[str, Any]]


class OpenAIModel(BaseModel):
    """A model in OpenAI's format."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str


class OpenAIModelList(BaseModel):
    """The configured models in OpenAI's format."""

    object: str = "list"
    data: Sequence[OpenAIModel]


@bp.get("/models")
@require_permission(Permission.AGENT_QUERY)
@responds_with(OpenAIModelList, error_model=OpenAIError)
def list_models() -> OpenAIModelList:
    """List the models that a chat completion can use."""
    return OpenAIModelList(data=get_models())


# Names of models may contain slashes, such as those of a model hub.
@bp.get("/models/<path:model>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(OpenAIModel, errors=(ModelNotFound,), error_model=OpenAIError)
@request_example(model="embedded-lite")
def get_model(model: str) -> OpenAIModel:
    """Get one model that a chat completion can use."""
    models = {entry.id: entry for entry in get_models()}
    if model not in models:
        raise ModelNotFound(
            f"The model {model[:128]!r} is not configured. Configured models: {', '.join(models)}."
        )
    return models[model]


def get_models() -> list[OpenAIModel]:
    """Return the configured models, the default first."""
    return [
        OpenAIModel(id=model.name, owned_by=model.provider) for model in use(ToolListService).models
    ]


@bp.post("/chat/completions")
@require_permission(Permission.AGENT_QUERY)
@validate_input(ChatRequest)
@responds_with_stream(
    "text/event-stream",
    model=ChatCompletionResponse,
    errors=(
        ModelNotFound,
        UnsupportedParameter,
        DailyTokensExhausted,
        RunLimitExceeded,
        InvalidModelResponse,
        ModelTimeout,
        ModelUnavailable,
    ),
    error_model=OpenAIError,
)
@request_example({"messages": [{"role": "user", "content": "What is 17 * 23?"}]})
def create_chat_completion(body: ChatRequest) -> Response:
    """Complete a chat.

    The model uses the agent's tools, or the client's tools if the request defines some.
    """
    try:
        completion = use(CompletionService).start_completion(get_caller(), body.to_chat())
    except UnknownModel as error:
        raise ModelNotFound(str(error)) from error
    if not body.stream:
        return _send_complete_answer(completion)
    # Report errors before the first event as HTTP errors: clients handle them better than events.
    first = _read_first_event(completion.events)
    return create_stream_response(
        completion.events, _stream_chunks(completion, first, body.includes_usage)
    )


def _read_first_event(events: StreamEvents) -> list[StreamEvent]:
    """Return the first event, or an empty list if it takes too long."""
    started_at = time.monotonic()
    for event in events:
        if not isinstance(event, IdleEvent):
            return [event]
        if time.monotonic() - started_at >= _FIRST_EVENT_TIMEOUT_SECONDS:
            break
    return []


def _send_complete_answer(completion: Completion) -> Response:
    text = ""
    calls: list[dict[str, Any]] = []
    answer: Answer | None = None
    with closing(completion.events) as events:
        for event in StreamSubscriber.from_request().read_events(events):
            match event:
                case ClientToolCalls():
                    calls = [_to_openai_tool_call(call) for call in event.calls]
                case Answer():
                    answer, text = event, event.text
    if answer is None:
        return Response(status=499)
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    body = _create_header_fields("chat.completion", answer.model) | {
        "choices": [choice | {"logprobs": None}],
        "usage": _get_usage(answer),
        **_get_extensions(answer),
    }
    return Response(json.dumps(body), content_type="application/json")


def _stream_chunks(
    completion: Completion, first: Sequence[StreamEvent], with_usage: bool
) -> Iterator[bytes]:
    header = _create_header_fields("chat.completion.chunk", completion.model)
    subscriber = StreamSubscriber.from_request()
    # With include_usage, every chunk has the field; only the last one contains the numbers.
    no_usage = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **extensions: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _format_data_event(header | {"choices": [choice]} | no_usage | extensions)

    yield chunk({"role": "assistant", "content": ""})
    try:
        for event in chain(first, subscriber.read_events(completion.events)):
            match event:
                case None:
                    yield HEARTBEAT
                case TextDelta(text):
                    yield chunk({"content": text})
                case ClientToolCalls(calls):
                    tool_calls = [
                        _to_openai_tool_call(call) | {"index": index}
                        for index, call in enumerate(calls)
                    ]
                    yield chunk({"tool_calls": tool_calls})
                case Answer():
                    header["model"] = event.model  # a fallback model may have answered
                    # Not in a chunk without choices: clients read the first choice of every chunk.
                    yield chunk({}, event.finish_reason, **_get_extensions(event))
                    if with_usage:
                        yield _format_data_event(
                            header | {"choices": [], "usage": _get_usage(event)}
                        )
                    yield _DONE
    except Exception as error:  # noqa: BLE001 - the status has already been sent
        log_stream_error(error)
        yield _format_data_event(to_openai_error(to_problem_document(error)))


def _create_header_fields(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _to_openai_tool_call(call: ToolCall) -> dict[str, Any]:
    return format_tool_call(call.id, call.tool, call.arguments)


def _get_usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def _get_extensions(answer: Answer) -> dict[str, Any]:
    """Return citations and steps, if there are any."""
    extensions = {
        "citations": [asdict(citation) for citation in answer.citations],
        "steps": [asdict(step) for step in answer.steps],
    }
    return {name: items for name, items in extensions.items() if items}


def _format_data_event(document: object) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()

"""OpenAI's interface, so that its clients work here with an API key or an access token."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from typing import Any, Final
from uuid import uuid4

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers, answers_stream
from backend.chassis.web.sse import HEARTBEAT
from backend.security import Permission, require_permission, validate_input
from backend.services.agent.domain.catalogue import Catalogue
from backend.services.agent.domain.completions import Completing, Completions
from backend.services.agent.domain.events import Answer, Call, Called, Idle, Telling, Text, Told
from backend.services.agent.errors import (
    DailyTokensUsed,
    LimitReached,
    ModelMisbehaved,
    ModelNotFound,
    ModelTimeout,
    ModelUnavailable,
    UnknownModel,
    UnsupportedSetting,
)
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.chat import ChatRequest, call_shape
from backend.services.agent.routes.streams import Listener, failure, log_failure, stream

bp = Blueprint("openai", __name__, url_prefix="/v1")

_DONE: Final = b"data: [DONE]\n\n"
_FIRST_WORD_SECONDS: Final = 10.0
_KINDS: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ChatAnswer(BaseModel):
    """A completed chat; see OpenAI's documentation. `citations` and `steps` are ours."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[dict[str, Any]]


class Fault(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    error: Fault


class OpenAIModel(BaseModel):
    """A model as OpenAI lists it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str


class OpenAIModels(BaseModel):
    """All models."""

    object: str = "list"
    data: Sequence[OpenAIModel]


@bp.get("/models")
@require_permission(Permission.AGENT_QUERY)
@answers(OpenAIModels, error_model=OpenAIError)
def models() -> OpenAIModels:
    """The models that a chat may ask for."""
    return OpenAIModels(
        data=[OpenAIModel(id=each.name, owned_by=each.provider) for each in use(Catalogue).models]
    )


@bp.post("/chat/completions")
@require_permission(Permission.AGENT_QUERY)
@validate_input(ChatRequest)
@answers_stream(
    "text/event-stream",
    model=ChatAnswer,
    errors=(
        ModelNotFound,
        UnsupportedSetting,
        DailyTokensUsed,
        LimitReached,
        ModelMisbehaved,
        ModelTimeout,
        ModelUnavailable,
    ),
    error_model=OpenAIError,
)
def chat_completions(body: ChatRequest) -> Response:
    """Complete a chat: with the agent's tools, or with the client's own where it brings some."""
    try:
        completing = use(Completions).complete(caller(), body.chat())
    except UnknownModel as error:
        raise ModelNotFound(str(error)) from error
    if not body.stream:
        return _whole(completing)
    # What fails before the first word fails as a status: clients tell that better.
    first = _first(completing.told)
    return stream(completing.told, _chunks(completing, first, body.with_usage))


@bp.after_app_request
def speak_openai(response: Response) -> Response:
    """Turn a problem document, wherever it was made, into OpenAI's error."""
    spoken_here = request.path.startswith(f"{bp.url_prefix}/")
    if spoken_here and response.mimetype == "application/problem+json":
        response.set_data(json.dumps({"error": _error(response.get_json())}))
        response.content_type = "application/json"
    return response


def _error(problem: dict[str, Any]) -> dict[str, Any]:
    status, faults = problem["status"], problem.get("errors") or []
    told = "; ".join(f"{each['pointer']}: {each['detail']}" for each in faults)
    return {
        "message": f"{problem['detail']} {told}".strip(),
        "type": _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": faults[0]["pointer"].removeprefix("#/").replace("/", ".") if faults else None,
        "code": problem["code"],
    }


def _first(told: Telling) -> list[Told]:
    """The first thing told; nothing if it lets itself be waited for too long."""
    begun = time.monotonic()
    for each in told:
        if not isinstance(each, Idle):
            return [each]
        if time.monotonic() - begun >= _FIRST_WORD_SECONDS:
            break
    return []


def _whole(completing: Completing) -> Response:
    text = ""
    calls: list[dict[str, Any]] = []
    answer: Answer | None = None
    with closing(completing.told) as told:
        for each in Listener.of_the_request().watched(told):
            match each:
                case Called():
                    calls = [_call(call) for call in each.calls]
                case Answer():
                    answer, text = each, each.text
    if answer is None:
        return Response(status=499)
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    body = _head("chat.completion", answer.model) | {
        "choices": [choice | {"logprobs": None}],
        "usage": _usage(answer),
        **_ours(answer),
    }
    return Response(json.dumps(body), content_type="application/json")


def _chunks(completing: Completing, first: Sequence[Told], with_usage: bool) -> Iterator[bytes]:
    head = _head("chat.completion.chunk", completing.model)
    listener = Listener.of_the_request()
    # Whoever asks for usage finds the field in every chunk, filled in the last.
    no_usage = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data(head | {"choices": [choice]} | no_usage)

    yield chunk({"role": "assistant", "content": ""})
    try:
        for each in chain(first, listener.watched(completing.told)):
            match each:
                case None:
                    yield HEARTBEAT
                case Text(text):
                    yield chunk({"content": text})
                case Called(calls):
                    shapes = [_call(call) | {"index": at} for at, call in enumerate(calls)]
                    yield chunk({"tool_calls": shapes})
                case Answer():
                    head["model"] = each.model  # another one may have stood in
                    yield chunk({}, each.finish_reason)
                    # What OpenAI has no word for goes where its clients read no text from.
                    if ours := _ours(each):
                        yield _data(head | {"choices": []} | no_usage | ours)
                    if with_usage:
                        yield _data(head | {"choices": [], "usage": _usage(each)})
                    yield _DONE
    except Exception as error:  # noqa: BLE001 - the status has long been sent
        log_failure(error)
        yield _data({"error": _error(failure(error))})


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _call(call: Call) -> dict[str, Any]:
    return call_shape(call.id, call.tool, call.arguments)


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def _ours(answer: Answer) -> dict[str, Any]:
    """Citations and steps, where there are any."""
    found = {
        "citations": [asdict(each) for each in answer.citations],
        "steps": [asdict(each) for each in answer.steps],
    }
    return {name: each for name, each in found.items() if each}


def _data(document: object) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()

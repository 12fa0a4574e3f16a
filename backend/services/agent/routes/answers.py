"""Ask the agent: one answer as JSON, or as events while it is being written."""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from backend.chassis.openapi import answers_stream
from backend.chassis.service import use
from backend.chassis.sse import HEARTBEAT, event
from backend.security import Permission, require_permission, validate_input
from backend.services.agent.domain.answers import Answering, Answers, Question
from backend.services.agent.domain.events import Answer, Text, ToolEnded, ToolStarted
from backend.services.agent.errors import (
    ConversationBusy,
    ConversationNotFound,
    LimitReached,
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
    NothingToDecide,
    UnknownModel,
)
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.shapes import Decision, Query, QueryAnswer
from backend.services.agent.routes.streams import failure, stream, watched, whole

bp = Blueprint("answers", __name__)

_CLIENT_LEFT = 499
_MODEL_ERRORS = (LimitReached, ModelMisbehaved, ModelTimeout, ModelUnavailable)


@bp.post("/query")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Query)
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=(ConversationNotFound, ConversationBusy, UnknownModel, *_MODEL_ERRORS),
)
def query(body: Query) -> Response:
    """Answer a request, with tools, from the caller's documents.

    Without `session_id` a new conversation is begun. As events (`stream`, or
    `Accept: text/event-stream`): `session`, `token`, `tool_start`, `tool_end`,
    `citations`, `approval` where a tool call waits, `done`, or `error`.
    """
    question = Question(
        request=body.user_request,
        conversation_id=body.session_id,
        collection=body.collection,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
    )
    return _answered(use(Answers).ask(caller(), question), body.stream)


@bp.post("/sessions/<session_id>/resume")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Decision)
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=(ConversationNotFound, ConversationBusy, NothingToDecide, *_MODEL_ERRORS),
)
def resume(body: Decision, session_id: str) -> Response:
    """Decide on the tool calls that wait, and get the rest of the answer."""
    approved = body.decision == "approve"
    return _answered(use(Answers).resume(caller(), session_id, approved=approved), body.stream)


def _answered(answering: Answering, streamed: bool | None) -> Response:
    if streamed is None:
        streamed = request.accept_mimetypes.best == "text/event-stream"
    if streamed:
        return stream(answering.told, _events(answering))
    answer = whole(answering.told)
    if answer is None:
        return Response(status=_CLIENT_LEFT)
    return Response(QueryAnswer.of(answer).model_dump_json(), content_type="application/json")


def _events(answering: Answering) -> Iterator[bytes]:
    yield event("session", {"session_id": answering.conversation_id})
    try:
        for each in watched(answering.told):
            match each:
                case None:
                    yield HEARTBEAT
                case Text(text):
                    yield event("token", {"text": text})
                case ToolStarted(call):
                    started = {"id": call.id, "tool": call.tool, "arguments": call.arguments}
                    yield event("tool_start", started)
                case ToolEnded(call, outcome, took_ms):
                    status = "error" if outcome.failed else "ok"
                    ended = {"id": call.id, "tool": call.tool, "status": status, "took_ms": took_ms}
                    yield event("tool_end", ended)
                case Answer():
                    yield from _end(QueryAnswer.of(each))
    except Exception as error:  # noqa: BLE001 - the status has long been sent
        yield event("error", failure(error))


def _end(answer: QueryAnswer) -> Iterator[bytes]:
    document = answer.model_dump(mode="json")
    yield event("citations", {"citations": document["citations"]})
    if document["waiting"]:
        yield event("approval", {"waiting": document["waiting"]})
    yield event("done", document)

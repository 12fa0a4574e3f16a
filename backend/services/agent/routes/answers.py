"""Ask the agent: one answer as JSON, or as events while it is being written."""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from backend.chassis.openapi import answers_stream
from backend.chassis.service import use
from backend.chassis.sse import HEARTBEAT, event
from backend.security import Permission, require_permission, validate_input
from backend.services.agent.domain.answers import Answers
from backend.services.agent.domain.events import (
    Answer,
    Begun,
    Telling,
    Text,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.domain.turns import Asked
from backend.services.agent.errors import (
    ConversationBusy,
    ConversationNotFound,
    LimitReached,
    MessageNotFound,
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
    NothingToDecide,
    NotYourRequest,
    UnknownModel,
)
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.shapes import Again, Decision, Edit, Query, QueryAnswer
from backend.services.agent.routes.streams import failure, stream, watched, whole

bp = Blueprint("answers", __name__)

_CLIENT_LEFT = 499
_MODEL_ERRORS = (LimitReached, ModelMisbehaved, ModelTimeout, ModelUnavailable)
_ASKING_ERRORS = (ConversationNotFound, ConversationBusy, UnknownModel, *_MODEL_ERRORS)


@bp.post("/query")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Query)
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=_ASKING_ERRORS,
)
def query(body: Query) -> Response:
    """Answer a request, with tools, from the caller's documents.

    Without `session_id` a new conversation is begun. As events (`stream`, or
    `Accept: text/event-stream`): `session`, `token`, `tool_start`, `tool_end`,
    `citations`, `approval` where a tool call waits, `done`, or `error`.
    """
    asked = Asked(body.user_request, body.session_id)
    return _answered(use(Answers).ask(caller(), body.question(asked)), body.stream)


@bp.post("/sessions/<session_id>/messages/<message_id>/edit")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Edit)
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=(MessageNotFound, NotYourRequest, *_ASKING_ERRORS),
)
def edit(body: Edit, session_id: str, message_id: str) -> Response:
    """Ask an earlier request in other words.

    The new request stands beside the old one and begins a branch, which becomes the active one.
    """
    asked = Asked(body.user_request, session_id, message_id)
    return _answered(use(Answers).ask(caller(), body.question(asked)), body.stream)


@bp.post("/sessions/<session_id>/messages/<message_id>/regenerate")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Again, optional=True)
@answers_stream("text/event-stream", model=QueryAnswer, errors=(MessageNotFound, *_ASKING_ERRORS))
def regenerate(body: Again | None, session_id: str, message_id: str) -> Response:
    """Answer an earlier request again; the message is the request, or an answer to it.

    The new answer stands beside the old one, and its branch becomes the active one.
    """
    body = body or Again()
    asked = Asked(None, session_id, message_id)
    return _answered(use(Answers).ask(caller(), body.question(asked)), body.stream)


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


def _answered(told: Telling, streamed: bool | None) -> Response:
    if streamed is None:
        streamed = request.accept_mimetypes.best == "text/event-stream"
    if streamed:
        return stream(told, _events(told))
    answer = whole(told)
    if answer is None:
        return Response(status=_CLIENT_LEFT)
    return Response(QueryAnswer.of(answer).model_dump_json(), content_type="application/json")


def _events(told: Telling) -> Iterator[bytes]:
    try:
        for each in watched(told):
            match each:
                case None:
                    yield HEARTBEAT
                case Begun():
                    yield event("session", _session(each))
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


def _session(begun: Begun) -> dict[str, str]:
    return {
        "session_id": begun.conversation_id,
        "run_id": begun.run_id,
        "message_id": begun.message_id,
        "parent_id": begun.parent_id,
    }


def _end(answer: QueryAnswer) -> Iterator[bytes]:
    document = answer.model_dump(mode="json")
    yield event("citations", {"citations": document["citations"]})
    if document["waiting"]:
        yield event("approval", {"waiting": document["waiting"]})
    yield event("done", document)

"""Ask the agent: one answer as JSON, or as events while it is being written."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import answers_stream
from backend.chassis.web.sse import HEARTBEAT, event, line
from backend.security import (
    Input,
    Permission,
    Refusal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.answers import Answers
from backend.services.agent.domain.events import Answer, Telling
from backend.services.agent.domain.streams import Sending, Sent, Streams
from backend.services.agent.domain.turns import Asked
from backend.services.agent.errors import (
    ApprovalChanged,
    ApprovalExpired,
    CollectionNotFound,
    ConversationBusy,
    ConversationNotFound,
    DailyTokensUsed,
    LimitReached,
    MessageNotFound,
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
    NothingToDecide,
    NotYourRequest,
    RunNotFound,
    UnknownModel,
    UnknownPersona,
)
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.shapes import (
    Again,
    Decision,
    Edit,
    Manner,
    Query,
    QueryAnswer,
)
from backend.services.agent.routes.streams import Listener, failure, log_failure, stream
from backend.services.agent.routes.tellings import as_events

bp = Blueprint("answers", __name__)

_CLIENT_LEFT = 499
_DIGITS = 9
_MODEL_ERRORS = (DailyTokensUsed, LimitReached, ModelMisbehaved, ModelTimeout, ModelUnavailable)
_ASKING_ERRORS = (
    CollectionNotFound,
    ConversationNotFound,
    ConversationBusy,
    UnknownModel,
    UnknownPersona,
    *_MODEL_ERRORS,
)


class EventsQuery(Input):
    """Which run's events are wanted; without it, those of the last run."""

    run_id: Annotated[str, Field(max_length=128)] | None = None


@bp.post("/query")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Query)
@idempotent
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=_ASKING_ERRORS,
)
def query(body: Query) -> Response:
    """Answer a request, with tools, from the caller's documents.

    Without `session_id` a new conversation is begun. As events (`stream`, or
    `Accept: text/event-stream`): `session`, `token`, `tool_start`, `tool_end`,
    `citations`, `approval` where a tool call waits, `done`, or `error`. They are numbered;
    whoever loses the connection goes on at `GET /sessions/{session_id}/events`. An
    `Idempotency-Key` holds for an answer that is not streamed.
    """
    asked = Asked(body.user_request, body.session_id)
    return _answered(use(Answers).ask(caller(), body.question(asked)), body)


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
    return _answered(use(Answers).ask(caller(), body.question(asked)), body)


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
    return _answered(use(Answers).ask(caller(), body.question(asked)), body)


@bp.post("/sessions/<session_id>/resume")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Decision)
@answers_stream(
    "text/event-stream",
    model=QueryAnswer,
    errors=(
        ConversationNotFound,
        ApprovalChanged,
        ApprovalExpired,
        ConversationBusy,
        NothingToDecide,
        *_MODEL_ERRORS,
    ),
)
def resume(body: Decision, session_id: str) -> Response:
    """Decide on the tool calls that wait, and get the rest of the answer.

    With the `approval_id` that they were shown with, the decision holds for no others.
    """
    told = use(Answers).resume(
        caller(),
        session_id,
        approved=body.decision == "approve",
        approval_id=body.approval_id,
    )
    return _answered(told, body)


@bp.get("/sessions/<session_id>/events")
@require_permission(Permission.AGENT_QUERY)
@validate_query(EventsQuery)
@answers_stream("text/event-stream", errors=(ConversationNotFound, RunNotFound))
def session_events(wanted: EventsQuery, session_id: str) -> Response:
    """Follow the answer that is being written, or was written last, from any worker.

    After a broken connection, send the `id` of the last event that arrived as `Last-Event-ID`:
    the events behind it follow, and then those still to come. `run_id`, which the `session`
    event tells, holds on to one run. Leaving this stream does not stop the answer.
    """
    sending = use(Streams).again(caller(), session_id, wanted.run_id, _last_event_id(), as_events)
    return stream(sending, _sent(sending, Listener.of_the_request()))


def _last_event_id() -> int:
    given = request.headers.get("Last-Event-ID", "0")
    if not (given.isascii() and given.isdecimal() and len(given) <= _DIGITS):
        raise Refusal(
            400,
            "invalid_last_event_id",
            "Bad Last-Event-ID",
            "Last-Event-ID is the id of an event that was received: a whole number.",
        )
    return int(given)


def _answered(told: Telling, wanted: Manner) -> Response:
    streamed = wanted.stream
    if streamed is None:
        streamed = request.accept_mimetypes.best == "text/event-stream"
    listener, stays = Listener.of_the_request(), wanted.on_disconnect == "continue"
    sending = use(Streams).kept(told, as_events)
    if not streamed:
        return _whole(sending, listener, stays)
    if stays:
        return stream(sending, _sent(sending, listener), listener.let_end)
    return stream(sending, _sent(sending, listener))


def _whole(sending: Sending, listener: Listener, stays: bool) -> Response:
    with closing(sending):
        for each in listener.watched(sending, to_the_end=stays):
            match each:
                case Sent(_, Answer() as answer):
                    body = QueryAnswer.of(answer).model_dump_json()
                    return Response(body, content_type="application/json")
                case Sent(_, Exception() as error):
                    raise error
    return Response(status=_CLIENT_LEFT)


def _sent(sending: Sending, listener: Listener) -> Iterator[bytes]:
    try:
        for each in listener.watched(sending):
            if each is None:
                yield HEARTBEAT
                continue
            if isinstance(each.told, Exception):
                log_failure(each.told)
            yield line(each.piece.name, each.piece.data, each.piece.number)
    except Exception as error:  # noqa: BLE001 - the status has long been sent
        log_failure(error)
        yield event("error", failure(error))

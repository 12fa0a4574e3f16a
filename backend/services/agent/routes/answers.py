"""Routes that answer requests, as one JSON response or as a stream of events."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent_stream, set_stream_reference
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.chassis.web.sse import (
    HEARTBEAT,
    InvalidLastEventId,
    format_event,
    format_json_event,
    get_last_event_id,
)
from backend.security import (
    Input,
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.answers.event_streams import (
    EventStreamService,
    StoredEvent,
    StoredEvents,
)
from backend.services.agent.domain.answers.events import Answer, RunStarted, StreamEvents
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.domain.conversations.recorded_messages import (
    AnsweredRequest,
    RecordedMessageService,
)
from backend.services.agent.domain.conversations.run_leases import UserRequest
from backend.services.agent.errors import (
    AnswerIncomplete,
    ApprovalChanged,
    ApprovalExpired,
    CollectionNotFound,
    ConversationBusy,
    ConversationNotFound,
    DailyTokensExhausted,
    InvalidModelResponse,
    MessageNotEditable,
    MessageNotFound,
    ModelTimeout,
    ModelUnavailable,
    NoPendingApproval,
    RunLimitExceeded,
    RunNotFound,
    UnknownModel,
    UnknownPersona,
)
from backend.services.agent.model import RequestType
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import (
    AnswerOptions,
    ApprovalDecision,
    EditRequest,
    QueryRequest,
    QueryResponse,
    RegenerateRequest,
)
from backend.services.agent.routes.stream_events import to_sse_events
from backend.services.agent.routes.stream_responses import (
    StreamSubscriber,
    create_stream_response,
    log_stream_error,
    to_problem_document,
)

bp = Blueprint("answers", __name__)

_CLIENT_CLOSED_REQUEST = 499
_MAX_EVENT_ID_DIGITS = 9
_MODEL_ERRORS = (
    DailyTokensExhausted,
    RunLimitExceeded,
    InvalidModelResponse,
    ModelTimeout,
    ModelUnavailable,
)
_REQUEST_ERRORS = (
    CollectionNotFound,
    ConversationNotFound,
    ConversationBusy,
    UnknownModel,
    UnknownPersona,
    *_MODEL_ERRORS,
)


class EventsQuery(Input):
    """Query parameters; without `run_id`, the events of the latest run are returned."""

    run_id: Annotated[str, Field(max_length=128)] | None = None


def continue_stream(reference: str) -> Response:
    """Return the stream of the run in *reference* from its first event."""
    session_id, run_id = reference.split(" ")
    events = use(EventStreamService).resume_stream(
        get_caller(), session_id, run_id, 0, to_sse_events
    )
    return create_stream_response(events, _format_events(events, StreamSubscriber.from_request()))


@bp.post("/query")
@require_permission(Permission.AGENT_QUERY)
@validate_input(QueryRequest)
@idempotent_stream(continue_stream)
@responds_with_stream(
    "text/event-stream",
    model=QueryResponse,
    errors=_REQUEST_ERRORS,
)
@request_example({"user_request": "Who published the first computer program?"})
def answer_query(body: QueryRequest) -> Response:
    """Answer a request with tools and the caller's documents.

    Without `session_id`, a new session is created. With `stream` or `Accept: text/event-stream`,
    the response is a stream of numbered events: `session`, `token`, `tool_start`, `tool_end`,
    `progress` while a local model reads a document for a summary (`stage` is `reading`
    or `parts`; `done` of `total`),
    `citations`, `approval` if a tool call waits for approval, and `done` or `error`. After a
    disconnect, resume the stream with `GET /sessions/{session_id}/events`, or repeat the request
    with its `Idempotency-Key`: the response is the stream of the first request, from its first
    event on. So is the response to a request with the same `request_ref`.
    """
    user_request = UserRequest(
        body.user_request, body.session_id, request_ref=body.request_ref, origin=body.origin
    )
    if body.request_ref is not None:
        known = use(RecordedMessageService).find_request(get_caller(), body.request_ref)
        if known is not None and known.is_answered:
            return _repeat_answer(known, body)
        if known is not None:
            user_request = UserRequest(None, known.conversation_id, known.message_id)
    return _send_answer(
        use(AnswerService).start_answer(
            get_caller(), body.to_answer_request(user_request, _get_request_type(body))
        ),
        body,
    )


@bp.post("/sessions/<session_id>/messages/<message_id>/edit")
@require_permission(Permission.AGENT_QUERY)
@validate_input(EditRequest)
@responds_with_stream(
    "text/event-stream",
    model=QueryResponse,
    errors=(MessageNotFound, MessageNotEditable, *_REQUEST_ERRORS),
)
@request_example({"user_request": "When was the first computer program published?"})
def edit_message(body: EditRequest, session_id: str, message_id: str) -> Response:
    """Edit an earlier request and answer it.

    The new request starts a branch next to the old one. This branch becomes the active one.
    """
    user_request = UserRequest(body.user_request, session_id, message_id)
    return _send_answer(
        use(AnswerService).start_answer(
            get_caller(), body.to_answer_request(user_request, _get_request_type(body))
        ),
        body,
    )


@bp.post("/sessions/<session_id>/messages/<message_id>/regenerate")
@require_permission(Permission.AGENT_QUERY)
@validate_input(RegenerateRequest, optional=True)
@responds_with_stream(
    "text/event-stream", model=QueryResponse, errors=(MessageNotFound, *_REQUEST_ERRORS)
)
@request_example({"temperature": 0.2})
def regenerate_answer(body: RegenerateRequest | None, session_id: str, message_id: str) -> Response:
    """Answer an earlier request again.

    The message is the request or one of its answers. The new answer starts a branch next to the old
    answer. This branch becomes the active one.
    """
    body = body or RegenerateRequest()
    user_request = UserRequest(None, session_id, message_id)
    return _send_answer(
        use(AnswerService).start_answer(
            get_caller(), body.to_answer_request(user_request, _get_request_type(body))
        ),
        body,
    )


@bp.post("/sessions/<session_id>/resume")
@require_permission(Permission.AGENT_QUERY)
@validate_input(ApprovalDecision)
@responds_with_stream(
    "text/event-stream",
    model=QueryResponse,
    errors=(
        ConversationNotFound,
        ApprovalChanged,
        ApprovalExpired,
        ConversationBusy,
        NoPendingApproval,
        *_MODEL_ERRORS,
    ),
)
@request_example({"decision": "approve"})
def resume_run(body: ApprovalDecision, session_id: str) -> Response:
    """Approve or reject the pending tool calls, and return the rest of the answer.

    With `approval_id`, the decision applies only to the tool calls that were shown with this id.
    """
    events = use(AnswerService).resume_answer(
        get_caller(),
        session_id,
        approved=body.decision == "approve",
        approval_id=body.approval_id,
    )
    return _send_answer(events, body)


@bp.get("/sessions/<session_id>/events")
@require_permission(Permission.AGENT_QUERY)
@validate_query(EventsQuery)
@responds_with_stream(
    "text/event-stream", errors=(ConversationNotFound, RunNotFound, InvalidLastEventId)
)
def stream_session_events(query: EventsQuery, session_id: str) -> Response:
    """Stream the events of the current or latest answer of a session.

    After a disconnect, send the `id` of the last received event as `Last-Event-ID`. The stream
    continues with the next event. `run_id`, from the `session` event, selects one run. Closing this
    stream does not stop the answer. Any worker can serve it.
    """
    last_event_id = get_last_event_id(_MAX_EVENT_ID_DIGITS) or 0
    events = use(EventStreamService).resume_stream(
        get_caller(), session_id, query.run_id, last_event_id, to_sse_events
    )
    return create_stream_response(events, _format_events(events, StreamSubscriber.from_request()))


def _send_answer(events: StreamEvents, options: AnswerOptions) -> Response:
    subscriber, continues = StreamSubscriber.from_request(), options.on_disconnect == "continue"
    stored_events = use(EventStreamService).store_events(get_caller(), events, to_sse_events)
    if not _is_streamed(options):
        return _send_complete_answer(stored_events, subscriber, continues)
    reference = None
    if "Idempotency-Key" in request.headers:
        stored_events, reference = _await_run(stored_events)
    chunks = _format_events(stored_events, subscriber)
    if continues:
        response = create_stream_response(stored_events, chunks, subscriber.drain_events)
    else:
        response = create_stream_response(stored_events, chunks)
    return response if reference is None else set_stream_reference(response, reference)


def _repeat_answer(request_known: AnsweredRequest, options: AnswerOptions) -> Response:
    """Return the answer to a request that was sent before: its stream from the first event."""
    events = use(EventStreamService).resume_stream(
        get_caller(), request_known.conversation_id, request_known.run_id, 0, to_sse_events
    )
    if _is_streamed(options):
        chunks = _format_events(events, StreamSubscriber.from_request())
        return create_stream_response(events, chunks)
    with closing(events):
        for event in events:
            if isinstance(event, StoredEvent) and event.record.name == "done":
                return Response(event.record.data, content_type="application/json")
            if isinstance(event, StoredEvent) and event.record.name == "error":
                raise AnswerIncomplete
    raise AnswerIncomplete


def _is_streamed(options: AnswerOptions) -> bool:
    if options.stream is None:
        return request.accept_mimetypes.best == "text/event-stream"
    return options.stream


def _get_request_type(options: AnswerOptions) -> RequestType:
    if isinstance(options, QueryRequest) and options.origin == "chat":
        return "chat"
    return "stream" if _is_streamed(options) else "query"


def _await_run(events: StoredEvents) -> tuple[StoredEvents, str]:
    """Wait for the start of the run. Return its events and the reference of its stream.

    Raises an error that occurs before the start, so that the Idempotency-Key can be used again.
    """
    for event in events:
        match event:
            case StoredEvent(_, RunStarted() as run):
                return _prepend(event, events), f"{run.conversation_id} {run.run_id}"
            case StoredEvent(_, Exception() as error):
                raise error
    raise AssertionError("The events of a run start with RunStarted or an error.")


def _prepend(first: StoredEvent, events: StoredEvents) -> StoredEvents:
    with closing(events):
        yield first
        yield from events


def _send_complete_answer(
    events: StoredEvents, subscriber: StreamSubscriber, continues_after_disconnect: bool
) -> Response:
    with closing(events):
        for event in subscriber.read_events(events, ignore_disconnect=continues_after_disconnect):
            match event:
                case StoredEvent(_, Answer() as answer):
                    body = QueryResponse.from_answer(answer).model_dump_json()
                    return Response(body, content_type="application/json")
                case StoredEvent(_, Exception() as error):
                    raise error
    return Response(status=_CLIENT_CLOSED_REQUEST)


def _format_events(events: StoredEvents, subscriber: StreamSubscriber) -> Iterator[bytes]:
    try:
        for event in subscriber.read_events(events):
            if event is None:
                yield HEARTBEAT
                continue
            if isinstance(event.event, Exception):
                log_stream_error(event.event)
            yield format_json_event(event.record.name, event.record.data, event.record.number)
    except Exception as error:  # noqa: BLE001 - the status has already been sent
        log_stream_error(error)
        yield format_event("error", to_problem_document(error))

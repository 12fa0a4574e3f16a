"""Routes of visitors of web pages. They are authenticated by signed tokens, and never by cookies.

Requests come from the frame page of the suite, or from pages of the sites that the account lists.
"""

from collections.abc import Generator
from functools import partial
from typing import Annotated, Any, Final

from flask import Blueprint, Response, g, request
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.sse import (
    InvalidLastEventId,
    format_event,
    format_json_event,
    get_last_event_id,
)
from backend.security import Input, invalid_field, public, validate_input, validate_query
from backend.services.chat.domain.answer_following import AnswerFollower
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.conversations import ConversationService
from backend.services.chat.domain.media.links import MediaLinks
from backend.services.chat.domain.typing_signals import TypingSignals
from backend.services.chat.domain.visitors.conversations import VisitorConversations
from backend.services.chat.domain.visitors.sessions import (
    SANDBOX_ORIGIN,
    RequestOrigin,
    Visitor,
    VisitorSessions,
    WebAccount,
)
from backend.services.chat.domain.visitors.streams import VisitorStreams
from backend.services.chat.domain.visitors.views import (
    VisitorEvent,
    VisitorMessage,
    VisitorState,
    to_ephemeral_event,
    to_visitor_event,
    to_visitor_message,
    to_visitor_state,
)
from backend.services.chat.errors import (
    AccountStopped,
    ConversationNotFound,
    OriginNotAllowed,
    OtherOrigin,
    ResourceNotFound,
    TooManyMessages,
    TooManyStreams,
    VisitorBlocked,
    VisitorTokenRejected,
)
from backend.services.chat.routes.conversations import MAX_EVENT_ID_DIGITS
from backend.services.chat.routes.schemas import ReadMove, TypingChange
from backend.services.chat.routes.streams import StreamGuard, create_stream_response
from backend.services.chat.routes.visitor_schemas import (
    SessionOpen,
    SessionResponse,
    VisitorMessageResponse,
    VisitorPage,
    VisitorPost,
    VisitorStateResponse,
)

visitors = Blueprint("visitors", __name__, url_prefix="/web/<account>")

_EXAMPLE: Final = "acc_01a22900749f7e0f26155c57fe78"
_POLL_SECONDS: Final = 1.0
# After this time a stream ends, and the client opens another one.
_MAX_STREAM_SECONDS: Final = 900.0
_CORS: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_ERRORS: Final = (
    ResourceNotFound,
    AccountStopped,
    VisitorTokenRejected,
    OriginNotAllowed,
    OtherOrigin,
)


class VisitorListQuery(Input):
    """The first messages after `after_seq`, or the last ones before `before_seq`."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    after_seq: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    before_seq: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None


# CORS: the gateway passes these headers on for the routes of visitors only.


@visitors.url_value_preprocessor
def take_account_id(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Take the account from the path: the views find it in `g`."""
    g.account_id = "" if values is None else values.pop("account")


@visitors.before_request
def answer_preflight() -> Response | None:
    """Find the account of the request, and answer a preflight request."""
    g.web_account = use(VisitorSessions).find_account(g.account_id)
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    response = Response(status=204)
    if _find_allowed_origin() is not None:
        response.headers.extend(_CORS)
    return response


@visitors.after_request
def add_cors_headers(response: Response) -> Response:
    """Let the pages of the account's sites read the response, and frames in a sandbox."""
    response.vary.add("Origin")
    # The responses contain a token or messages.
    response.headers["Cache-Control"] = "no-store"
    origin = _find_allowed_origin()
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-ID"
    return response


def _find_allowed_origin() -> str | None:
    origin = request.headers.get("Origin", "")
    account: WebAccount | None = g.get("web_account")
    if account is None:
        return None
    return origin if origin in (*account.origins, SANDBOX_ORIGIN) else None


@visitors.post("/sessions")
@public
@validate_input(SessionOpen, optional=True)
@responds_with(SessionResponse, 201, other_statuses=(200,), errors=_ERRORS)
@request_example({}, account=_EXAMPLE)
def open_session(body: SessionOpen | None) -> tuple[SessionResponse, int]:
    """Create the session of a visitor. The request needs the Origin header of a listed site.

    With a valid token in `Authorization`, contact and conversation are kept: the response is 200
    with the same token, or 201 with a new one if less than half of its time is left.
    """
    opened = use(VisitorSessions).open_session(
        _get_account(),
        _get_origin(),
        None if body is None else body.ticket,
        _get_token(),
    )
    response = SessionResponse(token=opened.token, expires_at=opened.expires_at)
    return response, 201 if opened.is_new else 200


@visitors.get("/messages")
@public
@validate_query(VisitorListQuery)
@responds_with(VisitorPage, errors=_ERRORS)
@request_example(account=_EXAMPLE)
def list_visitor_messages(query: VisitorListQuery) -> VisitorPage:
    """List the messages of the visitor's conversation, by default the last ones."""
    if query.after_seq is not None and query.before_seq is not None:
        raise invalid_field("#/before_seq", "Send either after_seq or before_seq.")
    visitor = _authenticate()
    conversation_id = use(VisitorConversations).find_id(visitor)
    if conversation_id is None:
        return VisitorPage(items=[], has_more=False, state=None, change_seq=0)
    service = use(ConversationService)
    # Read before the messages, so that a stream from this change on misses nothing.
    change_seq = service.get_change_seq(visitor, conversation_id)
    rows = service.list_messages(
        visitor, conversation_id, query.limit + 1, query.after_seq, query.before_seq
    )
    has_more = len(rows) > query.limit
    if has_more:
        rows = rows[: query.limit] if query.after_seq is not None else rows[1:]
    sign_link = use(MediaLinks).sign_read_link
    state = to_visitor_state(service.get_view(visitor, conversation_id))
    return VisitorPage(
        items=[
            VisitorMessageResponse.from_view(to_visitor_message(row, sign_link)) for row in rows
        ],
        has_more=has_more,
        state=VisitorStateResponse.from_view(state),
        change_seq=change_seq,
    )


@visitors.post("/messages")
@public
@validate_input(VisitorPost)
@responds_with(
    VisitorMessageResponse,
    201,
    other_statuses=(200,),
    errors=(*_ERRORS, VisitorBlocked, TooManyMessages),
)
@request_example({"content": "Where is my parcel?", "client_id": "m-1"}, account=_EXAMPLE)
def post_visitor_message(body: VisitorPost) -> tuple[VisitorMessageResponse, int]:
    """Send a message of the visitor. The answer comes as an event, and into the list."""
    content = {"type": "text", "text": body.content}
    posted, visitor = use(VisitorConversations).send_message(
        _authenticate(), content, body.client_id
    )
    if posted.is_new:
        use(AnswerFollower).start_answer(visitor, posted.message.conversation_id)
    view = to_visitor_message(posted.message, use(MediaLinks).sign_read_link)
    return VisitorMessageResponse.from_view(view), 201 if posted.is_new else 200


@visitors.put("/read")
@public
@validate_input(ReadMove)
@responds_with(ReadMove, errors=(*_ERRORS, ConversationNotFound))
@request_example({"seq": 1}, account=_EXAMPLE)
def move_visitor_read_position(body: ReadMove) -> ReadMove:
    """Mark messages up to `seq` as read by the visitor. The position only moves forward."""
    visitor = _authenticate()
    conversation_id = use(VisitorConversations).get_id(visitor)
    seq = use(ConversationService).move_read_position(visitor, conversation_id, body.seq)
    return ReadMove(seq=seq)


@visitors.post("/typing")
@public
@validate_input(TypingChange, optional=True)
@responds_with(status=202, errors=(*_ERRORS, ConversationNotFound))
@request_example({"typing": True}, account=_EXAMPLE)
def set_visitor_typing(body: TypingChange | None) -> None:
    """Show the team for some seconds that the visitor types."""
    visitor = _authenticate()
    conversation_id = use(VisitorConversations).get_id(visitor)
    use(TypingSignals).publish_typing(
        visitor, conversation_id, is_typing=body is None or body.typing
    )


@visitors.get("/events")
@public
@responds_with_stream(
    "text/event-stream",
    errors=(*_ERRORS, ConversationNotFound, TooManyStreams, InvalidLastEventId),
)
@request_example(account=_EXAMPLE)
def stream_visitor_events() -> Response:
    """Stream the changes of the visitor's conversation.

    Events: `message` (new or changed), `state`, and without an id `delta` (`offset`, `text` of an
    answer that is being written) and `typing`. Send the last id as `Last-Event-ID` to get what has
    changed since then. With 503 `too_many_streams`, list the messages every few seconds instead.
    """
    visitor = _authenticate()
    conversation_id = use(VisitorConversations).get_id(visitor)
    last = get_last_event_id(MAX_EVENT_ID_DIGITS)
    position = use(ConversationService).get_change_seq(visitor, conversation_id)
    streams = use(VisitorStreams)
    streams.acquire(visitor.visitor_id)
    chunks = _stream_changes(
        visitor,
        conversation_id,
        position if last is None else min(last, position),
        StreamGuard(partial(_verify_session, g.account_id, _get_origin(), _get_token())),
    )
    response = create_stream_response(chunks)
    response.call_on_close(partial(streams.release, visitor.visitor_id))
    return response


def _verify_session(account_id: str, origin: RequestOrigin, token: str | None) -> None:
    """Raise an error once the token has expired, or an administrator has stopped the account."""
    sessions = use(VisitorSessions)
    account = sessions.find_account(account_id)
    if account is None:
        raise ResourceNotFound("account")
    sessions.authenticate(account, origin, token)


def _stream_changes(
    visitor: Visitor, conversation_id: str, position: int, guard: StreamGuard
) -> Generator[bytes, Any, None]:
    service, sign_link = use(ConversationService), use(MediaLinks).sign_read_link
    ends_at = guard.sent_at + _MAX_STREAM_SECONDS
    yield format_event("open", {"change_seq": position}, position)
    with use(ChangeBoard).watch(conversation_id) as watcher:
        while guard.is_valid() and guard.checked_at < ends_at:
            try:
                changes = service.list_changes(visitor, conversation_id, position)
            except ConversationNotFound:
                yield format_event("deleted", {})
                return
            events = [to_visitor_event(change, sign_link) for change in changes]
            events += [to_ephemeral_event(event, visitor) for event in watcher.take_events()]
            for event in filter(None, events):
                yield _write_event(event)
                guard.mark_sent()
            if changes:
                position = changes[-1].number
            yield from guard.get_heartbeats()
            if not changes:
                watcher.wait(_POLL_SECONDS)


def _write_event(event: VisitorEvent) -> bytes:
    match event.data:
        case VisitorMessage() as message:
            data = VisitorMessageResponse.from_view(message).model_dump_json()
        case VisitorState() as state:
            data = VisitorStateResponse.from_view(state).model_dump_json()
        case other:
            return format_event(event.name, other)
    return format_json_event(event.name, data, event.number)


def _authenticate() -> Visitor:
    return use(VisitorSessions).authenticate(_get_account(), _get_origin(), _get_token())


def _get_account() -> WebAccount:
    account: WebAccount | None = g.web_account
    if account is None:
        raise ResourceNotFound("account")
    return account


def _get_token() -> str | None:
    """Return the bearer token of the request, or None without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _get_origin() -> RequestOrigin:
    """Return the origin of the request. The gateway sends the address that the browser called."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
    host = request.headers.get("X-Forwarded-Host", request.host)
    return RequestOrigin(request.headers.get("Origin", ""), f"{scheme}://{host}".lower())

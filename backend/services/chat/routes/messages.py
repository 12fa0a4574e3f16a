"""Routes that send, post, change and react to messages."""

from collections.abc import Generator
from typing import Annotated, Any
from urllib.parse import unquote

from flask import Blueprint, Response, request
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.sse import format_event, format_json_event
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import (
    Input,
    Permission,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.answer_following import (
    Answered,
    AnswerFollower,
    NotAnswered,
    Waiting,
)
from backend.services.chat.domain.changes import EphemeralEvent
from backend.services.chat.domain.conversations import ConversationService
from backend.services.chat.domain.emoji import is_emoji
from backend.services.chat.domain.inbox import SILENCE
from backend.services.chat.domain.messages import (
    NO_SILENCE,
    MessageService,
    PostedMessage,
    WebMessage,
)
from backend.services.chat.domain.waiting import WaitLimit
from backend.services.chat.errors import (
    ConversationNotFound,
    ConversationTaken,
    InvalidContent,
    MessageNotEditable,
    MessageNotFound,
    ReplyPermissionRequired,
    TemplateNotApproved,
    WindowClosed,
)
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import (
    AnswerErrorResponse,
    MessageEdit,
    MessageListResponse,
    MessagePost,
    MessageResponse,
    MessageSend,
    SendResponse,
    to_content,
)
from backend.services.chat.routes.streams import StreamGuard, create_stream_response

messages = Blueprint("messages", __name__)

_MAX_EMOJI_CHARACTERS = 64


class SendQuery(Input):
    """Seconds to wait for the answer; 0 returns at once."""

    wait: Annotated[float, Field(ge=0, le=120)] | None = None


class MessageListQuery(Input):
    """The first messages after `after_seq`, or the last ones before `before_seq`."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after_seq: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    before_seq: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None


@messages.post("/message")
@require_permission(Permission.CHAT_USE)
@validate_query(SendQuery)
@validate_input(MessageSend)
@responds_with_stream(
    "text/event-stream",
    statuses=(201, 200),
    model=SendResponse,
    errors=(ConversationNotFound, MessageNotFound, ReplyPermissionRequired),
)
@request_example(
    {"channel": "web", "content": "Who published the first computer program?", "client_id": "m-1"},
    wait="30",
)
def send_message(query: SendQuery, body: MessageSend) -> Response:
    """Send a message to the agent and wait for its answer.

    Without `wait` the request waits up to the server's limit, by default 30 seconds; the answer is
    stored also if it comes later. If too many requests wait, the response comes at once. With
    `Accept: text/event-stream` the response is a stream of the events `message`, `delta` (`offset`,
    `text`), `step`, `answer` and `done`. The same `client_id` again gets 200 with the first
    message.
    """
    caller = get_caller()
    is_streamed = request.accept_mimetypes.best == "text/event-stream"
    seconds = use(WaitLimit).seconds if query.wait is None else query.wait
    send = use(MessageService).send_message
    if is_streamed:
        posted = send(caller, create_web_message(body, is_waiting=True))
        stream = _stream_answer(caller, posted, seconds)
        return create_stream_response(stream, _get_status(posted))
    with use(WaitSlots).limit_wait(seconds) as seconds_left:
        posted = send(caller, create_web_message(body, is_waiting=seconds_left > 0))
        response = _wait_for_answer(caller, posted, seconds_left)
    return Response(
        response.model_dump_json(), _get_status(posted), content_type="application/json"
    )


def _get_status(posted: PostedMessage) -> int:
    return 201 if posted.is_new else 200


@messages.get("/conversations/<conversation_id>/messages")
@require_permission(Permission.CHAT_USE)
@validate_query(MessageListQuery)
@responds_with(MessageListResponse, errors=(ConversationNotFound,))
def list_messages(query: MessageListQuery, conversation_id: str) -> MessageListResponse:
    """List messages in the order of arrival, by default the last ones.

    With `after_seq` the first ones after it: what is new for a reader.
    """
    return find_page(get_caller(), query, conversation_id)


@messages.post("/conversations/<conversation_id>/messages")
@require_permission(Permission.CHAT_USE)
@validate_input(MessagePost)
@idempotent
@responds_with(
    MessageResponse,
    201,
    other_statuses=(200,),
    errors=(
        ConversationNotFound,
        MessageNotFound,
        ReplyPermissionRequired,
        ConversationTaken,
        WindowClosed,
        TemplateNotApproved,
        InvalidContent,
    ),
)
@request_example({"content": "A colleague will call you.", "client_id": "m-2"})
def post_message(body: MessagePost, conversation_id: str) -> tuple[MessageResponse, int]:
    """Post a message as a person.

    The owner's message is answered by the agent. A colleague's answer claims the conversation: the
    agent is silent in it until the colleague gives it back, or for 24 hours.
    """
    posted = use(MessageService).post_message(
        get_caller(),
        conversation_id,
        to_content(body.content),
        body.client_id,
        body.reply_to_id,
        is_internal=body.internal,
        silence=SILENCE,
    )
    return MessageResponse.from_view(posted.message), 201 if posted.is_new else 200


@messages.patch("/conversations/<conversation_id>/messages/<message_id>")
@require_permission(Permission.CHAT_USE)
@validate_input(MessageEdit)
@responds_with(MessageResponse, errors=(ConversationNotFound, MessageNotFound, MessageNotEditable))
@request_example({"content": "A colleague will call you today."})
def edit_message(body: MessageEdit, conversation_id: str, message_id: str) -> MessageResponse:
    """Edit an own message, also at the channel if it supports this."""
    view = use(MessageService).edit_message(
        get_caller(), conversation_id, message_id, to_content(body.content)
    )
    return MessageResponse.from_view(view)


@messages.delete("/conversations/<conversation_id>/messages/<message_id>")
@require_permission(Permission.CHAT_USE)
@responds_with(status=204, errors=(ConversationNotFound, MessageNotFound, MessageNotEditable))
def delete_message(conversation_id: str, message_id: str) -> None:
    """Delete the content of an own message, also at the channel if it supports this."""
    use(MessageService).delete_message(get_caller(), conversation_id, message_id)


@messages.put("/conversations/<conversation_id>/messages/<message_id>/reactions/<emoji>")
@require_permission(Permission.CHAT_USE)
@responds_with(MessageResponse, errors=(ConversationNotFound, MessageNotFound))
@request_example(emoji="👍")
def add_reaction(conversation_id: str, message_id: str, emoji: str) -> MessageResponse:
    """React to a message. The same reaction again changes nothing."""
    return _set_reaction(conversation_id, message_id, emoji, is_added=True)


@messages.delete("/conversations/<conversation_id>/messages/<message_id>/reactions/<emoji>")
@require_permission(Permission.CHAT_USE)
@responds_with(MessageResponse, errors=(ConversationNotFound, MessageNotFound))
@request_example(emoji="👍")
def remove_reaction(conversation_id: str, message_id: str, emoji: str) -> MessageResponse:
    """Remove the caller's reaction."""
    return _set_reaction(conversation_id, message_id, emoji, is_added=False)


def _set_reaction(
    conversation_id: str, message_id: str, emoji: str, *, is_added: bool
) -> MessageResponse:
    text = unquote(emoji)
    # Any own reaction can be removed, also one that channels would not show.
    is_valid = is_emoji(text) or (not is_added and text.isprintable())
    if not 0 < len(text) <= _MAX_EMOJI_CHARACTERS or not is_valid:
        raise invalid_field("#/emoji", "Send one emoji, of at most 64 characters.")
    view = use(MessageService).set_reaction(
        get_caller(), conversation_id, message_id, text, is_added=is_added
    )
    return MessageResponse.from_view(view)


def create_web_message(body: MessageSend, *, is_waiting: bool) -> WebMessage:
    """Return the message of a request. The agent answers at once if the caller waits."""
    return WebMessage(
        to_content(body.content),
        body.user_id,
        body.conversation_id,
        body.client_id,
        body.reply_to_id,
        silence=NO_SILENCE if is_waiting else SILENCE,
    )


def find_page(caller: Caller, query: MessageListQuery, conversation_id: str) -> MessageListResponse:
    """Return the messages that *query* selects."""
    if query.after_seq is not None and query.before_seq is not None:
        raise invalid_field("#/before_seq", "Send either after_seq or before_seq.")
    rows = use(ConversationService).list_messages(
        caller, conversation_id, query.limit + 1, query.after_seq, query.before_seq
    )
    has_more = len(rows) > query.limit
    if has_more:
        rows = rows[: query.limit] if query.after_seq is not None else rows[1:]
    return MessageListResponse(
        items=[MessageResponse.from_view(row) for row in rows], has_more=has_more
    )


def _wait_for_answer(caller: Caller, posted: PostedMessage, seconds: float) -> SendResponse:
    outcome: Answered | NotAnswered = NotAnswered()
    follower = use(AnswerFollower)
    if seconds > 0:
        guard = StreamGuard()
        for event in follower.follow_answer(caller, posted.message, seconds):
            if isinstance(event, (Answered, NotAnswered)):
                outcome = event
            elif isinstance(event, Waiting) and not guard.is_valid():
                break
    elif not posted.is_new:
        outcome = follower.find_outcome(caller, posted.message)
    return write_outcome(posted, outcome)


def _stream_answer(
    caller: Caller, posted: PostedMessage, seconds: float
) -> Generator[bytes, Any, None]:
    guard = StreamGuard()
    message = MessageResponse.from_view(posted.message)
    yield format_json_event("message", message.model_dump_json())
    for event in use(AnswerFollower).follow_answer(caller, posted.message, seconds):
        if not guard.is_valid():
            return
        match event:
            case Waiting():
                yield from guard.get_heartbeats()
            case EphemeralEvent("answer-delta", data):
                yield format_event("delta", {"offset": data["offset"], "text": data["text"]})
                guard.mark_sent()
            case EphemeralEvent("answer-step", data):
                yield format_event("step", {"tool": data["tool"], "status": data["status"]})
                guard.mark_sent()
            case Answered(view):
                answer = MessageResponse.from_view(view)
                yield format_json_event("answer", answer.model_dump_json())
                yield format_json_event("done", write_outcome(posted, event).model_dump_json())
            case NotAnswered():
                yield format_json_event("done", write_outcome(posted, event).model_dump_json())


def write_outcome(posted: PostedMessage, outcome: Answered | NotAnswered) -> SendResponse:
    """Return the response with the answer, or with the reason why there is none."""
    message = MessageResponse.from_view(posted.message)
    if isinstance(outcome, Answered):
        return SendResponse(
            conversation_id=message.conversation_id,
            message=message,
            answer=MessageResponse.from_view(outcome.message),
            status="answered",
        )
    error = None if outcome.error is None else AnswerErrorResponse.model_validate(outcome.error)
    return SendResponse(
        conversation_id=message.conversation_id,
        message=message,
        answer=None,
        status="accepted",
        error=error,
    )

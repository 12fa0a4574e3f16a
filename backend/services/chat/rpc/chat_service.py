"""gRPC methods for conversations and messages."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field

from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.messages import build_message, parse_message
from backend.chassis.web.app_factory import use
from backend.rpc_schema.suite.chat.v1 import chat_pb2
from backend.security import Input, Permission, require_permission
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.answer_following import Answered, AnswerFollower, NotAnswered
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.conversations import ConversationService
from backend.services.chat.domain.messages import MessageService, PostedMessage
from backend.services.chat.domain.typing_signals import TypingSignals
from backend.services.chat.domain.waiting import WaitLimit
from backend.services.chat.errors import ConversationNotFound
from backend.services.chat.routes.conversations import write_change
from backend.services.chat.routes.messages import (
    MessageListQuery,
    create_web_message,
    find_page,
    write_outcome,
)
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import (
    ConversationDetailResponse,
    Identifier,
    MessageSend,
)
from backend.services.chat.routes.search import SearchQuery, find_messages

_POLL_SECONDS: Final = 1.0


class SendInput(MessageSend):
    """A message, and the seconds to wait for its answer."""

    wait: Annotated[float, Field(ge=0, le=120)] | None = None


class ConversationReference(Input):
    conversation_id: Identifier


class MessageSelection(MessageListQuery):
    conversation_id: Identifier


class TypingInput(ConversationReference):
    typing: bool = True


class WatchInput(ConversationReference):
    after_change_seq: Annotated[int, Field(ge=0)] | None = None


class ChatService:
    """Handlers of suite.chat.v1.ChatService."""

    @require_permission(Permission.CHAT_USE)
    def send_message(
        self, request: chat_pb2.SendMessageRequest, call: Call
    ) -> chat_pb2.SentMessage:
        caller, options = get_caller(), parse_message(SendInput, request)
        seconds = use(WaitLimit).seconds if options.wait is None else options.wait
        message = create_web_message(options, is_waiting=seconds > 0)
        posted = use(MessageService).send_message(caller, message)
        outcome = _wait_for_answer(caller, posted, seconds, call)
        return build_message(chat_pb2.SentMessage, write_outcome(posted, outcome))

    @require_permission(Permission.CHAT_USE)
    def get_conversation(
        self, request: chat_pb2.GetConversationRequest, _call: Call
    ) -> chat_pb2.Conversation:
        conversation_id = parse_message(ConversationReference, request).conversation_id
        detail = use(ConversationService).get_conversation(get_caller(), conversation_id)
        return build_message(chat_pb2.Conversation, ConversationDetailResponse.from_detail(detail))

    @require_permission(Permission.CHAT_USE)
    def list_messages(
        self, request: chat_pb2.ListMessagesRequest, _call: Call
    ) -> chat_pb2.MessageList:
        selection = parse_message(MessageSelection, request)
        page = find_page(get_caller(), selection, selection.conversation_id)
        return build_message(chat_pb2.MessageList, page)

    @require_permission(Permission.CHAT_USE)
    def search_messages(
        self, request: chat_pb2.SearchMessagesRequest, _call: Call
    ) -> chat_pb2.FoundMessages:
        query = parse_message(SearchQuery, request)
        return build_message(chat_pb2.FoundMessages, find_messages(query))

    @require_permission(Permission.CHAT_USE)
    def set_typing(self, request: chat_pb2.SetTypingRequest, _call: Call) -> chat_pb2.TypingShown:
        caller, typing = get_caller(), parse_message(TypingInput, request)
        use(ConversationService).ensure_visible(caller, typing.conversation_id)
        use(TypingSignals).publish_typing(caller, typing.conversation_id, is_typing=typing.typing)
        return chat_pb2.TypingShown()

    @require_permission(Permission.CHAT_USE)
    def watch_conversation(
        self, request: chat_pb2.WatchConversationRequest, _call: Call
    ) -> Iterator[chat_pb2.ConversationEvent | None]:
        caller, watch = get_caller(), parse_message(WatchInput, request)
        service = use(ConversationService)
        position = service.get_change_seq(caller, watch.conversation_id)
        if watch.after_change_seq is not None:
            position = min(watch.after_change_seq, position)
        return _watch(caller, watch.conversation_id, position)


def _wait_for_answer(
    caller: Caller, posted: PostedMessage, seconds: float, call: Call
) -> Answered | NotAnswered:
    follower = use(AnswerFollower)
    if seconds > 0:
        for event in follower.follow_answer(caller, posted.message, seconds):
            call.check()
            if isinstance(event, (Answered, NotAnswered)):
                return event
    elif not posted.is_new:
        return follower.find_outcome(caller, posted.message)
    return NotAnswered()


def _watch(
    caller: Caller, conversation_id: str, position: int
) -> Iterator[chat_pb2.ConversationEvent | None]:
    """Yield changes after *position*, and None while there is none."""
    service = use(ConversationService)
    yield _build_event("open", {"change_seq": position}, position)
    with use(ChangeBoard).watch(conversation_id) as watcher:
        while True:
            try:
                changes = service.list_changes(caller, conversation_id, position)
            except ConversationNotFound:
                yield _build_event("deleted", {})
                return
            for change in changes:
                position = change.number
                yield _build_event(change.name, json.loads(write_change(change)), position)
            for event in watcher.take_events():
                yield _build_event(event.name.removeprefix("answer-"), dict(event.data))
            yield None
            if not changes:
                watcher.wait(_POLL_SECONDS)


def _build_event(
    name: str, data: dict[str, Any], number: int | None = None
) -> chat_pb2.ConversationEvent:
    fields: dict[str, Any] = {"name": name, "data": data}
    if number is not None:
        fields["change_seq"] = number
    return build_message(chat_pb2.ConversationEvent, fields)

"""Edits, deletions and reactions of contacts, in whatever order they arrive."""

from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import get_object
from backend.services.chat.domain.webhooks.scope import EventScope, parse_time
from backend.services.chat.store.tables import Conversation, Message

_MAX_EMOJI = 64
# Key in the details of a message: the time of the latest change of a reaction, by actor and emoji.
_REACTION_TIMES = "reaction_times"
_RESTORED_AT = "restored_at"


def apply_change(scope: EventScope, event: ChannelEvent) -> None:
    """Apply an edit, delete, undelete or reaction, or keep it until its message is stored."""
    target = event.get_text("target")
    found = scope.find_message(event, target)
    if found is None:
        if target:
            scope.keep_early(event, target)
        return
    conversation, message = found
    if event.kind == "edit":
        _apply_edit(scope, event, conversation, message)
    elif event.kind == "delete":
        _apply_deletion(scope, event, conversation, message)
    elif event.kind == "undelete":
        _apply_restoration(scope, event, conversation, message)
    else:
        _apply_reaction(scope, event, conversation, message)


def _apply_edit(
    scope: EventScope, event: ChannelEvent, conversation: Conversation, message: Message
) -> None:
    at = parse_time(event.get_text("at"))
    if at is not None and message.edited_at is not None and at < message.edited_at:
        return  # an earlier edit that arrives later
    content = dict(get_object(event.fields, "content"))
    scope.log.edit_message(scope.session, conversation, message, content, at=at)


def _apply_deletion(
    scope: EventScope, event: ChannelEvent, conversation: Conversation, message: Message
) -> None:
    at = event.get_text("at")
    if at and at < str(message.details.get(_RESTORED_AT, "")):
        return  # the message was restored after this deletion
    scope.log.delete_message(scope.session, conversation, message)


def _apply_restoration(
    scope: EventScope, event: ChannelEvent, conversation: Conversation, message: Message
) -> None:
    message.details = {**message.details, _RESTORED_AT: event.get_text("at")}
    content = dict(get_object(event.fields, "content"))
    scope.log.restore_message(scope.session, conversation, message, content)


def _apply_reaction(
    scope: EventScope, event: ChannelEvent, conversation: Conversation, message: Message
) -> None:
    actor = scope.get_actor(event)
    emoji = event.get_text("emoji")[:_MAX_EMOJI] or None
    is_added = event.get_text("action") == "add"
    if is_added and emoji is None:
        return
    if not _is_latest(event, message, f"{actor} {emoji or ''}"):
        return
    scope.log.change_reaction(scope.session, conversation, message, actor, emoji, is_added=is_added)


def _is_latest(event: ChannelEvent, message: Message, name: str) -> bool:
    """Return whether no later change of the reaction is known, and remember its time."""
    at = event.get_text("at")
    times = dict(message.details.get(_REACTION_TIMES, {}))
    if at and at < str(times.get(name, "")):
        return False
    if at:
        message.details = {**message.details, _REACTION_TIMES: {**times, name: at}}
    return True

"""Slack interactivity (buttons, menus, shortcuts) and slash commands."""

from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_choice,
    build_message,
    ignore,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    get_id,
    get_object,
    get_objects,
    get_text,
)
from backend.services.chat.domain.channels.slack_content import (
    build_content,
    get_conversation_key,
    get_text_of_blocks,
)

# Elements whose state is a plain value.
_VALUES: Final = (
    "value",
    "selected_date",
    "selected_time",
    "selected_date_time",
    "selected_user",
    "selected_channel",
    "selected_conversation",
)
_VALUE_LISTS: Final = ("selected_users", "selected_channels", "selected_conversations")


def normalise_interaction(payload: Object) -> ChannelEvent:
    """Return the event of an interaction payload or of a slash command."""
    kind = get_text(payload, "type")
    if not kind and get_text(payload, "command"):
        return _normalise_command(payload)
    if kind in {"block_actions", "interactive_message"}:
        return _normalise_action(payload, kind)
    if kind == "message_action":
        return _normalise_shortcut(payload)
    return ignore(f"unhandled:{kind or 'unknown'}")


def _normalise_command(payload: Object) -> ChannelEvent:
    channel = get_id(payload, "channel_id")
    return build_message(
        {
            "type": "command",
            "command": get_text(payload, "command"),
            "text": get_text(payload, "text"),
        },
        _build_context(payload, channel, ""),
        external_id=get_id(payload, "trigger_id"),
        sender=drop_empty(id=get_id(payload, "user_id"), name=get_text(payload, "user_name")),
        conversation_key=get_conversation_key(channel, ""),
    )


def _normalise_action(payload: Object, kind: str) -> ChannelEvent:
    actions = get_objects(payload, "actions")
    channel, message_ts = _get_place(payload)
    if not actions or not channel or not message_ts:
        return ignore(f"unhandled:{kind}")
    return build_message(
        _build_action_content(actions[0]),
        _build_context(payload, channel, _get_thread(payload) or message_ts),
        external_id=get_id(payload, "trigger_id"),
        sender=_build_sender(payload),
        conversation_key=_get_key(payload, channel, message_ts),
        reply_to=message_ts,
    )


def _normalise_shortcut(payload: Object) -> ChannelEvent:
    """Normalise a shortcut on a message; its text is that of the message."""
    channel, message_ts = _get_place(payload)
    return build_message(
        {
            "type": "command",
            "command": get_text(payload, "callback_id"),
            "text": get_text(build_content(get_object(payload, "message")), "text"),
        },
        _build_context(payload, channel, _get_thread(payload) or message_ts),
        external_id=get_id(payload, "trigger_id"),
        sender=_build_sender(payload),
        conversation_key=_get_key(payload, channel, message_ts),
        reply_to=message_ts,
    )


def _get_key(payload: Object, channel: str, message_ts: str) -> str:
    """Return the key of the conversation in which the message with the button is."""
    thread = _get_thread(payload)
    is_unthreaded = channel.startswith("D") and not thread
    return get_conversation_key(channel, "" if is_unthreaded else thread or message_ts)


def _get_place(payload: Object) -> tuple[str, str]:
    container = get_object(payload, "container")
    channel = get_id(get_object(payload, "channel"), "id") or get_id(container, "channel_id")
    message_ts = (
        get_id(payload, "message_ts")
        or get_id(container, "message_ts")
        or get_id(get_object(payload, "message"), "ts")
    )
    return channel, message_ts


def _get_thread(payload: Object) -> str:
    places = (
        get_object(payload, "container"),
        get_object(payload, "message"),
        get_object(payload, "original_message"),
    )
    return next((thread for place in places if (thread := get_id(place, "thread_ts"))), "")


def _build_sender(payload: Object) -> dict[str, Json]:
    user = get_object(payload, "user")
    return drop_empty(id=get_id(user, "id"), name=get_text(user, "name", "username"))


def _build_context(payload: Object, channel: str, thread: str) -> dict[str, Json]:
    # Who presses a button of ours, or types our command, has addressed us.
    return {
        "receiver": get_id(payload, "team_id") or get_id(get_object(payload, "team"), "id"),
        "group": not channel.startswith("D"),
        "mentioned": True,
        "channel": channel,
        "thread": thread,
        "response_url": get_text(payload, "response_url"),
    }


def _build_action_content(action: Object) -> dict[str, Json]:
    values, titles = _get_selection(action)
    name = get_text(action, "action_id", "name")
    title = ", ".join(titles) or get_text(get_object(action, "text"), "text")
    return build_choice(",".join(values) or name, title, action=name)


def _get_selection(action: Object) -> tuple[list[str], list[str]]:
    """Return the chosen values and their titles, for any element of Block Kit or attachments."""
    chosen = get_object(action, "selected_option")
    options = [chosen] if chosen else get_objects(action, "selected_options")
    if options:
        values = [get_text(option, "value") for option in options]
        titles = [get_text(get_object(option, "text"), "text") for option in options]
        return [value for value in values if value], [title for title in titles if title]
    for name in _VALUE_LISTS:
        found = action.get(name)
        if isinstance(found, list):
            return [value for value in found if isinstance(value, str)], []
    value = get_id(action, *_VALUES) or get_text_of_blocks([get_object(action, "rich_text_value")])
    return ([value] if value else []), []

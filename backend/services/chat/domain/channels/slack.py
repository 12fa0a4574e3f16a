"""Webhooks of Slack: the Events API, interactivity and slash commands.

The two events of one post (`message` and `app_mention`) have the same channel and `ts`, which is
the id of the message.
"""

from collections.abc import Callable
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_event,
    build_message,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    Object,
    drop_empty,
    from_unix,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_text,
    is_true,
)
from backend.services.chat.domain.channels.slack_content import (
    build_content,
    get_conversation_key,
    get_message_text,
)
from backend.services.chat.domain.channels.slack_interactions import normalise_interaction

# Subtypes of messages that are written by a person.
_TEXT_SUBTYPES: Final = ("", "file_share", "thread_broadcast", "me_message")
_JOINS: Final = {
    "channel_join": "join",
    "group_join": "join",
    "channel_leave": "leave",
    "group_leave": "leave",
}
_DIRECT: Final = ("im", "app_home")
# Reminders and notices of Slack itself, which have no `bot_id`.
_SLACKBOT: Final = "USLACKBOT"


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the events of a Slack request, of which there is always one."""
    kind = get_text(payload, "type")
    own_team = get_id(account, "team_id")
    teams = _get_teams(payload)
    if own_team and teams and own_team not in teams:
        return [ignore("other_account")]
    if kind == "url_verification":
        return [build_event("challenge", answer=get_text(payload, "challenge"))]
    if kind == "event_callback":
        return mark_occurrence([_normalise_event(payload, account)], get_id(payload, "event_id"))
    if kind == "app_rate_limited":
        minute = {"occurrence": get_id(payload, "minute_rate_limited")}
        return [build_event("account", minute, state="rate_limited")]
    return [normalise_interaction(payload)]


def _get_teams(payload: Object) -> set[str]:
    """Return the teams of a request: in a shared channel also that of our installation."""
    teams = {
        get_id(payload, "team_id") or get_id(get_object(payload, "team"), "id"),
        get_id(payload, "context_team_id"),
        *(get_id(entry, "team_id") for entry in get_objects(payload, "authorizations")),
    }
    return teams - {""}


def _normalise_event(payload: Object, account: Object) -> ChannelEvent:
    event = get_object(payload, "event")
    handler = _EVENTS.get(get_text(event, "type"))
    if handler is None:
        return ignore(f"unhandled:{get_text(event, 'type')}")
    return handler(event, _Source(payload, account))


class _Source:
    """The user ids of our bot and the team of an event."""

    def __init__(self, payload: Object, account: Object) -> None:
        bots = {get_id(account, "bot_user_id")} | {
            get_id(entry, "user_id")
            for entry in get_objects(payload, "authorizations")
            if is_true(entry, "is_bot")
        }
        self.bot_users = frozenset(bots - {""})
        self.team = get_id(payload, "team_id")

    def is_mentioned(self, event: Object) -> bool:
        """Return whether *event* is for our bot. A mention can have a label: `<@U1|name>`."""
        text = get_message_text(event)
        return get_text(event, "type") == "app_mention" or any(
            f"<@{bot}{end}" in text for bot in self.bot_users for end in (">", "|")
        )


def _normalise_message(event: Object, source: _Source) -> ChannelEvent:
    subtype = get_text(event, "subtype")
    if subtype == "message_changed":
        return _normalise_edit(event, source)
    if subtype == "message_deleted":
        return _normalise_deletion(event, source)
    if subtype in _JOINS:
        return _build_participants(event, _JOINS[subtype], source)
    if _is_of_bot(event, source):
        return ignore("bot_message")
    if is_true(event, "hidden"):
        return ignore("hidden")
    if subtype not in _TEXT_SUBTYPES:
        return ignore(f"unhandled:{subtype}")
    return _build_message(event, source)


def _is_of_bot(message: Object, source: _Source) -> bool:
    return (
        get_text(message, "subtype") == "bot_message"
        or bool(get_id(message, "bot_id"))
        or get_id(message, "user") in {_SLACKBOT, *source.bot_users}
    )


def _build_message(event: Object, source: _Source) -> ChannelEvent:
    ts = get_id(event, "ts")
    thread = get_id(event, "thread_ts")
    is_direct = _is_direct(event)
    user = get_id(event, "user")
    return build_message(
        build_content(event),
        {
            "receiver": source.team,
            "group": not is_direct,
            "mentioned": source.is_mentioned(event),
            "channel": get_id(event, "channel"),
            "thread": thread or ts,
        },
        external_id=ts,
        sender={"id": user} if user else None,
        conversation_key=_get_key(event, thread or ts),
        at=from_unix(get_number(event, "ts")),
        reply_to=thread if thread != ts else None,
    )


def _is_direct(event: Object) -> bool:
    return get_text(event, "channel_type") in _DIRECT or get_id(event, "channel").startswith("D")


def _get_key(event: Object, thread: str) -> str:
    """Return the key: of a thread in a channel, or of a direct message and its threads."""
    is_unthreaded = _is_direct(event) and not get_id(event, "thread_ts")
    return get_conversation_key(get_id(event, "channel"), "" if is_unthreaded else thread)


def _normalise_edit(event: Object, source: _Source) -> ChannelEvent:
    message = get_object(event, "message")
    before = get_object(event, "previous_message")
    if get_text(message, "subtype") == "tombstone":
        return _normalise_deletion(event, source)
    # Slack also sends this event for link previews, thread counts and metadata.
    if get_message_text(message) == get_message_text(before):
        return ignore("unchanged_edit")
    if _is_of_bot(message, source):
        return ignore("bot_message")
    ts = get_id(message, "ts") or get_id(before, "ts")
    user = get_id(message, "user")
    return build_event(
        "edit",
        target=ts,
        sender={"id": user} if user else None,
        conversation_key=_get_changed_key(event, message, ts),
        content=build_content(message),
        at=from_unix(get_number(event, "event_ts")),
    )


def _get_changed_key(event: Object, message: Object, ts: str) -> str:
    thread = get_id(message, "thread_ts")
    return _get_key({**event, **drop_empty(thread_ts=thread)}, thread or ts)


def _normalise_deletion(event: Object, _source: _Source) -> ChannelEvent:
    before = get_object(event, "previous_message")
    target = get_id(event, "deleted_ts") or get_id(before, "ts")
    return build_event(
        "delete",
        target=target,
        conversation_key=_get_changed_key(event, before, target),
        at=from_unix(get_number(event, "event_ts")),
    )


def _build_participants(event: Object, action: str, source: _Source) -> ChannelEvent:
    user = get_id(event, "user")
    return build_event(
        "participants",
        {"own": user in source.bot_users},
        conversation_key=f"channel:{get_id(event, 'channel')}",
        sender={"id": user} if user else None,
        action=action,
    )


def _normalise_join(event: Object, source: _Source) -> ChannelEvent:
    is_join = get_text(event, "type") == "member_joined_channel"
    return _build_participants(event, "join" if is_join else "leave", source)


def _normalise_reaction(event: Object, source: _Source) -> ChannelEvent:
    item = get_object(event, "item")
    user = get_id(event, "user")
    if get_text(item, "type") != "message":
        return ignore(f"unhandled:reaction:{get_text(item, 'type')}")
    if user in source.bot_users:
        return ignore("bot_message")
    is_new = get_text(event, "type") == "reaction_added"
    return build_event(
        "reaction",
        {"channel": get_id(item, "channel")},
        sender={"id": user} if user else None,
        target=get_id(item, "ts"),
        action="add" if is_new else "remove",
        emoji=get_text(event, "reaction"),
        at=from_unix(get_number(event, "event_ts")),
    )


def _normalise_end_of_access(event: Object, _source: _Source) -> ChannelEvent:
    tokens = get_object(event, "tokens")
    if tokens.get("oauth") and not tokens.get("bot"):  # only of users, for whom we do not act
        return ignore("unhandled:tokens_revoked")
    return build_event("account", state=get_text(event, "type"))


_EVENTS: Final[dict[str, Callable[[Object, _Source], ChannelEvent]]] = {
    "message": _normalise_message,
    "app_mention": _normalise_message,
    "reaction_added": _normalise_reaction,
    "reaction_removed": _normalise_reaction,
    "member_joined_channel": _normalise_join,
    "member_left_channel": _normalise_join,
    "tokens_revoked": _normalise_end_of_access,
    "app_uninstalled": _normalise_end_of_access,
}

"""The events that webhooks are normalised to, and functions that build them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from backend.services.chat.domain.channels.fields import Json, Object, drop_empty, get_id, get_text

Kind = Literal[
    "message",
    "edit",
    "delete",
    "undelete",
    "reaction",
    "status",
    "identity",
    "participants",
    "handover",
    "template",
    "account",
    "call",
    "typing",
    "optin",
    "preference",
    "challenge",
    "ignored",
]

MEDIA_TYPES: Final = ("image", "audio", "video")


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """One event of a webhook.

    Attributes:
        kind: what happened.
        fields: the event as it is shown and stored; `at` and `watermark` are ISO 8601 times.
        context: what the service needs to process the event and to answer on the channel:
            `group` and `mentioned` (bool), `album`, `receiver` (the provider's id of our account),
            `occurrence` (what distinguishes the event from an equal one at another time), and
            identifiers of the channel such as `service_url` or `callback_query_id`.
    """

    kind: Kind
    fields: Mapping[str, Json]
    context: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, **self.fields}

    def get_text(self, key: str) -> str:
        return get_id(self.fields, key)


def build_event(
    kind: Kind, context: Mapping[str, Json] | None = None, /, **fields: Json
) -> ChannelEvent:
    """Return an event with those of *fields* that are not empty."""
    return ChannelEvent(kind, drop_empty(**fields), context or {})


def build_message(
    content: dict[str, Json],
    context: Mapping[str, Json] | None = None,
    /,
    *,
    direction: Literal["inbound", "outbound"] = "inbound",
    **fields: Json,
) -> ChannelEvent:
    """Return a message event. *content* keeps its empty values, such as the text ""."""
    return ChannelEvent(
        "message",
        {"direction": direction, **drop_empty(**fields), "content": content},
        context or {},
    )


def mark_occurrence(events: Iterable[ChannelEvent], occurrence: str) -> list[ChannelEvent]:
    """Return *events*, those without a time with *occurrence* unless they have one.

    A user can say stop, start and stop again: the third event equals the first one, and is not that
    one sent again.

    Args:
        occurrence: the provider's id or time of what it sent, the same when it is sent again.
    """
    return [
        event
        if not occurrence or "at" in event.fields or event.context.get("occurrence")
        else replace(event, context={**event.context, "occurrence": occurrence})
        for event in events
    ]


def ignore(reason: str) -> ChannelEvent:
    """Return an event that only says why a payload, or a part of it, is not processed."""
    return ChannelEvent("ignored", {"reason": reason[:200]})


def build_text(text: str) -> dict[str, Json]:
    return {"type": "text", "text": text}


def build_unsupported(what: str = "", error: dict[str, Json] | None = None) -> dict[str, Json]:
    return {"type": "unsupported", **drop_empty(what=what[:100], error=error)}


def build_choice(
    choice_id: str, title: str = "", *, action: str = "", description: str = ""
) -> dict[str, Json]:
    """Return the content of a chosen option. Its text is the title, which the user has seen."""
    choice = drop_empty(id=choice_id, title=title, action=action, description=description)
    return {"type": "choice", "choice": choice, **drop_empty(text=title)}


def build_location(
    latitude: float | None, longitude: float | None, name: str = ""
) -> dict[str, Json]:
    if latitude is None or longitude is None:
        return build_unsupported("location")
    return {
        "type": "location",
        "latitude": latitude,
        "longitude": longitude,
        **drop_empty(name=name),
    }


def build_media(
    media_type: str, attachments: Sequence[dict[str, Json]], text: str = "", **extra: Json
) -> dict[str, Json]:
    return {
        "type": media_type,
        **drop_empty(text=text),
        "attachments": list(attachments),
        **drop_empty(**extra),
    }


def get_media_type(mime_types: Sequence[str]) -> str:
    """Return `image`, `audio` or `video` if all of *mime_types* are of it, else `file`."""
    families = {mime.partition("/")[0].lower() for mime in mime_types}
    family = families.pop() if len(families) == 1 else ""
    return family if family in MEDIA_TYPES else "file"


def build_error(error: Object) -> dict[str, Json]:
    """Return code and title of the error object of a Meta webhook."""
    return drop_empty(code=get_id(error, "code"), title=get_text(error, "title", "message"))

"""The channels with webhooks: one row each."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from backend.services.chat.domain.channels import (
    generic,
    messenger,
    slack,
    teams,
    telegram,
    twilio,
    whatsapp,
)
from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import Json, Object, get_id, get_object

_MAX_KEY: Final = 200


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A channel that sends webhooks.

    Attributes:
        normalise: turns a parsed body and the account's settings into events; never raises.
    """

    name: str
    normalise: Callable[[Object, Object], list[ChannelEvent]]


CHANNELS: Final[Mapping[str, WebhookChannel]] = MappingProxyType(
    {
        channel.name: channel
        for channel in (
            WebhookChannel("whatsapp", whatsapp.normalise),
            WebhookChannel("messenger", messenger.normalise),
            WebhookChannel("instagram", messenger.normalise),
            WebhookChannel("slack", slack.normalise),
            WebhookChannel("teams", teams.normalise),
            WebhookChannel("telegram", telegram.normalise),
            WebhookChannel("twilio", twilio.normalise),
            WebhookChannel("generic", generic.normalise),
        )
    }
)


def build_dedup_key(event: ChannelEvent) -> str:
    """Return the key under which an event of an account is stored once.

    The key of a message is its id in its conversation, because Slack and Telegram number messages
    in each one; of a status its target, state and error; of other events a hash, which includes
    what distinguishes them from an equal event at another time.
    """
    fields = event.fields
    if event.kind == "message" and "external_id" in fields:
        return _build_key("message", fields, "conversation_key", "external_id")
    if event.kind == "status" and "target" in fields:
        code = get_id(get_object(fields, "error"), "code")
        return _build_key(
            "status", {**fields, "code": code}, "target", "status", "recipient", "code"
        )
    occurrence = get_id(event.context, "occurrence")
    shown = event.to_json()
    return f"{event.kind}:{_hash({**shown, 'occurrence': occurrence} if occurrence else shown)}"


def _build_key(kind: str, fields: Mapping[str, Json], *names: str) -> str:
    key = ":".join([kind, *(get_id(fields, name) for name in names)])
    return key if len(key) <= _MAX_KEY else f"{kind}:{_hash(key)}"


def _hash(value: Json | dict[str, Json]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

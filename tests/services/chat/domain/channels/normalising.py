"""Normalise payloads that are written as Python values."""

from typing import Any

from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.registry import CHANNELS


def normalise(
    channel: str, payload: dict[str, Any], account: dict[str, Any] | None = None
) -> list[ChannelEvent]:
    return CHANNELS[channel].normalise(payload, account or {})


def normalise_one(
    channel: str, payload: dict[str, Any], account: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the only event of *payload* as it is shown."""
    events = normalise(channel, payload, account)
    assert len(events) == 1
    return events[0].to_json()


def whatsapp(field: str = "messages", **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"}
    change = {"field": field, "value": {"metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


def whatsapp_message(**message: Any) -> dict[str, Any]:
    common = {"from": "15550150100", "id": "wamid.1", "timestamp": "1749416383"}
    return whatsapp(messages=[{**common, **message}])


def messenger(**item: Any) -> dict[str, Any]:
    common = {
        "sender": {"id": "PSID"},
        "recipient": {"id": "PAGE"},
        "timestamp": 1749416383000,
    }
    return {"object": "page", "entry": [{"id": "PAGE", "messaging": [{**common, **item}]}]}


def slack(**event: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "authorizations": [{"user_id": "UBOT", "is_bot": True}],
        "event": event,
    }


def slack_message(**event: Any) -> dict[str, Any]:
    common = {"type": "message", "user": "U1", "channel": "C1", "ts": "1610262363.001600"}
    return slack(**{**common, "channel_type": "channel", **event})


def teams(**activity: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "1",
        "timestamp": "2026-01-31T12:00:00.5Z",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "from": {"id": "29:u", "aadObjectId": "aad-1", "name": "Ann"},
        "recipient": {"id": "28:bot", "name": "Helper"},
        "conversation": {"id": "a:1", "conversationType": "personal"},
        **activity,
    }


def telegram(name: str = "message", /, **update: Any) -> dict[str, Any]:
    common = {
        "message_id": 7,
        "date": 1749416383,
        "chat": {"id": 23, "type": "private"},
        "from": {"id": 23, "is_bot": False, "first_name": "Ann"},
    }
    return {"update_id": 1, name: {**common, **update}}


def twilio(**fields: str) -> dict[str, Any]:
    return {"MessageSid": "SM1", "From": "+15550100", "To": "+15550199", "NumMedia": "0", **fields}

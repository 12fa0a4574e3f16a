"""Webhooks of the simulated providers: messages, statuses and echoes, signed as the real ones."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt

from backend.services.chat.jobs.simulation.providers import (
    MessengerSimulator,
    TeamsSimulator,
    TwilioSimulator,
    WhatsAppSimulator,
)
from backend.services.chat.jobs.simulation.server import Simulator, StoredMessage


@dataclass(frozen=True, slots=True)
class Webhook:
    """The body of a webhook and its headers, with the signature."""

    body: bytes
    headers: Mapping[str, str]


def build_message(simulator: Simulator, url: str, person: int, text: str) -> Webhook:
    """Return the webhook of a message.

    Args:
        url: public URL of the webhook, which Twilio signs.
        person: number of the sender, from which its ids are made.
    """
    payload = _MESSAGES[simulator.channel](simulator, person, text)
    return sign(simulator, url, payload)


def get_key(simulator: Simulator, person: int) -> str:
    """Return the key of the conversation with a person."""
    address = _get_address(person)
    return {
        "slack": f"channel:D{person:09d}",
        "teams": f"conversation:a:{person:09d}",
        "telegram": f"chat:{person:09d}".replace(":0", ":1", 1),
        "twilio": f"user:+{address}",
    }.get(simulator.channel, f"user:{address}")


def build_status(
    simulator: Simulator, url: str, message: StoredMessage, status: str
) -> Webhook | None:
    """Return the webhook of a status or an echo, or None if the provider sends none."""
    builder = _STATUSES.get(simulator.channel)
    payload = None if builder is None else builder(message, status)
    return None if payload is None else sign(simulator, url, payload)


def sign(simulator: Simulator, url: str, payload: Mapping[str, Any]) -> Webhook:
    """Return *payload* with the signature of the provider."""
    credentials, now = simulator.get_credentials(), int(time.time())
    body = json.dumps(payload).encode()
    headers = {"Content-Type": "application/json"}
    match simulator.channel:
        case "whatsapp" | "messenger":
            digest = hmac.new(credentials["app_secret"].encode(), body, "sha256").hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        case "slack":
            text = f"v0:{now}:".encode() + body
            digest = hmac.new(credentials["signing_secret"].encode(), text, "sha256").hexdigest()
            headers["X-Slack-Request-Timestamp"] = str(now)
            headers["X-Slack-Signature"] = f"v0={digest}"
        case "telegram":
            headers["X-Telegram-Bot-Api-Secret-Token"] = credentials["webhook_secret"]
        case "twilio":
            body = urlencode(payload).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["X-Twilio-Signature"] = _sign_twilio(credentials["auth_token"], url, payload)
        case "generic":
            headers |= _sign_generic(credentials["secret"], str(payload["data"]["id"]), now, body)
        case "teams" if isinstance(simulator, TeamsSimulator):
            headers["Authorization"] = f"Bearer {_create_token(simulator, now)}"
    return Webhook(body, headers)


def _sign_twilio(token: str, url: str, payload: Mapping[str, Any]) -> str:
    text = url + "".join(key + str(payload[key]) for key in sorted(payload))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def _sign_generic(secret: str, webhook_id: str, now: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{now}.".encode() + body, "sha256")
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _create_token(simulator: TeamsSimulator, now: int) -> str:
    claims = {
        "iss": "https://api.botframework.com",
        "aud": simulator.APP_ID,
        "serviceurl": simulator.url,
        "nbf": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, simulator.signing_key, "RS256", headers={"kid": simulator.key_id})


def _get_address(person: int) -> str:
    return f"1555{person:07d}"


def _build_whatsapp(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    address = _get_address(person)
    return _wrap_whatsapp(
        {
            "contacts": [{"profile": {"name": f"Person {person}"}, "wa_id": address}],
            "messages": [
                {
                    "from": address,
                    "id": f"wamid.in.{person}.{time.time_ns()}",
                    "timestamp": str(int(time.time())),
                    "type": "text",
                    "text": {"body": text},
                }
            ],
        }
    )


def _wrap_whatsapp(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {
        "display_phone_number": "15550100001",
        "phone_number_id": WhatsAppSimulator.PHONE,
    }
    value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
    change = {"field": "messages", "value": value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "100", "changes": [change]}],
    }


def _build_messenger(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    message = {"mid": f"m_in.{person}.{time.time_ns()}", "text": text}
    return _wrap_messenger(_get_address(person), MessengerSimulator.PAGE, {"message": message})


def _wrap_messenger(sender: str, recipient: str, event: Mapping[str, Any]) -> dict[str, Any]:
    now = int(time.time() * 1000)
    item = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": now, **event}
    entry = {"id": MessengerSimulator.PAGE, "time": now, "messaging": [item]}
    return {"object": "page", "entry": [entry]}


def _build_slack(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    event = {
        "type": "message",
        "channel_type": "im",
        "channel": f"D{person:09d}",
        "user": f"U{person:09d}",
        "text": text,
        "ts": f"{time.time():.6f}",
    }
    return {
        "type": "event_callback",
        "team_id": "T0001",
        "api_app_id": "A0001",
        "event": event,
        "event_id": f"Ev{time.time_ns()}",
        "event_time": int(time.time()),
    }


def _build_teams(simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    app_id = simulator.get_settings()["app_id"]
    return {
        "type": "message",
        "id": str(time.time_ns()),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "serviceUrl": simulator.url,
        "channelId": "msteams",
        "from": {"id": f"29:{person}", "name": f"Person {person}", "aadObjectId": f"aad-{person}"},
        "conversation": {"id": f"a:{person:09d}", "conversationType": "personal"},
        "recipient": {"id": f"28:{app_id}", "name": "Bot"},
        "text": text,
    }


def _build_telegram(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    chat = int(f"1{person:08d}")
    number = time.time_ns() // 1_000 % 2_000_000_000
    sender = {"id": chat, "is_bot": False, "first_name": f"Person {person}"}
    message = {
        "message_id": number,
        "date": int(time.time()),
        "chat": {"id": chat, "type": "private", "first_name": f"Person {person}"},
        "from": sender,
        "text": text,
    }
    return {"update_id": number, "message": message}


def _build_twilio(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    return {
        "MessageSid": f"SM{time.time_ns():032d}",
        "AccountSid": TwilioSimulator.SID,
        "From": f"+{_get_address(person)}",
        "To": TwilioSimulator.NUMBER,
        "Body": text,
        "NumMedia": "0",
    }


def _build_generic(_simulator: Simulator, person: int, text: str) -> dict[str, Any]:
    data = {"id": f"msg_{time.time_ns()}", "user_id": _get_address(person), "text": text}
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"type": "message", "timestamp": at, "data": data}


_MESSAGES = {
    "whatsapp": _build_whatsapp,
    "messenger": _build_messenger,
    "slack": _build_slack,
    "teams": _build_teams,
    "telegram": _build_telegram,
    "twilio": _build_twilio,
    "generic": _build_generic,
}


def _build_whatsapp_status(message: StoredMessage, status: str) -> dict[str, Any]:
    item = {
        "id": message.id,
        "status": status,
        "timestamp": str(int(time.time())),
        "recipient_id": message.to,
        "biz_opaque_callback_data": message.ref,
    }
    return _wrap_whatsapp({"statuses": [item]})


def _build_messenger_status(message: StoredMessage, status: str) -> dict[str, Any] | None:
    if status == "sent":
        echo = {
            "mid": message.id,
            "text": message.text,
            "is_echo": True,
            "app_id": 1,
            "metadata": message.ref,
        }
        return _wrap_messenger(MessengerSimulator.PAGE, message.to, {"message": echo})
    now = int(time.time() * 1000)
    event = {"delivery": {"mids": [message.id], "watermark": now}}
    return _wrap_messenger(message.to, MessengerSimulator.PAGE, event)


def _build_twilio_status(message: StoredMessage, status: str) -> dict[str, Any]:
    return {
        "MessageSid": message.id,
        "MessageStatus": status,
        "AccountSid": TwilioSimulator.SID,
        "From": TwilioSimulator.NUMBER,
        "To": message.to,
    }


_STATUSES = {
    "whatsapp": _build_whatsapp_status,
    "messenger": _build_messenger_status,
    "twilio": _build_twilio_status,
}

"""The simulated providers: their routes, ids, errors and tokens."""

import base64
import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import cached_property
from secrets import token_hex
from typing import Any, ClassVar, Final
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from backend.services.chat.jobs.simulation.server import (
    SimulatedRequest,
    SimulatedResponse,
    Simulator,
)

_TOKEN: Final = "simulated-token"  # noqa: S105 - of a simulator
_WEBHOOK_SECRET: Final = "simulated-secret"  # noqa: S105


class _BearerSimulator(Simulator):
    def is_authorized(self, request: SimulatedRequest) -> bool:
        return request.headers.get("authorization") == f"Bearer {_TOKEN}"


class _MetaSimulator(_BearerSimulator):
    """Errors of the Graph API."""

    _CODES: ClassVar = {
        "rate_limited": (400, 130429, "Rate limit hit"),
        "unavailable": (503, 131016, "Service unavailable"),
        "server_error": (500, 1, "API unknown error"),
        "rejected": (400, 100, "Invalid parameter"),
        "window": (400, 131047, "Re-engagement message"),
        "revoked": (401, 190, "Error validating access token"),
    }

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        status, code, message = self._CODES[kind]
        headers = {"Retry-After": str(retry_after)} if kind == "rate_limited" else {}
        error = {"message": message, "type": "OAuthException", "code": code}
        return SimulatedResponse(status, {"error": error}, headers)


class WhatsAppSimulator(_MetaSimulator):
    """WhatsApp Cloud API."""

    channel = "whatsapp"
    PHONE: Final = "100000000000001"
    BUSINESS: Final = "100000000000009"
    _CODES: ClassVar = _MetaSimulator._CODES | {
        "template_paused": (400, 132015, "Template is paused"),
    }

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(address, port)
        self.templates: list[dict[str, Any]] = [
            {
                "id": "1",
                "name": "hello",
                "language": "en",
                "category": "UTILITY",
                "status": "APPROVED",
                "components": [{"type": "BODY", "text": "Hello {{1}}"}],
                "rejected_reason": "NONE",
            }
        ]
        # Meta may return fewer templates than the limit of the request.
        self.max_page_size = 100

    def get_settings(self) -> dict[str, Any]:
        return {
            "phone_number_id": self.PHONE,
            "business_account_id": self.BUSINESS,
            "api_url": f"{self.url}/v23.0",
        }

    def get_credentials(self) -> dict[str, str]:
        return {
            "access_token": _TOKEN,
            "app_secret": _WEBHOOK_SECRET,
            "verify_token": _WEBHOOK_SECRET,
        }

    def make_id(self, number: int) -> str:
        return f"wamid.{number:020d}"

    def sends(self, request: SimulatedRequest) -> bool:
        return request.path.endswith("/messages")

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if request.path.endswith("/media"):
            return SimulatedResponse(200, {"id": f"media-{len(self.requests)}"})
        if request.path.endswith(f"/{self.BUSINESS}/message_templates"):
            return SimulatedResponse(200, self._list_templates(request.query))
        if not self.sends(request):
            return SimulatedResponse(200, {"id": self.PHONE})
        fields = request.fields
        to = str(fields.get("to") or fields.get("recipient"))
        message_id = self.store(
            to, _read_text(fields), fields.get("biz_opaque_callback_data"), fields
        )
        return SimulatedResponse(200, {"messages": [{"id": message_id}]})

    def _list_templates(self, query: Mapping[str, str]) -> dict[str, Any]:
        start = int(query.get("after") or 0)
        end = start + min(int(query.get("limit") or 25), self.max_page_size)
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(end)}}
        if end < len(self.templates):
            paging["next"] = f"{self.url}{self.BUSINESS}/message_templates?after={end}"
        return {"data": self.templates[start:end], "paging": paging}


class MessengerSimulator(_MetaSimulator):
    """Messenger send API."""

    channel = "messenger"
    PAGE: Final = "200000000000002"
    _CODES: ClassVar = _MetaSimulator._CODES | {
        "rate_limited": (400, 613, "Calls to this API have exceeded the rate limit"),
        "unavailable": (503, 2, "Service temporarily unavailable"),
        "window": (400, 2018278, "Message sent outside of allowed window"),
    }

    def get_settings(self) -> dict[str, Any]:
        return {"page_id": self.PAGE, "api_url": f"{self.url}/v23.0"}

    def get_credentials(self) -> dict[str, str]:
        return {
            "access_token": _TOKEN,
            "app_secret": _WEBHOOK_SECRET,
            "verify_token": _WEBHOOK_SECRET,
        }

    def make_id(self, number: int) -> str:
        return f"m_{number:020d}"

    def sends(self, request: SimulatedRequest) -> bool:
        return request.path.endswith("/messages")

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if not self.sends(request):
            return SimulatedResponse(200, {"id": self.PAGE})
        message, recipient = _read_object(request, "message"), _read_object(request, "recipient")
        message_id = self.store(
            str(recipient.get("id")),
            str(message.get("text") or ""),
            message.get("metadata"),
            request.fields,
        )
        return SimulatedResponse(
            200, {"recipient_id": recipient.get("id"), "message_id": message_id}
        )


class SlackSimulator(_BearerSimulator):
    """Slack Web API. Errors have the status 200."""

    channel = "slack"
    _ERRORS: Final = {
        "server_error": (500, "internal_error"),
        "unavailable": (503, "service_unavailable"),
        "rejected": (200, "is_archived"),
        "window": (200, "restricted_action"),
        "revoked": (200, "token_revoked"),
    }

    def get_settings(self) -> dict[str, Any]:
        return {"api_url": f"{self.url}/api", "team_id": "T0001", "bot_id": "B0001"}

    def get_credentials(self) -> dict[str, str]:
        return {"bot_token": _TOKEN, "signing_secret": _WEBHOOK_SECRET}

    def make_id(self, number: int) -> str:
        return f"{int(time.time())}.{number:06d}"

    def sends(self, request: SimulatedRequest) -> bool:
        return request.path.endswith("/chat.postMessage")

    def is_authorized(self, request: SimulatedRequest) -> bool:
        return request.path.startswith("/upload/") or super().is_authorized(request)

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        fields, method = request.fields, request.path.rpartition("/")[2]
        match method:
            case "chat.postMessage":
                payload = (fields.get("metadata") or {}).get("event_payload") or {}
                text = str(fields.get("text") or "")
                stored = self.store(str(fields.get("channel")), text, payload.get("ref"), fields)
                return _slack_ok(ts=stored, channel=fields.get("channel"))
            case "conversations.history" | "conversations.replies":
                return _slack_ok(messages=self._list_messages(request.query), has_more=False)
            case "files.getUploadURLExternal":
                number = len(self.requests)
                return _slack_ok(upload_url=f"{self.url}/upload/{number}", file_id=f"F{number:06d}")
            case "files.completeUploadExternal":
                file = fields["files"][0]
                comment = str(fields.get("initial_comment") or "")
                self.store(str(fields.get("channel_id")), comment, file["id"], fields)
                return _slack_ok(files=[file])
            case "files.info":
                file_id = request.query.get("file")
                shared = [item for item in self.messages if item.ref == file_id]
                return _slack_ok(file={"id": file_id, "shares": {"public": {}} if shared else {}})
        return _slack_ok(user_id="U0001")

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        if kind == "rate_limited":
            headers = {"Retry-After": str(retry_after)}
            return SimulatedResponse(429, {"ok": False, "error": "ratelimited"}, headers)
        status, error = self._ERRORS[kind]
        return SimulatedResponse(status, {"ok": False, "error": error})

    def _list_messages(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        oldest, channel = float(query.get("oldest") or 0), query.get("channel")
        return [
            {
                "type": "message",
                "ts": message.id,
                "text": message.text,
                "metadata": message.fields.get("metadata"),
            }
            for message in reversed(self.messages)
            if message.to == channel and float(message.id) >= oldest
        ]


class TelegramSimulator(Simulator):
    """Telegram Bot API."""

    channel = "telegram"
    _ERRORS: Final = {
        "server_error": (500, "Internal Server Error"),
        "unavailable": (503, "Service Unavailable"),
        "rejected": (400, "Bad Request: chat not found"),
        "window": (403, "Forbidden: bot was blocked by the user"),
        "revoked": (401, "Unauthorized"),
    }

    def get_settings(self) -> dict[str, Any]:
        return {"api_url": self.url, "bot_id": "300000003", "bot_username": "simulated_bot"}

    def get_credentials(self) -> dict[str, str]:
        return {"bot_token": f"300000003:{_TOKEN}", "webhook_secret": _WEBHOOK_SECRET}

    def make_id(self, number: int) -> str:
        return str(number)

    def sends(self, request: SimulatedRequest) -> bool:
        return "/send" in request.path

    def is_authorized(self, request: SimulatedRequest) -> bool:
        return request.path.startswith(f"/bot300000003:{_TOKEN}/")

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if not self.sends(request):
            return SimulatedResponse(200, {"ok": True, "result": {"id": 300000003}})
        fields = request.fields
        text = str(fields.get("text") or fields.get("caption") or "")
        message_id = self.store(str(fields.get("chat_id")), text, None, fields)
        result = {"message_id": int(message_id), "date": int(time.time())}
        return SimulatedResponse(200, {"ok": True, "result": result})

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        if kind == "rate_limited":
            content = {
                "ok": False,
                "error_code": 429,
                "description": f"Too Many Requests: retry after {retry_after}",
                "parameters": {"retry_after": retry_after},
            }
            return SimulatedResponse(429, content)
        status, description = self._ERRORS[kind]
        content = {"ok": False, "error_code": status, "description": description}
        return SimulatedResponse(status, content)


class TeamsSimulator(_BearerSimulator):
    """Bot Framework connector, and the login that issues its tokens."""

    channel = "teams"
    _ERRORS: Final = {
        "server_error": (500, "ServiceError"),
        "unavailable": (502, "BadGateway"),
        "rejected": (403, "BotNotInConversationRoster"),
        "window": (403, "MessageWritesBlocked"),
        "revoked": (401, "Unauthorized"),
    }

    APP_ID: Final = "00000000-0000-4000-8000-000000000004"

    @cached_property
    def key_id(self) -> str:
        """Differs between simulators: a running suite keeps the keys of earlier ones for a day."""
        return f"simulated-{token_hex(8)}"

    @cached_property
    def signing_key(self) -> RSAPrivateKey:
        """The key that signs the tokens of webhooks."""
        return generate_private_key(public_exponent=65537, key_size=2048)

    def get_settings(self) -> dict[str, Any]:
        return {
            "app_id": self.APP_ID,
            "login_url": f"{self.url}/login",
            "openid_url": f"{self.url}/login/openid/{self.key_id}",
        }

    def get_credentials(self) -> dict[str, str]:
        return {"app_password": _WEBHOOK_SECRET}

    def sends(self, request: SimulatedRequest) -> bool:
        return request.method == "POST" and request.path.endswith("/activities")

    def is_authorized(self, request: SimulatedRequest) -> bool:
        return request.path.startswith("/login/") or super().is_authorized(request)

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if request.path == f"/login/openid/{self.key_id}":
            return SimulatedResponse(200, {"jwks_uri": f"{self.url}/login/keys"})
        if request.path == "/login/keys":
            key = json.loads(RSAAlgorithm.to_jwk(self.signing_key.public_key()))
            return SimulatedResponse(
                200, {"keys": [{**key, "kid": self.key_id, "endorsements": ["msteams"]}]}
            )
        if request.path.startswith("/login/"):
            return SimulatedResponse(200, {"access_token": _TOKEN, "expires_in": 3600})
        if not self.sends(request):
            return SimulatedResponse(200, {})
        conversation = unquote(request.path.split("/")[-2])
        text = str(request.fields.get("text") or "")
        return SimulatedResponse(201, {"id": self.store(conversation, text, None, request.fields)})

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        if kind == "rate_limited":
            headers = {"Retry-After": str(retry_after)}
            return SimulatedResponse(429, {"error": {"code": "TooManyRequests"}}, headers)
        status, code = self._ERRORS[kind]
        content: dict[str, Any] = {"error": {"code": code, "message": code}}
        if kind == "revoked":
            content = {"error": "invalid_client", "error_description": "AADSTS7000215"}
        return SimulatedResponse(status, content)


class TwilioSimulator(Simulator):
    """Twilio's Messages API."""

    channel = "twilio"
    SID: Final = "AC00000000000000000000000000000005"
    NUMBER: Final = "+15550100005"
    _ERRORS: Final = {
        "server_error": (500, 20500, "Internal Server Error"),
        "unavailable": (503, 20503, "Service Unavailable"),
        "rejected": (400, 21211, "Invalid 'To' Phone Number"),
        "window": (400, 63016, "Outside the allowed window"),
        "revoked": (401, 20003, "Authenticate"),
    }

    def get_settings(self) -> dict[str, Any]:
        return {"account_sid": self.SID, "number": self.NUMBER, "api_url": self.url}

    def get_credentials(self) -> dict[str, str]:
        return {"auth_token": _TOKEN}

    def make_id(self, number: int) -> str:
        return f"SM{number:032d}"

    def sends(self, request: SimulatedRequest) -> bool:
        return request.method == "POST" and request.path.endswith("/Messages.json")

    def is_authorized(self, request: SimulatedRequest) -> bool:
        token = base64.b64encode(f"{self.SID}:{_TOKEN}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {token}"

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if self.sends(request):
            fields = request.fields
            ref = str(fields.get("StatusCallback") or "").rpartition("ref=")[2] or None
            sid = self.store(str(fields.get("To")), str(fields.get("Body") or ""), ref, fields)
            return SimulatedResponse(201, {"sid": sid, "status": "queued"})
        if not request.path.endswith("/Messages.json"):
            return SimulatedResponse(200, {"sid": self.SID, "status": "active"})
        messages = [
            {
                "sid": message.id,
                "to": message.to,
                "body": message.text,
                "direction": "outbound-api",
                "date_created": formatdate(message.at),
            }
            for message in reversed(self.messages)
            if message.to == request.query.get("To")
        ]
        return SimulatedResponse(200, {"messages": messages[:100], "next_page_uri": None})

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        if kind == "rate_limited":
            headers = {"Retry-After": str(retry_after)}
            content = {"code": 20429, "message": "Too Many Requests", "status": 429}
            return SimulatedResponse(429, content, headers)
        status, code, message = self._ERRORS[kind]
        return SimulatedResponse(status, {"code": code, "message": message, "status": status})


class GenericSimulator(Simulator):
    """A receiver of Standard Webhooks. It ignores repeated ids, as the specification asks."""

    channel = "generic"
    SECRET: Final = "whsec_" + base64.b64encode(b"simulated-secret-of-32-bytes-len").decode()

    def get_settings(self) -> dict[str, Any]:
        return {"url": f"{self.url}/hook"}

    def get_credentials(self) -> dict[str, str]:
        return {"secret": self.SECRET}

    def sends(self, request: SimulatedRequest) -> bool:
        return request.path == "/hook"

    def is_authorized(self, request: SimulatedRequest) -> bool:
        return bool(request.headers.get("webhook-signature"))

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        webhook_id = request.headers.get("webhook-id", "")
        if not any(message.ref == webhook_id for message in self.messages):
            data = _read_object(request, "data")
            key, text = str(data.get("conversation_key")), str(data.get("text") or "")
            self.store(key, text, webhook_id, request.fields)
        return SimulatedResponse(204)

    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        statuses = {"rate_limited": 429, "unavailable": 503, "server_error": 500, "revoked": 410}
        headers = {"Retry-After": str(retry_after)} if kind == "rate_limited" else {}
        return SimulatedResponse(statuses.get(kind, 400), None, headers)


SIMULATORS: Final[Mapping[str, type[Simulator]]] = {
    simulator.channel: simulator
    for simulator in (
        WhatsAppSimulator,
        MessengerSimulator,
        SlackSimulator,
        TeamsSimulator,
        TelegramSimulator,
        TwilioSimulator,
        GenericSimulator,
    )
}


def _slack_ok(**fields: Any) -> SimulatedResponse:
    return SimulatedResponse(200, {"ok": True, **fields})


def _read_object(request: SimulatedRequest, name: str) -> dict[str, Any]:
    """Return a member that is an object, or its JSON text in a form."""
    value = request.fields.get(name)
    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, dict) else {}


def _read_text(fields: Mapping[str, Any]) -> str:
    text = (fields.get("text") or {}).get("body")
    return str(text or ((fields.get("interactive") or {}).get("body") or {}).get("text") or "")

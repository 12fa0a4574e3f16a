"""Telegram Bot API. It has no way to find a sent message again."""

import json
from typing import Any, Final

from backend.services.chat.clients.multipart import encode_form
from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    Proof,
    SendJob,
    SendOutcome,
    classify_status,
    describe_failure,
)
from backend.services.chat.clients.parts import FileUnavailable, MediaFile, OutboundPart
from backend.services.chat.clients.provider_http import ProviderHttp, ProviderResponse
from backend.services.chat.model import TELEGRAM_DIRECT_TOPIC

_HOSTS: Final = ("api.telegram.org",)
_URL: Final = "https://api.telegram.org"
_FILE_METHODS: Final = {
    "image": ("sendPhoto", "photo"),
    "audio": ("sendAudio", "audio"),
    "video": ("sendVideo", "video"),
    "sticker": ("sendSticker", "sticker"),
    "file": ("sendDocument", "document"),
}


class TelegramClient:
    """Sends messages of a Telegram bot."""

    proof: Proof = "none"

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def send(self, job: SendJob) -> SendOutcome:
        try:
            if job.part.media is not None:
                response = self._send_file(job, job.part.media)
            else:
                method, fields = _build_request(job)
                response = self._call(job.account, method, {**_build_chat(job), **fields})
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        return _read_outcome(response)

    def look_up(self, _job: SendJob) -> SendOutcome:
        return SendOutcome("unknown", code="no_look_up", detail="Telegram finds no sent messages.")

    def check(self, account: ChannelAccount) -> SendOutcome:
        try:
            return _read_outcome(self._call(account, "getMe", {}))
        except PROVIDER_ERRORS as error:
            return describe_failure(error)

    def _call(
        self, account: ChannelAccount, method: str, fields: dict[str, Any]
    ) -> ProviderResponse:
        return self._http.send(
            "POST",
            _build_url(account, method),
            _HOSTS,
            headers={"Content-Type": "application/json"},
            body=json.dumps(fields).encode(),
        )

    def _send_file(self, job: SendJob, media: MediaFile) -> ProviderResponse:
        if job.load_file is None:
            raise FileUnavailable("The file cannot be read.")
        # The method for music accepts neither Ogg nor Opus.
        is_voice = media.type == "audio" and media.mime == "audio/ogg"
        method, name = ("sendVoice", "voice") if is_voice else _FILE_METHODS[media.type]
        fields: dict[str, Any] = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in _build_chat(job).items()
        }
        if job.part.text:
            fields |= {"caption": job.part.text, "parse_mode": "HTML"}
        fields[name] = (media.name, job.load_file(media), media.mime)
        body, content_type = encode_form(fields)
        return self._http.send(
            "POST",
            _build_url(job.account, method),
            _HOSTS,
            headers={"Content-Type": content_type},
            body=body,
        )


def _build_url(account: ChannelAccount, method: str) -> str:
    base = account.get_setting("api_url", _URL).rstrip("/")
    return f"{base}/bot{account.credentials.get('bot_token', '')}/{method}"


def _build_chat(job: SendJob) -> dict[str, Any]:
    # chat:CHAT, chat:CHAT:TOPIC, or one of them after business:CONNECTION:
    connection, is_business, place = job.address.rpartition(":chat:")
    chat, _, topic = place.partition(":")
    fields: dict[str, Any] = {"chat_id": job.progress.get("chat_id") or chat}
    if is_business and job.part.kind not in {"delete", "reaction"}:
        fields["business_connection_id"] = connection
    if topic and job.part.kind not in {"edit", "delete", "reaction"}:
        fields |= _build_topic(topic)
    if job.part.target and job.part.kind not in {"edit", "delete", "reaction"}:
        reply = {"message_id": int(job.part.target), "allow_sending_without_reply": True}
        fields["reply_parameters"] = reply
    return fields


def _build_topic(topic: str) -> dict[str, int]:
    direct = topic.removeprefix(TELEGRAM_DIRECT_TOPIC)
    name = "message_thread_id" if direct == topic else "direct_messages_topic_id"
    return {name: int(direct)}


def _build_request(job: SendJob) -> tuple[str, dict[str, Any]]:
    part = job.part
    text: dict[str, Any] = {"text": part.text, "parse_mode": "HTML"}
    if part.kind == "edit":
        return "editMessageText", {"message_id": int(part.target or 0), **text}
    if part.kind == "delete":
        return "deleteMessage", {"message_id": int(part.target or 0)}
    if part.kind == "reaction":
        reaction = [] if part.details.get("removed") else [{"type": "emoji", "emoji": part.text}]
        return "setMessageReaction", {"message_id": int(part.target or 0), "reaction": reaction}
    if part.kind == "contacts":
        contact = part.details["contacts"][0]
        return "sendContact", {"phone_number": contact["phones"][0], "first_name": contact["name"]}
    if part.kind == "location":
        return _build_location(part)
    if part.options:
        text |= {"reply_markup": {"inline_keyboard": _build_keyboard(part)}}
    return "sendMessage", text


def _build_location(part: OutboundPart) -> tuple[str, dict[str, Any]]:
    place = {name: part.details[name] for name in ("latitude", "longitude")}
    name, address = part.details.get("name"), part.details.get("address")
    if not name and not address:
        return "sendLocation", place
    return "sendVenue", {**place, "title": name or address, "address": address or name}


def _build_keyboard(part: OutboundPart) -> list[list[dict[str, str]]]:
    return [[{"text": option.title, "callback_data": option.id}] for option in part.options]


def _read_outcome(response: ProviderResponse) -> SendOutcome:
    body = response.json
    if response.status < 300 and body.get("ok") is True:
        result = body.get("result")
        message_id = result.get("message_id") if isinstance(result, dict) else None
        return SendOutcome("sent", None if message_id is None else str(message_id))
    code, detail = f"http_{response.status}", str(body.get("description") or "")
    values = body.get("parameters")
    parameters = values if isinstance(values, dict) else {}
    if isinstance(parameters.get("retry_after"), int):
        return SendOutcome("limited", None, code, detail, float(parameters["retry_after"]))
    if parameters.get("migrate_to_chat_id"):
        # The group has become a supergroup with another id.
        progress = {"chat_id": str(parameters["migrate_to_chat_id"])}
        return SendOutcome("retry", None, "chat_migrated", detail, progress=progress)
    if response.status == 404 and body.get("ok") is False:
        return SendOutcome("revoked", None, code, detail or "The token is not valid.")
    if "message is not modified" in detail:
        return SendOutcome("sent")
    return classify_status(response, code, detail)

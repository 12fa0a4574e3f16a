"""WhatsApp Cloud API: messages, media uploads.

The API finds no message again. Its statuses return `biz_opaque_callback_data`, our reference, so an
unknown outcome is settled by the next status.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.services.chat.clients import meta_graph
from backend.services.chat.clients.images import convert_to_png
from backend.services.chat.clients.multipart import encode_form
from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    Proof,
    SendJob,
    SendOutcome,
    describe_failure,
)
from backend.services.chat.clients.parts import FileUnavailable, MediaFile, OutboundPart
from backend.services.chat.clients.provider_http import ProviderHttp

_MEDIA_TYPES = {"file": "document"}


class WhatsAppClient:
    """Sends messages of a WhatsApp number."""

    proof: Proof = "event"

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def send(self, job: SendJob) -> SendOutcome:
        progress = dict(job.progress)
        try:
            if job.part.media is not None and "media_id" not in progress:
                outcome = self._upload(job, job.part.media)
                if outcome.state != "sent":
                    # An upload that may have happened leaves nothing in the conversation.
                    return _as_not_sent(outcome)
                progress["media_id"] = outcome.external_id
            body = _build_body(job, progress.get("media_id"))
            path = f"{job.account.get_setting('phone_number_id')}/messages"
            response = meta_graph.post_json(self._http, job.account, path, body)
        except PROVIDER_ERRORS as error:
            return replace(describe_failure(error), progress=progress)
        messages = response.json.get("messages")
        if response.status < 300 and isinstance(messages, list) and messages:
            return SendOutcome("sent", str(messages[0].get("id") or "") or None)
        if response.status < 300:
            return SendOutcome("unknown", code="no_message_id", detail="The response has no id.")
        return replace(meta_graph.read_error(response), progress=progress)

    def look_up(self, _job: SendJob) -> SendOutcome:
        return SendOutcome(
            "unknown", code="awaiting_status", detail="The status is not received yet."
        )

    def check(self, account: ChannelAccount) -> SendOutcome:
        url = f"{meta_graph.get_base_url(account)}/{account.get_setting('phone_number_id')}"
        try:
            response = self._http.send(
                "GET", url, meta_graph.HOSTS, headers=meta_graph.authorize(account)
            )
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        return SendOutcome("sent") if response.status < 300 else meta_graph.read_error(response)

    def _upload(self, job: SendJob, media: MediaFile) -> SendOutcome:
        if job.load_file is None:
            raise FileUnavailable("The file cannot be read.")
        content, mime, name = job.load_file(media), media.mime, media.name
        if media.convert_to:
            content, mime, name = convert_to_png(content), media.convert_to, f"{media.name}.png"
        body, content_type = encode_form(
            {"messaging_product": "whatsapp", "type": mime, "file": (name, content, mime)}
        )
        account = job.account
        url = f"{meta_graph.get_base_url(account)}/{account.get_setting('phone_number_id')}/media"
        headers = {**meta_graph.authorize(account), "Content-Type": content_type}
        response = self._http.send("POST", url, meta_graph.HOSTS, headers=headers, body=body)
        media_id = response.json.get("id")
        if response.status < 300 and media_id:
            return SendOutcome("sent", str(media_id))
        return meta_graph.read_error(response)


def _as_not_sent(outcome: SendOutcome) -> SendOutcome:
    return replace(outcome, state="retry") if outcome.state == "unknown" else outcome


def _build_body(job: SendJob, media_id: str | None) -> dict[str, Any]:
    part = job.part
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "biz_opaque_callback_data": job.ref,
        **_build_recipient(job),
    }
    if part.target and part.kind not in {"reaction", "edit", "delete"}:
        body["context"] = {"message_id": part.target}
    return body | _build_content(part, media_id)


def _build_recipient(job: SendJob) -> dict[str, str]:
    if job.key.startswith("group:"):
        return {"recipient_type": "group", "to": job.address}
    number = job.identities.get("wa_id") or ("" if "." in job.address else job.address)
    if number:
        return {"recipient_type": "individual", "to": number}
    # A business-scoped user id: the person has not shared a number.
    return {
        "recipient_type": "individual",
        "recipient": job.identities.get("bsuid") or job.address,
    }


def _build_content(part: OutboundPart, media_id: str | None) -> dict[str, Any]:
    if part.kind == "choice":
        return {"type": "interactive", "interactive": _build_interactive(part)}
    if part.kind == "media" and part.media is not None:
        kind = _MEDIA_TYPES.get(part.media.type, part.media.type)
        media: dict[str, Any] = {"id": media_id}
        if kind == "document":
            media["filename"] = part.media.name
        if part.text and kind not in {"audio", "sticker"}:
            media["caption"] = part.text
        return {"type": kind, kind: media}
    if part.kind == "location":
        return {"type": "location", "location": dict(part.details)}
    if part.kind == "contacts":
        contacts = [_build_contact(contact) for contact in part.details["contacts"]]
        return {"type": "contacts", "contacts": contacts}
    if part.kind == "template":
        return {"type": "template", "template": _build_template(part.details)}
    if part.kind == "reaction":
        reaction = {"message_id": part.target, "emoji": part.text}
        return {"type": "reaction", "reaction": reaction}
    return {"type": "text", "text": {"body": part.text, "preview_url": "://" in part.text}}


def _build_interactive(part: OutboundPart) -> dict[str, Any]:
    if part.as_list:
        rows = [
            {"id": option.id, "title": option.title}
            | ({"description": option.description} if option.description else {})
            for option in part.options
        ]
        action: dict[str, Any] = {"button": part.list_label, "sections": [{"rows": rows}]}
        return {"type": "list", "body": {"text": part.text}, "action": action}
    buttons = [
        {"type": "reply", "reply": {"id": option.id, "title": option.title}}
        for option in part.options
    ]
    return {"type": "button", "body": {"text": part.text}, "action": {"buttons": buttons}}


def _build_contact(contact: Mapping[str, Any]) -> dict[str, Any]:
    name = contact["name"]
    return {
        "name": {"formatted_name": name, "first_name": name},
        "phones": [{"phone": number} for number in contact["phones"]],
    }


def _build_template(details: Mapping[str, Any]) -> dict[str, Any]:
    components = details.get("components")
    if components is None and details.get("parameters"):
        parameters = [
            {"type": "text", "text": str(text)}
            | ({} if name.isdigit() else {"parameter_name": name})
            for name, text in details["parameters"].items()
        ]
        components = [{"type": "body", "parameters": parameters}]
    template = {"name": details.get("name"), "language": {"code": details.get("language", "en")}}
    return template | ({"components": components} if components else {})

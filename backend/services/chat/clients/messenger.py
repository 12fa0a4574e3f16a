"""Messenger and Instagram send API.

The API finds no message again. The echo of a message returns `metadata`, our reference, so an
unknown outcome is settled by the echo.
"""

import json
from typing import Any

from backend.services.chat.clients import meta_graph
from backend.services.chat.clients.multipart import encode_form
from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    Proof,
    SendJob,
    SendOutcome,
    describe_failure,
)
from backend.services.chat.clients.parts import FileUnavailable, MediaFile
from backend.services.chat.clients.provider_http import ProviderHttp, ProviderResponse

_MEDIA_TYPES = {"sticker": "image"}


class MessengerClient:
    """Sends messages of a page, or of an Instagram account."""

    proof: Proof = "event"

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def send(self, job: SendJob) -> SendOutcome:
        path = f"{job.account.get_setting('page_id', 'me')}/messages"
        try:
            if job.part.media is not None and job.part.media.link is None:
                response = self._send_file(job, path, job.part.media)
            else:
                response = meta_graph.post_json(self._http, job.account, path, _build_body(job))
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        if response.status >= 300:
            return meta_graph.read_error(response)
        message_id = response.json.get("message_id")
        if not message_id and job.part.kind != "reaction":
            return SendOutcome("unknown", code="no_message_id", detail="The response has no id.")
        return SendOutcome("sent", str(message_id) if message_id else None)

    def look_up(self, _job: SendJob) -> SendOutcome:
        return SendOutcome("unknown", code="awaiting_echo", detail="The echo is not received yet.")

    def check(self, account: ChannelAccount) -> SendOutcome:
        url = f"{meta_graph.get_base_url(account)}/me?fields=id"
        try:
            response = self._http.send(
                "GET", url, meta_graph.HOSTS, headers=meta_graph.authorize(account)
            )
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        return SendOutcome("sent") if response.status < 300 else meta_graph.read_error(response)

    def _send_file(self, job: SendJob, path: str, media: MediaFile) -> ProviderResponse:
        if job.load_file is None:
            raise FileUnavailable("The file cannot be read.")
        kind = _MEDIA_TYPES.get(media.type, media.type)
        body = _build_body(job)
        body["message"] |= {"attachment": {"type": kind, "payload": {"is_reusable": False}}}
        fields: dict[str, Any] = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in body.items()
        }
        fields["filedata"] = (media.name, job.load_file(media), media.mime)
        content, content_type = encode_form(fields)
        return self._http.send(
            "POST",
            f"{meta_graph.get_base_url(job.account)}/{path}",
            meta_graph.HOSTS,
            headers={**meta_graph.authorize(job.account), "Content-Type": content_type},
            body=content,
        )


def _build_body(job: SendJob) -> dict[str, Any]:
    part = job.part
    body: dict[str, Any] = {"recipient": {"id": job.address}}
    if part.kind == "reaction":
        action = "react" if part.text else "unreact"
        payload = {"message_id": part.target} | ({"reaction": part.text} if part.text else {})
        return body | {"sender_action": action, "payload": payload}
    if job.from_person and job.account.settings.get("human_agent"):
        # Lets a person answer for seven days instead of one. The app needs the permission.
        body |= {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    else:
        body |= {"messaging_type": "RESPONSE"}
    message: dict[str, Any] = {"metadata": job.ref}
    if part.media is not None and part.media.link is not None:
        kind = _MEDIA_TYPES.get(part.media.type, part.media.type)
        message["attachment"] = {"type": kind, "payload": {"url": part.media.link}}
    if part.text and part.media is None:
        message["text"] = part.text
    if part.options:
        message["quick_replies"] = [
            {"content_type": "text", "title": option.title, "payload": option.id}
            for option in part.options
        ]
    if part.target:
        body["reply_to"] = {"mid": part.target}
    return body | {"message": message}

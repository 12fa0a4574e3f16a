"""Slack Web API: messages, edits, deletions, reactions, files, and look-ups by metadata."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from backend.services.chat.clients.outcomes import (
    PROVIDER_ERRORS,
    ChannelAccount,
    OutcomeState,
    Proof,
    SendJob,
    SendOutcome,
    classify_status,
    describe_failure,
)
from backend.services.chat.clients.parts import FileUnavailable, MediaFile, OutboundPart
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    ProviderResponse,
)

_HOSTS: Final = ("slack.com", "files.slack.com")
_URL: Final = "https://slack.com/api"
_METADATA_TYPE: Final = "suite_delivery"
_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 5
# The provider's clock can differ from ours.
_CLOCK_SECONDS: Final = 10

# https://api.slack.com/methods/chat.postMessage#errors
_REVOKED: Final = frozenset(
    {"token_revoked", "token_expired", "account_inactive", "invalid_auth", "not_authed"}
    | {"org_login_required", "team_access_not_granted", "missing_scope"}
)
_RETRY: Final = frozenset({"service_unavailable", "team_added_to_org", "request_timeout"})
# Slack documents that a part of the operation may have succeeded.
_UNKNOWN: Final = frozenset({"internal_error", "fatal_error"})

_EMOJI_NAMES: Final = {
    "👍": "+1",
    "👎": "-1",
    "❤": "heart",
    "😂": "joy",
    "😮": "open_mouth",
    "😢": "cry",
    "🙏": "pray",
    "🎉": "tada",
    "👀": "eyes",
    "✅": "white_check_mark",
    "❌": "x",
    "🔥": "fire",
    "👏": "clap",
    "🚀": "rocket",
    "💯": "100",
    "🤔": "thinking_face",
    "😄": "smile",
    "👋": "wave",
}


class SlackClient:
    """Sends messages of a Slack app's bot."""

    proof: Proof = "look_up"

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def send(self, job: SendJob) -> SendOutcome:
        progress: dict[str, Any] = dict(job.progress)
        try:
            if job.part.media is not None:
                return self._send_file(job, job.part.media, progress)
            if job.part.kind == "reaction" and job.part.text.rstrip("\ufe0f") not in _EMOJI_NAMES:
                return SendOutcome("failed", code="unsupported", detail="Slack has no such emoji.")
            method, body = _build_request(job)
            response = self._call(job.account, method, body)
        except PROVIDER_ERRORS as error:
            return replace(describe_failure(error), progress=progress)
        if not _is_ok(response):
            return _read_error(response)
        return SendOutcome("sent", str(response.json.get("ts") or "") or None)

    def look_up(self, job: SendJob) -> SendOutcome:
        try:
            if "file_id" in job.progress:
                return self._look_up_file(job, str(job.progress["file_id"]))
            return self._look_up_message(job)
        except PROVIDER_ERRORS as error:
            outcome = describe_failure(error)
            return SendOutcome("unknown", code=outcome.code, detail=outcome.detail)

    def check(self, account: ChannelAccount) -> SendOutcome:
        try:
            response = self._call(account, "auth.test", {})
        except PROVIDER_ERRORS as error:
            return describe_failure(error)
        return SendOutcome("sent") if _is_ok(response) else _read_error(response)

    def _call(
        self, account: ChannelAccount, method: str, body: Mapping[str, Any]
    ) -> ProviderResponse:
        headers = _authorize(account) | {"Content-Type": "application/json; charset=utf-8"}
        return self._http.send(
            "POST",
            f"{_get_url(account)}/{method}",
            _HOSTS,
            headers=headers,
            body=json.dumps(body).encode(),
        )

    def _get(
        self, account: ChannelAccount, method: str, query: Mapping[str, str]
    ) -> ProviderResponse:
        url = f"{_get_url(account)}/{method}?{urlencode(query)}"
        return self._http.send("GET", url, _HOSTS, headers=_authorize(account))

    def _send_file(self, job: SendJob, media: MediaFile, progress: dict[str, Any]) -> SendOutcome:
        if job.load_file is None:
            raise FileUnavailable("The file cannot be read.")
        content = job.load_file(media)
        try:
            query = {"filename": media.name, "length": str(len(content))}
            ticket = self._get(job.account, "files.getUploadURLExternal", query)
            if not _is_ok(ticket):
                return _as_not_sent(_read_error(ticket))
            url = str(ticket.json.get("upload_url"))
            headers = {"Content-Type": "application/octet-stream"}
            uploaded = self._http.send("POST", url, _HOSTS, headers=headers, body=content)
            if uploaded.status >= 300:
                return _as_not_sent(classify_status(uploaded))
        except OutcomeUnknown as error:
            # The file is not shared before the last call.
            return SendOutcome("retry", code="no_response", detail=str(error))
        progress["file_id"] = str(ticket.json.get("file_id"))
        channel, thread = _get_channel(job)
        body: dict[str, Any] = {
            "files": [{"id": progress["file_id"], "title": media.name}],
            "channel_id": channel,
        }
        body |= {"thread_ts": thread} if thread else {}
        body |= {"initial_comment": job.part.text} if job.part.text else {}
        response = self._call(job.account, "files.completeUploadExternal", body)
        if _is_ok(response):
            return SendOutcome("sent", progress["file_id"], progress=progress)
        return replace(_read_error(response), progress=progress)

    def _look_up_file(self, job: SendJob, file_id: str) -> SendOutcome:
        response = self._get(job.account, "files.info", {"file": file_id})
        if not _is_ok(response):
            return _as_unknown(_read_error(response))
        file = response.json.get("file")
        shares = file.get("shares") if isinstance(file, dict) else None
        if shares:
            return SendOutcome("sent", file_id)
        return SendOutcome("retry", code="not_found", detail="The file was not shared.")

    def _look_up_message(self, job: SendJob) -> SendOutcome:
        channel, thread = _get_channel(job)
        query = {
            "channel": channel,
            "oldest": f"{job.attempt_at.timestamp() - _CLOCK_SECONDS:.6f}",
            "limit": str(_PAGE_SIZE),
            "include_all_metadata": "true",
        }
        query |= {"ts": thread} if thread else {}
        method = "conversations.replies" if thread else "conversations.history"
        for _ in range(_MAX_PAGES):
            response = self._get(job.account, method, query)
            if not _is_ok(response):
                return _as_unknown(_read_error(response))
            for message in response.json.get("messages") or ():
                if _read_ref(message) == job.ref:
                    return SendOutcome("sent", str(message.get("ts")))
            cursor = (response.json.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return SendOutcome("retry", code="not_found", detail="Slack has no such message.")
            query["cursor"] = str(cursor)
        return SendOutcome("unknown", code="too_many_messages", detail="Too many later messages.")


def _build_request(job: SendJob) -> tuple[str, dict[str, Any]]:
    part = job.part
    channel, thread = _get_channel(job)
    if part.kind == "delete":
        return "chat.delete", {"channel": channel, "ts": part.target}
    if part.kind == "reaction":
        name = _EMOJI_NAMES[part.text.rstrip("\ufe0f")]
        method = "reactions.remove" if part.details.get("removed") else "reactions.add"
        return method, {"channel": channel, "timestamp": part.target, "name": name}
    body: dict[str, Any] = {"channel": channel, "text": part.text}
    if part.options:
        body["blocks"] = _build_blocks(part)
        body["text"] = part.plain_text or part.text
    if part.kind == "edit":
        return "chat.update", body | {"ts": part.target}
    body["metadata"] = {"event_type": _METADATA_TYPE, "event_payload": {"ref": job.ref}}
    return "chat.postMessage", body | ({"thread_ts": thread} if thread else {})


def _build_blocks(part: OutboundPart) -> list[dict[str, Any]]:
    text = {"type": "section", "text": {"type": "mrkdwn", "text": part.text}}
    if part.as_list:
        options = [
            {"text": _plain(option.title), "value": option.id}
            | ({"description": _plain(option.description)} if option.description else {})
            for option in part.options
        ]
        element: dict[str, Any] = {
            "type": "static_select",
            "action_id": "choice",
            "placeholder": _plain(part.list_label),
            "options": options,
        }
        return [text, {"type": "actions", "elements": [element]}]
    buttons = [
        {
            "type": "button",
            "action_id": f"choice:{number}",
            "text": _plain(option.title),
            "value": option.id,
        }
        for number, option in enumerate(part.options, 1)
    ]
    return [text, {"type": "actions", "elements": buttons}]


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def _get_channel(job: SendJob) -> tuple[str, str]:
    """Return the channel and the time stamp of the thread, "" outside of threads."""
    channel, _, thread = job.address.partition(":")
    return str(job.details.get("channel") or channel), thread


def _get_url(account: ChannelAccount) -> str:
    return account.get_setting("api_url", _URL).rstrip("/")


def _authorize(account: ChannelAccount) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials.get('bot_token', '')}"}


def _is_ok(response: ProviderResponse) -> bool:
    return response.status < 300 and response.json.get("ok") is True


def _read_ref(message: Mapping[str, Any]) -> object:
    metadata = message.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    return payload.get("ref") if isinstance(payload, dict) else None


def _read_error(response: ProviderResponse) -> SendOutcome:
    error = response.json.get("error")
    if not isinstance(error, str):
        return classify_status(response)
    if error in {"ratelimited", "rate_limited", "message_limit_exceeded"}:
        return SendOutcome("limited", None, error, error, response.retry_after)
    if error in _REVOKED:
        return SendOutcome("revoked", code=error, detail=f"Slack refuses the token: {error}.")
    if error in {"already_reacted", "no_reaction", "message_not_found"} and response.status < 300:
        # The reaction or deletion has the wanted result already.
        is_done = error != "message_not_found"
        return SendOutcome("sent" if is_done else "failed", code=error, detail=error)
    if error in _UNKNOWN:
        return SendOutcome("unknown", code=error, detail=error)
    state: OutcomeState = "retry" if error in _RETRY else "failed"
    return SendOutcome(state, None, error, error, response.retry_after)


def _as_not_sent(outcome: SendOutcome) -> SendOutcome:
    return replace(outcome, state="retry") if outcome.state == "unknown" else outcome


def _as_unknown(outcome: SendOutcome) -> SendOutcome:
    """A failed look-up tells nothing about the message."""
    return replace(outcome, state="unknown")

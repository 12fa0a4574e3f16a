"""Read what a client needs for one attempt, and find reasons not to make it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.chassis.encryption import DecryptionError
from backend.services.chat.clients.outcomes import ChannelAccount, SendJob
from backend.services.chat.clients.parts import MediaFile, OutboundPart
from backend.services.chat.domain.rendering.contents import SignLink
from backend.services.chat.domain.templates import find_unusable_status
from backend.services.chat.domain.windows import is_window_open
from backend.services.chat.errors import TemplateNotApproved
from backend.services.chat.store import delivery_claims as store
from backend.services.chat.store.messages import get_message
from backend.services.chat.store.tables import Account, Conversation, Delivery, Message

# With the permission of the provider, people may answer for this time.
_HUMAN_AGENT_WINDOW: Final = timedelta(days=7)

OpenSecrets = Callable[[str | None], Mapping[str, str]]
"""Decrypt the credentials of an account or the secret of a hook."""
LoadFile = Callable[[str, MediaFile], bytes]
"""Return the content of a file of the message with this id."""


class NotSendable(Exception):
    """The delivery cannot be sent, whatever the provider says. *state* is failed or cancelled."""

    def __init__(self, code: str, detail: str, state: str = "failed") -> None:
        super().__init__(detail)
        self.code = code
        self.state = state


@dataclass(frozen=True, slots=True)
class Request:
    """An attempt or a look-up of a delivery."""

    delivery_id: str
    channel: str
    job: SendJob
    is_look_up: bool
    attempts: int


def read_request(
    session: Session,
    delivery: Delivery,
    open_secrets: OpenSecrets,
    load_file: LoadFile,
    public_url: str,
    now: datetime,
    sign_fetch_link: SignLink = lambda _attachment_id: None,
) -> Request:
    """Return what is needed to send *delivery* or to look it up.

    Raises:
        NotSendable: the message was deleted, the window is closed, or something is missing.
    """
    is_look_up = delivery.state == "unknown"
    progress = dict(delivery.payload.get("progress") or {})
    if delivery.hook_id is not None:
        return _read_hook_request(session, delivery, open_secrets, progress, now)
    account, conversation, message = _read_rows(session, delivery)
    part = _read_part(session, delivery, message)
    if not is_look_up:
        _check_sendable(conversation, delivery, message, part, account, now)
        _check_template(session, account, part)
    part = _renew_link(part, sign_fetch_link)
    message_id = message.id if message is not None else ""
    details = dict(conversation.details)
    if account.channel == "twilio" and public_url:
        details["status_callback"] = f"{public_url}/webhook/twilio/{account.id}?ref={delivery.ref}"
    attempt_at = _read_attempt_time(progress, now)
    job = SendJob(
        ref=delivery.ref,
        account=ChannelAccount(
            account.id,
            account.channel,
            account.settings,
            _open_secrets(open_secrets, account.credentials),
        ),
        key=conversation.key,
        part=part,
        attempt_at=attempt_at,
        created_at=delivery.created_at,
        identities=(
            store.list_contact_ids(session, account.id, conversation.contact_id)
            if conversation.contact_id is not None and not conversation.is_group
            else {}
        ),
        details=details,
        progress=progress,
        known_ids=(
            frozenset(
                store.list_known_ids(session, conversation.id, attempt_at - timedelta(days=1))
            )
            if is_look_up
            else frozenset()
        ),
        from_person=message is not None and message.author.startswith("user:"),
        load_file=lambda media: load_file(message_id, media),
    )
    return Request(delivery.id, account.channel, job, is_look_up, delivery.attempts)


def _read_rows(
    session: Session, delivery: Delivery
) -> tuple[Account, Conversation, Message | None]:
    account = store.get_account(session, delivery.account_id or "")
    conversation = store.get_conversation(session, delivery.conversation_id or "")
    if account is None or conversation is None:
        raise NotSendable("conversation_deleted", "The conversation was deleted.", "cancelled")
    message = get_message(session, delivery.message_id) if delivery.message_id else None
    return account, conversation, message


def _read_part(session: Session, delivery: Delivery, message: Message | None) -> OutboundPart:
    if "part" not in delivery.payload:
        raise NotSendable("invalid_payload", "The delivery contains nothing that can be sent.")
    part = OutboundPart.from_payload(delivery.payload["part"])
    if part.kind in {"edit", "delete", "reaction"}:
        if message is None or message.external_id is None:
            raise NotSendable("message_not_sent", "The message is not known to the provider.")
        return replace(part, target=message.external_id)
    if message is not None and message.reply_to_id is not None and delivery.part == 0:
        replied = get_message(session, message.reply_to_id)
        if replied is not None and replied.external_id is not None:
            return replace(part, target=replied.external_id)
    return part


def _renew_link(part: OutboundPart, sign_fetch_link: SignLink) -> OutboundPart:
    """Sign the link to a file again: the delivery may have waited for hours."""
    if part.media is None or part.media.link is None:
        return part
    link = sign_fetch_link(part.media.attachment_id)
    return part if link is None else replace(part, media=replace(part.media, link=link))


def _check_sendable(
    conversation: Conversation,
    delivery: Delivery,
    message: Message | None,
    part: OutboundPart,
    account: Account,
    now: datetime,
) -> None:
    if delivery.kind == "message" and message is not None and message.deleted_at is not None:
        raise NotSendable("message_deleted", "The message was deleted.", "cancelled")
    if part.kind in {"template", "delete", "reaction"} or is_window_open(conversation, now):
        return
    is_person = message is not None and message.author.startswith("user:")
    last = conversation.last_inbound_at
    may_answer_longer = is_person and bool(account.settings.get("human_agent"))
    if may_answer_longer and last is not None and now - last <= _HUMAN_AGENT_WINDOW:
        return
    raise NotSendable("window_closed", "The contact has not written for too long.")


def _check_template(session: Session, account: Account, part: OutboundPart) -> None:
    if part.kind != "template":
        return
    name, language = str(part.details.get("name")), str(part.details.get("language"))
    found = find_unusable_status(session, account.id, name, language)
    if found is not None:
        error = TemplateNotApproved(*found)
        raise NotSendable(error.code, str(error))


def _read_hook_request(
    session: Session,
    delivery: Delivery,
    open_secrets: OpenSecrets,
    progress: Mapping[str, Any],
    now: datetime,
) -> Request:
    hook = store.get_hook(session, delivery.hook_id or "")
    if hook is None or not hook.is_enabled:
        raise NotSendable("hook_disabled", "The hook is disabled.", "cancelled")
    account = ChannelAccount(
        hook.id, "generic", {"url": hook.url}, _open_secrets(open_secrets, hook.secret)
    )
    payload = {key: value for key, value in delivery.payload.items() if key != "progress"}
    job = SendJob(
        ref=delivery.ref,
        account=account,
        key="hook:" + hook.id,
        part=OutboundPart("event", details=payload),
        attempt_at=_read_attempt_time(progress, now),
        created_at=delivery.created_at,
    )
    is_look_up = delivery.state == "unknown"
    return Request(delivery.id, "generic", job, is_look_up, delivery.attempts)


def _open_secrets(open_secrets: OpenSecrets, sealed: str | None) -> Mapping[str, str]:
    try:
        return open_secrets(sealed)
    except DecryptionError as error:
        raise NotSendable(
            "secrets_unreadable", "The credentials were sealed with another secret key."
        ) from error


def _read_attempt_time(progress: Mapping[str, Any], now: datetime) -> datetime:
    text = progress.get("attempt_at")
    return datetime.fromisoformat(text) if isinstance(text, str) else now

"""Webhooks of Twilio: messages (SMS, MMS, WhatsApp, RCS), their states, and calls."""

import json
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_choice,
    build_event,
    build_location,
    build_media,
    build_message,
    build_text,
    get_media_type,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    InvalidPayload,
    Json,
    Object,
    clean,
    drop_empty,
    get_id,
    get_number,
    get_text,
)

_MESSAGE_ID: Final = ("MessageSid", "SmsMessageSid", "SmsSid")
_INBOUND_STATES: Final = ("received", "receiving")
_STATUSES: Final = {
    "accepted": "queued",
    "scheduled": "queued",
    "queued": "queued",
    "sending": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
_MAX_MEDIA: Final = 10
_NO_ERROR: Final = "0"


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the event of a webhook, of which there is always one."""
    own = get_id(account, "account_sid")
    if own and get_id(payload, "AccountSid") not in {"", own}:
        return [ignore("other_account")]
    if get_id(payload, "CallSid"):
        return [_normalise_call(payload)]
    return mark_occurrence([_normalise_messaging(payload)], get_id(payload, *_MESSAGE_ID))


def _normalise_messaging(payload: Object) -> ChannelEvent:
    # Events of the Conversations API have message ids too, but no addresses.
    if not get_id(payload, *_MESSAGE_ID) or get_id(payload, "ConversationSid"):
        return ignore(f"event:{get_text(payload, 'EventType') or 'unknown'}")
    status = get_text(payload, "MessageStatus", "SmsStatus").lower()
    if status and status not in _INBOUND_STATES:
        return _normalise_status(payload, status)
    if get_text(payload, "OptOutType"):
        return _normalise_opt_out(payload)
    return _normalise_message(payload)


def _split_address(address: str) -> tuple[str, str]:
    """Return transport and number of an address such as `whatsapp:+15550100`."""
    transport, separator, number = address.partition(":")
    return (transport, number) if separator else ("sms", address)


def _build_sender(payload: Object, side: str = "From") -> dict[str, Json]:
    _, number = _split_address(get_text(payload, side))
    return drop_empty(id=number, name=get_text(payload, "ProfileName"))


def _get_key(payload: Object) -> str:
    address = get_text(payload, "From")
    return f"user:{address}" if address else ""


def _normalise_message(payload: Object) -> ChannelEvent:
    via, _ = _split_address(get_text(payload, "From"))
    return build_message(
        _build_content(payload),
        {"receiver": get_text(payload, "To")},
        external_id=get_id(payload, *_MESSAGE_ID),
        sender=_build_sender(payload),
        conversation_key=_get_key(payload),
        reply_to=get_id(payload, "OriginalRepliedMessageSid"),
        flags=[
            flag
            for name, flag in (
                ("Forwarded", "forwarded"),
                ("FrequentlyForwarded", "frequently_forwarded"),
            )
            if get_text(payload, name).lower() == "true"
        ],
        referral=drop_empty(
            source=get_text(payload, "ReferralSourceType"),
            id=get_id(payload, "ReferralSourceId"),
        ),
        via=via,
    )


def _build_content(payload: Object) -> dict[str, Json]:
    text = get_text(payload, "Body")
    attachments = _build_attachments(payload)
    if attachments:
        mimes = [str(attachment.get("mime", "")) for attachment in attachments]
        return build_media(get_media_type(mimes), attachments, text)
    for choice_id, title in (("ButtonPayload", "ButtonText"), ("ListId", "ListTitle")):
        chosen = get_text(payload, choice_id, title)
        if chosen:
            return build_choice(chosen, get_text(payload, title) or text)
    values = _parse_answers(get_text(payload, "FlowData", "InteractiveData"))
    if values:
        return {"type": "form", **drop_empty(text=text), "values": values}
    latitude = get_number(payload, "Latitude")
    longitude = get_number(payload, "Longitude")
    if latitude is not None and longitude is not None:
        return build_location(latitude, longitude, get_text(payload, "Label", "Address"))
    return build_text(text)


def _parse_answers(text: str) -> dict[str, Json]:
    """Parse the answers of a WhatsApp flow, which are JSON in a text."""
    try:
        values = clean(json.loads(text)) if text else {}
    except (ValueError, RecursionError, InvalidPayload):
        return {}
    return values if isinstance(values, dict) else {}


def _build_attachments(payload: Object) -> list[dict[str, Json]]:
    count = int(min(max(get_number(payload, "NumMedia") or 0, 0), _MAX_MEDIA))
    return [
        attachment
        for index in range(count)
        if (
            attachment := drop_empty(
                mime=get_text(payload, f"MediaContentType{index}"),
                url=get_text(payload, f"MediaUrl{index}"),
            )
        )
    ]


def _normalise_status(payload: Object, status: str) -> ChannelEvent:
    if status not in _STATUSES:
        return ignore(f"status:{status}")
    code = get_id(payload, "ErrorCode")
    return build_event(
        "status",
        target=get_id(payload, *_MESSAGE_ID),
        status=_STATUSES[status],
        error=drop_empty(
            code="" if code == _NO_ERROR else code,
            title=get_text(payload, "ErrorMessage", "ChannelStatusMessage"),
        ),
    )


def _normalise_opt_out(payload: Object) -> ChannelEvent:
    """Normalise STOP, START and HELP, which Twilio has answered already."""
    return build_event(
        "preference",
        sender=_build_sender(payload),
        category="messages",
        value=get_text(payload, "OptOutType").lower(),
    )


def _normalise_call(payload: Object) -> ChannelEvent:
    """Normalise a state of a call, or what the caller said or typed."""
    # Beside a recording it is the key that ended it, or `hangup`.
    digits = "" if get_text(payload, "RecordingUrl") else get_text(payload, "Digits")
    speech = get_text(payload, "SpeechResult")
    # In a call that we have started, our number is the sender of the requests.
    is_outbound = get_text(payload, "Direction").startswith("outbound")
    caller, receiver = ("To", "From") if is_outbound else ("From", "To")
    context: dict[str, Json] = {"receiver": get_text(payload, receiver)}
    sender = _build_sender(payload, caller)
    if digits or speech:
        return build_message(
            build_choice(digits, digits) if digits else build_text(speech),
            {"call_sid": get_id(payload, "CallSid"), **context},
            sender=sender,
            # A call is a conversation of its own: its answers are not sent as messages.
            conversation_key=f"call:{get_id(payload, 'CallSid')}",
            via="voice",
        )
    if not get_text(payload, "CallStatus"):  # of a recording or a transcription of the call
        return ignore("event:recording" if get_id(payload, "RecordingSid") else "event:call")
    return build_event(
        "call",
        context,
        external_id=get_id(payload, "CallSid"),
        event=get_text(payload, "CallStatus"),
        sender=sender,
    )

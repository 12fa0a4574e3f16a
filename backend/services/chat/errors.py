"""Errors of the chat service, and the problem responses (RFC 9457) for them."""

from collections.abc import Mapping, Sequence

from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import FieldErrors


class ConversationNotFound(ServiceError):
    """The conversation does not exist, was deleted, or is not visible to the caller."""

    status = 404
    code = "conversation_not_found"
    title = "Conversation not found"

    def __init__(self) -> None:
        super().__init__("You have no conversation with this ID.")


class MessageNotFound(ServiceError):
    status = 404
    code = "message_not_found"
    title = "Message not found"

    def __init__(self) -> None:
        super().__init__("The conversation has no message with this ID.")


class ResourceNotFound(ServiceError):
    """An account, contact, template, hook, delivery or received event does not exist."""

    status = 404
    code = "not_found"
    title = "Resource not found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what} with this ID.")


class UnknownCredentials(ServiceError):
    """The channel of the account does not use some of the credentials."""

    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self, unknown: Sequence[str], known: Sequence[str]) -> None:
        super().__init__("Some fields are invalid; see errors.")
        detail = f"The channel uses {', '.join(known) or 'no credentials'}."
        self._errors: FieldErrors = [
            {"pointer": f"#/credentials/{name}", "detail": detail} for name in unknown
        ]

    def errors(self) -> FieldErrors:
        return self._errors


class ConversationTaken(ServiceError):
    """Another colleague has claimed the conversation."""

    status = 409
    code = "taken"
    title = "Conversation is taken"

    def __init__(self) -> None:
        super().__init__("Another person has claimed this conversation. Ask them to release it.")


class WindowClosed(ServiceError):
    """The channel accepts only templates outside its window."""

    status = 409
    code = "window_closed"
    title = "Window of the channel is closed"

    def __init__(self, hours: int) -> None:
        super().__init__(
            f"The contact has not written for {hours} hours. Until they write again, the channel "
            "accepts only templates. Send content of the type template."
        )


class MessageNotEditable(ServiceError):
    """Only the author may edit or delete a message."""

    status = 403
    code = "not_your_message"
    title = "Message is read-only"

    def __init__(self) -> None:
        super().__init__("You did not write this message. Only its author can change it.")


class ReplyPermissionRequired(ServiceError):
    """The caller writes for another user or into the team's inbox."""

    status = 403
    code = "forbidden"
    title = "Permission required"

    def __init__(self) -> None:
        super().__init__("This requires the permission chat:reply.")


class AccountStopped(ServiceError):
    """The account of the channel is stopped or its token was revoked."""

    status = 409
    code = "account_stopped"
    title = "Account is stopped"

    def __init__(self) -> None:
        super().__init__("The account of this channel is stopped. An administrator must check it.")


class DeliveryNotChangeable(ServiceError):
    """The delivery is in a state in which it can be neither retried nor cancelled."""

    status = 409
    code = "delivery_state"
    title = "Delivery cannot be changed"

    def __init__(self, state: str) -> None:
        super().__init__(f"The delivery is {state}.")


class TemplateNotApproved(ServiceError):
    """The provider has rejected, paused or disabled the template, or still reviews it."""

    status = 409
    code = "template_not_approved"
    title = "Template is not approved"

    def __init__(self, state: str, reason: str | None) -> None:
        because = f" ({reason})" if reason else ""
        super().__init__(f"The provider reports the template as {state}{because}.")


class TemplatesNotListed(ServiceError):
    """The provider of the account lists no templates."""

    status = 422
    code = "templates_not_listed"
    title = "Templates are not listed"

    def __init__(self) -> None:
        super().__init__(
            "Only WhatsApp lists templates. Set business_account_id in the account's settings."
        )


class ProviderFailed(ServiceError):
    """The provider refused the request or did not respond, or the request could not be sent."""

    status = 502
    code = "provider_failed"
    title = "Provider failed"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"The request to the provider failed ({reason}): {detail}"[:500])


class WebhookRejected(ServiceError):
    """The webhook has no valid signature."""

    status = 401
    code = "invalid_signature"
    title = "Signature is invalid"

    def __init__(self) -> None:
        super().__init__("The request is not signed with the secret of this account.")


class WebhookTooLarge(ServiceError):
    """The body is larger than the limit."""

    status = 413
    code = "body_too_large"
    title = "Body is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body may have at most {max_bytes} bytes.")


class WebhookUnreadable(ServiceError):
    """A stored webhook still cannot be processed."""

    status = 422
    code = "webhook_unreadable"
    title = "Webhook is unreadable"


class AnswerUnavailable(ServiceError):
    """The agent cannot answer now. The message is stored."""

    status = 503
    code = "agent_unavailable"
    title = "Answer is unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class TooManyMessages(ServiceError):
    """A contact or tenant sends more messages than its limit."""

    status = 429
    code = "rate_limited"
    title = "Too many messages"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"Retry in {retry_after_seconds} seconds.")
        self._retry_after_seconds = retry_after_seconds

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._retry_after_seconds)}


class InvalidContent(ServiceError):
    """The content is valid JSON of its type, but cannot be sent in this conversation."""

    status = 422
    code = "invalid_content"
    title = "Content is invalid"

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self._errors: FieldErrors = [{"pointer": pointer, "detail": detail}]

    def errors(self) -> FieldErrors:
        return self._errors


class SpeechOff(ServiceError):
    """The operator has not configured an engine for this."""

    status = 404
    code = "speech_off"
    title = "Speech is off"

    def __init__(self, variable: str) -> None:
        super().__init__(f"This server has no engine for speech. The operator can set {variable}.")


class SpeechUnavailable(ServiceError):
    """The engine is busy, not installed, or does not respond."""

    status = 503
    code = "speech_unavailable"
    title = "Speech engine is unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "10"}


class SpeechEngineFailed(ServiceError):
    """The engine refused the request or returned no result."""

    status = 502
    code = "speech_failed"
    title = "Speech engine failed"


class RecordingUnreadable(ServiceError):
    """The file is no audio, damaged, or in a format that is not supported."""

    status = 400
    code = "recording_unreadable"
    title = "Recording is unreadable"


class RecordingTooLong(ServiceError):
    """The recording has more bytes or seconds than the limit."""

    status = 413
    code = "recording_too_long"
    title = "Recording is too long"


class SpeechNotSupported(InvalidContent):
    """The engine does not support a format, voice or language."""

    code = "not_supported"
    title = "Not supported"


class EmptyFile(ServiceError):
    """An uploaded file has no content."""

    status = 422
    code = "empty_file"
    title = "File is empty"

    def __init__(self) -> None:
        super().__init__("The file has no content. Choose another.")


class FileTooLarge(ServiceError):
    """An uploaded file is larger than the channel accepts."""

    status = 413
    code = "file_too_large"
    title = "File is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"Files in this conversation may have at most {max_bytes} bytes.")


class FileTypeNotSupported(ServiceError):
    """The channel does not accept files of this type."""

    status = 415
    code = "file_type_not_supported"
    title = "Type of file is not supported"


class TooManyUploads(ServiceError):
    """Uploaded files that were not posted use all space of the user."""

    status = 409
    code = "too_many_uploads"
    title = "Too many uploaded files"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"Your uploaded files that were not sent may have {max_bytes} bytes in total. Send "
            "them, or wait until they are deleted after 24 hours."
        )


class VisitorTokenRejected(ServiceError):
    """The token of a visitor is missing, forged, expired, or belongs to another account."""

    status = 401
    code = "visitor_token_rejected"
    title = "Token of the visitor is not valid"

    def __init__(self) -> None:
        super().__init__("The token is missing or not valid for this chat. Open a new session.")

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class OriginNotAllowed(ServiceError):
    """The page that sent the request is not of a site in the account's list."""

    status = 403
    code = "origin_not_allowed"
    title = "Site is not allowed"

    def __init__(self, origin: str) -> None:
        site = f"Pages of {origin[:300]}" if origin else "Requests without an Origin header"
        super().__init__(
            f"{site} may not use this chat. An administrator can add the site to the setting "
            "origins of the account."
        )


class OtherOrigin(ServiceError):
    """The session of a visitor was opened by a page of another site."""

    status = 403
    code = "other_origin"
    title = "Session belongs to another site"

    def __init__(self, expected: str, received: str) -> None:
        site = f"pages of {expected}" if expected else "the frame of the chat"
        super().__init__(
            f"The session was opened by {site}, so {received[:300]} may not use it. Open a new one."
        )


class VisitorBlocked(ServiceError):
    """The team ignores messages of this contact."""

    status = 403
    code = "contact_blocked"
    title = "Chat is closed"

    def __init__(self) -> None:
        super().__init__("The team has closed this chat.")


class TooManyStreams(ServiceError):
    """The threads for event streams of visitors are in use."""

    status = 503
    code = "too_many_streams"
    title = "Too many event streams"

    def __init__(self) -> None:
        super().__init__("Too many streams are open. Request the messages every few seconds.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "60"}


class WidgetFileNotFound(ServiceError):
    """The file is not part of the current version of the widget."""

    status = 404
    code = "file_not_found"
    title = "File not found"

    def __init__(self) -> None:
        super().__init__("The widget has no such file. Load its page again.")

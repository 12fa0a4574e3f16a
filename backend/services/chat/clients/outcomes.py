"""Jobs and outcomes: the input of the channels' clients and their results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from backend.services.chat.clients.parts import FileUnavailable, MediaFile, OutboundPart
from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderResponse,
    RequestNotSent,
)

OutcomeState = Literal["sent", "retry", "limited", "failed", "revoked", "unknown"]
Proof = Literal["look_up", "event", "none"]
"""`look_up`: the provider finds the message. `event`: a status or an echo names our reference.
`none`: nothing tells; a person decides."""
_MAX_DETAIL: Final = 300


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """Result of an attempt.

    Attributes:
        state: `sent`: the provider has the message. `retry`: it certainly has not, and may accept
            it later. `limited`: the same, because of a rate limit. `failed`: it never will accept
            it. `revoked`: it refuses the account's token. `unknown`: it may have the message.
        external_id: the provider's id of the message.
        code: stable name or number of the error; *detail* explains it.
        retry_after: seconds to wait, if the provider names them.
        whole_account: a rate limit of the account, not only of the conversation.
        progress: what a later attempt needs of this one, such as the id of an uploaded file.
    """

    state: OutcomeState
    external_id: str | None = None
    code: str = ""
    detail: str = ""
    retry_after: float | None = None
    whole_account: bool = False
    progress: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """An account with its secrets in clear text.

    *settings* and *credentials* are those of the account's configuration.
    """

    id: str
    channel: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get_setting(self, name: str, default: str = "") -> str:
        """Return a setting as text, *default* if it is missing."""
        value = self.settings.get(name)
        return default if value in (None, "") else str(value)


@dataclass(frozen=True, slots=True)
class SendJob:
    """One delivery to send.

    Attributes:
        ref: our reference, which the provider returns in statuses, echoes or look-ups.
        key: key of the conversation at the channel, such as user:123.
        identities: ids of the contact by scheme, such as wa_id and bsuid.
        details: what the channel needs of the conversation, such as the service URL of Teams.
        attempt_at: time before the last attempt, for look-ups.
        created_at: time at which the delivery was queued.
        progress: of earlier attempts.
        known_ids: external ids of other deliveries to the same contact, for look-ups by text.
        from_person: a colleague wrote the message, not the agent.
    """

    ref: str
    account: ChannelAccount
    key: str
    part: OutboundPart
    attempt_at: datetime
    created_at: datetime
    identities: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    known_ids: frozenset[str] = frozenset()
    from_person: bool = False
    load_file: Callable[[MediaFile], bytes] | None = None

    @property
    def address(self) -> str:
        """The conversation's key without its kind."""
        return self.key.partition(":")[2]


class ChannelClient(Protocol):
    """Sends to one channel."""

    proof: Proof
    """How an unknown outcome is settled."""

    def send(self, job: SendJob) -> SendOutcome:
        """Send a message. Never raises for what a provider does."""

    def look_up(self, job: SendJob, /) -> SendOutcome:
        """Find out whether the provider has the message of *job*.

        Returns `sent` if it has, `retry` if it certainly has not, otherwise `unknown`.
        """

    def check(self, account: ChannelAccount) -> SendOutcome:
        """Check the account's token without sending anything. Returns `sent` if it is valid."""


def describe_failure(error: Exception) -> SendOutcome:
    """Return the outcome of a request without a complete response."""
    if isinstance(error, RequestNotSent):
        if error.is_blocked:
            return SendOutcome("failed", code="address_blocked", detail=str(error))
        return SendOutcome("retry", code="unreachable", detail=str(error))
    if isinstance(error, OutcomeUnknown):
        return SendOutcome("unknown", code="no_response", detail=str(error))
    if isinstance(error, FileUnavailable):
        return SendOutcome("failed", code="file_unavailable", detail=str(error))
    raise error


def classify_status(response: ProviderResponse, code: str = "", detail: str = "") -> SendOutcome:
    """Return the outcome by the HTTP status, for errors that the provider does not specify.

    429 and 503 say that the request was not processed. After 500, 502 and 504 it can have been.
    """
    code = code or f"http_{response.status}"
    detail = detail[:_MAX_DETAIL] or f"The provider responded with status {response.status}."
    if response.status == 429:
        return SendOutcome("limited", None, code, detail, response.retry_after, whole_account=True)
    if response.status in {408, 425, 503}:
        return SendOutcome("retry", None, code, detail, response.retry_after)
    if response.status == 401:
        return SendOutcome("revoked", None, code, detail)
    state: OutcomeState = "unknown" if response.status >= 500 or response.status < 400 else "failed"
    return SendOutcome(state, None, code, detail)


PROVIDER_ERRORS: Final = (RequestNotSent, OutcomeUnknown, FileUnavailable)
"""Exceptions that `describe_failure` explains."""

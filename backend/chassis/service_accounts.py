"""Access tokens of a service account, for work that a service does without a user.

The service stores the key of the account sealed with `create_key_encryptor`, in its own tables.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.encryption import DecryptionError, Encryptor
from backend.chassis.http import ServiceClient, UpstreamError, UpstreamProblem

Result = TypeVar("Result")

# A token is not sent when it expires within this time, because requests take time to arrive.
_MIN_REMAINING_SECONDS = 5.0
# After a failed renewal the current token is used for this long before the next attempt.
_RETRY_SECONDS = 5.0
_EXCHANGE_PATH = "/api-keys/exchange"


class ServiceAccountKeyRejected(Exception):
    """The stored key is unreadable, expired or revoked. An administrator must rotate it."""


class ServiceAccountUnavailable(Exception):
    """Auth does not respond, and there is no valid token."""


class _TokenResponse(BaseModel):
    """The part of auth's response that is used."""

    access_token: str = Field(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")
    expires_in: int = Field(ge=0, le=86_400)


@dataclass(frozen=True, slots=True)
class _Token:
    """An access token. The times are in seconds of the clock."""

    text: str
    renew_at: float
    expires_at: float


def create_key_encryptor(secret_key: str) -> Encryptor:
    """Return the encryptor that seals keys of service accounts, derived from SECRET_KEY."""
    return Encryptor(secret_key, "service-account-keys")


class ServiceAccountTokens:
    """Obtain and renew the access tokens of one service account. Safe to share between threads.

    A token is renewed after half of its lifetime. Until it expires it is used while auth does not
    respond. Each renewal reads the stored key, so a rotated key is used without a restart.

    Args:
        auth: client for the instances of auth.
        encryptor: opens the stored key.
        load_sealed_key: returns the stored key, sealed with *encryptor*.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        auth: ServiceClient,
        encryptor: Encryptor,
        load_sealed_key: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = auth
        self._encryptor = encryptor
        self._load_sealed_key = load_sealed_key
        self._clock = clock
        self._token: _Token | None = None
        self._renewal = threading.Lock()

    def send(self, request: Callable[[Mapping[str, str]], Result]) -> Result:
        """Call *request* with the headers that authenticate the service account.

        If the service responds with 401, because the token was revoked with its key, *request* is
        called once more with a new token.

        Raises:
            ServiceAccountKeyRejected: auth rejects the stored key.
            ServiceAccountUnavailable: auth does not respond, and there is no valid token.
            UpstreamError: raised by *request*.
        """
        token = self.get_token()
        try:
            return request(_build_headers(token))
        except UpstreamProblem as error:
            if error.status != 401:
                raise
        return request(_build_headers(self._replace_token(token)))

    def get_token(self) -> str:
        """Return a valid access token. Raises as `send`, except UpstreamError."""
        token, now = self._token, self._clock()
        if token is not None and now < token.renew_at:
            return token.text
        if not _is_usable(token, now):
            with self._renewal:
                return self._renew_if_due()
        # Another thread may be renewing the token. The current one is valid until it has finished.
        if self._renewal.acquire(blocking=False):
            try:
                return self._renew_if_due()
            finally:
                self._renewal.release()
        return token.text

    def _replace_token(self, rejected: str) -> str:
        with self._renewal:
            if self._token is not None and self._token.text == rejected:
                self._token = None
            return self._renew_if_due()

    def _renew_if_due(self) -> str:
        """Renew the token unless another thread has done so. The caller holds the lock."""
        token, now = self._token, self._clock()
        if token is not None and now < token.renew_at:
            return token.text
        try:
            self._token = renewed = self._exchange_key()
        except ServiceAccountUnavailable:
            if not _is_usable(token, now):
                raise
            self._token = _Token(token.text, now + _RETRY_SECONDS, token.expires_at)
            return token.text
        return renewed.text

    def _exchange_key(self) -> _Token:
        key = self._load_key()
        try:
            return self._request_token(key)
        except ServiceAccountKeyRejected:
            # The key may have been replaced since it was loaded.
            current_key = self._load_key()
            if current_key == key:
                raise
            return self._request_token(current_key)

    def _load_key(self) -> str:
        try:
            return self._encryptor.decrypt_text(self._load_sealed_key())
        except DecryptionError as error:
            raise ServiceAccountKeyRejected(
                "The stored key of the service account is sealed with another SECRET_KEY. "
                "Rotate the key."
            ) from error

    def _request_token(self, key: str) -> _Token:
        requested_at = self._clock()
        try:
            body = self._auth.post(_EXCHANGE_PATH, {"key": key}, {})
            response = _TokenResponse.model_validate(body)
        except UpstreamProblem as error:
            if error.status in (401, 422):
                raise ServiceAccountKeyRejected(
                    "Auth rejects the key of the service account. Rotate the key."
                ) from error
            raise ServiceAccountUnavailable("Auth cannot issue a token now.") from error
        except (UpstreamError, ValidationError) as error:
            raise ServiceAccountUnavailable("Auth does not respond.") from error
        return _Token(
            response.access_token,
            renew_at=requested_at + response.expires_in / 2,
            expires_at=requested_at + response.expires_in,
        )


def _is_usable(token: _Token | None, now: float) -> TypeGuard[_Token]:
    return token is not None and now < token.expires_at - _MIN_REMAINING_SECONDS


def _build_headers(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}

"""Exchange of session tokens of an identity provider at auth, with a bounded cache."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import urllib3
from pydantic import BaseModel, ConfigDict, ValidationError

from backend.security import HttpError
from backend.security.expiring_cache import ExpiringCache
from backend.security.http_errors import unavailable
from backend.security.request_ids import request_id
from backend.security.service_tokens import HEADER, ServiceTokens

_AUTH_SERVICE: Final = "auth-service"
_PATH: Final = "/internal/clerk/exchange"
# Auth may have to load the provider's keys first.
_TIMEOUT: Final = urllib3.Timeout(connect=0.5, read=5.0)
_MAX_RESPONSE_BYTES: Final = 64 * 1024
# An access token takes about 2 KiB.
_MAX_TOKENS: Final = 8192
_MAX_REJECTIONS: Final = 4096
_REJECTION_SECONDS: Final = 2.0
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore")

    access_token: str
    expires_in: int


class _Problem(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: int
    code: str
    title: str
    detail: str

    def to_error(self) -> HttpError:
        """Return a new error: an exception that is raised repeatedly collects its tracebacks."""
        headers = _CHALLENGE if self.status == HTTPStatus.UNAUTHORIZED else None
        return HttpError(self.status, self.code, self.title, self.detail, headers=headers)


@dataclass(frozen=True, slots=True)
class ExchangedToken:
    """Our access token for a token of the provider.

    Attributes:
        lifetime_seconds: time until the provider's token expires.
    """

    access_token: str
    lifetime_seconds: float


class ExternalTokenExchange:
    """Exchanges tokens at auth. Results are cached by the hash of the token.

    An access token is cached until the provider's token expires, a rejection for two seconds. They
    are apart, so that many invalid tokens do not evict the valid ones.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        auth_url: str,
        service_tokens: ServiceTokens | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{auth_url}{_PATH}"
        self._service_tokens = service_tokens
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        # Access tokens with the times until which they are valid.
        self._tokens: ExpiringCache[bytes, tuple[str, float]] = ExpiringCache(_MAX_TOKENS, clock)
        self._rejections: ExpiringCache[bytes, _Problem] = ExpiringCache(_MAX_REJECTIONS, clock)

    def exchange_token(self, token: str, address: str) -> ExchangedToken:
        """Return our access token for *token*.

        Args:
            address: the client's address, for the audit log.

        Raises:
            HttpError: 401 or 403 if auth rejects the token, 503 if auth or the provider does not
                respond.
        """
        digest = _hash_token(token)
        rejection = self._rejections.get(digest)
        if rejection is not None:
            raise rejection.to_error()
        entry = self._tokens.get(digest)
        if entry is None:
            until, result = self._request_token(token, address)
            if isinstance(result, _Problem):
                self._rejections.set(digest, result, until)
                raise result.to_error()
            entry = result, until
            self._tokens.set(digest, entry, until)
        access_token, until = entry
        return ExchangedToken(access_token, until - self._clock())

    def invalidate_token(self, token: str) -> None:
        """Remove the access token of *token* from the cache, because it was revoked."""
        self._tokens.remove(_hash_token(token))

    def _request_token(self, token: str, address: str) -> tuple[float, str | _Problem]:
        if self._service_tokens is None:
            raise _unavailable("The gateway cannot authenticate at auth: set SECRET_KEY.")
        started = self._clock()
        try:
            response = self._http.request(
                "POST",
                self._url,
                json={"token": token},
                headers={
                    HEADER: self._service_tokens.get_token(_AUTH_SERVICE),
                    "X-Forwarded-For": address,
                    "X-Request-ID": request_id(),
                },
                redirect=False,
                preload_content=False,
            )
            with response:
                content = response.read(_MAX_RESPONSE_BYTES)
            return self._read_response(response.status, content, started)
        except (urllib3.exceptions.HTTPError, ValidationError) as error:
            raise _unavailable() from error

    def _read_response(
        self, status: int, content: bytes, started: float
    ) -> tuple[float, str | _Problem]:
        if status == HTTPStatus.OK:
            body = _Response.model_validate_json(content)
            return started + body.expires_in, body.access_token
        problem = _Problem.model_validate_json(content)
        if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            detail = problem.detail if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            raise _unavailable(detail)
        return self._clock() + _REJECTION_SECONDS, problem


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


def _unavailable(detail: str | None = None) -> HttpError:
    return unavailable(
        "auth_unavailable", detail or "The auth service does not respond. Retry later."
    )

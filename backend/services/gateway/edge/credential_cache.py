"""Cache of verified credentials, with the rate-limit charges of each caller.

A cached credential costs one hash instead of a signature check. Entries expire after a minute,
and all of them as soon as any session is revoked.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from json import dumps
from math import inf
from time import monotonic, time

from backend.security import HttpError, Principal
from backend.security.authentication import Credentials
from backend.security.http_errors import unavailable
from backend.services.gateway.domain import rate_limits
from backend.services.gateway.domain.caller_identity import (
    AuthenticatedCaller,
    CallerAuthenticator,
    rate_limit_subject,
)
from backend.services.gateway.domain.routing.route_table import Route
from backend.services.gateway.edge.observability.edge_metrics import EdgeMetrics
from backend.services.gateway.edge.rate_limit_charges import RateLimitCharge

_CACHE_SECONDS = 60.0
_ERROR_CACHE_SECONDS = 1.0
_MAX_ENTRIES = 8192
_MAX_CHARGES = 256
_AUTH_UNAVAILABLE = unavailable(
    "auth_unavailable", "The credentials cannot be verified at the moment. Retry later."
)
_log = logging.getLogger(__name__)


class Caller:
    """An authenticated principal, or the anonymous callers of one address.

    Attributes:
        address: the client address.
        principal: the authenticated principal, or None.
        authorization: value of the Authorization header for services if it is not the client's,
            else "".
        log_member: member of the JSON object in the access log.
        expires_at: end of the cached authentication, as monotonic time.
        epoch: the authenticator's revocation epoch at the start of the authentication.
    """

    __slots__ = (
        "_charges",
        "address",
        "authorization",
        "epoch",
        "expires_at",
        "log_member",
        "principal",
    )

    def __init__(
        self,
        address: str,
        principal: Principal | None,
        expires_at: float,
        epoch: int,
        authorization: str = "",
    ) -> None:
        self.address = address
        self.principal = principal
        self.authorization = authorization
        self.log_member = "" if principal is None else f',"user":{dumps(principal.user_id)}'
        self._charges: dict[str, RateLimitCharge] = {}
        self.expires_at = expires_at
        self.epoch = epoch

    def get_rate_limit_charge(
        self, key: str, route: Route, path: str, metrics: EdgeMetrics
    ) -> RateLimitCharge:
        """Return the rate-limit charge of a request to *path*, created once for each *key*."""
        charge = self._charges.get(key)
        if charge is None:
            subject = rate_limit_subject(self.address, self.principal)
            charges = rate_limits.build_charges(route, path, subject)
            reserved = rate_limits.build_token_charges(route, path, subject)
            counts = metrics.get_decision_counts(charges[0].name if charges else "none")
            # Clients choose the paths of limits that count each path.
            if len(self._charges) >= _MAX_CHARGES:
                self._charges.clear()
            charge = self._charges[key] = RateLimitCharge(charges, reserved, counts)
        return charge


CallerCallback = Callable[[Caller | HttpError], None]


class CredentialCache:
    """Caches callers by credentials. Unknown credentials are verified in *executor*.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        authenticator: CallerAuthenticator,
        executor: Executor,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._authenticator = authenticator
        self._executor = executor
        self._loop = loop
        self._callers: dict[bytes, Caller] = {}
        self._errors: dict[bytes, tuple[float, HttpError]] = {}
        self._anonymous: dict[str, Caller] = {}
        self._pending: dict[bytes, list[CallerCallback]] = {}
        self._epoch = authenticator.revocation_epoch

    def get_anonymous_caller(self, address: str) -> Caller:
        """Return the caller for requests from *address* to public paths."""
        caller = self._anonymous.get(address)
        if caller is None:
            if len(self._anonymous) >= _MAX_ENTRIES:
                self._anonymous.clear()
            caller = self._anonymous[address] = Caller(address, None, inf, self._epoch)
        return caller

    def is_valid(self, caller: Caller, now: float) -> bool:
        """Return True if *caller* has not expired at *now* and no session was revoked since.

        Anonymous callers have no session.
        """
        if caller.principal is None:
            return True
        return now < caller.expires_at and caller.epoch == self._authenticator.revocation_epoch

    def identify_caller(
        self, credentials: Credentials, address: str, callback: CallerCallback
    ) -> None:
        """Call *callback* with the caller of *credentials*, or with the error to respond with.

        It is called immediately if the result is cached.
        """
        if self._epoch != self._authenticator.revocation_epoch:
            self._epoch = self._authenticator.revocation_epoch
            self._callers.clear()
        digest = _hash_credentials(credentials, address)
        caller = self._callers.get(digest)
        if caller is not None:
            if self._clock() < caller.expires_at:
                callback(caller)
                return
            del self._callers[digest]
        cached_error = self._errors.get(digest)
        if cached_error is not None:
            if self._clock() < cached_error[0]:
                callback(cached_error[1])
                return
            del self._errors[digest]
        self._start_verification(digest, credentials, address, callback)

    def _start_verification(
        self, digest: bytes, credentials: Credentials, address: str, callback: CallerCallback
    ) -> None:
        """Verify *credentials* in a thread. Concurrent requests share one verification."""
        pending = self._pending.get(digest)
        if pending is not None:
            pending.append(callback)
            return
        self._pending[digest] = [callback]
        epoch = self._epoch

        def verified(future: "asyncio.Future[AuthenticatedCaller | HttpError]") -> None:
            error = future.exception()
            if error is not None:
                _log.error("credentials could not be verified", exc_info=error)
            result = _AUTH_UNAVAILABLE if error is not None else future.result()
            outcome: Caller | HttpError
            if isinstance(result, HttpError):
                outcome = result
                self._cache_error(digest, result)
            else:
                principal = result.principal
                lifetime_seconds = min(_CACHE_SECONDS, principal.expires_at - time())
                expires_at = self._clock() + lifetime_seconds
                outcome = Caller(address, principal, expires_at, epoch, result.authorization)
                # A session may have been revoked during the verification.
                if epoch == self._authenticator.revocation_epoch:
                    self._cache_caller(digest, outcome)
            for waiting_callback in self._pending.pop(digest):
                waiting_callback(outcome)

        self._loop.run_in_executor(
            self._executor, self._verify, credentials, address
        ).add_done_callback(verified)

    def _verify(self, credentials: Credentials, address: str) -> AuthenticatedCaller | HttpError:
        try:
            return self._authenticator.authenticate_caller(credentials, address)
        except HttpError as error:
            return error

    def _cache_caller(self, digest: bytes, caller: Caller) -> None:
        if len(self._callers) >= _MAX_ENTRIES:
            del self._callers[next(iter(self._callers))]
        self._callers[digest] = caller

    def _cache_error(self, digest: bytes, error: HttpError) -> None:
        if len(self._errors) >= _MAX_ENTRIES:
            self._errors.clear()
        self._errors[digest] = (self._clock() + _ERROR_CACHE_SECONDS, error)


def _hash_credentials(credentials: Credentials, address: str) -> bytes:
    text = f"{credentials.authorization}\0{credentials.api_key}\0{credentials.tenant}\0{address}"
    return hashlib.sha256(text.encode("latin-1")).digest()

"""Who was who a moment ago: credentials that were verified, and the tolls they pay.

A verified token costs a hash the second time. What is remembered ends after a minute, and
at once when anything is revoked anywhere.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from json import dumps
from math import inf
from time import monotonic, time

from backend.security import Principal, Refusal
from backend.security.authentication import Credentials
from backend.security.http_errors import unavailable
from backend.services.gateway.domain import limits
from backend.services.gateway.domain.callers import Callers, asker
from backend.services.gateway.domain.table import Route
from backend.services.gateway.edge.ledger import Numbers
from backend.services.gateway.edge.tolls import Fare

_GOOD_SECONDS = 60.0
_BAD_SECONDS = 1.0
_ENTRIES = 8192
_NOBODY_KNOWS = unavailable("auth_unavailable", "Who asks can't be told right now; try again.")
_log = logging.getLogger(__name__)


class Caller:
    """Someone who asks: a principal, or a stranger at an address."""

    __slots__ = ("_fares", "address", "noted", "principal", "until")

    def __init__(self, address: str, principal: Principal | None, until: float) -> None:
        self.address = address
        self.principal = principal
        self.noted = "" if principal is None else f',"user":{dumps(principal.user_id)}'
        """How the access log speaks of the caller."""
        self._fares: dict[str, Fare] = {}
        self.until = until

    def fare(self, key: str, route: Route, path: str, numbers: Numbers) -> Fare:
        """What this caller pays for *path*: for one *key*, the same charges again and again."""
        fare = self._fares.get(key)
        if fare is None:
            who = asker(self.address, self.principal)
            charges = limits.charges(route, path, who)
            reserved = limits.token_charges(route, path, who)
            tally = numbers.tally(charges[0].name if charges else "none")
            fare = self._fares[key] = Fare(charges, reserved, tally)
        return fare


Told = Callable[[Caller | Refusal], None]


class Memory:
    """Remembers callers; asks *callers* in a thread for those it does not know."""

    def __init__(
        self, callers: Callers, threads: Executor, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._callers = callers
        self._threads = threads
        self._loop = loop
        self._known: dict[bytes, Caller] = {}
        self._refused: dict[bytes, tuple[float, Refusal]] = {}
        self._strangers: dict[str, Caller] = {}
        self._asked: dict[bytes, list[Told]] = {}
        self._epoch = callers.epoch

    def stranger(self, address: str) -> Caller:
        """Whoever asks from *address* without having to say who they are."""
        known = self._strangers.get(address)
        if known is None:
            if len(self._strangers) >= _ENTRIES:
                self._strangers.clear()
            known = self._strangers[address] = Caller(address, None, inf)
        return known

    def stands(self, caller: Caller, now: float) -> bool:
        """Whether what was found out about *caller* still holds at *now*."""
        return now < caller.until and self._epoch == self._callers.epoch

    def recall(self, carried: Credentials, address: str, told: Told) -> None:
        """Call *told* with whom *carried* proves: at once if that is known, else soon."""
        if self._epoch != self._callers.epoch:
            self._epoch = self._callers.epoch
            self._known.clear()
        digest = _digest(carried, address)
        known = self._known.get(digest)
        if known is not None:
            if monotonic() < known.until:
                told(known)
                return
            del self._known[digest]
        refused = self._refused.get(digest)
        if refused is not None:
            if monotonic() < refused[0]:
                told(refused[1])
                return
            del self._refused[digest]
        self._ask(digest, carried, address, told)

    def _ask(self, digest: bytes, carried: Credentials, address: str, told: Told) -> None:
        waiting = self._asked.get(digest)
        if waiting is not None:
            waiting.append(told)
            return
        self._asked[digest] = [told]
        epoch = self._epoch

        def done(future: "asyncio.Future[Principal | Refusal]") -> None:
            error = future.exception()
            if error is not None:
                _log.error("a caller could not be looked up", exc_info=error)
            outcome = _NOBODY_KNOWS if error is not None else future.result()
            answer: Caller | Refusal
            if isinstance(outcome, Refusal):
                answer = outcome
                self._remember_refusal(digest, outcome)
            else:
                left = min(_GOOD_SECONDS, outcome.expires_at - time())
                answer = Caller(address, outcome, monotonic() + left)
                if epoch == self._callers.epoch:
                    self._remember(digest, answer)
            for each in self._asked.pop(digest):
                each(answer)

        self._loop.run_in_executor(self._threads, self._identify, carried).add_done_callback(done)

    def _identify(self, carried: Credentials) -> Principal | Refusal:
        try:
            return self._callers.identify(carried)
        except Refusal as refusal:
            return refusal

    def _remember(self, digest: bytes, caller: Caller) -> None:
        if len(self._known) >= _ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[digest] = caller

    def _remember_refusal(self, digest: bytes, refusal: Refusal) -> None:
        if len(self._refused) >= _ENTRIES:
            self._refused.clear()
        self._refused[digest] = (monotonic() + _BAD_SECONDS, refusal)


def _digest(carried: Credentials, address: str) -> bytes:
    text = f"{carried.authorization}\0{carried.api_key}\0{carried.tenant}\0{address}"
    return hashlib.sha256(text.encode("latin-1")).digest()

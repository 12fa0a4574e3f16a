"""Which sessions have ended before their tokens did, known everywhere within a second.

Auth tells the Redis-compatible server; every process asks it with one MGET a
request, remembers the answer for CACHE_SECONDS, and forgets it at once when the
channel says that something was revoked.

A user's and a tenant's *generation* is a number in their tokens; raising it ends
every token that carries a lower one.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError, ResponseError

from backend.security.redis import key

CHANNEL = "security.revoked"
# Set by auth once it has told all it knows, so that an emptied server is noticed.
MARKER = key("security", "told")
CACHE_SECONDS = 0.9
_PAUSE_AFTER_FAILURE_SECONDS = 1.0
_CACHE_ENTRIES = 10_000


class Verdict(Enum):
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Standing:
    """The part of a token that can be revoked."""

    session_id: str
    user_id: str
    user_generation: int
    tenant_id: str
    tenant_generation: int


@dataclass(frozen=True, slots=True)
class History:
    """All revocations that still concern a living token."""

    ended_sessions: Sequence[str]
    users: Mapping[str, int]
    tenants: Mapping[str, int]
    lifetime_seconds: int


class Revocations(Protocol):
    """Who can be asked whether a session still stands, and be told that it does not."""

    @property
    def epoch(self) -> int:
        """Grows whenever something is revoked: what was remembered before counts no more."""

    def verdict(self, standing: Standing) -> Verdict: ...

    def knows_all(self) -> bool: ...

    def tell_all(self, history: History) -> None: ...

    def end_session(self, session_id: str, lifetime_seconds: int) -> None: ...

    def raise_user(self, user_id: str, generation: int) -> None: ...

    def raise_tenant(self, tenant_id: str, generation: int) -> None: ...


def forget_what_was_told(redis: Redis) -> None:
    """Have auth tell everything again: after a restore, its tables know of another history."""
    redis.delete(MARKER)


def session_key(session_id: str) -> str:
    return key("security", "ended", session_id)


def user_key(user_id: str) -> str:
    return key("security", "user", user_id, "generation")


def tenant_key(tenant_id: str) -> str:
    return key("security", "tenant", tenant_id, "generation")


class LocalRevocations:
    """Revocations within one process: for a service that runs alone, without a server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._generations: dict[str, int] = {}
        self._told = False
        self.epoch = 0

    def verdict(self, standing: Standing) -> Verdict:
        ended = self._ended.get(standing.session_id, 0.0) > self._clock()
        outgrown = (
            self._generations.get(user_key(standing.user_id), 0) > standing.user_generation
            or self._generations.get(tenant_key(standing.tenant_id), 0) > standing.tenant_generation
        )
        return Verdict.REVOKED if ended or outgrown else Verdict.GOOD

    def knows_all(self) -> bool:
        return self._told

    def tell_all(self, history: History) -> None:
        for session_id in history.ended_sessions:
            self.end_session(session_id, history.lifetime_seconds)
        self._generations.update(_generations(history))
        self._told = True
        self.epoch += 1

    def end_session(self, session_id: str, lifetime_seconds: int) -> None:
        now = self._clock()
        self._ended = {known: until for known, until in self._ended.items() if until > now}
        self._ended[session_id] = now + lifetime_seconds
        self.epoch += 1

    def raise_user(self, user_id: str, generation: int) -> None:
        self._generations[user_key(user_id)] = generation
        self.epoch += 1

    def raise_tenant(self, tenant_id: str, generation: int) -> None:
        self._generations[tenant_key(tenant_id)] = generation
        self.epoch += 1


class SharedRevocations:
    """Revocations through the Redis-compatible server, cached and invalidated by its channel."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._verdicts: dict[Standing, tuple[float, Verdict]] = {}
        # What was said on the channel stays true when the server has forgotten it.
        self._heard = LocalRevocations(clock)
        self.epoch = 0
        self._silent_until = 0.0
        self._listener: threading.Thread | None = None
        self.follows: bool | None = None
        """Whether it hears the channel; None before anybody was asked about."""
        self._starting = threading.Lock()

    def verdict(self, standing: Standing) -> Verdict:
        self._listen()
        if self._heard.verdict(standing) is Verdict.REVOKED:
            return Verdict.REVOKED
        now = self._clock()
        known = self._verdicts.get(standing)
        if known is not None and now < known[0]:
            return known[1]
        if now < self._silent_until:
            return Verdict.UNKNOWN
        epoch = self.epoch
        try:
            verdict = self._ask(standing)
        except RedisError:
            self._silent_until = self._clock() + _PAUSE_AFTER_FAILURE_SECONDS
            return Verdict.UNKNOWN
        # Not remembered if something was revoked while we asked: the answer may
        # be from before.
        if verdict is not Verdict.UNKNOWN and epoch == self.epoch:
            if len(self._verdicts) >= _CACHE_ENTRIES:
                self._verdicts.clear()
            self._verdicts[standing] = (self._clock() + CACHE_SECONDS, verdict)
        return verdict

    def knows_all(self) -> bool:
        """Whether the server is the one that was told everything, and still knows it."""
        return bool(self._redis.get(MARKER) == self._server())

    def tell_all(self, history: History) -> None:
        """Tell *history*, and mark the server as one that knows it; all of it or nothing."""
        server = self._server()
        with self._redis.pipeline(transaction=True) as telling:
            for session_id in history.ended_sessions:
                telling.set(session_key(session_id), "1", ex=history.lifetime_seconds)
            for name, generation in _generations(history).items():
                telling.set(name, generation)
            telling.set(MARKER, server)
            telling.publish(CHANNEL, "all")
            telling.execute()
        self._forget()

    def _server(self) -> str:
        # Another run of the server may have lost the last second before it stopped, and one
        # that is full may have dropped anything; both may still hold the marker.
        said = self._redis.info()
        return f"{said.get('run_id', 'unknown')} {said.get('evicted_keys', 0)}"

    def end_session(self, session_id: str, lifetime_seconds: int) -> None:
        message = f"session {session_id} {lifetime_seconds}"
        self._tell(message, session_key(session_id), 1, lifetime_seconds)

    def raise_user(self, user_id: str, generation: int) -> None:
        self._tell(f"user {user_id} {generation}", user_key(user_id), generation)

    def raise_tenant(self, tenant_id: str, generation: int) -> None:
        self._tell(f"tenant {tenant_id} {generation}", tenant_key(tenant_id), generation)

    def _tell(self, message: str, name: str, value: int, lifetime: int | None = None) -> None:
        self._hear(message)
        try:
            self._redis.set(name, value, ex=lifetime)
        except ResponseError:
            # It takes nothing in, being full or having no disk, but can forget and pass on:
            # who does not hear of this must not take its silence for a yes.
            self._redis.delete(MARKER)
            raise
        finally:
            self._redis.publish(CHANNEL, message)

    def _hear(self, message: str) -> None:
        """Take in what was said: `session|user|tenant ID NUMBER`, or that `all` was told anew."""
        match message.split(" "):
            case ["session", session_id, seconds]:
                self._heard.end_session(session_id, int(seconds))
            case ["user", user_id, generation]:
                self._heard.raise_user(user_id, int(generation))
            case ["tenant", tenant_id, generation]:
                self._heard.raise_tenant(tenant_id, int(generation))
        self._forget()

    def _forget(self) -> None:
        self.epoch += 1
        self._verdicts.clear()

    def _ask(self, standing: Standing) -> Verdict:
        told, ended, user_generation, tenant_generation = self._redis.mget(
            MARKER,
            session_key(standing.session_id),
            user_key(standing.user_id),
            tenant_key(standing.tenant_id),
        )
        if (
            ended is not None
            or int(user_generation or 0) > standing.user_generation
            or int(tenant_generation or 0) > standing.tenant_generation
        ):
            return Verdict.REVOKED
        return Verdict.GOOD if told is not None else Verdict.UNKNOWN

    def _listen(self) -> None:
        # Started at the first question, so that it is started after a fork.
        if self._listener is not None and self._listener.is_alive():
            return
        with self._starting:
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(
                    target=self._follow_channel, name="revocations", daemon=True
                )
                self._listener.start()

    def _follow_channel(self) -> None:
        heard = True
        while True:
            try:
                channel: PubSub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                with channel:
                    channel.subscribe(CHANNEL)
                    self.follows = True
                    if not heard:
                        self._forget()  # what was said in between was said to nobody
                        heard = True
                    while True:
                        if message := channel.get_message(timeout=5.0):
                            self._hear(message["data"])
            except RedisError:
                self.follows = False
                if heard:
                    self._forget()
                heard = False
                time.sleep(_PAUSE_AFTER_FAILURE_SECONDS)


def _generations(history: History) -> dict[str, int]:
    return {user_key(user_id): each for user_id, each in history.users.items()} | {
        tenant_key(tenant_id): each for tenant_id, each in history.tenants.items()
    }

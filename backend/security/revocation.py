"""Revoked sessions and tokens, effective in every process within one second.

Auth writes revocations to Redis. Every process reads them with one MGET a request, caches the
result for CACHE_SECONDS, and clears the cache when a revocation is announced on the channel.

The *generation* of a user or tenant is a number in its tokens; raising it revokes all tokens with
a lower number. Design: docs/adr/0002.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError, ResponseError

from backend.security.redis import redis_key

CHANNEL = "security.revoked"
# Set by auth once all revocations are published, so that a server that lost its data is noticed.
POPULATED_MARKER = redis_key("security", "told")
CACHE_SECONDS = 0.9
_PAUSE_AFTER_FAILURE_SECONDS = 1.0
_SILENCE_SECONDS = 5.0
_WATCH_SECONDS = 1.0
_CACHE_ENTRIES = 10_000
_log = logging.getLogger(__name__)


class SessionStatus(Enum):
    VALID = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """The claims of a token that determine whether it is revoked."""

    session_id: str
    user_id: str
    user_generation: int
    tenant_id: str
    tenant_generation: int


@dataclass(frozen=True, slots=True)
class RevocationHistory:
    """All revocations that affect tokens which have not expired.

    Attributes:
        user_generations: user id → current generation.
        tenant_generations: tenant id → current generation.
        lifetime_seconds: how long revoked session ids have to be kept.
    """

    revoked_session_ids: Sequence[str]
    user_generations: Mapping[str, int]
    tenant_generations: Mapping[str, int]
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class RevocationNotice:
    """A revocation that was announced.

    Attributes:
        kind: what is revoked; `all` if everything was published again.
        subject_id: id of the session, user or tenant.
        number: the new generation, or how many seconds a session id has to be kept.
    """

    kind: Literal["session", "user", "tenant", "all"]
    subject_id: str = ""
    number: int = 0


class Revocations(Protocol):
    """Store of revocations."""

    @property
    def epoch(self) -> int:
        """Increases with every revocation; values cached at a lower epoch are outdated."""

    def session_status(self, claims: SessionClaims) -> SessionStatus: ...

    def invalidate_cache(self) -> None:
        """Forget cached statuses, because revocations may have been missed."""

    def is_populated(self) -> bool: ...

    def repopulate(self, history: RevocationHistory) -> None: ...

    def contains(self, history: RevocationHistory) -> bool: ...

    def revoke_session(self, session_id: str, lifetime_seconds: int) -> None: ...

    def raise_user_generation(self, user_id: str, generation: int) -> None: ...

    def raise_tenant_generation(self, tenant_id: str, generation: int) -> None: ...


def request_repopulation(redis: Redis) -> None:
    """Make auth publish all revocations again, because a restore has replaced its tables."""
    redis.delete(POPULATED_MARKER)


def session_key(session_id: str) -> str:
    return redis_key("security", "ended", session_id)


def user_key(user_id: str) -> str:
    return redis_key("security", "user", user_id, "generation")


def tenant_key(tenant_id: str) -> str:
    return redis_key("security", "tenant", tenant_id, "generation")


class LocalRevocations:
    """Revocations of this process only, for a service that runs without Redis.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._revoked_until: dict[str, float] = {}
        self._generations: dict[str, int] = {}
        self._populated = False
        self.epoch = 0

    def session_status(self, claims: SessionClaims) -> SessionStatus:
        revoked = self._revoked_until.get(claims.session_id, 0.0) > self._clock()
        outdated = (
            self._generations.get(user_key(claims.user_id), 0) > claims.user_generation
            or self._generations.get(tenant_key(claims.tenant_id), 0) > claims.tenant_generation
        )
        return SessionStatus.REVOKED if revoked or outdated else SessionStatus.VALID

    def invalidate_cache(self) -> None:
        """Do nothing: this process has all revocations that it can know."""

    def is_populated(self) -> bool:
        return self._populated

    def repopulate(self, history: RevocationHistory) -> None:
        for session_id in history.revoked_session_ids:
            self.revoke_session(session_id, history.lifetime_seconds)
        self._generations.update(_generations(history))
        self._populated = True
        self.epoch += 1

    def contains(self, history: RevocationHistory) -> bool:
        return all(
            self._revoked_until.get(session_id, 0.0) > self._clock()
            for session_id in history.revoked_session_ids
        ) and all(
            self._generations.get(name, 0) >= generation
            for name, generation in _generations(history).items()
        )

    def revoke_session(self, session_id: str, lifetime_seconds: int) -> None:
        now = self._clock()
        self._revoked_until = {
            ended_id: until for ended_id, until in self._revoked_until.items() if until > now
        }
        self._revoked_until[session_id] = now + lifetime_seconds
        self.epoch += 1

    def raise_user_generation(self, user_id: str, generation: int) -> None:
        self._generations[user_key(user_id)] = generation
        self.epoch += 1

    def raise_tenant_generation(self, tenant_id: str, generation: int) -> None:
        self._generations[tenant_key(tenant_id)] = generation
        self.epoch += 1


class SharedRevocations:
    """Revocations in Redis, cached in this process and invalidated through a channel.

    Args:
        redis: client with short timeouts (`backend.security.redis.connect`).
        clock: returns monotonic seconds.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._statuses: dict[SessionClaims, tuple[float, SessionStatus]] = {}
        # Revocations announced on the channel stay in force even if the server loses them.
        self._announced = LocalRevocations(clock)
        self.epoch = 0
        self._retry_after = 0.0
        self._listener: threading.Thread | None = None
        self.is_subscribed: bool | None = None
        """Whether the channel is subscribed; None before the first status was requested."""
        self._listener_lock = threading.Lock()

    def session_status(self, claims: SessionClaims) -> SessionStatus:
        self._ensure_listener()
        if self._announced.session_status(claims) is SessionStatus.REVOKED:
            return SessionStatus.REVOKED
        now = self._clock()
        entry = self._statuses.get(claims)
        if entry is not None and now < entry[0]:
            return entry[1]
        if now < self._retry_after:
            return SessionStatus.UNKNOWN
        epoch = self.epoch
        try:
            status = self._query_status(claims)
        except RedisError:
            self._retry_after = self._clock() + _PAUSE_AFTER_FAILURE_SECONDS
            return SessionStatus.UNKNOWN
        # Do not cache the status if a revocation arrived meanwhile: it may be outdated.
        if status is not SessionStatus.UNKNOWN and epoch == self.epoch:
            if len(self._statuses) >= _CACHE_ENTRIES:
                self._statuses.clear()
            self._statuses[claims] = (self._clock() + CACHE_SECONDS, status)
        return status

    def is_populated(self) -> bool:
        """Return whether all revocations were published to this server and it still has them."""
        return bool(self._redis.get(POPULATED_MARKER) == self._server_state())

    def repopulate(self, history: RevocationHistory) -> None:
        """Publish *history* and set the marker, in one transaction."""
        server = self._server_state()
        with self._redis.pipeline(transaction=True) as transaction:
            for session_id in history.revoked_session_ids:
                transaction.set(session_key(session_id), "1", ex=history.lifetime_seconds)
            for name, generation in _generations(history).items():
                transaction.set(name, generation)
            transaction.set(POPULATED_MARKER, server)
            transaction.publish(CHANNEL, "all")
            transaction.execute()
        self.invalidate_cache()

    def contains(self, history: RevocationHistory) -> bool:
        """Return whether every revocation of *history* was published to this server."""
        generations = _generations(history)
        names = [session_key(session_id) for session_id in history.revoked_session_ids]
        if not names and not generations:
            return True
        values = self._redis.mget([*names, *generations])
        return None not in values[: len(names)] and all(
            int(value or 0) >= generation
            for value, generation in zip(values[len(names) :], generations.values(), strict=True)
        )

    def _server_state(self) -> str:
        # A restarted server may have lost the last second of writes, and a full one may have
        # evicted any key; both may still hold the marker.
        info = self._redis.info()
        return f"{info.get('run_id', 'unknown')} {info.get('evicted_keys', 0)}"

    def revoke_session(self, session_id: str, lifetime_seconds: int) -> None:
        message = f"session {session_id} {lifetime_seconds}"
        self._publish(message, session_key(session_id), 1, lifetime_seconds)

    def raise_user_generation(self, user_id: str, generation: int) -> None:
        self._publish(f"user {user_id} {generation}", user_key(user_id), generation)

    def raise_tenant_generation(self, tenant_id: str, generation: int) -> None:
        self._publish(f"tenant {tenant_id} {generation}", tenant_key(tenant_id), generation)

    def _publish(self, message: str, name: str, value: int, lifetime: int | None = None) -> None:
        self._apply_message(message)
        try:
            self._redis.set(name, value, ex=lifetime)
        except ResponseError:
            # A server that is full or has no disk rejects writes but still deletes and publishes:
            # processes that miss the message must not accept a token because the key is missing.
            self._redis.delete(POPULATED_MARKER)
            raise
        finally:
            self._redis.publish(CHANNEL, message)

    def _apply_message(self, message: str) -> None:
        """Apply a message: `session|user|tenant ID NUMBER`, or `all` after a repopulation."""
        match message.split(" "):
            case ["session", session_id, seconds]:
                self._announced.revoke_session(session_id, int(seconds))
            case ["user", user_id, generation]:
                self._announced.raise_user_generation(user_id, int(generation))
            case ["tenant", tenant_id, generation]:
                self._announced.raise_tenant_generation(tenant_id, int(generation))
        self.invalidate_cache()

    def invalidate_cache(self) -> None:
        self.epoch += 1
        self._statuses.clear()

    def watch_notices(self) -> Generator[RevocationNotice | None]:
        """Yield the revocations that are announced from now on.

        Yields None when the channel is subscribed, and whenever there is none for a second.

        Raises:
            RedisError: the connection was lost.
        """
        channel: PubSub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with channel:
            channel.subscribe(CHANNEL)
            self._redis.ping()
            yield None
            silent_since = self._clock()
            while True:
                if message := channel.get_message(timeout=_WATCH_SECONDS):
                    silent_since = self._clock()
                    if notice := _parse_notice(message["data"]):
                        yield notice
                    continue
                if self._clock() - silent_since >= _SILENCE_SECONDS:
                    self._redis.ping()
                    silent_since = self._clock()
                yield None

    def _query_status(self, claims: SessionClaims) -> SessionStatus:
        marker, revoked, user_generation, tenant_generation = self._redis.mget(
            POPULATED_MARKER,
            session_key(claims.session_id),
            user_key(claims.user_id),
            tenant_key(claims.tenant_id),
        )
        if (
            revoked is not None
            or int(user_generation or 0) > claims.user_generation
            or int(tenant_generation or 0) > claims.tenant_generation
        ):
            return SessionStatus.REVOKED
        return SessionStatus.VALID if marker is not None else SessionStatus.UNKNOWN

    def _ensure_listener(self) -> None:
        # Started at the first request, so that the thread exists after a fork.
        if self._listener is not None and self._listener.is_alive():
            return
        with self._listener_lock:
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(
                    target=self._follow_channel, name="revocations", daemon=True
                )
                self._listener.start()

    def _follow_channel(self) -> None:
        while True:
            try:
                channel: PubSub = self._redis.pubsub()  # type: ignore[no-untyped-call]
                with channel:
                    channel.subscribe(CHANNEL)
                    self._receive_messages(channel)
            except Exception as error:  # noqa: BLE001 - the listener must not end
                if not isinstance(error, RedisError):
                    _log.exception("revocations cannot be received")
                if self.is_subscribed:
                    self.invalidate_cache()
                self.is_subscribed = False
                time.sleep(_PAUSE_AFTER_FAILURE_SECONDS)

    def _receive_messages(self, channel: PubSub) -> None:
        while True:
            message = channel.get_message(timeout=_SILENCE_SECONDS)
            if message is None:
                # A frozen server keeps the connection open and announces nothing.
                self._redis.ping()
            elif message["type"] == "message":
                self._apply_message(message["data"])
            elif message["type"] == "subscribe":
                # Also after redis-py has connected again. Messages were missed before, and a
                # status that was read before may be outdated.
                self.invalidate_cache()
                self.is_subscribed = True


def _parse_notice(message: str) -> RevocationNotice | None:
    match message.split(" "):
        case ["session" | "user" | "tenant" as kind, subject_id, number]:
            return RevocationNotice(kind, subject_id, int(number))
        case ["all"]:
            return RevocationNotice("all")
    return None


def _generations(history: RevocationHistory) -> dict[str, int]:
    return {user_key(user_id): value for user_id, value in history.user_generations.items()} | {
        tenant_key(tenant_id): value for tenant_id, value in history.tenant_generations.items()
    }

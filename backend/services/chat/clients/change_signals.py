"""Signals of changed conversations between processes, over the Redis-compatible server."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from redis.client import PubSub
from redis.exceptions import RedisError

from backend.chassis.observability.tracing import attach_span_context
from backend.security.redis import connect, redis_key

_log = logging.getLogger(__name__)
_CHANNEL = redis_key("chat", "changes")
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 1.0


class Board(Protocol):
    """Wakes the readers of this process."""

    def notify(self, conversation_id: str) -> None:
        """Wake the readers of the conversation."""


class LocalSignals:
    """Wakes the readers of this process only."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def start(self) -> None:
        """Do nothing: there is no other process to listen to."""

    def publish_change(self, conversation_id: str) -> None:
        self._board.notify(conversation_id)


class RedisSignals:
    """Publishes signals to all processes, and wakes the readers of this one."""

    def __init__(self, url: str, board: Board, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._board = board
        self._clock = clock
        self._redis = connect(url, retries=0)
        self._retry_at = 0.0
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to receive the signals of other processes. Threads do not survive a fork."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._start_lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._receive, name="change-signals", daemon=True
                )
                self._thread.start()

    def publish_change(self, conversation_id: str) -> None:
        self._board.notify(conversation_id)
        if self._clock() < self._retry_at:
            return
        try:
            with attach_span_context(None):  # these commands must not fill the trace
                self._redis.publish(_CHANNEL, conversation_id)
        except RedisError as error:
            # Readers poll, so a lost signal only delays them.
            self._retry_at = self._clock() + _RETRY_SECONDS
            _log.warning("signals of changed conversations are lost: %s", error)

    def _receive(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with (
                    connect(self._url, timeout=2 * _POLL_SECONDS) as redis,
                    redis.pubsub() as pubsub,
                ):
                    pubsub.subscribe(_CHANNEL)
                    self._forward_messages(pubsub)
            except RedisError as error:
                _log.warning("signals of changed conversations cannot be received: %s", error)
                pause.wait(_RETRY_SECONDS)

    def _forward_messages(self, pubsub: PubSub) -> None:
        while True:
            message = pubsub.get_message(ignore_subscribe_messages=True, timeout=_POLL_SECONDS)
            if message is not None:
                self._board.notify(str(message["data"]))


def open_change_signals(redis_url: str | None, board: Board) -> LocalSignals | RedisSignals:
    """Return signals over Redis, or within this process if *redis_url* is None."""
    return LocalSignals(board) if redis_url is None else RedisSignals(redis_url, board)

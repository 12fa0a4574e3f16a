"""State that all connections of one process share: hub, index, timers and authentication."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from backend.chassis.web.asyncio_server.server_state import ServerState, Wsgi
from backend.security import HttpError, Principal
from backend.security.authentication import Credentials, SecurityContext
from backend.security.http_errors import unavailable
from backend.security.revocation import SessionStatus
from backend.services.realtime.domain.authentication import (
    authenticate_connection,
    ensure_session_valid,
)
from backend.services.realtime.domain.connections import (
    ConnectionIndex,
    ConnectionLimits,
    TooManyConnections,
)
from backend.services.realtime.domain.hub import POSITION_CHECK_SECONDS, Hub
from backend.services.realtime.domain.presence import leave_topic
from backend.services.realtime.edge.sessions.centrifuge import CentrifugeSession
from backend.services.realtime.errors import CloseReason
from backend.services.realtime.model import Broker, BrokerUnavailable, SocketLimits

if TYPE_CHECKING:
    from backend.services.realtime.domain.topics import Topic
    from backend.services.realtime.edge.event_streams import EventStream
    from backend.services.realtime.edge.websocket import WebSocket

_AUTH_THREADS = 4
_DRAIN_STEPS = 20
_RECHECK_RETRY_SECONDS = 0.5
_AUTH_UNAVAILABLE = unavailable(
    "auth_unavailable", "The credentials cannot be verified at the moment. Retry later."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """Limits of the connections, and the time within which they are closed at a stop."""

    sockets: SocketLimits
    connections: ConnectionLimits
    drain_seconds: float


AuthenticationCallback = Callable[[Principal | HttpError], None]


class RealtimeServer(ServerState):
    """The connections of one process and what they share."""

    def __init__(
        self,
        wsgi: Wsgi,
        config: RealtimeConfig,
        security: SecurityContext,
        broker: Broker,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__("realtime", wsgi, loop)
        self.limits = config.sockets
        self._max_sockets = config.connections.per_process
        self._drain_seconds = config.drain_seconds
        self._security = security
        self.broker = broker
        self.hub = Hub(broker, self.create_task)
        self.index = ConnectionIndex(config.connections)
        self.sockets: set[WebSocket] = set()
        self.event_streams: set[EventStream] = set()
        self.stalled: set[WebSocket | EventStream] = set()
        self.closes: Counter[str] = Counter()
        self._ping_groups: list[set[WebSocket]] = [set() for _ in range(self.limits.ping_seconds)]
        self._next_group = 0
        self._auth_executor = ThreadPoolExecutor(_AUTH_THREADS, "verify")
        self.publish_metrics: Callable[[], None] | None = None
        """Writes the metrics where the other workers of the service can read them."""
        self._next_second = loop.time() + 1
        self._next_position_check = loop.time() + POSITION_CHECK_SECONDS

    # Life of the process

    def start(self) -> None:
        super().start()
        self.broker.start(
            self.hub.receive, self._revocation_received, self._broker_lost, self._broker_connected
        )

    def drain(self) -> None:
        """Close the connections in steps, so that the clients do not all reconnect at once."""
        super().drain()
        self.create_task(self._close_in_steps())

    def is_drained(self) -> bool:
        return super().is_drained() and not self.sockets

    def stop(self) -> None:
        super().stop()
        for socket in list(self.sockets):
            socket.abort(CloseReason.RESTART)
        self._auth_executor.shutdown(wait=False, cancel_futures=True)

    async def _close_in_steps(self) -> None:
        connections: list[WebSocket | EventStream] = [*self.sockets, *self.event_streams]
        size = max(1, -(-len(connections) // _DRAIN_STEPS))
        for start in range(0, len(connections), size):
            for connection in connections[start : start + size]:
                connection.close(CloseReason.RESTART)
            # Leave a tenth of the time for closing handshakes.
            await asyncio.sleep(0.9 * self._drain_seconds / _DRAIN_STEPS)

    # Connections

    @property
    def is_full(self) -> bool:
        return len(self.sockets) + len(self.event_streams) >= self._max_sockets

    def add_socket(self, socket: WebSocket) -> None:
        self.sockets.add(socket)

    def remove_socket(self, socket: WebSocket) -> None:
        self.sockets.discard(socket)
        self.stalled.discard(socket)
        self._ping_groups[socket.ping_group].discard(socket)
        self.unregister(socket)

    def register(self, connection: WebSocket | EventStream, principal: Principal) -> bool:
        """Count and index *connection*. Returns False if a limit is reached."""
        connection.expires_at = self._compute_expiry(principal)
        try:
            self.index.add(connection, principal)
        except TooManyConnections:
            return False
        return True

    def unregister(self, connection: WebSocket | EventStream) -> None:
        if connection.principal is not None:
            self.index.remove(connection, connection.principal)

    def replace_principal(self, connection: WebSocket, principal: Principal) -> None:
        """Continue *connection* with new credentials of the same user."""
        self.unregister(connection)
        connection.principal = principal
        self.register(connection, principal)

    def count_close(self, reason: CloseReason) -> None:
        self.closes[reason.name.lower()] += 1

    def start_pings(self, socket: WebSocket) -> None:
        group = self._next_group = (self._next_group + 1) % len(self._ping_groups)
        socket.ping_group = group
        self._ping_groups[group].add(socket)

    def _compute_expiry(self, principal: Principal) -> float:
        """Return the time of the event loop's clock at which a connection ends."""
        lifetime = self.limits.lifetime_seconds
        if not self.broker.is_shared:
            # Revocations of other processes are not noticed: as long as the token only.
            lifetime = min(lifetime, max(0.0, principal.expires_at - time()))
        return self.loop.time() + lifetime

    # Authentication

    def authenticate(self, credentials: Credentials, callback: AuthenticationCallback) -> None:
        """Verify *credentials* in a thread and call *callback* with the principal or the error."""

        self._verify_in_thread(
            lambda: authenticate_connection(self._security, credentials), callback
        )

    def _verify_in_thread(
        self, verify: Callable[[], Principal], callback: AuthenticationCallback
    ) -> None:
        def verified(future: asyncio.Future[Principal]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                callback(future.result())
            elif isinstance(error, HttpError):
                callback(error)
            else:
                _log.error("credentials could not be verified", exc_info=error)
                callback(_AUTH_UNAVAILABLE)

        self.loop.run_in_executor(self._auth_executor, verify).add_done_callback(verified)

    def check_session(self, principal: Principal, callback: AuthenticationCallback) -> None:
        """Call *callback* with *principal* if its session is valid, or with the error."""

        def verify() -> Principal:
            ensure_session_valid(self._security, principal)
            return principal

        self._verify_in_thread(verify, callback)

    def is_session_revoked(self, principal: Principal) -> bool | None:
        """Return whether the session was revoked; None if this is unknown. May block."""
        status = self._security.revocations.session_status(principal.session_claims)
        if status is SessionStatus.UNKNOWN:
            return None
        return status is SessionStatus.REVOKED

    # The broker

    def _revocation_received(self, message: str) -> None:
        if not self.index.apply_revocation(message):
            self.create_task(self._check_sessions())

    def _broker_lost(self) -> None:
        self.hub.connection_lost()

    def _broker_connected(self) -> None:
        self.create_task(self._recover())

    async def _recover(self) -> None:
        """Check all sessions, then deliver what was missed."""
        self._security.revocations.invalidate_cache()
        await self._check_sessions()
        await self.hub.recover()

    async def _check_sessions(self) -> None:
        """End the connections whose sessions were revoked while messages were not received."""
        for principal, connections in self.index.list_sessions():
            while True:
                revoked = await self._is_revoked(principal)
                if revoked is not None:
                    break
                await asyncio.sleep(_RECHECK_RETRY_SECONDS)
            if revoked:
                for connection in connections:
                    connection.end_session()

    async def _is_revoked(self, principal: Principal) -> bool | None:
        try:
            return await self.loop.run_in_executor(
                self._auth_executor, self.is_session_revoked, principal
            )
        except Exception:  # noqa: BLE001 - delivery resumes only after all sessions are checked
            _log.exception("a session could not be checked")
            return None

    async def leave_topic(self, topic: Topic, client_id: str, user_id: str) -> None:
        try:
            await leave_topic(self.broker, topic, client_id, user_id)
        except BrokerUnavailable:
            return  # It expires.

    # Periodic work

    def _sweep(self, now: float) -> None:
        for connection in list(self.stalled):
            connection.check_stalled(now)
        if now >= self._next_second:
            self._do_work_of_second(now)
        # Last, because it writes a file: a full disk must not end pings and heartbeats.
        if self.publish_metrics is not None:
            self.publish_metrics()

    def _do_work_of_second(self, now: float) -> None:
        self._next_second = now + 1
        self._ping_next_group(now)
        for stream in list(self.event_streams):
            stream.tick(now)
        if now >= self._next_position_check:
            self._next_position_check = now + POSITION_CHECK_SECONDS
            self.create_task(self.hub.check_positions())

    def _ping_next_group(self, now: float) -> None:
        """Ping the connections of one group. Each second it is another group's turn."""
        self._ping_turn = (self._ping_turn + 1) % len(self._ping_groups)
        for socket in list(self._ping_groups[self._ping_turn]):
            if socket.is_pong_awaited:
                socket.close(CloseReason.NO_PONG)
            elif now >= socket.expires_at:
                socket.close(CloseReason.EXPIRED)
            else:
                socket.send_ping()
                if isinstance(socket, CentrifugeSession):
                    self._refresh_presence(socket)

    _ping_turn = 0

    def _refresh_presence(self, socket: CentrifugeSession) -> None:
        for topic in socket.list_presence_topics():
            self.create_task(self._store_presence(socket, topic))

    async def _store_presence(self, socket: CentrifugeSession, topic: Topic) -> None:
        try:
            await socket.refresh_presence(topic)
        except BrokerUnavailable:
            return  # It is stored again with the next ping.

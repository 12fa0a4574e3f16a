"""One client's connection: requests in, in order; answers out, in the same order."""

import asyncio
import socket
import struct
from time import time
from typing import cast

from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.domain.cors import is_preflight
from backend.services.gateway.domain.headers import request_id
from backend.services.gateway.edge import replies
from backend.services.gateway.edge.carrier import Carrier, Visit
from backend.services.gateway.edge.local import Local
from backend.services.gateway.edge.passage import Passage
from backend.services.gateway.edge.requests import (
    ALLOW,
    BadRequest,
    Block,
    Request,
    check_begun,
    read_block,
    without_empty_lines,
)
from backend.services.gateway.edge.taker import Taker
from backend.services.gateway.edge.tunnel import Tunnel
from backend.services.gateway.errors import Outcome, reason_of

HEAD_SECONDS = 10.0
BODY_IDLE_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 75.0
_DRAIN_IDLE_SECONDS = 3.0
_LINGER_SECONDS = 2.0
_LONGEST_LINGER = 10.0
_HELD_BYTES = 64 * 1024
_NEVER = float("inf")
_CR = 13
_REPEATED_BYTES = 4096
_RESET = struct.pack("ii", 1, 0)


# Plain numbers: they are compared several times for each request.
_IDLE, _HEAD, _BUSY, _LINGER, _TUNNEL = range(5)


class Client(asyncio.Protocol):
    """The protocol of one connection on the outside."""

    __slots__ = (
        "_block",
        "_block_raw",
        "_carrier",
        "_held",
        "_linger_until",
        "_scanned",
        "_taker",
        "body_open",
        "body_seen",
        "deadline",
        "peer",
        "reading_held",
        "request",
        "state",
        "transport",
        "visit",
        "writing_held",
    )

    def __init__(self, carrier: Carrier) -> None:
        self._block: Block | None = None
        self._block_raw = b""
        self._carrier = carrier
        self._held = b""
        self._linger_until = 0.0
        self.reading_held = False
        self._scanned = 0
        self._taker: Taker | None = None
        self.body_open = False
        self.body_seen = 0
        self.deadline = _NEVER
        self.peer = ""
        self.request: Request | None = None
        self.state = _IDLE
        self.visit: Visit | None = None
        self.transport: asyncio.Transport
        self.writing_held = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Only streams are opened here; uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self.deadline = self._carrier.now + HEAD_SECONDS
        self._carrier.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self.state <= _HEAD:
            self._read(self._held + data if self._held else data)
        elif self.state == _BUSY:
            if self.body_open:
                self._feed(data)
            else:
                self._hold(data)
        elif self.state == _TUNNEL and self._taker is not None:
            self._taker.take(data, False)
        elif self.state == _LINGER:
            now = self._carrier.loop.time()
            self.deadline = min(now + _LINGER_SECONDS, self._linger_until)

    def eof_received(self) -> bool:
        # A client that has closed and one that only writes no more look alike; like most
        # servers in front of slow services we take both for gone. The gateway's own
        # answers are quick, and still written.
        return self.state == _BUSY and isinstance(self._taker, Local)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._carrier.clients.discard(self)
        taker, self._taker = self._taker, None
        self.state = _LINGER
        if taker is not None:
            taker.gone()

    def pause_writing(self) -> None:
        self.writing_held = True
        if self._taker is not None:
            self._taker.hold()

    def resume_writing(self) -> None:
        self.writing_held = False
        if self._taker is not None:
            self._taker.go_on()

    # What those who answer call.

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def keeps(self) -> bool:
        """Whether the connection goes on after the answer to the request in hand."""
        request = self.request
        return (
            request is not None
            and request.keep_alive
            and not self.body_open
            and not self._carrier.draining
        )

    def finish(self, *, keep: bool) -> None:
        """The answer is written."""
        self._taker = None
        self.request = None
        if not keep:
            self._linger()
            return
        self.state = _IDLE
        self.deadline = self._carrier.now + KEEP_ALIVE_SECONDS
        if self.reading_held:
            self.resume_reading()
        if self._held:
            # Not at once: a hundred requests sent at once would be a hundred calls deep.
            self._carrier.loop.call_soon(self._read_held)

    def cut(self) -> None:
        """Break off an answer so that nobody takes it for a whole one."""
        self._taker = None
        peer = self.transport.get_extra_info("socket")
        if peer is not None:
            # A reset: to HTTP/1.0 the mere end of the connection would be a good end.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def refuse(self, error: BadRequest) -> None:
        """Answer bytes that are no request, once, and end the connection."""
        self._carrier.numbers.refused(error.code)
        identity = self._carrier.new_id()
        more = replies.CLOSE + self._carrier.date()
        self._carrier.numbers.note(
            (time(), "-", "-", error.status, 0.0, self.peer, identity, "-", 0, "", "", error.code)
        )
        self.write(replies.malformed(error, identity, more))
        self._linger()

    def hold_reading(self) -> None:
        if not self.reading_held:
            self.reading_held = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.reading_held and not self.transport.is_closing():
            self.reading_held = False
            self.transport.resume_reading()

    def tunnel(self) -> bytes:
        """From now on bytes pass as they are; what was read too far already."""
        self.state = _TUNNEL
        held, self._held = self._held, b""
        return held

    def expect_within(self, seconds: float) -> None:
        """Call the taker's `late` unless something is expected anew before."""
        self.deadline = self._carrier.now + seconds

    # What the carrier calls.

    def late(self, now: float) -> None:
        if self.state == _IDLE:
            self.transport.close()
        elif self.state == _HEAD:
            self.refuse(BadRequest(408, "request_timeout", "The request's head came too slowly."))
        elif self._taker is not None and self.state != _LINGER:
            self._taker.late(now)
        else:
            self.transport.abort()

    def drain(self) -> None:
        if self.state == _IDLE:
            self.deadline = min(self.deadline, self._carrier.loop.time() + _DRAIN_IDLE_SECONDS)
        elif self.state == _TUNNEL and self._taker is not None:
            self._taker.late(_NEVER)

    def abort(self) -> None:
        self.transport.abort()

    # From bytes to requests.

    def _read_held(self) -> None:
        if self.state == _IDLE and self._held:
            self._read(self._held)

    def _read(self, data: bytes) -> None:
        self._held = b""
        try:
            if data[0] == _CR:
                data = without_empty_lines(data)
            end = data.find(b"\r\n\r\n", self._scanned)
            if end >= 0:
                self._scanned = 0
                request = self._request(data, end)
                self._begin(request, data[end + 4 :])
                return
            check_begun(data, self._scanned)
        except BadRequest as error:
            self.refuse(error)
            return
        self._held = data
        self._scanned = max(0, len(data) - 3)
        if data and self.state == _IDLE:
            self.state = _HEAD
            self.deadline = self._carrier.now + HEAD_SECONDS

    def _request(self, data: bytes, end: int) -> Request:
        """The request whose head ends at *end*. A client repeats itself: so does what we read."""
        carrier = self._carrier
        first = data.find(b"\r\n")
        raw_line = data[:first]
        visit = carrier.visits.get(raw_line)
        if visit is None:
            visit = carrier.visit(raw_line)
        self.visit = visit
        raw_block = data[first + 2 : end]
        block = self._block
        if block is None or raw_block != self._block_raw:
            block = read_block(raw_block, first < end)
            if len(raw_block) <= _REPEATED_BYTES:
                self._block_raw, self._block = raw_block, block
        return Request(visit.line, block)

    def _begin(self, request: Request, rest: bytes) -> None:
        self.state = _BUSY
        self.request = request
        self.body_seen = 0
        carrier = self._carrier
        said = request.said
        block = request.block
        if block.length or block.chunked:
            self.body_open = True
            self.deadline = carrier.now + BODY_IDLE_SECONDS
        offered = said.get("x-request-id")
        identity = request_id(offered) if offered is not None else carrier.new_id()
        visit = self.visit
        taker = self._answer_here(request, identity) if visit is None or visit.way is None else None
        if visit is None or self.state != _BUSY or self.request is not request:
            return
        if taker is None:
            if "origin" in said and self._preflight(request, identity):
                return
            kind = Tunnel if "upgrade" in said and request.wants_websocket else Passage
            taker = kind(carrier, self, request, identity, visit)
        self._taker = taker
        if rest:
            if self.body_open:
                self._feed(rest)
            else:
                self._hold(rest)
            if self._taker is not taker:
                return
        taker.start()

    def _answer_here(self, request: Request, identity: str) -> Taker | None:
        """Whoever answers a request that leads to no service; None if it is answered."""
        visit = self.visit
        if visit is None or visit.line.target == "*":
            self._answer_empty(200, identity, f"Allow: {ALLOW}\r\n")
            return None
        if visit.problem is not None:
            self.refuse_request(visit.problem, identity)
            return None
        if self._preflight(request, identity):
            return None
        return Local(self._carrier, self, request, identity, visit.path, visit.query)

    def _preflight(self, request: Request, identity: str) -> bool:
        """Answer a page that asks whether it may ask."""
        said = request.said
        origin = said.get("origin", "")
        if not is_preflight(request.method, origin, said.get("access-control-request-method", "")):
            return False
        allowed = self._carrier.cross_origin.preflight(origin)
        self._answer_empty(204, identity, replies.lines(allowed))
        return True

    def _feed(self, data: bytes) -> None:
        """A piece of the body of the request in hand, and perhaps what follows it."""
        request, taker = self.request, self._taker
        if request is None or taker is None:
            return
        body = request.body
        try:
            piece = body.feed(data)
        except BadFraming as error:
            self._taker = None
            taker.gone()
            self.refuse(BadRequest(400, "malformed_request", str(error)))
            return
        self.body_seen += len(piece)
        ended = body.done
        if ended:
            self.body_open = False
            if body.rest:
                self._hold(body.rest)
        else:
            self.deadline = self._carrier.now + BODY_IDLE_SECONDS
        taker.take(piece, ended)

    def _hold(self, data: bytes) -> None:
        """Requests behind the one in hand wait their turn."""
        self._held += data
        if len(self._held) > _HELD_BYTES:
            self.hold_reading()

    # Answers without anyone to ask.

    def refuse_request(self, outcome: Outcome, identity: str) -> None:
        """Answer a request that reaches nobody with a problem."""
        request = self.request
        keep = self.keeps()
        more = self._carrier.date() + ("" if keep else replies.CLOSE)
        head_only = request is not None and request.method == "HEAD"
        status, data = replies.problem(outcome, identity, more, head_only=head_only)
        self._carrier.numbers.refused(reason_of(outcome))
        self._note(identity, status, reason_of(outcome))
        self.write(data)
        self.finish(keep=keep)

    def _answer_empty(self, status: int, identity: str, more: str) -> None:
        keep = self.keeps()
        more += self._carrier.date() + ("" if keep else replies.CLOSE)
        self._note(identity, status, None)
        self.write(replies.empty(status, identity, more))
        self.finish(keep=keep)

    def _note(self, identity: str, status: int, reason: str | None) -> None:
        request = self.request
        method = "-" if request is None else request.method
        path = "-" if self.visit is None else self.visit.path or "-"
        self._carrier.numbers.note(
            (time(), method, path, status, 0.0, self.peer, identity, "-", 0, "", "", reason)
        )

    def _linger(self) -> None:
        """Close without a reset that would overtake the answer (RFC 9112, 9.6)."""
        self.state = _LINGER
        self._held = b""
        now = self._carrier.loop.time()
        self.deadline = now + _LINGER_SECONDS
        self._linger_until = now + _LONGEST_LINGER
        if self.transport.can_write_eof():
            self.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()

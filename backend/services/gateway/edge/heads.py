"""The heads that the edge writes: a request's for the service, an answer's for the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.security.addresses import client_address, counted_as, is_trusted
from backend.services.gateway.clients.answers import DATE, Answer
from backend.services.gateway.domain.headers import named_by_connection
from backend.services.gateway.edge import replies

if TYPE_CHECKING:
    from backend.services.gateway.edge.carrier import Carrier
    from backend.services.gateway.edge.requests import Block, Request

_NO_CONTENT = 204
_USUAL_CONNECTION = frozenset({"close", "keep-alive"})


def look_at(block: Block, carrier: Carrier, peer: str, *, switches: bool) -> None:
    """Find out about a header block what holds for every request that repeats it."""
    said = block.said
    address = client_address(peer, said.get("x-forwarded-for", ""), carrier.trusted)
    scheme = carrier.scheme
    if said.get("x-forwarded-proto") == "https" and is_trusted(peer, carrier.trusted):
        scheme = "https"
    if block.chunked:
        framing = "Transfer-Encoding: chunked\r\n"
    elif switches:
        framing = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    elif "content-length" in said:
        framing = f"Content-Length: {block.length}\r\n"
    else:
        framing = ""
    block.counted = counted_as(address)
    block.switches = switches
    block.onward = (
        f"\r\n{''.join(block.kept)}X-Forwarded-For: {address}\r\n"
        f"X-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {said.get('host', '')}\r\n"
        f"{framing}X-Request-ID: "
    )


def answer_head(
    answer: Answer, request: Request, carrier: Carrier, own: str, private: bool, keep: bool
) -> bytes:
    """The head of *answer* for the caller. *own* are the lines that the gateway has to say."""
    if answer.length is None:
        more = "" if request.line.minor == 0 else "Transfer-Encoding: chunked\r\n"
    elif answer.said is None or answer.status == _NO_CONTENT:
        more = ""
    else:
        more = f"Content-Length: {answer.said}\r\n"
    text = answer.text
    if answer.connection and answer.connection not in _USUAL_CONNECTION:
        text = answer.without(named_by_connection([answer.connection]))
    if not keep:
        more += replies.CLOSE
    if not answer.bits & DATE:
        more += carrier.date()
    if "origin" in request.said:
        more += replies.lines(carrier.cross_origin.fields(request.said["origin"]))
    if carrier.scheme == "https":
        more += replies.HSTS
    return (
        f"{replies.STATUS_LINES[answer.status]}{text}{more}{own}"
        f"{replies.protection(answer.bits, private)}\r\n"
    ).encode("latin-1")

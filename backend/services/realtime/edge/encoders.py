"""Encodings of a publication, one for each protocol. Each is made once for all its subscribers."""

import json

from backend.services.realtime.domain.presence import parse_presence_change
from backend.services.realtime.edge.frames import encode_text_frame
from backend.services.realtime.model import Position, Publication

LOST_EVENT = b"event: lost\ndata: {}\n\n"


def encode_centrifuge(name: str, _: Position, publication: Publication) -> bytes:
    """Return a push of Centrifuge's JSON protocol as a WebSocket frame."""
    text = f'{{"push":{{"channel":{json.dumps(name)},{_format_push(publication)}}}}}'
    return encode_text_frame(text.encode())


def encode_unidirectional(name: str, _: Position, publication: Publication) -> bytes:
    """Return a push of the unidirectional form as a WebSocket frame."""
    text = f'{{"channel":{json.dumps(name)},{_format_push(publication)}}}'
    return encode_text_frame(text.encode())


def encode_sse(name: str, position: Position, publication: Publication) -> bytes:
    """Return a server-sent event whose id is the position, for streams of a single topic."""
    event_id = Position(position.epoch, publication.offset) if publication.offset else None
    return format_sse(name, None if event_id is None else str(event_id), publication)


def format_sse(name: str, event_id: str | None, publication: Publication) -> bytes:
    """Return a server-sent event. Its data is the same as in the unidirectional form."""
    id_line = "" if event_id is None else f"id: {event_id}\n"
    data = f'{{"channel":{json.dumps(name)},{_format_push(publication)}}}'
    return f"{id_line}data: {data}\n\n".encode()


def encode_socket_io(name: str, position: Position, publication: Publication) -> bytes:
    """Return a Socket.IO event as a WebSocket frame.

    It is `publication` with the topic, the data and the position, or `join` or `leave` with the
    topic and the client.
    """
    topic = json.dumps(name)
    change = parse_presence_change(publication)
    if change is not None:
        return encode_text_frame(f'42["{change[0]}",{topic},{change[1]}]'.encode())
    place = json.dumps({"epoch": position.epoch, "offset": publication.offset})
    return encode_text_frame(f'42["publication",{topic},{publication.data},{place}]'.encode())


def format_publication(publication: Publication) -> str:
    """Return a publication as a JSON object of Centrifuge's protocol."""
    if publication.offset:
        return f'{{"data":{publication.data},"offset":{publication.offset}}}'
    return f'{{"data":{publication.data}}}'


def _format_push(publication: Publication) -> str:
    """Return the member of a push: `pub`, or `join` or `leave` with the client."""
    change = parse_presence_change(publication)
    if change is not None:
        return f'"{change[0]}":{{"info":{change[1]}}}'
    return f'"pub":{format_publication(publication)}'

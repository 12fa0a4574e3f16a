"""Encodings of a publication, one for each protocol. Each is made once for all its subscribers."""

import json

from backend.services.realtime.edge.frames import encode_text_frame
from backend.services.realtime.model import Position, Publication

LOST_EVENT = b"event: lost\ndata: {}\n\n"


def encode_centrifuge(name: str, _: Position, publication: Publication) -> bytes:
    """Return a push of Centrifuge's JSON protocol as a WebSocket frame."""
    text = f'{{"push":{{"channel":{json.dumps(name)},"pub":{format_publication(publication)}}}}}'
    return encode_text_frame(text.encode())


def encode_unidirectional(name: str, _: Position, publication: Publication) -> bytes:
    """Return a push of the unidirectional form as a WebSocket frame."""
    text = f'{{"channel":{json.dumps(name)},"pub":{format_publication(publication)}}}'
    return encode_text_frame(text.encode())


def encode_sse(name: str, position: Position, publication: Publication) -> bytes:
    """Return a server-sent event whose id is the position, for streams of a single topic."""
    event_id = Position(position.epoch, publication.offset) if publication.offset else None
    return format_sse(name, None if event_id is None else str(event_id), publication)


def format_sse(name: str, event_id: str | None, publication: Publication) -> bytes:
    """Return a server-sent event. Its data is the same as in the unidirectional form."""
    id_line = "" if event_id is None else f"id: {event_id}\n"
    data = f'{{"channel":{json.dumps(name)},"pub":{format_publication(publication)}}}'
    return f"{id_line}data: {data}\n\n".encode()


def encode_socket_io(name: str, position: Position, publication: Publication) -> bytes:
    """Return a Socket.IO event `publication` as a WebSocket frame.

    Its arguments are the topic, the data and the position.
    """
    place = json.dumps({"epoch": position.epoch, "offset": publication.offset})
    text = f'42["publication",{json.dumps(name)},{publication.data},{place}]'
    return encode_text_frame(text.encode())


def format_publication(publication: Publication) -> str:
    """Return a publication as a JSON object of Centrifuge's protocol."""
    if publication.offset:
        return f'{{"data":{publication.data},"offset":{publication.offset}}}'
    return f'{{"data":{publication.data}}}'

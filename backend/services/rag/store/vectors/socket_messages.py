"""Messages on the socket of the vector server: a JSON object and an array of float32.

A message is a header of two big-endian 32-bit lengths, the JSON text in UTF-8, and the array.
"""

import json
import socket
import struct
from typing import Any

import numpy as np

from backend.services.rag.store.vectors import Vectors

_HEADER = struct.Struct(">II")
# Bounds of a message: 250 vectors of 4,096 dimensions have 4 MB, the ids of a page 200 kB.
_MAX_JSON_BYTES = 64 * 2**20
_MAX_ARRAY_BYTES = 64 * 2**20
NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


class InvalidMessage(Exception):
    """The message is incomplete, too long or not well-formed."""


def send_message(connection: socket.socket, body: dict[str, Any], vectors: Vectors) -> None:
    """Send *body* and *vectors*, whose shape is added to the body."""
    text = json.dumps(body | {"shape": vectors.shape}).encode()
    array = np.ascontiguousarray(vectors, np.float32).tobytes()
    connection.sendall(_HEADER.pack(len(text), len(array)) + text + array)


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], Vectors] | None:
    """Return the next message, or None if the peer closed the connection before it.

    Raises:
        InvalidMessage: the message is incomplete, too long or not well-formed.
    """
    header = _receive(connection, _HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise InvalidMessage("The header is incomplete.")
    text_length, array_length = _HEADER.unpack(header)
    if text_length > _MAX_JSON_BYTES or array_length > _MAX_ARRAY_BYTES:
        raise InvalidMessage("The message is too long.")
    text, array = _receive(connection, text_length), _receive(connection, array_length)
    if len(text) + len(array) < text_length + array_length:
        raise InvalidMessage("The connection was closed within a message.")
    try:
        body = json.loads(text)
        vectors = np.frombuffer(array, np.float32).reshape(body.pop("shape"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidMessage("The message is not well-formed.") from error
    return body, vectors


def _receive(connection: socket.socket, length: int) -> bytes:
    """Return *length* bytes, fewer if the peer closes the connection."""
    content = bytearray()
    while len(content) < length:
        part = connection.recv(min(length - len(content), 2**20))
        if not part:
            break
        content += part
    return bytes(content)

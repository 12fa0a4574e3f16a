"""Who is calling, and whether they are still there."""

import select
import socket
from collections.abc import Callable

from flask import request

from backend.security import caller_headers, current_principal
from backend.services.agent.domain.events import Caller


def caller() -> Caller:
    """The caller of the request in hand, with what carries their rights on."""
    principal = current_principal()
    return Caller(principal.user_id, principal.tenant_id, caller_headers(), principal.permissions)


def departure() -> Callable[[], bool]:
    """A question for later: has the client of the request in hand closed its connection?

    An answer that is not streamed would otherwise be paid for to its end, whoever waits for it.
    """
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False
    return lambda: _closed(connection)


def _closed(connection: socket.socket) -> bool:
    try:
        waiting = select.poll()
        waiting.register(connection, select.POLLIN | select.POLLRDHUP)
        if not waiting.poll(0):
            return False
        return connection.recv(1, socket.MSG_PEEK) == b""
    except ValueError:  # a TLS socket cannot be peeked at
        return False
    except OSError:
        return True

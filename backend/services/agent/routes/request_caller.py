"""Caller of the current request, and detection of its disconnect."""

import select
import socket
from collections.abc import Callable

from flask import request

from backend.chassis.web.audit import get_request_origin
from backend.security import caller_headers, current_principal
from backend.services.agent.domain.answers.events import Caller


def get_caller() -> Caller:
    """Return the caller of the current request, with its headers for calls to other services."""
    principal = current_principal()
    return Caller(
        principal.user_id,
        principal.tenant_id,
        caller_headers(),
        principal.permissions,
        get_request_origin(),
    )


def create_disconnect_check() -> Callable[[], bool]:
    """Return a function that returns whether the client of this request has disconnected.

    It stops answers that are not streamed. Otherwise they would consume tokens until they end, even
    if no client waits for them.
    """
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False
    return lambda: _is_closed(connection)


def _is_closed(connection: socket.socket) -> bool:
    try:
        poller = select.poll()
        poller.register(connection, select.POLLIN | select.POLLRDHUP)
        if not poller.poll(0):
            return False
        return connection.recv(1, socket.MSG_PEEK) == b""
    except ValueError:  # a TLS socket cannot be peeked at
        return False
    except OSError:
        return True

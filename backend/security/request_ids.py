"""Request ids: which ids of clients are accepted, and the id of the current request."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

from flask import g, has_request_context, request

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
"""Request ids accepted from a client (header X-Request-ID)."""
_scoped_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def accept_request_id(value: str) -> str:
    """Return the client's request id *value* if it is well-formed, else a new id."""
    return value if REQUEST_ID_PATTERN.fullmatch(value) else uuid4().hex


def request_id() -> str:
    """Return the id of the current request: the client's if it is well-formed, else a new one."""
    return current_request_id() or uuid4().hex


def current_request_id() -> str | None:
    """Return the id of the current request or request scope, or None outside of both."""
    if not has_request_context():
        return _scoped_request_id.get()
    if "request_id" not in g:
        g.request_id = accept_request_id(request.headers.get("X-Request-ID", ""))
    return str(g.request_id)


@contextmanager
def request_id_scope(request_id: str | None) -> Iterator[None]:
    """Set the request id for work done outside its request, such as a queued job."""
    token = _scoped_request_id.set(request_id)
    try:
        yield
    finally:
        _scoped_request_id.reset(token)

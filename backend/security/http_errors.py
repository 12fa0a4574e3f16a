"""Error responses as RFC 9457 problem documents, and the request id, for any Flask app."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

from flask import Response, g, has_request_context, request
from werkzeug.exceptions import HTTPException

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
"""Request ids accepted from a client (API.md: X-Request-ID)."""
_scoped_request_id: ContextVar[str | None] = ContextVar("worked_for", default=None)

FieldErrors = Sequence[Mapping[str, str]]


class HttpError(HTTPException):
    """A rejected request, together with its problem response.

    It is an HTTPException, so a Flask app returns the response without an error handler.

    Args:
        status: HTTP status.
        code: stable snake_case identifier for programs.
        title: short statement, the same for every use of *code*.
        detail: what is wrong with this request and what to do.
        headers: additional response headers.
        errors: invalid fields, each with `pointer` and `detail`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: FieldErrors | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = status
        self.problem_code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    def get_response(self, environ: object = None, scope: object = None) -> Response:  # noqa: ARG002
        return problem(
            self.code or 500,
            self.problem_code,
            self.title,
            self.detail,
            headers=self.headers,
            errors=self.errors,
        )


def unauthenticated(code: str, detail: str) -> HttpError:
    """Return a 401 error: the request carries no valid credentials."""
    return HttpError(401, code, "Not authenticated", detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(code: str, detail: str) -> HttpError:
    """Return a 403 error: the caller is authenticated but lacks the right."""
    return HttpError(403, code, "Not allowed", detail)


def unavailable(code: str, detail: str, retry_after: int = 1) -> HttpError:
    """Return a 503 error: a server that the decision depends on does not respond.

    Args:
        retry_after: seconds for the Retry-After header.
    """
    return HttpError(
        503, code, "Service unavailable", detail, headers={"Retry-After": str(retry_after)}
    )


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: FieldErrors | None = None,
) -> Response:
    """Return an error as an `application/problem+json` response (RFC 9457)."""
    body: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id(),
    }
    if errors:
        body["errors"] = [dict(error) for error in errors]
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    response.headers.extend(headers or {})
    response.headers.setdefault("X-Request-ID", request_id())
    return response


def request_id() -> str:
    """Return the id of the current request: the client's if it is well-formed, else a new one."""
    return current_request_id() or uuid4().hex


def current_request_id() -> str | None:
    """Return the id of the current request or request scope, or None outside of both."""
    if not has_request_context():
        return _scoped_request_id.get()
    if "request_id" not in g:
        offered = request.headers.get("X-Request-ID", "")
        g.request_id = offered if REQUEST_ID_PATTERN.fullmatch(offered) else uuid4().hex
    return str(g.request_id)


@contextmanager
def request_id_scope(request_id: str | None) -> Iterator[None]:
    """Set the request id for work done outside its request, such as a queued job."""
    token = _scoped_request_id.set(request_id)
    try:
        yield
    finally:
        _scoped_request_id.reset(token)

"""How a refusal leaves: an RFC 9457 problem document, on any Flask app."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

from flask import Response, g, has_request_context, request
from werkzeug.exceptions import HTTPException

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_worked_for: ContextVar[str | None] = ContextVar("worked_for", default=None)

Errors = Sequence[Mapping[str, str]]


class Refusal(HTTPException):
    """A request that does not pass, with the answer its caller gets.

    Being an HTTPException, it becomes that answer on a Flask app without any
    error handler of its own.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Errors | None = None,
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


def unauthenticated(code: str, detail: str) -> Refusal:
    """401: the caller did not show who they are."""
    return Refusal(401, code, "Not authenticated", detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(code: str, detail: str) -> Refusal:
    """403: the caller is known and may not."""
    return Refusal(403, code, "Not allowed", detail)


def unavailable(code: str, detail: str, retry_after: int = 1) -> Refusal:
    """503: something that the decision rests on does not answer."""
    return Refusal(
        503, code, "Service unavailable", detail, headers={"Retry-After": str(retry_after)}
    )


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Errors | None = None,
) -> Response:
    """The one form in which anything that went wrong is told (RFC 9457)."""
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
    """The id of the request in hand: the caller's if it is well-formed, else a new one."""
    return request_id_in_hand() or uuid4().hex


def request_id_in_hand() -> str | None:
    """The same, None where no request is being worked for."""
    if not has_request_context():
        return _worked_for.get()
    if "request_id" not in g:
        offered = request.headers.get("X-Request-ID", "")
        g.request_id = offered if _REQUEST_ID.fullmatch(offered) else uuid4().hex
    return str(g.request_id)


@contextmanager
def working_for(request_id: str | None) -> Iterator[None]:
    """Work that goes on after its request, such as a job that it has queued."""
    token = _worked_for.set(request_id)
    try:
        yield
    finally:
        _worked_for.reset(token)

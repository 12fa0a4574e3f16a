"""Error responses as RFC 9457 problem documents, for any Flask app."""

import json
from collections.abc import Mapping, Sequence

from flask import Response
from werkzeug.exceptions import HTTPException

from backend.security.request_ids import request_id

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
    """Return a 503 error: a server that is needed for the request does not respond.

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

"""Errors in the format of OpenAI's API, converted from problem documents."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request
from pydantic import BaseModel

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class OpenAIErrorDetail(BaseModel):
    """An error in OpenAI's format."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    error: OpenAIErrorDetail


def convert_problem_to_openai_error(response: Response) -> Response:
    """Convert problem documents of any origin to errors in OpenAI's format.

    For `after_app_request`. Responses of other paths stay as they are.
    """
    if is_openai_path(request.path) and response.mimetype == "application/problem+json":
        response.set_data(json.dumps(to_openai_error(response.get_json())))
        response.content_type = "application/json"
    return response


def is_openai_path(path: str) -> bool:
    """Return True if *path* of a service belongs to its OpenAI-compatible API."""
    return path == "/v1" or path.startswith("/v1/")


def to_openai_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a problem document (RFC 9457) to an error body in the format of OpenAI's API."""
    status = problem["status"]
    field_errors: Sequence[Mapping[str, str]] = problem.get("errors") or ()
    details = "; ".join(
        f"{_to_parameter(error['pointer']) or 'body'}: {error['detail']}" for error in field_errors
    )
    # The general text of a validation error refers to `errors`, which this format does not have.
    is_invalid = problem["code"] == "validation_failed" and bool(details)
    default_type = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": details if is_invalid else problem["detail"],
        "type": _ERROR_TYPES.get(status, default_type),
        "param": _to_parameter(field_errors[0]["pointer"]) if field_errors else None,
        "code": problem["code"],
    }
    return {"error": error}


def _to_parameter(pointer: str) -> str | None:
    """Return a JSON pointer as OpenAI's API writes it, for example `messages.0.content`."""
    return pointer.removeprefix("#").removeprefix("/").replace("/", ".") or None

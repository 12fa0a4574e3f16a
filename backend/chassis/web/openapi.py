"""What a view answers, said once: it makes the response and the OpenAPI 3.1 document."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Flask, Response, current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from backend.chassis.web.problems import ServiceError
from backend.security.guards import Guard, guard_of

View = Callable[..., Any]
Schema = dict[str, Any]
_PATH_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_REFERENCE = "#/components/schemas/{model}"


def answers(
    model: type[BaseModel] | None = None,
    status: int = 200,
    *,
    errors: Iterable[type[ServiceError]] = (),
    also: Iterable[int] = (),
    stream: str | None = None,
    error_model: type[BaseModel] | None = None,
) -> Callable[[View], View]:
    """Answer with *model* and *status*; None means no content.

    The view returns an instance of *model*, or a pair of it and one of the
    statuses named in *also*. *errors* are the outcomes it may raise; they look
    like *error_model* where they are no problem documents. A caller may also
    ask for *stream*, a media type: that response the view makes itself.
    """
    media_types = () if stream is None else (stream,)

    def decorate(view: View) -> View:
        @wraps(view)
        def answered(*args: Any, **path: Any) -> Any:
            result = current_app.ensure_sync(view)(*args, **path)
            if isinstance(result, Response):
                return result
            body, code = result if isinstance(result, tuple) else (result, status)
            if body is None:
                return Response(status=code)
            return Response(
                body.model_dump_json(by_alias=True), code, content_type="application/json"
            )

        answered.answer = _Answer(  # type: ignore[attr-defined]
            model, (status, *also), tuple(errors), media_types, error_model
        )
        return answered

    return decorate


def answers_stream(
    *media_types: str,
    statuses: Sequence[int] = (200,),
    empty: Sequence[int] = (),
    model: type[BaseModel] | None = None,
    errors: Iterable[type[ServiceError]] = (),
    error_model: type[BaseModel] | None = None,
) -> Callable[[View], View]:
    """Document a view that makes its own response: bytes or events, or *model* as JSON.

    With one of the statuses in *empty* it says no more than that.
    """

    def decorate(view: View) -> View:
        view.answer = _Answer(  # type: ignore[attr-defined]
            model, statuses, tuple(errors), media_types, error_model, empty
        )
        return view

    return decorate


def takes_form(**fields: Schema) -> Callable[[View], View]:
    """Document the multipart form that a view reads by itself."""

    def decorate(view: View) -> View:
        view.form = fields  # type: ignore[attr-defined]
        return view

    return decorate


@dataclass(frozen=True, slots=True)
class _Answer:
    model: type[BaseModel] | None
    statuses: Sequence[int]
    errors: Sequence[type[ServiceError]]
    media_types: Sequence[str]
    error_model: type[BaseModel] | None
    empty: Sequence[int] = ()


def describe(app: Flask, title: str, version: str) -> Schema:
    """The OpenAPI 3.1 document of every route of *app*."""
    rules = sorted(_documented(app), key=lambda rule: str(rule))
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in rules}
    schemas, components = _schemas(views.values())
    paths: dict[str, Schema] = {}
    for rule in rules:
        path = _PATH_PARAMETER.sub(r"{\1}", str(rule))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = _operation(rule, views[rule.endpoint], schemas)
            operation["operationId"] = f"{method.lower()}_{rule.endpoint.replace('.', '_')}"
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _documented(app: Flask) -> Iterator[Rule]:
    for rule in app.url_map.iter_rules():
        if hasattr(app.view_functions[rule.endpoint], "answer"):
            yield rule


def _schemas(views: Iterable[View]) -> tuple[dict[tuple[type, str], Schema], dict[str, Schema]]:
    wanted: dict[tuple[type[BaseModel], str], None] = {}
    for view in views:
        for name in ("input_model", "query_model"):
            if model := getattr(view, name, None):
                wanted[(model, "validation")] = None
        answer: _Answer = view.answer  # type: ignore[attr-defined]
        for model in (answer.model, answer.error_model):
            if model is not None:
                wanted[(model, "serialization")] = None
    references, definitions = models_json_schema(list(wanted), ref_template=_REFERENCE)  # type: ignore[arg-type]
    return references, definitions.get("$defs", {})  # type: ignore[return-value]


def _operation(rule: Rule, view: View, schemas: dict[tuple[type, str], Schema]) -> Schema:
    summary, _, description = (inspect.getdoc(view) or rule.endpoint).partition("\n")
    operation: Schema = {
        "summary": summary,
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": [*_path_parameters(rule), *_query_parameters(view)],
        "responses": _responses(rule, view, schemas),
    }
    if description.strip():
        operation["description"] = description.strip()
    if body := _request_body(view, schemas):
        operation["requestBody"] = body
    guard = guard_of(view)
    if guard is not None and not guard.public:
        operation["security"] = [{"bearer": []}, {"api_key": []}]
    if guard is not None and guard.permission is not None:
        operation["x-permission"] = guard.permission.value
    return operation


def _path_parameters(rule: Rule) -> Iterator[Schema]:
    for name in _PATH_PARAMETER.findall(str(rule)):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(view: View) -> Iterator[Schema]:
    model: type[BaseModel] | None = getattr(view, "query_model", None)
    if model is None:
        return
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _inlined(field, schema.get("$defs", {})),
        }


def _inlined(schema: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _request_body(view: View, schemas: dict[tuple[type, str], Schema]) -> Schema | None:
    if model := getattr(view, "input_model", None):
        schema = schemas[(model, "validation")]
        required = getattr(view, "input_required", True)
        return {"required": required, "content": {"application/json": {"schema": schema}}}
    if form := getattr(view, "form", None):
        schema = {
            "type": "object",
            "properties": form,
            "required": [name for name, field in form.items() if field.get("x-required")],
            "additionalProperties": False,
        }
        return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    return None


def _responses(rule: Rule, view: View, schemas: dict[tuple[type, str], Schema]) -> Schema:
    answer: _Answer = view.answer  # type: ignore[attr-defined]
    responses: dict[str, Schema] = {
        str(status): {"description": "Taken; there is nothing to say."} for status in answer.empty
    }
    for status in answer.statuses:
        content: Schema = {}
        if answer.model is not None:
            content["application/json"] = {"schema": schemas[(answer.model, "serialization")]}
        # No schema: bytes are just bytes, and events are described in words.
        content |= {media_type: {} for media_type in answer.media_types}
        responses[str(status)] = {"description": "As asked."} | (
            {"content": content} if content else {}
        )
    problem: Schema = {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    if answer.error_model is not None:
        problem = {"application/json": {"schema": schemas[(answer.error_model, "serialization")]}}
    for status, codes in sorted(_problems(rule, view, answer).items()):
        responses[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": problem,
        }
    return responses


def _problems(rule: Rule, view: View, answer: _Answer) -> dict[int, set[str]]:
    """Every refusal that the decorators of *view* and its own errors may lead to."""
    found: dict[int, set[str]] = {}

    def may(status: int, *codes: str) -> None:
        found.setdefault(status, set()).update(codes)

    may(500, "internal_error")
    guard: Guard | None = guard_of(view)
    if guard is not None and not guard.public:
        may(401, "not_authenticated", "invalid_token", "invalid_api_key", "session_ended")
        may(403, "not_a_member")
        may(503, "auth_unavailable", "revocations_unavailable")
        if guard.permission is not None:
            may(403, "permission_denied")
    if getattr(view, "input_model", None) is not None:
        may(400, "malformed_json")
        may(415, "unsupported_media_type")
        may(422, "validation_failed")
    if getattr(view, "form", None) is not None:
        may(400, "bad_request")
        may(415, "unsupported_media_type")
        may(422, "validation_failed")
    if {"POST", "PUT", "PATCH"} & (rule.methods or set()):
        may(413, "too_large")
    if getattr(view, "query_model", None) is not None:
        may(400, "duplicate_parameter")
        may(422, "validation_failed")
    if _PATH_PARAMETER.search(str(rule)):
        may(404, "not_found")
    if getattr(view, "is_idempotent", False):
        may(400, "invalid_idempotency_key")
        may(409, "idempotency_conflict", "idempotency_in_progress")
    for error in answer.errors:
        may(error.status, error.code)
    return found


_PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

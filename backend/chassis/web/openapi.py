"""Decorators that describe a view, and the OpenAPI 3.1 document built from them."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Flask, Response, current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from backend.chassis.web.problems import ServiceError
from backend.security.guards import Guard, get_guard

View = Callable[..., Any]
Schema = dict[str, Any]
_PATH_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_REFERENCE = "#/components/schemas/{model}"

OPERATIONS_TAG = "operations"
"""Tag of the health, information and metrics routes; the last group of the API page."""
OPERATIONS_TAG_ENTRY: Schema = {
    "name": OPERATIONS_TAG,
    "description": "Health, information and metrics of the services.",
}
_OPERATIONS_PATH = re.compile(r"/(?:health(?:/.*)?|info|metrics)")
# Identifiers are random, so this example only shows the format.
_EXAMPLE_ID = "0af7651916cd43dd8448eb211c80319c"
_AUTHENTICATION_HINT = (
    "Send an access token as `Authorization: Bearer TOKEN` or an API key as `X-API-Key: KEY`. To "
    "get a token, register with `POST /auth/register` or sign in with `POST /auth/login` at the "
    "gateway. The API page of the gateway, `/docs`, shows the calls."
)


@dataclass(frozen=True, slots=True)
class _ResponseSpec:
    model: type[BaseModel] | None
    statuses: Sequence[int]
    errors: Sequence[type[ServiceError]]
    media_types: Sequence[str]
    error_model: type[BaseModel] | None
    empty_statuses: Sequence[int] = ()


def responds_with(
    model: type[BaseModel] | None = None,
    status: int = 200,
    *,
    errors: Iterable[type[ServiceError]] = (),
    other_statuses: Iterable[int] = (),
    stream_media_type: str | None = None,
    error_model: type[BaseModel] | None = None,
) -> Callable[[View], View]:
    """Serialise the view's return value and document its responses.

    The view returns an instance of *model*, or a tuple of an instance and one of *other_statuses*.
    A response object is returned unchanged.

    Args:
        model: response body; None for a response without content.
        status: default status.
        errors: errors that the view may raise.
        other_statuses: other statuses that the view may return.
        stream_media_type: media type of a streamed response that clients can request instead. The
            view builds that response itself.
        error_model: body of error responses that are not problem documents.
    """
    media_types = () if stream_media_type is None else (stream_media_type,)

    def decorate(view: View) -> View:
        @wraps(view)
        def respond(*args: Any, **path: Any) -> Any:
            result = current_app.ensure_sync(view)(*args, **path)
            if isinstance(result, Response):
                return result
            body, code = result if isinstance(result, tuple) else (result, status)
            if body is None:
                return Response(status=code)
            return Response(
                body.model_dump_json(by_alias=True), code, content_type="application/json"
            )

        respond.response_spec = _ResponseSpec(  # type: ignore[attr-defined]
            model, (status, *other_statuses), tuple(errors), media_types, error_model
        )
        return respond

    return decorate


def responds_with_stream(
    *media_types: str,
    statuses: Sequence[int] = (200,),
    empty_statuses: Sequence[int] = (),
    model: type[BaseModel] | None = None,
    errors: Iterable[type[ServiceError]] = (),
    error_model: type[BaseModel] | None = None,
) -> Callable[[View], View]:
    """Document a view that builds its own response: bytes or events, or *model* as JSON.

    Args:
        media_types: media types of the responses.
        statuses: statuses of responses with a body.
        empty_statuses: statuses of responses without a body.
        model: body of a JSON response.
        errors: errors that the view may raise.
        error_model: body of error responses that are not problem documents.
    """

    def decorate(view: View) -> View:
        view.response_spec = _ResponseSpec(  # type: ignore[attr-defined]
            model, statuses, tuple(errors), media_types, error_model, empty_statuses
        )
        return view

    return decorate


def accepts_form(**fields: Schema) -> Callable[[View], View]:
    """Document the multipart form that a view reads itself, with the schema of each field."""

    def decorate(view: View) -> View:
        view.form_fields = fields  # type: ignore[attr-defined]
        return view

    return decorate


def accepts_text(examples: Mapping[str, str]) -> Callable[[View], View]:
    """Document the text body that a view reads itself, with an example for each media type.

    The view decodes the body with `backend.security.content_coding.open_body`.
    """

    def decorate(view: View) -> View:
        view.text_examples = examples  # type: ignore[attr-defined]
        return view

    return decorate


def request_example(body: object = None, /, **parameters: str) -> Callable[[View], View]:
    """Document an example request, which clients can send unchanged.

    Args:
        body: JSON body. For a multipart form, the fields; a file is given as its text.
        parameters: values of path parameters and required query parameters. Path parameters whose
            name ends with `_id` have a default example.
    """

    def decorate(view: View) -> View:
        view.example_body = body  # type: ignore[attr-defined]
        view.example_parameters = parameters  # type: ignore[attr-defined]
        return view

    return decorate


def build_openapi_document(app: Flask, title: str, version: str, description: str = "") -> Schema:
    """Return the OpenAPI 3.1 document of the routes of *app* that describe their responses.

    Args:
        description: paragraph about the service, in Markdown. A hint on how to get a token is
            appended.
    """
    rules = sorted(_list_documented_rules(app), key=lambda rule: str(rule))
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in rules}
    schemas, components = _build_schemas(views.values())
    paths: dict[str, Schema] = {}
    for rule in rules:
        path = _PATH_PARAMETER.sub(r"{\1}", str(rule))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = _build_operation(rule, views[rule.endpoint], schemas)
            operation["operationId"] = f"{method.lower()}_{rule.endpoint.replace('.', '_')}"
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": f"{description}\n\n{_AUTHENTICATION_HINT}".strip(),
        },
        "tags": list(_list_tags(app, paths)),
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _list_documented_rules(app: Flask) -> Iterator[Rule]:
    for rule in app.url_map.iter_rules():
        if hasattr(app.view_functions[rule.endpoint], "response_spec"):
            yield rule


def _list_tags(app: Flask, paths: dict[str, Schema]) -> Iterator[Schema]:
    """Yield the tags of *paths* in order of use, the operations tag last.

    A blueprint's tag is described by the first line of the blueprint's module docstring.
    """
    names = [
        tag
        for operations in paths.values()
        for operation in operations.values()
        for tag in operation["tags"]
    ]
    for name in dict.fromkeys(names):
        if name != OPERATIONS_TAG:
            yield {"name": name} | _describe_blueprint(app, name)
    if OPERATIONS_TAG in names:
        yield OPERATIONS_TAG_ENTRY


def _describe_blueprint(app: Flask, name: str) -> Schema:
    if name not in app.blueprints:
        return {}
    docstring = inspect.getdoc(sys.modules[app.blueprints[name].import_name]) or ""
    return {"description": docstring.partition("\n")[0]}


def _build_schemas(
    views: Iterable[View],
) -> tuple[dict[tuple[type, str], Schema], dict[str, Schema]]:
    """Return a reference for each model and mode of *views*, and the referenced schemas."""
    models: dict[tuple[type[BaseModel], str], None] = {}
    for view in views:
        for name in ("input_model", "query_model"):
            if model := getattr(view, name, None):
                models[(model, "validation")] = None
        spec: _ResponseSpec = view.response_spec  # type: ignore[attr-defined]
        for model in (spec.model, spec.error_model):
            if model is not None:
                models[(model, "serialization")] = None
    references, definitions = models_json_schema(list(models), ref_template=_REFERENCE)  # type: ignore[arg-type]
    return references, definitions.get("$defs", {})  # type: ignore[return-value]


def _build_operation(rule: Rule, view: View, schemas: dict[tuple[type, str], Schema]) -> Schema:
    summary, description = _split_docstring(inspect.getdoc(view) or str(rule.endpoint))
    operation: Schema = {
        "summary": summary,
        "tags": [_get_tag(rule)],
        "parameters": [*_list_path_parameters(rule, view), *_list_query_parameters(view)],
        "responses": _build_responses(rule, view, schemas),
    }
    if description:
        operation["description"] = description
    if body := _build_request_body(view, schemas):
        operation["requestBody"] = body
    guard = get_guard(view)
    if guard is not None and not guard.public:
        operation["security"] = [{"bearer": []}, {"api_key": []}]
    if guard is not None and guard.permission is not None:
        operation["x-permission"] = guard.permission.value
    return operation


def _split_docstring(docstring: str) -> tuple[str, str]:
    """Return the first sentence as the summary, and the other text as the description."""
    first_line, _, paragraphs = docstring.partition("\n")
    summary, separator, rest = first_line.partition(". ")
    return summary + separator.strip(), f"{rest}\n\n{paragraphs.strip()}".strip()


def _get_tag(rule: Rule) -> str:
    """Return the operations tag or the name of the blueprint."""
    if _OPERATIONS_PATH.fullmatch(str(rule)):
        return OPERATIONS_TAG
    blueprint: str = rule.endpoint.partition(".")[0]
    return blueprint


def _list_path_parameters(rule: Rule, view: View) -> Iterator[Schema]:
    examples = getattr(view, "example_parameters", {})
    for name in _PATH_PARAMETER.findall(str(rule)):
        parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        if name in examples or name.endswith("_id"):
            parameter["example"] = examples.get(name, _EXAMPLE_ID)
        yield parameter


def _list_query_parameters(view: View) -> Iterator[Schema]:
    model: type[BaseModel] | None = getattr(view, "query_model", None)
    if model is None:
        return
    schema = model.model_json_schema()
    examples = getattr(view, "example_parameters", {})
    for name, field in schema["properties"].items():
        parameter = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _inline_references(field, schema.get("$defs", {})),
        }
        if name in examples:
            parameter["example"] = examples[name]
        yield parameter


def _inline_references(schema: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(schema, list):
        return [_inline_references(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline_references(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inline_references(value, definitions) for key, value in schema.items()}


def _build_request_body(view: View, schemas: dict[tuple[type, str], Schema]) -> Schema | None:
    if model := getattr(view, "input_model", None):
        schema = schemas[(model, "validation")]
        required = getattr(view, "input_required", True)
        media_type = _with_example(view, schema)
        return {"required": required, "content": {"application/json": media_type}}
    if fields := getattr(view, "form_fields", None):
        schema = {
            "type": "object",
            "properties": fields,
            "required": [name for name, field in fields.items() if field.get("x-required")],
            "additionalProperties": False,
        }
        return {"required": True, "content": {"multipart/form-data": _with_example(view, schema)}}
    if examples := getattr(view, "text_examples", None):
        content = {
            media_type: {"schema": {"type": "string"}, "example": example}
            for media_type, example in examples.items()
        }
        return {"required": True, "content": content}
    return None


def _with_example(view: View, schema: Schema) -> Schema:
    example = getattr(view, "example_body", None)
    return {"schema": schema} if example is None else {"schema": schema, "example": example}


def _build_responses(rule: Rule, view: View, schemas: dict[tuple[type, str], Schema]) -> Schema:
    spec: _ResponseSpec = view.response_spec  # type: ignore[attr-defined]
    responses: dict[str, Schema] = {
        str(status): {"description": "Success without content."} for status in spec.empty_statuses
    }
    for status in spec.statuses:
        content: Schema = {}
        if spec.model is not None:
            content["application/json"] = {"schema": schemas[(spec.model, "serialization")]}
        # Without a schema: OpenAPI cannot describe bytes or a stream of events.
        content |= {media_type: {} for media_type in spec.media_types}
        responses[str(status)] = (
            {"description": "Success.", "content": content}
            if content
            else {"description": "Success without content."}
        )
    problem: Schema = {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    if spec.error_model is not None:
        problem = {"application/json": {"schema": schemas[(spec.error_model, "serialization")]}}
    for status, codes in sorted(_collect_error_codes(rule, view, spec).items()):
        responses[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": problem,
        }
    return responses


def _collect_error_codes(rule: Rule, view: View, spec: _ResponseSpec) -> dict[int, set[str]]:
    """Map each status to the error codes that *view* or one of its decorators can return."""
    codes_by_status: dict[int, set[str]] = {}

    def add(status: int, *codes: str) -> None:
        codes_by_status.setdefault(status, set()).update(codes)

    add(500, "internal_error")
    guard: Guard | None = get_guard(view)
    if guard is not None and not guard.public:
        add(401, "not_authenticated", "invalid_token", "invalid_api_key", "session_ended")
        add(403, "not_a_member")
        add(503, "auth_unavailable", "revocations_unavailable")
        if guard.permission is not None:
            add(403, "permission_denied")
    if getattr(view, "input_model", None) is not None:
        add(400, "malformed_json", "malformed_content_coding")
        add(415, "unsupported_media_type", "unsupported_content_coding")
        add(422, "validation_failed")
    if getattr(view, "text_examples", None) is not None:
        add(400, "malformed_content_coding")
        add(415, "unsupported_media_type", "unsupported_content_coding")
    if getattr(view, "form_fields", None) is not None:
        add(400, "bad_request")
        add(415, "unsupported_media_type")
        add(422, "validation_failed")
    if {"POST", "PUT", "PATCH"} & (rule.methods or set()):
        add(413, "too_large")
    if getattr(view, "query_model", None) is not None:
        add(400, "duplicate_parameter")
        add(422, "validation_failed")
    if _PATH_PARAMETER.search(str(rule)):
        add(404, "not_found")
    if getattr(view, "is_idempotent", False):
        add(400, "invalid_idempotency_key")
        add(409, "idempotency_conflict", "idempotency_in_progress")
        if view.has_secret:  # type: ignore[attr-defined]
            add(409, "response_not_repeatable")
    for error in (*spec.errors, *getattr(view, "decorator_errors", ())):
        add(error.status, error.code)
    return codes_by_status


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

"""Model Context Protocol endpoint for the suite's tools: streamable HTTP without sessions.

One view supports both generations of the protocol. Up to version 2025-11-25, a client starts with
`initialize`. Since version 2026-07-28, each request contains the protocol version and the client's
capabilities in `_meta`, and headers that must match the body.
https://modelcontextprotocol.io/specification
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from backend import __version__
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.security import HttpError, Permission, require_permission, validate_input
from backend.services.agent.domain.tool_list import Tool, ToolListService
from backend.services.agent.routes.request_caller import get_caller

bp = Blueprint("mcp", __name__)

STATELESS_VERSION: Final = "2026-07-28"
_LATEST_SESSION_VERSION: Final = "2025-11-25"
_SESSION_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", _LATEST_SESSION_VERSION)

_PARSE_ERROR: Final = -32_700
_INVALID_REQUEST: Final = -32_600
_METHOD_NOT_FOUND: Final = -32_601
_INVALID_PARAMS: Final = -32_602
_INTERNAL_ERROR: Final = -32_603
_HEADER_MISMATCH: Final = -32_020
_UNSUPPORTED_VERSION: Final = -32_022
_REFUSED: Final = -32_001

_META_PREFIX: Final = "io.modelcontextprotocol/"
_SERVER_INFO: Final = {"name": "ai-agent-system", "version": __version__}
_INSTRUCTIONS: Final = "Search, read and list the documents of the authenticated user."
_TOOL_LIST_TTL_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class AllowedOrigins:
    """Origins of web pages that may call the endpoint. Clients other than browsers send none."""

    allowed: frozenset[str]

    def check_origin(self) -> None:
        """Raise HttpError for an origin that is not allowed, to prevent DNS rebinding attacks."""
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self.allowed:
            raise HttpError(
                403,
                "foreign_origin",
                "Origin not allowed",
                f"MCP_ORIGINS does not contain {origin!r}.",
            )


class JsonRpcMessage(BaseModel):
    """A JSON-RPC request, or a notification if it has no id. Batches are not supported."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    jsonrpc: Literal["2.0"]
    id: Annotated[str, Field(max_length=256)] | int | None = None
    method: Annotated[str, Field(max_length=128)] | None = None
    params: dict[str, Any] | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Return `params`, or an empty mapping if the message has none."""
        return self.params or {}

    @property
    def meta(self) -> Mapping[str, Any]:
        meta = self.parameters.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def is_stateless(self) -> bool:
        """Return whether the request uses the stateless protocol, without `initialize`."""
        version = request.headers.get("Mcp-Protocol-Version")
        stateless = (
            version not in {None, *_SESSION_VERSIONS}
            or f"{_META_PREFIX}protocolVersion" in self.meta
        )
        return stateless and self.method != "initialize"


class JsonRpcResponse(BaseModel):
    """A JSON-RPC response: a result or an error."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _JsonRpcError(Exception):
    """A JSON-RPC error to return, with its HTTP status and data."""

    def __init__(self, code: int, message: str, status: int = 400, **data: Any) -> None:
        super().__init__(message)
        self.code, self.status, self.data = code, status, data


@bp.post("/mcp")
@require_permission(Permission.AGENT_QUERY)
@validate_input(JsonRpcMessage)
@responds_with_stream(
    "application/json", empty_statuses=(202,), model=JsonRpcResponse, error_model=JsonRpcResponse
)
@request_example({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
def handle_mcp_message(message: JsonRpcMessage) -> Response:
    """List and call the caller's tools over the Model Context Protocol.

    Tools with side effects have `readOnlyHint: false` and are executed immediately. The client is
    responsible for asking its user for approval.
    """
    use(AllowedOrigins).check_origin()
    if message.method is None or message.method.startswith("notifications/"):
        # The server sends no requests, so it ignores responses and notifications.
        return Response(status=202)
    try:
        return _create_response(message.id, result=_dispatch_message(message))
    except _JsonRpcError as rpc_error:
        error = {"code": rpc_error.code, "message": str(rpc_error)}
        return _create_response(
            message.id, rpc_error.status, error=error | {"data": rpc_error.data}
        )


@bp.after_request
def convert_problem_to_json_rpc(response: Response) -> Response:
    """Convert problem documents of any origin to JSON-RPC errors."""
    if response.mimetype == "application/problem+json":
        problem = response.get_json()
        status = 400 if problem["status"] == 422 else problem["status"]
        code = {"malformed_json": _PARSE_ERROR, "validation_failed": _INVALID_REQUEST}.get(
            problem["code"], _INTERNAL_ERROR if status >= 500 else _REFUSED
        )
        error = {"code": code, "message": problem["detail"], "data": problem}
        response.set_data(_serialize_response(None, error=error))
        response.content_type, response.status_code = "application/json", status
    return response


def _dispatch_message(message: JsonRpcMessage) -> dict[str, Any]:
    if message.id is None:
        raise _JsonRpcError(_INVALID_REQUEST, "A request must have an id.")
    if not message.is_stateless:
        return _find_method(_SESSION_METHODS, message, unknown_status=200)(message)
    _check_headers(message)
    result = _find_method(_STATELESS_METHODS, message, unknown_status=404)(message)
    return {
        "resultType": "complete",
        **result,
        "_meta": {f"{_META_PREFIX}serverInfo": _SERVER_INFO},
    }


def _find_method(
    methods: Mapping[str, Callable[[JsonRpcMessage], dict[str, Any]]],
    message: JsonRpcMessage,
    unknown_status: int,
) -> Callable[[JsonRpcMessage], dict[str, Any]]:
    method = methods.get(message.method or "")
    if method is None:
        raise _JsonRpcError(
            _METHOD_NOT_FOUND, f"Method {message.method} not found.", unknown_status
        )
    return method


def _check_headers(message: JsonRpcMessage) -> None:
    """Raise an error if headers and body differ: proxies make decisions based on the headers."""
    header = request.headers.get("Mcp-Protocol-Version")
    version = message.meta.get(f"{_META_PREFIX}protocolVersion", header)
    if version != STATELESS_VERSION:
        supported = [STATELESS_VERSION, *reversed(_SESSION_VERSIONS)]
        raise _JsonRpcError(
            _UNSUPPORTED_VERSION,
            "Unsupported protocol version.",
            supported=supported,
            requested=version,
        )
    for key in ("protocolVersion", "clientCapabilities"):
        if f"{_META_PREFIX}{key}" not in message.meta:
            raise _JsonRpcError(_INVALID_PARAMS, f"_meta must contain {_META_PREFIX}{key}.")
    expected = {"Mcp-Protocol-Version": version, "Mcp-Method": message.method}
    if message.method == "tools/call":
        expected["Mcp-Name"] = message.parameters.get("name")
    for name, value in expected.items():
        if request.headers.get(name) != value:
            raise _JsonRpcError(_HEADER_MISMATCH, f"The header {name} does not match the body.")


def _initialize(message: JsonRpcMessage) -> dict[str, Any]:
    requested_version = message.parameters.get("protocolVersion")
    return {
        "protocolVersion": (
            requested_version if requested_version in _SESSION_VERSIONS else _LATEST_SESSION_VERSION
        ),
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": _SERVER_INFO,
        "instructions": _INSTRUCTIONS,
    }


def _discover(_: JsonRpcMessage) -> dict[str, Any]:
    return {
        "supportedVersions": [STATELESS_VERSION],
        "capabilities": {"tools": {"listChanged": False}},
        "instructions": _INSTRUCTIONS,
        **_CACHE_HINTS,
    }


def _ping(_: JsonRpcMessage) -> dict[str, Any]:
    return {}


def _list_tools(_: JsonRpcMessage) -> dict[str, Any]:
    return {
        "tools": [
            _describe_tool(tool) for tool in use(ToolListService).list_suite_tools(get_caller())
        ]
    }


def _list_tools_with_cache_hints(message: JsonRpcMessage) -> dict[str, Any]:
    return _list_tools(message) | _CACHE_HINTS


def _describe_tool(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.arguments.json_schema,
        "annotations": {"readOnlyHint": not tool.side_effects},
    }


def _call_tool(message: JsonRpcMessage) -> dict[str, Any]:
    name, arguments = message.parameters.get("name"), message.parameters.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise _JsonRpcError(
            _INVALID_PARAMS,
            "A tool call requires a name, and its arguments must be an object.",
            200,
        )
    tool_result = use(ToolListService).call_suite_tool(get_caller(), name, arguments)
    if tool_result is None:
        raise _JsonRpcError(_INVALID_PARAMS, "Tool not found.", 200)
    result: dict[str, Any] = {
        "content": [{"type": "text", "text": tool_result.content}],
        "isError": tool_result.failed,
    }
    if tool_result.chunks:
        chunks = [asdict(chunk) for chunk in tool_result.chunks]
        for chunk in chunks:
            del chunk["similarities"]  # used by the agent only
        result["structuredContent"] = {"passages": chunks}
    return result


_CACHE_HINTS: Final = {"ttlMs": _TOOL_LIST_TTL_MS, "cacheScope": "private"}
_SESSION_METHODS: Final[Mapping[str, Callable[[JsonRpcMessage], dict[str, Any]]]] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}
_STATELESS_METHODS: Final[Mapping[str, Callable[[JsonRpcMessage], dict[str, Any]]]] = {
    "server/discover": _discover,
    "tools/list": _list_tools_with_cache_hints,
    "tools/call": _call_tool,
}


def _create_response(message_id: str | int | None, status: int = 200, **members: Any) -> Response:
    return Response(
        _serialize_response(message_id, **members), status, content_type="application/json"
    )


def _serialize_response(message_id: str | int | None, **members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": message_id, **members}, ensure_ascii=False)

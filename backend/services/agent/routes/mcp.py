"""The suite's tools over the Model Context Protocol: streamable HTTP, without sessions.

One view speaks both eras. Up to 2025-11-25 a client begins with `initialize`; from 2026-07-28 on
each request says all there is to know in its `_meta` and in headers that must agree with it.
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
from backend.chassis.web.openapi import answers_stream
from backend.security import Permission, Refusal, require_permission, validate_input
from backend.services.agent.domain.catalogue import Catalogue, Tool
from backend.services.agent.routes.callers import caller

bp = Blueprint("mcp", __name__)

MODERN: Final = "2026-07-28"
_LATEST_LEGACY: Final = "2025-11-25"
_LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", _LATEST_LEGACY)

_PARSE_ERROR: Final = -32_700
_INVALID_REQUEST: Final = -32_600
_NO_SUCH_METHOD: Final = -32_601
_INVALID_PARAMS: Final = -32_602
_INTERNAL: Final = -32_603
_HEADER_MISMATCH: Final = -32_020
_UNSUPPORTED_VERSION: Final = -32_022
_REFUSED: Final = -32_001

_META: Final = "io.modelcontextprotocol/"
_SERVER: Final = {"name": "ai-agent-system", "version": __version__}
_INSTRUCTIONS: Final = "Search, read and list the documents of the user whose token you carry."
_FRESH_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Origins:
    """The web pages that may speak to us; what is no browser sends no Origin."""

    allowed: frozenset[str]

    def check(self) -> None:
        """Refuse a page that is not one of them: it may reach us under a name of its own."""
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self.allowed:
            raise Refusal(403, "foreign_origin", "Not allowed", f"MCP_ORIGINS lacks {origin!r}.")


class Message(BaseModel):
    """A JSON-RPC request, or without an id a notification; batches are not taken."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    jsonrpc: Literal["2.0"]
    id: Annotated[str, Field(max_length=256)] | int | None = None
    method: Annotated[str, Field(max_length=128)] | None = None
    params: dict[str, Any] | None = None

    @property
    def told(self) -> Mapping[str, Any]:
        return self.params or {}

    @property
    def meta(self) -> Mapping[str, Any]:
        meta = self.told.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def is_modern(self) -> bool:
        """Whether it speaks the protocol without a beginning."""
        version = request.headers.get("Mcp-Protocol-Version")
        modern = version not in {None, *_LEGACY} or f"{_META}protocolVersion" in self.meta
        return modern and self.method != "initialize"


class Reply(BaseModel):
    """A JSON-RPC response: a result or an error."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Fault(Exception):
    """What is answered in place of a result."""

    def __init__(self, code: int, told: str, status: int = 400, **data: Any) -> None:
        super().__init__(told)
        self.code, self.status, self.data = code, status, data


@bp.post("/mcp")
@require_permission(Permission.AGENT_QUERY)
@validate_input(Message)
@answers_stream("application/json", empty=(202,), model=Reply, error_model=Reply)
def mcp(message: Message) -> Response:
    """Speak the Model Context Protocol: the caller's tools, listed and called.

    A tool with side effects says so in its annotations and runs at once: who calls it here is
    the user's own client, whose part it is to ask.
    """
    use(Origins).check()
    if message.method is None or message.method.startswith("notifications/"):
        return Response(status=202)  # a client's answer, or a note: we ask nothing and need none
    try:
        return _reply(message.id, result=_answered(message))
    except _Fault as fault:
        error = {"code": fault.code, "message": str(fault)}
        return _reply(message.id, fault.status, error=error | {"data": fault.data})


@bp.after_request
def speak_json_rpc(response: Response) -> Response:
    """Turn a problem document, wherever it was made, into a JSON-RPC error."""
    if response.mimetype == "application/problem+json":
        problem = response.get_json()
        status = 400 if problem["status"] == 422 else problem["status"]
        code = {"malformed_json": _PARSE_ERROR, "validation_failed": _INVALID_REQUEST}.get(
            problem["code"], _INTERNAL if status >= 500 else _REFUSED
        )
        error = {"code": code, "message": problem["detail"], "data": problem}
        response.set_data(_document(None, error=error))
        response.content_type, response.status_code = "application/json", status
    return response


def _answered(message: Message) -> dict[str, Any]:
    if message.id is None:
        raise _Fault(_INVALID_REQUEST, "A request has an id.")
    if not message.is_modern:
        return _found(_LEGACY_METHODS, message, unknown_status=200)(message)
    _check_headers(message)
    answered = _found(_MODERN_METHODS, message, unknown_status=404)(message)
    return {"resultType": "complete", **answered, "_meta": {f"{_META}serverInfo": _SERVER}}


def _found(
    methods: Mapping[str, Callable[[Message], dict[str, Any]]],
    message: Message,
    unknown_status: int,
) -> Callable[[Message], dict[str, Any]]:
    method = methods.get(message.method or "")
    if method is None:
        raise _Fault(_NO_SUCH_METHOD, f"There is no method {message.method}.", unknown_status)
    return method


def _check_headers(message: Message) -> None:
    """A proxy decides by the headers: they must say what the body says."""
    header = request.headers.get("Mcp-Protocol-Version")
    version = message.meta.get(f"{_META}protocolVersion", header)
    if version != MODERN:
        supported = [MODERN, *reversed(_LEGACY)]
        raise _Fault(
            _UNSUPPORTED_VERSION,
            "This version of the protocol is not spoken here.",
            supported=supported,
            requested=version,
        )
    for key in ("protocolVersion", "clientCapabilities"):
        if f"{_META}{key}" not in message.meta:
            raise _Fault(_INVALID_PARAMS, f"_meta lacks {_META}{key}.")
    expected = {"Mcp-Protocol-Version": version, "Mcp-Method": message.method}
    if message.method == "tools/call":
        expected["Mcp-Name"] = message.told.get("name")
    for name, value in expected.items():
        if request.headers.get(name) != value:
            raise _Fault(_HEADER_MISMATCH, f"The header {name} does not say what the body says.")


def _initialize(message: Message) -> dict[str, Any]:
    wanted = message.told.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in _LEGACY else _LATEST_LEGACY,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": _SERVER,
        "instructions": _INSTRUCTIONS,
    }


def _discover(_: Message) -> dict[str, Any]:
    return {
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {"listChanged": False}},
        "instructions": _INSTRUCTIONS,
        **_CACHING,
    }


def _ping(_: Message) -> dict[str, Any]:
    return {}


def _list_tools(_: Message) -> dict[str, Any]:
    return {"tools": [_described(tool) for tool in use(Catalogue).suite_tools(caller())]}


def _list_tools_with_age(message: Message) -> dict[str, Any]:
    return _list_tools(message) | _CACHING


def _described(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.arguments.schema,
        "annotations": {"readOnlyHint": not tool.side_effects},
    }


def _call_tool(message: Message) -> dict[str, Any]:
    name, arguments = message.told.get("name"), message.told.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise _Fault(_INVALID_PARAMS, "A call has a name, and arguments as an object.", 200)
    outcome = use(Catalogue).call(caller(), name, arguments)
    if outcome is None:
        raise _Fault(_INVALID_PARAMS, "There is no such tool.", 200)
    result: dict[str, Any] = {
        "content": [{"type": "text", "text": outcome.content}],
        "isError": outcome.failed,
    }
    if outcome.passages:
        passages = [asdict(passage) for passage in outcome.passages]
        result["structuredContent"] = {"passages": passages}
    return result


_CACHING: Final = {"ttlMs": _FRESH_MS, "cacheScope": "private"}
_LEGACY_METHODS: Final[Mapping[str, Callable[[Message], dict[str, Any]]]] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}
_MODERN_METHODS: Final[Mapping[str, Callable[[Message], dict[str, Any]]]] = {
    "server/discover": _discover,
    "tools/list": _list_tools_with_age,
    "tools/call": _call_tool,
}


def _reply(message_id: str | int | None, status: int = 200, **what: Any) -> Response:
    return Response(_document(message_id, **what), status, content_type="application/json")


def _document(message_id: str | int | None, **what: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": message_id, **what}, ensure_ascii=False)

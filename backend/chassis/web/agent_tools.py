"""Offer a service's routes to the agent as tools.

    @app.get("/orders/<order_id>")
    @agent_tool("show_order")
    @require_permission(Permission.AGENT_QUERY)
    def show_order(order_id: str): ...

    declare_agent_tools(app)

If the service's description has `declares_agent_tools=True`, the agent fetches `/tools.json` from
it and calls the routes with the user's own token.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flask import Flask
from pydantic import BaseModel, Field

from backend.security import public
from backend.security.guards import get_guard

View = Callable[..., Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_PATH_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class DeclaredTool(BaseModel):
    """A route as a tool.

    Arguments that `path` names are inserted there. All others are sent in the body or query string.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    description: str = Field(max_length=2_000)
    parameters: dict[str, Any]
    method: Method
    path: str = Field(pattern=r"^/[^?#\\]*$")
    permission: str | None
    side_effects: bool

    @property
    def has_body(self) -> bool:
        return self.method in _METHODS_WITH_BODY


class DeclaredTools(BaseModel):
    """Response of `/tools.json`."""

    tools: Sequence[DeclaredTool] = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class _ToolDeclaration:
    name: str
    side_effects: bool | None


def agent_tool(name: str, *, side_effects: bool | None = None) -> Callable[[View], View]:
    """Offer the view to agents as tool *name*. Its docstring is the description for the model.

    Args:
        name: name of the tool.
        side_effects: True if the agent must ask its user for approval before each call. By
            default, every method but GET has side effects.
    """

    def decorate(view: View) -> View:
        view.agent_tool = _ToolDeclaration(name, side_effects)  # type: ignore[attr-defined]
        return view

    return decorate


def declare_agent_tools(app: Flask) -> None:
    """Add the route `/tools.json` with all views of *app* that are marked with `agent_tool`."""
    tools = DeclaredTools(tools=[*_list_tools(app)])

    @app.get("/tools.json")
    @public
    def tools_json() -> Mapping[str, Any]:
        return tools.model_dump()


def _list_tools(app: Flask) -> list[DeclaredTool]:
    tools = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        declaration: _ToolDeclaration | None = getattr(view, "agent_tool", None)
        if declaration is None:
            continue
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        guard, side_effects = get_guard(view), declaration.side_effects
        tool = {
            "name": declaration.name,
            "description": inspect.getdoc(view) or declaration.name,
            "parameters": _build_parameters_schema(str(rule), view),
            "method": method,
            "path": _PATH_PARAMETER.sub(r"{\1}", str(rule)),
            "permission": None if guard is None else guard.permission,
            "side_effects": method != "GET" if side_effects is None else side_effects,
        }
        tools.append(DeclaredTool.model_validate(tool))
    return tools


def _build_parameters_schema(rule: str, view: View) -> dict[str, Any]:
    """Return a JSON schema that combines the view's path parameters with its body or query."""
    model: type[BaseModel] | None = getattr(view, "input_model", None)
    model = model or getattr(view, "query_model", None)
    schema = {} if model is None else model.model_json_schema()
    path_parameters = _PATH_PARAMETER.findall(rule)
    schema["type"] = "object"
    schema["properties"] = {
        name: {"type": "string", "minLength": 1} for name in path_parameters
    } | schema.get("properties", {})
    schema["required"] = [*path_parameters, *schema.get("required", ())]
    return schema

"""How a service lets the agent use its routes: a decorator on each, and one line for all.

    @app.get("/orders/<order_id>")
    @agent_tool("show_order")
    @require_permission(Permission.AGENT_QUERY)
    def show_order(order_id: str): ...

    declare_tools(app)

With `tools=True` in its line of the catalog, the agent asks the service for `/tools.json` and calls
its routes with the caller's own token.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flask import Flask
from pydantic import BaseModel, Field

from backend.security import public
from backend.security.guards import guard_of

View = Callable[..., Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_PATH_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_WRITING = frozenset({"POST", "PUT", "PATCH"})


class DeclaredTool(BaseModel):
    """One route as a tool: arguments named in `path` go there, the others into body or query."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    description: str = Field(max_length=2_000)
    parameters: dict[str, Any]
    method: Method
    path: str = Field(pattern=r"^/[^?#\\]*$")
    permission: str | None
    side_effects: bool

    @property
    def has_body(self) -> bool:
        return self.method in _WRITING


class DeclaredTools(BaseModel):
    """What `/tools.json` answers."""

    tools: Sequence[DeclaredTool] = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class _Declared:
    name: str
    side_effects: bool | None


def agent_tool(name: str, *, side_effects: bool | None = None) -> Callable[[View], View]:
    """Offer the view to agents as *name*; its docstring tells a model what it is for.

    Unless *side_effects* says otherwise, only a GET has none. What has some waits for the
    approval of the user for whom the agent calls.
    """

    def decorate(view: View) -> View:
        view.agent_tool = _Declared(name, side_effects)  # type: ignore[attr-defined]
        return view

    return decorate


def declare_tools(app: Flask) -> None:
    """Answer `/tools.json` with the routes of *app* that are tools."""
    found = DeclaredTools(tools=[*_tools(app)])

    @app.get("/tools.json")
    @public
    def tools_json() -> Mapping[str, Any]:
        return found.model_dump()


def _tools(app: Flask) -> list[DeclaredTool]:
    tools = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        declared: _Declared | None = getattr(view, "agent_tool", None)
        if declared is None:
            continue
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        guard, writes = guard_of(view), method != "GET"
        tool = {
            "name": declared.name,
            "description": inspect.getdoc(view) or declared.name,
            "parameters": _parameters(str(rule), view),
            "method": method,
            "path": _PATH_PARAMETER.sub(r"{\1}", str(rule)),
            "permission": None if guard is None else guard.permission,
            "side_effects": writes if declared.side_effects is None else declared.side_effects,
        }
        tools.append(DeclaredTool.model_validate(tool))
    return tools


def _parameters(rule: str, view: View) -> dict[str, Any]:
    """One JSON schema of what the view takes in its path and in its body or query."""
    model: type[BaseModel] | None = getattr(view, "input_model", None)
    model = model or getattr(view, "query_model", None)
    schema = {} if model is None else model.model_json_schema()
    named = _PATH_PARAMETER.findall(rule)
    schema["type"] = "object"
    schema["properties"] = {
        name: {"type": "string", "minLength": 1} for name in named
    } | schema.get("properties", {})
    schema["required"] = [*named, *schema.get("required", ())]
    return schema

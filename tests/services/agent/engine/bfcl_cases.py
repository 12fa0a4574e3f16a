"""Cases of the Berkeley Function-Calling Leaderboard (BFCL): functions and the expected calls.

https://gorilla.cs.berkeley.edu/leaderboard.html; the wheel `bfcl-eval` (Apache-2.0) contains them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.services.agent.clients.tool_arguments import JsonSchemaArguments
from backend.services.agent.errors import ToolRefused
from backend.services.agent.model import Caller, Tool, ToolContext, ToolResult

CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
)
_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
CaseCall = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """The functions of one case in the leaderboard's format, and the accepted calls."""

    id: str
    functions: list[dict[str, Any]]
    accepted_calls: list[dict[str, Any]]

    @property
    def calls(self) -> list[CaseCall]:
        """The expected calls, with the first accepted value of each argument."""
        return [
            (_to_tool_name(function), _choose_values(arguments))
            for call in self.accepted_calls
            for function, arguments in call.items()
        ]


class CaseTools:
    """The functions of the current case as tools that record their calls."""

    def __init__(self) -> None:
        self._tools: list[Tool] = []
        self.calls: list[CaseCall] = []

    def set_case(self, case: Case) -> None:
        self.calls = []
        self._tools = [self._create_tool(function) for function in case.functions]

    def accepts(self, call: CaseCall) -> bool:
        """Return whether *call* matches the schema of its function."""
        for tool in self._tools:
            if tool.name == call[0]:
                try:
                    tool.arguments.validate(call[1])
                except ToolRefused:
                    return False
                return True
        return False

    async def list_tools(self, _: Caller) -> list[Tool]:
        return self._tools

    def _create_tool(self, function: dict[str, Any]) -> Tool:
        name = _to_tool_name(function["name"])

        async def run(arguments: Mapping[str, Any], _: ToolContext) -> ToolResult:
            self.calls.append((name, arguments))
            return ToolResult(f"{name} succeeded.")

        return Tool(name, function["description"], _to_arguments(function["parameters"]), run)


def read_downloaded_cases(folder: Path, category: str) -> Iterator[Case]:
    """Yield the cases of *category* in the data folder of the wheel."""
    answers = _read_lines(folder / "possible_answer" / f"BFCL_v4_{category}.json")
    calls_by_id = {answer["id"]: answer["ground_truth"] for answer in answers}
    for case in _read_lines(folder / f"BFCL_v4_{category}.json"):
        yield Case(case["id"], case["function"], calls_by_id[case["id"]])


def read_sample_cases(file: Path) -> list[Case]:
    """Return the cases in *file*, one per line."""
    return [Case(case["id"], case["function"], case["ground_truth"]) for case in _read_lines(file)]


def _read_lines(file: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, file.read_text().splitlines())


def _to_tool_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _to_arguments(parameters: dict[str, Any]) -> JsonSchemaArguments:
    return JsonSchemaArguments(_to_json_schema(parameters))


def _to_json_schema(schema: Any) -> Any:
    """Return *schema* as JSON schema: the leaderboard uses Python's names for some types."""
    if isinstance(schema, list):
        return [_to_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    translated = {
        key: {name: _to_json_schema(item) for name, item in value.items()}
        if key == "properties"
        else _to_json_schema(value)
        for key, value in schema.items()
    }
    if isinstance(translated.get("type"), str):
        translated["type"] = _TYPES.get(translated["type"], translated["type"])
        if translated["type"] == "any":
            del translated["type"]
    return translated


def _choose_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first accepted value of each argument, without the optional arguments."""
    values = {}
    for name, accepted in arguments.items():
        first = accepted[:1] if isinstance(accepted, list) else [accepted]
        if first and first[0] != "":
            values[name] = _choose_value(first[0])
    return values


def _choose_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _choose_values(value)
    return [_choose_value(item) for item in value] if isinstance(value, list) else value

"""Cases of the Berkeley Function-Calling Leaderboard: tools, and the calls that a model shall make.

https://gorilla.cs.berkeley.edu/leaderboard.html; the wheel `bfcl-eval` (Apache-2.0) carries them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.services.agent.clients.arguments import ForeignSchema
from backend.services.agent.clients.runs import Caller, Outcome, Setting, Tool
from backend.services.agent.errors import ToolRefused

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
Made = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """Functions as the leaderboard describes them, and the calls that answer its question."""

    id: str
    functions: list[dict[str, Any]]
    truth: list[dict[str, Any]]

    @property
    def calls(self) -> list[Made]:
        """The calls, with the first of the accepted values for each argument."""
        return [
            (_name(function), _chosen(arguments))
            for call in self.truth
            for function, arguments in call.items()
        ]


class CaseTools:
    """The functions of the case in hand as tools, which keep what they were called with."""

    def __init__(self) -> None:
        self._tools: list[Tool] = []
        self.made: list[Made] = []

    def take(self, case: Case) -> None:
        self.made = []
        self._tools = [self._tool(function) for function in case.functions]

    def accepts(self, call: Made) -> bool:
        """Whether the function's own schema takes the call."""
        for tool in self._tools:
            if tool.name == call[0]:
                try:
                    tool.arguments.checked(call[1])
                except ToolRefused:
                    return False
                return True
        return False

    async def tools(self, _: Caller) -> list[Tool]:
        return self._tools

    def _tool(self, function: dict[str, Any]) -> Tool:
        name = _name(function["name"])

        async def run(arguments: Mapping[str, Any], _: Setting) -> Outcome:
            self.made.append((name, arguments))
            return Outcome(f"{name} is done.")

        return Tool(name, function["description"], _schema(function["parameters"]), run)


def downloaded(folder: Path, category: str) -> Iterator[Case]:
    """The cases of *category* in the data folder of the wheel."""
    truths = _lines(folder / "possible_answer" / f"BFCL_v4_{category}.json")
    answers = {each["id"]: each["ground_truth"] for each in truths}
    for each in _lines(folder / f"BFCL_v4_{category}.json"):
        yield Case(each["id"], each["function"], answers[each["id"]])


def sample(file: Path) -> list[Case]:
    """The cases of a file of ours: one of each line."""
    return [Case(each["id"], each["function"], each["ground_truth"]) for each in _lines(file)]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, file.read_text().splitlines())


def _name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _schema(parameters: dict[str, Any]) -> ForeignSchema:
    return ForeignSchema(_translated(parameters))


def _translated(schema: Any) -> Any:
    """*schema* in JSON Schema's own words: the leaderboard writes some types as Python does."""
    if isinstance(schema, list):
        return [_translated(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: _translated(each) for name, each in value.items()}
        if key == "properties"
        else _translated(value)
        for key, value in schema.items()
    }
    if isinstance(kept.get("type"), str):
        kept["type"] = _TYPES.get(kept["type"], kept["type"])
        if kept["type"] == "any":
            del kept["type"]
    return kept


def _chosen(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The first accepted value of each argument; what may be left out is."""
    chosen = {}
    for name, accepted in arguments.items():
        first = accepted[:1] if isinstance(accepted, list) else [accepted]
        if first and first[0] != "":
            chosen[name] = _plain(first[0])
    return chosen


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _chosen(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value

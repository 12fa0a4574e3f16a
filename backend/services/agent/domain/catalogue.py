"""What there is to choose from."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from backend.services.agent.clients.models import Models, Named
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Call, Caller, Outcome, Setting, Tool

__all__ = ["Catalogue", "Tool"]


class Catalogue:
    """The tools and models that one agent is set up with."""

    def __init__(self, runner: Runner, models: Models) -> None:
        self._runner = runner
        self._models = models

    def tools(self, caller: Caller) -> list[Tool]:
        """The tools that *caller* may use."""
        return self._runner.tools(caller)

    def suite_tools(self, caller: Caller) -> list[Tool]:
        """Of these, the suite's own: what others bring is not ours to hand on."""
        return [tool for tool in self.tools(caller) if not tool.source.startswith("mcp:")]

    def call(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Outcome | None:
        """What a tool of the suite's own comes to; None if the caller has no such tool."""
        if name not in {tool.name for tool in self.suite_tools(caller)}:
            return None
        return self._runner.call(Call(uuid4().hex, name, arguments), Setting(caller, None))

    @property
    def models(self) -> list[Named]:
        """The models, the default first."""
        return self._models.known()

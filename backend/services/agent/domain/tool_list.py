"""Available tools and models."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from backend.services.agent.engine.chat_models.registry import ChatModelRegistry, ModelInfo
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.engine.token_prices import Prices
from backend.services.agent.model import Caller, Tool, ToolCall, ToolContext, ToolResult

__all__ = ["Tool", "ToolListService"]


class ToolListService:
    """Lists the configured tools and models, and executes the suite's own tools.

    Args:
        prices: price of a million prompt tokens and of a million completion tokens, by model.
    """

    def __init__(self, runner: AgentRunner, models: ChatModelRegistry, prices: Prices) -> None:
        self._runner = runner
        self._models = models
        self._prices = prices

    def list_tools(self, caller: Caller) -> list[Tool]:
        """Return the tools that *caller* may use."""
        return self._runner.list_tools(caller)

    def list_suite_tools(self, caller: Caller) -> list[Tool]:
        """Return the tools that *caller* may use, except those of external MCP servers."""
        return [tool for tool in self.list_tools(caller) if not tool.source.startswith("mcp:")]

    def call_suite_tool(
        self, caller: Caller, name: str, arguments: Mapping[str, Any]
    ) -> ToolResult | None:
        """Execute one of the suite's own tools; None if the caller has no such tool."""
        if name not in {tool.name for tool in self.list_suite_tools(caller)}:
            return None
        return self._runner.call_tool(
            ToolCall(uuid4().hex, name, arguments), ToolContext(caller, None)
        )

    @property
    def models(self) -> list[ModelInfo]:
        """The configured models, the default first."""
        return self._models.list_models()

    def get_price(self, model: str) -> tuple[float, float] | None:
        """Return the price of a million prompt and completion tokens of *model*, or None."""
        return self._prices.get(model)

"""Base class of the LangChain chat models that use a planner."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from backend.services.agent.engine.chat_models.planner import OfferedTool


class PlannerChatModel(BaseChatModel):
    """A chat model that receives its tools as OfferedTool."""

    planner: Any  # a Planner; pydantic cannot validate a protocol

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        offered_tools = [_to_offered_tool(tool) for tool in tools]
        return self.bind(tools=offered_tools, tool_choice=tool_choice, **kwargs)


def _to_offered_tool(tool: dict[str, Any] | type | Callable[..., Any] | BaseTool) -> OfferedTool:
    """Convert a tool in any form that LangChain accepts."""
    function = convert_to_openai_tool(tool)["function"]
    metadata = tool.metadata if isinstance(tool, BaseTool) else None
    return OfferedTool(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
        examples=(metadata or {}).get("examples", ()),
    )

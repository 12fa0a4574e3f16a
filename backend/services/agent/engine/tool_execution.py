"""Execute tool calls: validate, check permissions, limit time and output, audit refusals.

Every tool call of the agent goes through ToolExecutor.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from backend.services.agent.engine.metrics import to_known_label
from backend.services.agent.errors import InvalidToolCall, ToolFailed, ToolRefused
from backend.services.agent.model import (
    RunLimits,
    Tool,
    ToolCall,
    ToolContext,
    ToolResult,
    ToolStatus,
)

_log = logging.getLogger(__name__)

# Counts a refused call: tool name and reason.
CountRefusal = Callable[[str, str], None]
# Raises ToolRefused if the run does not allow the call of a known tool.
CheckCall = Callable[[Tool, ToolCall], None]


class ToolExecutor:
    """Executes tool calls. Failures are returned as results, not raised."""

    def __init__(self, limits: RunLimits, count_refusal: CountRefusal) -> None:
        self.limits = limits
        self._count_refusal = count_refusal

    async def execute(
        self,
        call: ToolCall,
        tools: Mapping[str, Tool],
        context: ToolContext,
        check_call: CheckCall,
    ) -> ToolResult:
        """Execute *call* once, unless it is refused, and return its result."""
        try:
            tool = _find_allowed_tool(call, tools, context)
            arguments = tool.arguments.validate(call.arguments)
            check_call(tool, call)
            async with asyncio.timeout((tool.timeout or self.limits.tool_timeout).total_seconds()):
                result = await tool.run(arguments, context)
        except ToolRefused as error:
            self._audit_refusal(call, tools, context, error)
            status: ToolStatus = "error" if isinstance(error, InvalidToolCall) else "refused"
            return self._truncate(ToolResult(str(error), status=status))
        except ToolFailed as error:
            return self._truncate(ToolResult(str(error), status="error"))
        except TimeoutError:
            return ToolResult("The tool took too long and was stopped.", status="error")
        except Exception:  # noqa: BLE001 - a bug in a tool must not end the run
            _log.exception("The tool %s failed", call.tool)
            return ToolResult("The tool failed.", status="error")
        return self._truncate(result)

    def needs_approval(
        self, call: ToolCall, tools: Mapping[str, Tool], context: ToolContext
    ) -> bool:
        """Return whether the user must approve *call*.

        False for a call that would be refused in any case.
        """
        try:
            tool = _find_allowed_tool(call, tools, context)
            tool.arguments.validate(call.arguments)
        except ToolRefused:
            return False
        return tool.side_effects

    def _audit_refusal(
        self, call: ToolCall, tools: Mapping[str, Tool], context: ToolContext, error: ToolRefused
    ) -> None:
        self._count_refusal(to_known_label(call.tool, tools), error.reason)
        caller = context.caller
        fields = {
            "tool": call.tool,
            "call_id": call.id,
            "reason": error.reason,
            "user_id": caller.user_id,
            "tenant_id": caller.tenant_id,
            "request_id": caller.headers.get("X-Request-ID", ""),
        }
        _log.warning("tool call refused", extra={"fields": fields})

    def _truncate(self, result: ToolResult) -> ToolResult:
        max_characters = self.limits.max_tool_output_characters
        if len(result.content) <= max_characters:
            return result
        return replace(result, content=f"{result.content[:max_characters]}\n(The rest was cut.)")


def _find_allowed_tool(call: ToolCall, tools: Mapping[str, Tool], context: ToolContext) -> Tool:
    """Return the tool of *call*. Raises ToolRefused if the caller may not use it."""
    tool = tools.get(call.tool)
    if tool is not None and tool.is_allowed_for(context.caller):
        return tool
    allowed_names = ", ".join(
        tool.name for tool in tools.values() if tool.is_allowed_for(context.caller)
    )
    # The same message for both: it does not reveal tools that the caller may not use.
    message = f"There is no such tool; available tools: {allowed_names}."
    if tool is None:
        raise InvalidToolCall("unknown_tool", message)
    raise ToolRefused("not_granted", message)

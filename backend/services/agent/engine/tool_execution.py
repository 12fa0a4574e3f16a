"""Execute tool calls: validate, check permissions, limit time and output, audit refusals.

Every tool call of the agent goes through ToolExecutor.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.messaging.audit_events import AuditEvent, AuditRecorder
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
_MAX_CALL_ID_CHARACTERS: Final = 128

# Counts a refused call: tool name and reason.
CountRefusal = Callable[[str, str], None]
# Raises ToolRefused if the run does not allow the call of a known tool.
CheckCall = Callable[[Tool, ToolCall], None]


class ToolExecutor:
    """Executes tool calls. Failures are returned as results, not raised."""

    def __init__(
        self,
        limits: RunLimits,
        count_refusal: CountRefusal,
        audit: AuditRecorder | None = None,
    ) -> None:
        """Create an executor. Without *audit*, calls are not recorded in the audit log."""
        self.limits = limits
        self._count_refusal = count_refusal
        self._audit = audit

    def without_audit(self) -> "ToolExecutor":
        """Return an executor for calls that only repeat recorded results."""
        return ToolExecutor(self.limits, self._count_refusal)

    async def execute(
        self,
        call: ToolCall,
        tools: Mapping[str, Tool],
        context: ToolContext,
        check_call: CheckCall,
    ) -> ToolResult:
        """Execute *call* once, unless it is refused, and return its result."""
        result, event = await self.execute_unrecorded(call, tools, context, check_call)
        if event is not None:
            await self._record(event)
        return result

    async def execute_unrecorded(
        self,
        call: ToolCall,
        tools: Mapping[str, Tool],
        context: ToolContext,
        check_call: CheckCall,
    ) -> tuple[ToolResult, AuditEvent | None]:
        """Execute *call* like `execute`, but return its audit event instead of recording it."""
        try:
            tool = _find_allowed_tool(call, tools, context)
            arguments = tool.arguments.validate(call.arguments)
            check_call(tool, call)
        except InvalidToolCall as error:
            self._log_refusal(call, tools, context, error)
            return self._truncate(ToolResult(str(error), status="error")), None
        except ToolRefused as error:
            self._log_refusal(call, tools, context, error)
            event = self._create_event(call, context, "tool.refused", error.reason)
            return self._truncate(ToolResult(str(error), status="refused")), event
        outcome, result = await self._run_tool(tool, call, arguments, context)
        event = self._create_event(call, context, "tool.run", outcome)
        return self._truncate(result), event

    async def _run_tool(
        self, tool: Tool, call: ToolCall, arguments: Any, context: ToolContext
    ) -> tuple[str, ToolResult]:
        """Return the outcome for the audit log and the result of the tool."""
        timeout = tool.timeout or self.limits.tool_timeout
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                result = await tool.run(arguments, context)
        except ToolRefused as error:
            self._log_refusal(call, {tool.name: tool}, context, error)
            is_invalid = isinstance(error, InvalidToolCall)
            status: ToolStatus = "error" if is_invalid else "refused"
            return error.reason, ToolResult(str(error), status=status)
        except ToolFailed as error:
            return "failed", ToolResult(str(error), status="error")
        except TimeoutError:
            message = "The tool took too long and was stopped."
            return "timeout", ToolResult(message, status="error")
        except Exception:  # noqa: BLE001 - a bug in a tool must not end the run
            _log.exception("The tool %s failed", call.tool)
            return "failed", ToolResult("The tool failed.", status="error")
        return "failed" if result.failed else "success", result

    def _create_event(
        self, call: ToolCall, context: ToolContext, action: str, outcome: str
    ) -> AuditEvent | None:
        if self._audit is None:
            return None
        caller = context.caller
        return AuditEvent(
            action,
            caller.user_id,
            caller.tenant_id,
            caller.origin,
            outcome=outcome,
            target=call.tool,
            details={"call_id": call.id[:_MAX_CALL_ID_CHARACTERS]},
        )

    async def _record(self, event: AuditEvent) -> None:
        """Record *event* in the audit log. An error of the database does not end the run."""
        if self._audit is None:
            return
        try:
            await asyncio.to_thread(self._audit.record_event, event)
        except SQLAlchemyError as error:
            fields = {"action": event.action, "tool": event.target, "user_id": event.actor_id}
            fields["error"] = type(error).__name__
            _log.error("an audit event could not be stored", extra={"fields": fields})

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

    def _log_refusal(
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

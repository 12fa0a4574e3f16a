"""Answers of the rule-based model that need neither documents nor the graph.

Greetings, arithmetic and the time: the planner's rules decide alone, and the tools only compute.
The events, metrics and spans are those of the graph, without the graph's own steps.
"""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from backend.services.agent.engine.call_telemetry import (
    ModelCallTelemetry,
    RoleAndText,
    trace_run,
    trace_tool_call,
)
from backend.services.agent.engine.chat_models.planned_responses import (
    estimate_usage,
    limit_text,
    split_words,
)
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
)
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL, ChatModelRegistry
from backend.services.agent.engine.event_loop import EventLoopThread
from backend.services.agent.engine.metrics import AgentMetrics, ModelLabels
from backend.services.agent.engine.model_settings import DEFAULT_MAX_TOKENS
from backend.services.agent.engine.prompts import SYSTEM_PROMPT
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.model import (
    RunEvent,
    RunFinished,
    RunRequest,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    ToolEnded,
    ToolStarted,
)

# A run has two model responses: one that calls the tools, and one with the text.
_MAX_RESPONSES: Final = 2


@dataclass(frozen=True, slots=True)
class DirectAnswerPlan:
    """User request with the calls of the tools that compute its answer."""

    request: str
    calls: Sequence[ToolCall]
    tools: dict[str, Tool]
    messages: Sequence[RoleAndText]


class DirectAnswerRunner:
    """Executes the runs that need no graph."""

    def __init__(
        self,
        models: ChatModelRegistry,
        toolbox: Toolbox,
        tool_executor: ToolExecutor,
        metrics: AgentMetrics,
        loop: EventLoopThread,
        *,
        with_content: bool,
    ) -> None:
        self._planner = models.planner
        self._labels = ModelLabels(models.get_provider(RULE_BASED_MODEL), RULE_BASED_MODEL)
        self._toolbox = toolbox
        self._tool_executor = tool_executor
        self._metrics = metrics
        self._loop = loop
        self._with_content = with_content

    def plan_run(self, request: RunRequest) -> DirectAnswerPlan | None:
        """Return the plan of the run *request*, or None if it needs the graph."""
        user_texts = [message.text for message in request.history if message.role == "user"]
        if request.model != RULE_BASED_MODEL or request.paused is not None or not user_texts:
            return None
        # The graph always offers these tools: they precede others with the same name.
        caller = request.tool_context.caller
        tools = {tool.name: tool for tool in self._toolbox.own_tools if tool.is_allowed_for(caller)}
        calls = self._planner.choose_by_rules(
            self._planner.resolve_references(user_texts[-1], "".join(user_texts[-2:-1])),
            [OfferedTool(tool.name, tool.description, {}) for tool in tools.values()],
        )
        messages = _build_messages(request)
        if (
            calls is None
            or not all(_only_computes(tools[call.tool]) for call in calls)
            or not self._is_within_limits(request, len(calls), messages)
        ):
            return None
        tool_calls = [
            ToolCall(f"call_{uuid4().hex[:24]}", call.tool, call.arguments) for call in calls
        ]
        return DirectAnswerPlan(user_texts[-1], tool_calls, tools, messages)

    def _is_within_limits(
        self, request: RunRequest, call_count: int, messages: Sequence[RoleAndText]
    ) -> bool:
        """Return whether no limit of the run can take effect."""
        limits = self._tool_executor.limits
        max_tokens = limits.max_tokens
        if request.remaining_daily_tokens is not None:
            max_tokens = min(max_tokens, request.remaining_daily_tokens)
        prompt_tokens, _ = estimate_usage(_count_characters(messages), "", ())
        response_tokens = prompt_tokens + (request.max_tokens or DEFAULT_MAX_TOKENS)
        return (
            call_count < limits.max_tool_calls
            and limits.max_model_calls > _MAX_RESPONSES
            and response_tokens * _MAX_RESPONSES < max_tokens
        )

    def stream_run(self, request: RunRequest, plan: DirectAnswerPlan) -> Generator[RunEvent]:
        """Execute *plan* and yield the events of the run; the last one is RunFinished."""
        # The events are complete before the first one is sent: a span must not stay current
        # during a yield.
        events: list[RunEvent] = []
        with trace_run(self._metrics, self._labels):
            self._run(request, plan, events)
        yield from events

    def _run(self, request: RunRequest, plan: DirectAnswerPlan, events: list[RunEvent]) -> None:
        messages, completed = list(plan.messages), []
        if plan.calls:
            self._respond(messages, "", plan.calls, events)
            messages.append(("assistant", ""))
            for ended in self._loop.run(self._execute_calls(request, plan)):
                events += [ToolStarted(ended.call), ended]
                messages.append(("tool", ended.result.content))
                completed.append(_to_completed_call(ended))
        text, finish_reason = limit_text(
            self._planner.compose_answer(plan.request, completed),
            request.model_parameters.get("stop"),
            request.max_tokens or DEFAULT_MAX_TOKENS,
        )
        self._respond(messages, text, (), events)
        usage = [event for event in events if isinstance(event, TokenUsage)]
        events.append(
            RunFinished(
                RULE_BASED_MODEL,
                finish_reason,
                sum(tokens.prompt_tokens for tokens in usage),
                sum(tokens.completion_tokens for tokens in usage),
            )
        )

    def _respond(
        self,
        messages: Sequence[RoleAndText],
        text: str,
        calls: Sequence[ToolCall],
        events: list[RunEvent],
    ) -> None:
        """Add the events of one response of the model to *events*."""
        telemetry = ModelCallTelemetry(
            self._metrics, self._labels, (lambda: messages) if self._with_content else None
        )
        for word in split_words(text):
            telemetry.record_token()
            events.append(TextDelta(word))
        planned_calls = [PlannedToolCall(call.tool, call.arguments) for call in calls]
        tokens = estimate_usage(_count_characters(messages), text, planned_calls)
        telemetry.end(*tokens, ("assistant", text) if self._with_content else None)
        events.append(TokenUsage(RULE_BASED_MODEL, *tokens))

    async def _execute_calls(
        self, request: RunRequest, plan: DirectAnswerPlan
    ) -> Sequence[ToolEnded]:
        return [await self._execute_call(call, request, plan) for call in plan.calls]

    async def _execute_call(
        self, call: ToolCall, request: RunRequest, plan: DirectAnswerPlan
    ) -> ToolEnded:
        started = time.monotonic()
        with trace_tool_call(self._metrics, call.tool) as telemetry:
            result, audit_event = await self._tool_executor.execute_unrecorded(
                call, plan.tools, request.tool_context, _allow_call
            )
            content = (call.arguments, result.content) if self._with_content else None
            telemetry.record_result(failed=result.failed, content=content)
        took_ms = round((time.monotonic() - started) * 1000)
        return ToolEnded(call, result, took_ms, audit_event)


def _only_computes(tool: Tool) -> bool:
    """Return whether a run may call *tool* without an approval and without other checks."""
    return tool.is_computation and not tool.side_effects and not tool.identifier_arguments


def _allow_call(tool: Tool, call: ToolCall) -> None:
    """Allow every call: the plan contains only calls that the guards of a run allow."""


def _build_messages(request: RunRequest) -> list[RoleAndText]:
    """Return the messages for the model, as the graph builds them."""
    system_texts = [SYSTEM_PROMPT, *([request.instructions] if request.instructions else [])]
    system_texts += [message.text for message in request.history if message.role == "system"]
    messages = [
        (message.role, message.text) for message in request.history if message.role != "system"
    ]
    return [("system", "\n\n".join(system_texts)), *messages]


def _count_characters(messages: Sequence[RoleAndText]) -> int:
    return sum(len(text) for _, text in messages)


def _to_completed_call(ended: ToolEnded) -> CompletedToolCall:
    call, result = ended.call, ended.result
    return CompletedToolCall(
        call.tool, call.arguments, result.content, result.chunks, result.failed
    )

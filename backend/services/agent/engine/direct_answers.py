"""Answers of the rule-based model that do not need the graph, and therefore no LangChain.

Its runs have two responses: one that calls the tools that the planner chose, and one with the
text. Runs that may pause, resume or reach a limit use the graph. The events, metrics and spans are
those of the graph, without the graph's own steps.
"""

import asyncio
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
)
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
)
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL, ChatModelRegistry
from backend.services.agent.engine.event_loop import EventLoopThread
from backend.services.agent.engine.metrics import AgentMetrics, ModelLabels, to_known_label
from backend.services.agent.engine.model_settings import DEFAULT_MAX_TOKENS
from backend.services.agent.engine.prompts import SYSTEM_PROMPT
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.errors import ModelTimeout
from backend.services.agent.model import (
    EmitEvent,
    ModelCallEnded,
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
        """Return the plan of the run *request* if rules decide it and its tools only compute.

        None if it needs `run` or the graph.
        """
        user_texts = _get_user_texts(request)
        if not _is_supported(request) or not user_texts:
            return None
        # The graph always offers these tools: they precede others with the same name.
        caller = request.tool_context.caller
        tools = {tool.name: tool for tool in self._toolbox.own_tools if tool.is_allowed_for(caller)}
        calls = self._planner.choose_by_rules(
            self._planner.resolve_references(user_texts[-1], "".join(user_texts[-2:-1])),
            [OfferedTool(tool.name, tool.description, {}) for tool in tools.values()],
        )
        if calls is None or not all(_only_computes(tools[call.tool]) for call in calls):
            return None
        return self._create_plan(request, user_texts[-1], calls, tools)

    async def run(self, request: RunRequest, emit_event: EmitEvent) -> bool:
        """Execute the run *request* and emit its events; the last one is RunFinished.

        Returns:
            False, without any event, if it needs the graph.

        Raises:
            ModelTimeout: the run took too long.
        """
        user_texts = _get_user_texts(request)
        if not _is_supported(request) or not user_texts:
            return False
        try:
            async with asyncio.timeout(self._tool_executor.limits.run_timeout.total_seconds()):
                plan = await self._plan_with_all_tools(request, user_texts)
                if plan is None:
                    return False
                with trace_run(self._metrics, self._labels):
                    await self._run(request, plan, emit_event)
        except TimeoutError as error:
            raise ModelTimeout from error
        return True

    async def _plan_with_all_tools(
        self, request: RunRequest, user_texts: Sequence[str]
    ) -> DirectAnswerPlan | None:
        caller = request.tool_context.caller
        tools = {
            name: tool
            for name, tool in (await self._toolbox.get_tools(caller)).items()
            if tool.is_allowed_for(caller) and (request.can_pause or not tool.side_effects)
        }
        offered_tools = [
            OfferedTool(tool.name, tool.description, tool.arguments.json_schema, tool.examples)
            for tool in tools.values()
        ]
        # In a thread: it embeds the request, which may load the model.
        calls = await asyncio.to_thread(
            self._planner.choose_tool_calls,
            self._planner.resolve_references(user_texts[-1], "".join(user_texts[-2:-1])),
            offered_tools,
            required=False,
        )
        if any(_needs_checks(tools[call.tool]) for call in calls):
            return None
        return self._create_plan(request, user_texts[-1], calls, tools)

    def _create_plan(
        self,
        request: RunRequest,
        user_text: str,
        calls: Sequence[PlannedToolCall],
        tools: dict[str, Tool],
    ) -> DirectAnswerPlan | None:
        """Return a plan with *calls*, or None if the run may reach a limit."""
        messages = _build_messages(request)
        if not self._is_within_limits(request, calls, tools, messages):
            return None
        tool_calls = [
            ToolCall(f"call_{uuid4().hex[:24]}", call.tool, call.arguments) for call in calls
        ]
        return DirectAnswerPlan(user_text, tool_calls, tools, messages)

    def _is_within_limits(
        self,
        request: RunRequest,
        calls: Sequence[PlannedToolCall],
        tools: dict[str, Tool],
        messages: Sequence[RoleAndText],
    ) -> bool:
        """Return whether no limit of the run can take effect."""
        limits = self._tool_executor.limits
        max_tokens = limits.max_tokens
        if request.remaining_daily_tokens is not None:
            max_tokens = min(max_tokens, request.remaining_daily_tokens)
        # The results of tools that only compute are short.
        result_count = sum(not _only_computes(tools[call.tool]) for call in calls)
        prompt_characters = _count_characters(messages)
        prompt_characters += result_count * limits.max_tool_output_characters
        prompt_tokens, _ = estimate_usage(prompt_characters, "", ())
        response_tokens = prompt_tokens + (request.max_tokens or DEFAULT_MAX_TOKENS)
        return (
            len(calls) < limits.max_tool_calls
            and limits.max_model_calls > _MAX_RESPONSES
            and response_tokens * _MAX_RESPONSES < max_tokens
        )

    def stream_run(self, request: RunRequest, plan: DirectAnswerPlan) -> Generator[RunEvent]:
        """Execute *plan* and yield the events of the run; the last one is RunFinished."""
        # The events are complete before the first one is sent: a span must not stay current
        # during a yield.
        events: list[RunEvent] = []

        async def collect_event(event: RunEvent) -> None:
            events.append(event)

        with trace_run(self._metrics, self._labels):
            self._loop.run(self._run(request, plan, collect_event))
        yield from events

    async def _run(
        self, request: RunRequest, plan: DirectAnswerPlan, emit_event: EmitEvent
    ) -> None:
        messages, usage = list(plan.messages), []
        completed: Sequence[CompletedToolCall] = ()
        if plan.calls:
            usage.append(await self._respond(request, plan, messages, "", plan.calls, emit_event))
            messages.append(("assistant", ""))
            all_ended = await asyncio.gather(
                *(self._execute_call(call, request, plan, emit_event) for call in plan.calls)
            )
            messages += [("tool", ended.result.content) for ended in all_ended]
            completed = [_to_completed_call(ended) for ended in all_ended]
        # In a thread: it compares the request with sentences.
        answer = await asyncio.to_thread(self._planner.compose_answer, plan.request, completed)
        text, finish_reason = limit_text(
            answer, request.model_parameters.get("stop"), request.max_tokens or DEFAULT_MAX_TOKENS
        )
        usage.append(await self._respond(request, plan, messages, text, (), emit_event))
        await emit_event(
            RunFinished(
                RULE_BASED_MODEL,
                finish_reason,
                sum(tokens.prompt_tokens for tokens in usage),
                sum(tokens.completion_tokens for tokens in usage),
            )
        )

    async def _respond(
        self,
        request: RunRequest,
        plan: DirectAnswerPlan,
        messages: Sequence[RoleAndText],
        text: str,
        calls: Sequence[ToolCall],
        emit_event: EmitEvent,
    ) -> TokenUsage:
        """Emit the events of one response of the model and return its tokens."""
        started = time.monotonic()
        telemetry = ModelCallTelemetry(
            self._metrics,
            self._labels,
            request.request_type,
            (lambda: messages) if self._with_content else None,
        )
        if text:
            # Complete, so one event: each one is formatted, stored and published.
            telemetry.record_token()
            await emit_event(TextDelta(text))
        planned_calls = [PlannedToolCall(call.tool, call.arguments) for call in calls]
        tokens = estimate_usage(_count_characters(messages), text, planned_calls)
        telemetry.end(*tokens, ("assistant", text) if self._with_content else None)
        usage = TokenUsage(RULE_BASED_MODEL, *tokens)
        await emit_event(usage)
        await emit_event(
            ModelCallEnded(
                RULE_BASED_MODEL,
                [{"role": role, "content": content} for role, content in messages],
                sorted(plan.tools),
                text,
                calls,
                round((time.monotonic() - started) * 1000),
            )
        )
        return usage

    async def _execute_call(
        self, call: ToolCall, request: RunRequest, plan: DirectAnswerPlan, emit_event: EmitEvent
    ) -> ToolEnded:
        """Execute *call* and emit its events."""
        await emit_event(ToolStarted(call))
        started, audit_event = time.monotonic(), None
        context = request.tool_context
        with trace_tool_call(self._metrics, to_known_label(call.tool, plan.tools)) as telemetry:
            if _only_computes(plan.tools[call.tool]):
                result, audit_event = await self._tool_executor.execute_unrecorded(
                    call, plan.tools, context, _allow_call
                )
            else:  # what a tool has done is recorded, also if the run never ends
                result = await self._tool_executor.execute(call, plan.tools, context, _allow_call)
            content = (call.arguments, result.content) if self._with_content else None
            telemetry.record_result(failed=result.failed, content=content)
        ended = ToolEnded(call, result, round((time.monotonic() - started) * 1000), audit_event)
        await emit_event(ended)
        return ended


def _is_supported(request: RunRequest) -> bool:
    return request.model == RULE_BASED_MODEL and request.paused is None


def _get_user_texts(request: RunRequest) -> list[str]:
    return [message.text for message in request.history if message.role == "user"]


def _needs_checks(tool: Tool) -> bool:
    """Return whether a run may call *tool* only with an approval or with known identifiers."""
    return tool.side_effects or bool(tool.identifier_arguments)


def _only_computes(tool: Tool) -> bool:
    """Return whether *tool* needs no checks, and its call waits for nothing."""
    return tool.is_computation and not _needs_checks(tool)


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
        call.tool,
        call.arguments,
        result.content,
        result.chunks,
        result.failed,
        result.term_weights,
    )

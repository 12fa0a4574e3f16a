"""LangChain middleware that enforces a run's limits and executes its tool calls."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import uuid4

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

from backend.ai.chat_models.checked_chat_model import INCOMPLETE_RESPONSE, MALFORMED_TOOL_CALLS
from backend.chassis.web.problems import ServiceError
from backend.services.agent.engine.prompts import NO_MORE_TOOL_CALLS
from backend.services.agent.engine.run_context import ROLES, RunContext, to_tool_call
from backend.services.agent.engine.telemetry import AgentTelemetry
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.errors import (
    InvalidModelResponse,
    ModelUnavailable,
    RunLimitExceeded,
)
from backend.services.agent.model import (
    ModelCallEnded,
    Tool,
    ToolCall,
    ToolEnded,
    ToolResult,
    ToolStarted,
)

_FINISH_REASONS: Final = frozenset(
    {"stop", "length", "tool_calls", "content_filter", "function_call"}
)
_MAX_TOOL_NAME_CHARACTERS: Final = 64
_MAX_CONVERTED_TOOLS: Final = 1_000


class GuardMiddleware(AgentMiddleware[AgentState[Any], RunContext]):
    """Enforces the limits of a run and executes tool calls through ToolExecutor only."""

    def __init__(self, tool_executor: ToolExecutor, telemetry: AgentTelemetry) -> None:
        super().__init__()
        self._tool_executor = tool_executor
        self._telemetry = telemetry
        # By id of the tool, which is the same object in all runs until its source is read again.
        self._langchain_tools: dict[int, tuple[Tool, BaseTool]] = {}

    async def awrap_model_call(
        self,
        request: ModelRequest[RunContext],
        handler: Callable[[ModelRequest[RunContext]], Awaitable[ModelResponse[Any]]],  # noqa: ARG002 - replaced by ModelCaller
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        with self._telemetry.trace_graph_step("model"):
            message = await self._respond(request)
        response: ModelResponse[Any] = ModelResponse(result=[message])
        if not self._must_pause(message, request.runtime.context):
            return response
        request.runtime.context.is_paused = True
        # A hook after the model would be one more step of the graph for every call.
        return ExtendedModelResponse(response, Command(update={"jump_to": "end"}))

    def _must_pause(self, message: AIMessage, context: RunContext) -> bool:
        """Return whether one of the tool calls of *message* needs the user's approval."""
        if context.is_executing_decision or not context.request.can_pause:
            return False
        return any(
            self._tool_executor.needs_approval(
                to_tool_call(call), context.tools, context.request.tool_context
            )
            for call in message.tool_calls
        )

    async def _respond(self, request: ModelRequest[RunContext]) -> AIMessage:
        """Return the response of the model."""
        context = request.runtime.context
        if context.replayed_message is not None:
            # A resumed run: the model has made these calls already.
            replayed_message, context.replayed_message = context.replayed_message, None
            context.is_executing_decision = True
            return replayed_message
        request = self._prepare_request(request, context)
        message = await self._call_model(request)
        if has_malformed_tool_calls(message):
            # One retry: the model receives its malformed calls with error messages.
            calls: list[LangChainToolCall | InvalidToolCall] = [*message.tool_calls]
            calls += message.invalid_tool_calls
            errors = [await _reject_malformed_call(call, context) for call in calls]
            request = request.override(messages=[*request.messages, message, *errors])
            message = await self._call_model(request)
            if has_malformed_tool_calls(message):
                raise InvalidModelResponse(
                    "The model called a tool with malformed arguments twice."
                )
        if message.tool_calls and not request.tools:
            raise RunLimitExceeded("The model continued to call tools after the limit of the run.")
        return message

    def _prepare_request(
        self, request: ModelRequest[RunContext], context: RunContext
    ) -> ModelRequest[RunContext]:
        """Return *request* with the run's settings, instructions and tools.

        No tools are offered once the limit of model calls or tool calls is reached.
        """
        limits = context.limits
        instructions = [context.request.instructions] if context.request.instructions else []
        instructions += [
            message.text for message in context.request.history if message.role == "system"
        ]
        tools: list[BaseTool | dict[str, Any]] = []
        if (
            context.model_call_count + 1 >= limits.max_model_calls
            or context.tool_call_count >= limits.max_tool_calls
        ):
            instructions.append(NO_MORE_TOOL_CALLS)
        else:
            tools += [
                self._convert_tool(tool)
                for tool in context.tools.values()
                if tool.is_allowed_for(context.request.tool_context.caller)
                and (context.request.can_pause or not tool.side_effects)
            ]
        request = request.override(model_settings=context.get_model_settings(), tools=tools)
        if not instructions:
            return request
        # A single system message: the chat templates of some servers reject a second one.
        text = "\n\n".join([request.system_prompt or "", *instructions])
        return request.override(system_message=SystemMessage(text))

    def _convert_tool(self, tool: Tool) -> BaseTool:
        """Return the result of `to_langchain_tool`, which takes long."""
        known = self._langchain_tools.get(id(tool))
        if known is not None and known[0] is tool:
            return known[1]
        if len(self._langchain_tools) >= _MAX_CONVERTED_TOOLS:
            self._langchain_tools.clear()
        converted = to_langchain_tool(tool)
        self._langchain_tools[id(tool)] = tool, converted
        return converted

    async def _call_model(self, request: ModelRequest[RunContext]) -> AIMessage:
        context = request.runtime.context
        if context.token_count >= context.limits.max_tokens:
            raise RunLimitExceeded("The run has used all its tokens.")
        context.model_call_count += 1
        context.is_executing_decision = False
        started = time.monotonic()
        try:
            message = await context.model_caller.call_model(
                _list_messages(request), lambda model: _bind_request(model, request)
            )
        except ServiceError as error:
            await context.emit_event(_to_ended_call(request, started, error=error.code))
            raise
        _make_call_ids_unique(message, context.call_ids)
        await context.emit_event(context.add_token_usage(request.messages, message))
        await context.emit_event(_to_ended_call(request, started, message))
        context.finish_reason = get_finish_reason(message)
        return message

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Any]],  # noqa: ARG002 - replaced by ToolExecutor
    ) -> ToolMessage:
        # The runtime of a ToolCallRequest has no type parameter, its context is typed as None.
        context: RunContext = request.runtime.context  # type: ignore[assignment]
        call = to_tool_call(request.tool_call)
        await context.emit_event(ToolStarted(call))
        started = time.monotonic()
        result = await self._tool_executor.execute(
            call, context.tools, context.request.tool_context, context.check_call
        )
        context.known_identifiers.update(result.identifiers)
        took_ms = round((time.monotonic() - started) * 1000)
        await context.emit_event(ToolEnded(call, result, took_ms))
        return ToolMessage(
            content=result.content,
            tool_call_id=call.id,
            name=call.tool,
            status="error" if result.failed else "success",
            # Stored with paused runs: these keys must not change.
            artifact={
                "passages": [asdict(chunk) for chunk in result.chunks],
                "identifiers": list(result.identifiers),
                "term_weights": dict(result.term_weights),
            },
        )


def get_finish_reason(message: AIMessage) -> str:
    """Return why the model stopped.

    Raises ModelUnavailable for a message without a finish reason: its stream was interrupted.
    """
    reason = message.response_metadata.get("finish_reason")
    if reason not in _FINISH_REASONS:
        raise ModelUnavailable(INCOMPLETE_RESPONSE)
    return str(reason)


def has_malformed_tool_calls(message: AIMessage) -> bool:
    """Return whether the arguments of a tool call are not a JSON object with finite numbers."""
    return bool(message.invalid_tool_calls) or MALFORMED_TOOL_CALLS in message.response_metadata


def to_langchain_tool(tool: Tool) -> BaseTool:
    """Return the description of *tool* for LangChain. It cannot be executed: see ToolExecutor."""

    async def raise_not_implemented(**_: Any) -> str:
        raise NotImplementedError

    return StructuredTool.from_function(
        coroutine=raise_not_implemented,
        name=tool.name,
        description=tool.description,
        args_schema=dict(tool.arguments.json_schema),
        metadata={"examples": tool.examples},
    )


def _make_call_ids_unique(message: AIMessage, used_ids: set[str]) -> None:
    """Replace missing ids, and ids that occurred in this run before, in the calls of *message*.

    Approvals and results refer to calls by id. A model that repeats an id must not obtain the
    approval or result of another call.
    """
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        if not call["id"] or call["id"] in used_ids:
            call["id"] = f"call_{uuid4().hex[:24]}"
        used_ids.add(str(call["id"]))


def _to_ended_call(
    request: ModelRequest[RunContext],
    started: float,
    response: AIMessage | None = None,
    error: str = "",
) -> ModelCallEnded:
    """Return the event of a model call that started at *started* and ended now."""
    return ModelCallEnded(
        model=request.runtime.context.model_caller.model,
        messages=[_to_plain_message(message) for message in _list_messages(request)],
        tools=[tool.name for tool in request.tools if isinstance(tool, BaseTool)],
        text="" if response is None else response.text,
        calls=() if response is None else [to_tool_call(call) for call in response.tool_calls],
        took_ms=round((time.monotonic() - started) * 1000),
        error=error,
    )


def _list_messages(request: ModelRequest[RunContext]) -> list[BaseMessage]:
    """Return the messages of *request*, with its system message."""
    system_messages = [] if request.system_message is None else [request.system_message]
    return [*system_messages, *request.messages]


def _bind_request(model: BaseChatModel, request: ModelRequest[RunContext]) -> Any:
    """Return *model* with the settings and tools of *request*."""
    if not request.tools:
        return model.bind(**request.model_settings)
    return model.bind_tools(request.tools, **request.model_settings)


def _to_plain_message(message: BaseMessage) -> Mapping[str, Any]:
    plain = {"role": ROLES.get(message.type, message.type), "content": message.text}
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{"tool": call["name"], "arguments": call["args"]} for call in message.tool_calls]
        return plain | {"tool_calls": calls}
    return plain


async def _reject_malformed_call(
    langchain_call: LangChainToolCall | InvalidToolCall, context: RunContext
) -> ToolMessage:
    """Emit the events of a failed call and return its error message for the model."""
    name = (langchain_call["name"] or "unknown")[:_MAX_TOOL_NAME_CHARACTERS]
    call = ToolCall(langchain_call["id"] or "", name, {})
    result = ToolResult(
        "The arguments were not valid JSON, or a number was NaN or infinite. "
        "Call again with a JSON object with finite numbers.",
        status="error",
    )
    await context.emit_event(ToolStarted(call))
    await context.emit_event(ToolEnded(call, result, 0))
    return ToolMessage(content=result.content, tool_call_id=call.id, name=call.tool, status="error")

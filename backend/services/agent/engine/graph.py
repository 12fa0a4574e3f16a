"""The agent's graph: runs and completions, with their events.

This module imports LangChain, which takes seconds. Only the runner imports it, on first use.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from contextvars import Context
from dataclasses import replace
from typing import Any, Final, TypeVar

import langsmith
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
    message_to_dict,
    messages_from_dict,
)
from langgraph.errors import GraphRecursionError

from backend.services.agent.engine.chat_models.fallback_chain import FallbackChain
from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL, ChatModelRegistry
from backend.services.agent.engine.first_token_priority import FirstTokenPriority
from backend.services.agent.engine.guards import (
    GuardMiddleware,
    get_finish_reason,
    has_malformed_tool_calls,
)
from backend.services.agent.engine.metrics import ModelLabels
from backend.services.agent.engine.model_calls import ModelCaller
from backend.services.agent.engine.model_settings import build_model_settings
from backend.services.agent.engine.prompts import SYSTEM_PROMPT
from backend.services.agent.engine.run_context import (
    RunContext,
    count_tokens,
    to_tool_call,
)
from backend.services.agent.engine.telemetry import AgentTelemetry
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.errors import InvalidModelResponse, ModelTimeout, RunLimitExceeded
from backend.services.agent.model import (
    ClientToolCalls,
    CompletionRequest,
    EmitEvent,
    HistoryMessage,
    PausedRun,
    RequestType,
    RunFinished,
    RunRequest,
    TokenUsage,
)

# One model call takes two steps of the graph: model and tools. One more is spare.
_GRAPH_STEPS_PER_MODEL_CALL: Final = 3

T = TypeVar("T")


class AgentGraph:
    """The compiled agent, created on first use.

    It is compiled without tools and with a placeholder model: GuardMiddleware sets the model and
    the tools of each run.
    """

    def __init__(
        self,
        models: ChatModelRegistry,
        toolbox: Toolbox,
        tool_executor: ToolExecutor,
        telemetry: AgentTelemetry,
        priority: FirstTokenPriority,
    ) -> None:
        self._models = models
        self._toolbox = toolbox
        self._tool_executor = tool_executor
        self._limits = tool_executor.limits
        self._telemetry = telemetry
        self._priority = priority
        self._agent: Any = None

    def get_agent(self) -> Any:
        """Return the compiled agent."""
        if self._agent is None:
            self._agent = create_agent(
                self._models.get_chat_model(RULE_BASED_MODEL),  # placeholder, never called
                [],
                system_prompt=SYSTEM_PROMPT,
                middleware=[
                    self._telemetry.create_tool_middleware(),
                    GuardMiddleware(self._tool_executor, self._telemetry),
                ],
                context_schema=RunContext,
            )
        return self._agent

    def warm_up(self) -> None:
        """Compile the agent and open the default model."""
        self.get_agent()
        self._models.get_chat_model(self._models.resolve_name(None))

    async def run_agent(
        self, request: RunRequest, emit_event: EmitEvent, on_model_call: Callable[[], None]
    ) -> None:
        """Execute the run *request*. The last event is RunFinished.

        Args:
            on_model_call: called before each request to a model.

        Raises:
            ModelUnavailable, ModelTimeout, InvalidModelResponse: the model failed.
            RunLimitExceeded: the run exceeded one of its limits.
        """
        labels = ModelLabels(self._models.get_provider(request.model), request.model)
        with (
            self._telemetry.trace_run(labels),
            closing(self._create_chain(request.model, on_model_call)) as chain,
        ):
            await self._run_agent(request, emit_event, chain)

    def _create_chain(self, model: str, on_model_call: Callable[[], None]) -> FallbackChain:
        return FallbackChain(
            self._models, model, self._telemetry.record_fallback, self._priority, on_model_call
        )

    def _create_caller(
        self, chain: FallbackChain, request_type: RequestType, emit_event: EmitEvent
    ) -> ModelCaller:
        return ModelCaller(chain, self._telemetry, request_type, emit_event)

    async def _run_agent(
        self, request: RunRequest, emit_event: EmitEvent, chain: FallbackChain
    ) -> None:
        tools = await self._toolbox.get_tools(request.tool_context.caller)
        limits = self._limits
        if request.remaining_daily_tokens is not None:
            max_tokens = min(limits.max_tokens, request.remaining_daily_tokens)
            limits = replace(limits, max_tokens=max_tokens)
        caller = self._create_caller(chain, request.request_type, emit_event)
        user_text = _join_user_messages(request.history)
        context = RunContext(request, limits, emit_event, user_text, caller, tools)
        agent = self._agent or await asyncio.to_thread(self.get_agent)
        run_timeout = self._models.get_run_timeout(request.model, limits.run_timeout)
        try:
            async with asyncio.timeout(run_timeout.total_seconds()):
                paused = await self._execute_graph(agent, context)
        except TimeoutError as error:
            raise ModelTimeout from error
        except GraphRecursionError as error:
            raise RunLimitExceeded("The run exceeded the maximum number of steps.") from error
        await emit_event(
            RunFinished(
                chain.model,
                "paused" if paused is not None else context.finish_reason,
                context.prompt_tokens,
                context.completion_tokens,
                paused,
            )
        )

    async def _execute_graph(self, agent: Any, context: RunContext) -> PausedRun | None:
        """Run the graph and emit the model's text. Return the state of the run if it paused."""
        history = _to_messages(context.request.history)
        resumed: list[BaseMessage] = []
        if context.request.paused is not None:
            resumed = _prepare_resume(context, context.request.paused)
        messages: list[BaseMessage] = [*history, *resumed]
        max_steps = self._limits.max_model_calls * _GRAPH_STEPS_PER_MODEL_CALL
        # No callbacks and no other stream mode: LangGraph executes each node in a task of its own
        # then, and copies every token. ModelCaller emits the text.
        async for state in agent.astream(
            {"messages": messages},
            {"recursion_limit": max_steps},
            context=context,
            stream_mode="values",
        ):
            messages = state["messages"]
        if not context.is_paused:
            return None
        return _to_paused_run(messages[len(history) :])

    async def complete_request(
        self,
        request: CompletionRequest,
        emit_event: EmitEvent,
        on_model_call: Callable[[], None],
    ) -> None:
        """Call the model once with the messages and tools of a client.

        Calls of the client's tools are returned as ClientToolCalls, never executed.
        *on_model_call* is called before each request to a model.
        """
        try:
            messages = convert_to_messages([dict(message) for message in request.messages])
        except ValueError as error:
            raise InvalidModelResponse("The messages do not form a conversation.") from error
        run_timeout = self._models.get_run_timeout(request.model, self._limits.run_timeout)
        try:
            async with asyncio.timeout(run_timeout.total_seconds()):
                with closing(self._create_chain(request.model, on_model_call)) as chain:
                    caller = self._create_caller(chain, request.request_type, emit_event)
                    response = await caller.call_model(
                        messages, lambda model: _bind_settings(model, request)
                    )
        except TimeoutError as error:
            raise ModelTimeout from error
        finish_reason = get_finish_reason(response)
        if has_malformed_tool_calls(response):
            raise InvalidModelResponse("The model called a tool with malformed arguments.")
        if response.tool_calls:
            finish_reason = "tool_calls"
            await emit_event(ClientToolCalls([to_tool_call(call) for call in response.tool_calls]))
        tokens = count_tokens(messages, response)
        await emit_event(TokenUsage(chain.model, *tokens))
        await emit_event(RunFinished(chain.model, finish_reason, *tokens))


def run_tracing_hooks_in_loop() -> None:
    """Let LangSmith's wrappers of middleware run in the event loop, in this process.

    For every call of a model or tool they otherwise pass two functions to a thread, which do
    nothing unless traces are sent to LangSmith.
    """
    langsmith.set_runtime_overrides(aio_to_thread=_run_in_loop)


async def _run_in_loop(
    _default: object, context: Context, function: Callable[..., T], /, *args: Any, **kwargs: Any
) -> T:
    return context.run(function, *args, **kwargs)


def _bind_settings(model: BaseChatModel, request: CompletionRequest) -> Any:
    """Return *model* with the client's settings and tools."""
    settings = build_model_settings(request, request.remaining_daily_tokens)
    if not request.tools:
        return model.bind(**settings)
    return model.bind_tools(
        [dict(tool) for tool in request.tools],
        tool_choice=request.tool_choice,  # type: ignore[arg-type]
        **settings,
    )


def _to_messages(history: Sequence[HistoryMessage]) -> list[BaseMessage]:
    """Convert *history* without its system messages: GuardMiddleware adds them to the prompt."""
    return [
        HumanMessage(message.text) if message.role == "user" else AIMessage(message.text)
        for message in history
        if message.role != "system"
    ]


def _join_user_messages(history: Sequence[HistoryMessage]) -> str:
    return "\n".join(message.text for message in history if message.role == "user")


def _prepare_resume(context: RunContext, paused: PausedRun) -> list[BaseMessage]:
    """Return the messages of *paused* without the last.

    The last message contains the calls that waited for approval. It is stored in *context*, and
    GuardMiddleware returns it in place of a model response.
    """
    *messages, last_message = messages_from_dict([dict(message) for message in paused.messages])
    if not isinstance(last_message, AIMessage):
        raise TypeError("The last message of a paused run must contain the pending tool calls.")
    context.replayed_message = last_message
    context.model_caller.has_text = bool(last_message.text)
    context.decided_calls = [to_tool_call(call) for call in last_message.tool_calls]
    for message in messages:
        if isinstance(message, ToolMessage):
            context.known_identifiers.update((message.artifact or {}).get("identifiers", ()))
    context.call_ids = {call["id"] or "" for call in last_message.tool_calls}
    return messages


def _to_paused_run(messages: Sequence[BaseMessage]) -> PausedRun:
    last_message = messages[-1]
    calls = last_message.tool_calls if isinstance(last_message, AIMessage) else []
    return PausedRun(
        [message_to_dict(message) for message in messages], [to_tool_call(call) for call in calls]
    )

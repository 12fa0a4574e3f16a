"""Start agent runs from synchronous code and iterate over their events."""

import asyncio
import queue
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from backend.ai.text.languages import detect_language
from backend.services.agent.engine.call_telemetry import trace_tool_call
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.direct_answers import DirectAnswerRunner
from backend.services.agent.engine.event_loop import EventLoopThread
from backend.services.agent.engine.first_token_priority import FirstTokenPriority
from backend.services.agent.engine.metrics import AgentMetrics, to_known_label
from backend.services.agent.engine.start_queue import StartQueue
from backend.services.agent.engine.tool_execution import ToolExecutor
from backend.services.agent.engine.toolbox import Toolbox
from backend.services.agent.model import (
    Caller,
    CompletionRequest,
    EmitEvent,
    IdleEvent,
    RunEvent,
    RunFinished,
    RunRequest,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    ToolResult,
)

if TYPE_CHECKING:
    from backend.services.agent.engine.graph import AgentGraph

_MAX_QUEUED_EVENTS: Final = 256
_IDLE_SECONDS: Final = 0.25
_FULL_QUEUE_RETRY_SECONDS: Final = 0.02

_QueuedEvent = RunEvent | Exception


class AgentRunner:
    """Executes runs and completions in the event loop and returns their events as iterators.

    Closing an iterator cancels the run, which closes the connection to the model. This is why runs
    are asynchronous: a synchronous graph could not be stopped before the model's response ended.

    Attributes:
        start_queue: limits the runs that start at the same time. Callers acquire a slot before
            they prepare a run.
    """

    def __init__(
        self,
        models: ChatModelRegistry,
        toolbox: Toolbox,
        tool_executor: ToolExecutor,
        metrics: AgentMetrics,
        *,
        traces_content: bool = False,
        traces_to_langsmith: bool = False,
        loop: EventLoopThread | None = None,
    ) -> None:
        """Create a runner.

        Args:
            traces_content: whether spans contain messages.
            traces_to_langsmith: whether LangChain sends its traces to LangSmith. All runs use the
                graph then, because other runs would be missing there.
            loop: None for an event loop of its own.
        """
        self._models = models
        self._toolbox = toolbox
        self._tool_executor = tool_executor
        self._metrics = metrics
        self._traces_content = traces_content
        self._loop = loop or EventLoopThread()
        self._traces_to_langsmith = traces_to_langsmith
        self.start_queue = StartQueue()
        self._direct_answers = DirectAnswerRunner(
            models, toolbox, tool_executor, metrics, self._loop, with_content=traces_content
        )
        self._graph: AgentGraph | None = None

    def stream_run(
        self, request: RunRequest, on_model_call: Callable[[], None] = lambda: None
    ) -> Generator[RunEvent]:
        """Execute the run *request* and yield its events; the last one is RunFinished.

        *on_model_call* is called in the event loop before each request to a model.
        """
        request = _set_language(request)
        plan = None if self._traces_to_langsmith else self._direct_answers.plan_run(request)
        if plan is not None:
            return self._direct_answers.stream_run(request, plan)
        return self._iterate_events(
            lambda emit_event: self._run(request, emit_event, on_model_call)
        )

    async def _run(
        self, request: RunRequest, emit_event: EmitEvent, on_model_call: Callable[[], None]
    ) -> None:
        if not self._traces_to_langsmith and await self._direct_answers.run(request, emit_event):
            return
        # Only the first call takes long: it imports LangChain.
        if self._graph is None:
            await asyncio.to_thread(self._get_graph)
        await self._get_graph().run_agent(request, emit_event, on_model_call)

    def stream_completion(
        self, request: CompletionRequest, on_model_call: Callable[[], None] = lambda: None
    ) -> Generator[RunEvent]:
        """Call a model once with a client's messages and tools and yield the events.

        *on_model_call* is called in the event loop before each request to a model.
        """
        graph = self._get_graph()
        return self._iterate_events(
            lambda emit_event: graph.complete_request(request, emit_event, on_model_call)
        )

    def list_tools(self, caller: Caller) -> list[Tool]:
        """Return the tools that *caller* may use."""
        tools = self._loop.run(self._toolbox.get_tools(caller))
        return [tool for tool in tools.values() if tool.is_allowed_for(caller)]

    def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Execute *call* on behalf of the caller, without a model, and return its result.

        The call needs no approval: the caller chose the tool and its arguments.
        """
        return self._loop.run(self._call_tool(call, context))

    async def _call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        tools = await self._toolbox.get_tools(context.caller)
        with trace_tool_call(self._metrics, to_known_label(call.tool, tools)) as telemetry:
            result = await self._tool_executor.execute(call, tools, context, _allow_call)
            telemetry.record_result(failed=result.failed)
        return result

    def with_tools(self, tools: Sequence[Tool], metrics: AgentMetrics) -> "AgentRunner":
        """Return a runner with other *tools* in the same event loop.

        The loop is shared because the connections of the models belong to it.
        """
        tool_executor = self._tool_executor.without_audit()
        return AgentRunner(self._models, Toolbox(tools), tool_executor, metrics, loop=self._loop)

    def warm_up(self) -> None:
        """Import LangChain and open the default model, so that the first run does not wait."""
        self._get_graph().warm_up()

    def _get_graph(self) -> "AgentGraph":
        if self._graph is None:
            from backend.services.agent.engine.graph import AgentGraph, run_tracing_hooks_in_loop
            from backend.services.agent.engine.telemetry import AgentTelemetry

            if not self._traces_to_langsmith:
                run_tracing_hooks_in_loop()
            telemetry = AgentTelemetry(self._metrics, with_content=self._traces_content)
            priority = FirstTokenPriority(lambda: self.start_queue.has_waiting_runs)
            self._graph = AgentGraph(
                self._models, self._toolbox, self._tool_executor, telemetry, priority
            )
        return self._graph

    def _iterate_events(
        self, execute: Callable[[EmitEvent], Coroutine[Any, Any, None]]
    ) -> Generator[RunEvent]:
        events: queue.Queue[_QueuedEvent] = queue.Queue(_MAX_QUEUED_EVENTS)
        task = self._loop.submit(_put_events(execute, events))
        try:
            while True:
                try:
                    first = events.get(timeout=_IDLE_SECONDS)
                except queue.Empty:
                    yield IdleEvent()
                    continue
                for event in _join_texts([first, *_take_waiting(events)]):
                    if isinstance(event, Exception):
                        raise event
                    yield event
                    if isinstance(event, RunFinished):
                        return
        finally:
            task.cancel()


def _take_waiting(events: queue.Queue[_QueuedEvent]) -> Iterator[_QueuedEvent]:
    """Yield the events that are in the queue now."""
    with suppress(queue.Empty):
        for _ in range(_MAX_QUEUED_EVENTS):
            yield events.get_nowait()


def _join_texts(events: Sequence[_QueuedEvent]) -> Iterator[_QueuedEvent]:
    """Yield *events*, with texts that follow each other as one: a late consumer catches up."""
    for is_text, group in groupby(events, lambda event: isinstance(event, TextDelta)):
        if is_text:
            yield TextDelta("".join(event.text for event in group if isinstance(event, TextDelta)))
        else:
            yield from group


def _allow_call(tool: Tool, call: ToolCall) -> None:
    """Allow every call."""


async def _put_events(
    execute: Callable[[EmitEvent], Coroutine[Any, Any, None]],
    events: queue.Queue[_QueuedEvent],
) -> None:
    async def put_event(event: _QueuedEvent) -> None:
        # Backpressure: a slow consumer slows the model down. The loop itself must never block.
        while True:
            try:
                events.put_nowait(event)
            except queue.Full:
                await asyncio.sleep(_FULL_QUEUE_RETRY_SECONDS)
            else:
                return

    try:
        await execute(put_event)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            # A library has raised it. The consumer still waits for events.
            await put_event(RuntimeError("The run was cancelled by a library."))
        raise
    except Exception as error:  # noqa: BLE001 - raised again in the consumer's thread
        await put_event(error)


def _set_language(request: RunRequest) -> RunRequest:
    """Return *request* with the language of the last user message for its tools."""
    texts = (message.text for message in reversed(request.history) if message.role == "user")
    language = detect_language(next(texts, ""))
    return replace(request, tool_context=replace(request.tool_context, language=language))

"""Run LangChain's agent from ordinary threads, and hand what happens over piece by piece."""

import asyncio
import queue
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from backend.chassis.observability.tracing import span
from backend.services.agent.clients.calls import Calls
from backend.services.agent.clients.loop import LoopThread
from backend.services.agent.clients.measures import TOOL_FAILED, Measures, known, tool_attributes
from backend.services.agent.clients.models import Models
from backend.services.agent.clients.runs import (
    Call,
    Caller,
    Completion,
    Event,
    Finished,
    Idle,
    Outcome,
    Run,
    Setting,
    Tool,
)
from backend.services.agent.clients.toolbox import Toolbox

if TYPE_CHECKING:
    from backend.services.agent.clients.graph import Graphs

_HELD: Final = 256
_IDLE_SECONDS: Final = 0.25
_FULL_SECONDS: Final = 0.02

Tell = Callable[[Event], Coroutine[Any, Any, None]]


class Runner:
    """Answers runs and completions, each as an iterator of events.

    Closing the iterator cancels the run, which closes the model's connection: a synchronous
    graph could not be stopped before its model has said everything.
    """

    def __init__(
        self,
        models: Models,
        toolbox: Toolbox,
        calls: Calls,
        measures: Measures,
        *,
        traced_content: bool = False,
    ) -> None:
        self._models = models
        self._toolbox = toolbox
        self._calls = calls
        self._measures = measures
        self._traced_content = traced_content
        self._loop = LoopThread()
        self._made: Graphs | None = None

    def run(self, run: Run) -> Generator[Event]:
        """What happens while the agent answers *run*, ending with Finished."""
        graphs = self._graphs()
        return self._listen(lambda tell: graphs.run(run, tell))

    def complete(self, completion: Completion) -> Generator[Event]:
        """One answer of a model to messages and tools that are the client's own."""
        graphs = self._graphs()
        return self._listen(lambda tell: graphs.complete(completion, tell))

    def tools(self, caller: Caller) -> list[Tool]:
        """The tools that *caller* may use."""
        found = self._loop.ask(self._toolbox.of(caller))
        return [tool for tool in found.values() if tool.granted_to(caller)]

    def call(self, call: Call, setting: Setting) -> Outcome:
        """The outcome of *call*, which the caller makes by themselves, without a model."""
        return self._loop.ask(self._called(call, setting))

    async def _called(self, call: Call, setting: Setting) -> Outcome:
        tools = await self._toolbox.of(setting.caller)
        tool, begun = known(call.tool, tools), time.perf_counter()
        with span(f"execute_tool {tool}", attributes=tool_attributes(tool)) as using:
            outcome = await self._calls.run(call, tools, setting, _by_hand)
            error = TOOL_FAILED if outcome.failed else ""
            if error:
                using.fail(error)
        self._measures.used(tool, time.perf_counter() - begun, error)
        return outcome

    def with_tools(self, tools: Sequence[Tool], measures: Measures) -> "Runner":
        """The same with other *tools*, in the same loop: the models' connections belong to it."""
        other = Runner(self._models, Toolbox(tools), self._calls, measures)
        other._loop = self._loop
        return other

    def warm_up(self) -> None:
        """Import what the first run would otherwise wait for."""
        self._graphs().open_default()

    def _graphs(self) -> "Graphs":
        if self._made is None:
            from backend.services.agent.clients.graph import Graphs
            from backend.services.agent.clients.watching import Watch

            watch = Watch(self._measures, with_content=self._traced_content)
            self._made = Graphs(self._models, self._toolbox, self._calls, watch)
        return self._made

    def _listen(self, work: Callable[[Tell], Coroutine[Any, Any, None]]) -> Generator[Event]:
        events: queue.Queue[Event | Exception] = queue.Queue(_HELD)
        running = self._loop.submit(_told(work, events))
        try:
            while True:
                try:
                    event = events.get(timeout=_IDLE_SECONDS)
                except queue.Empty:
                    yield Idle()
                    continue
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            running.cancel()


def _by_hand(tool: Tool, call: Call) -> None:
    """Who calls a tool by hand has chosen it and what it is called with."""


async def _told(
    work: Callable[[Tell], Coroutine[Any, Any, None]], events: queue.Queue[Event | Exception]
) -> None:
    async def tell(event: Event | Exception) -> None:
        # A slow reader slows the model down; the loop itself must never block.
        while True:
            try:
                events.put_nowait(event)
            except queue.Full:
                await asyncio.sleep(_FULL_SECONDS)
            else:
                return

    try:
        await work(tell)
    except Exception as error:  # noqa: BLE001 - raised again in the reader's thread
        await tell(error)

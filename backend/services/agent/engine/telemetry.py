"""Records of runs, model calls, tool calls and steps of the graph, with LangChain's messages.

Message contents are recorded only if the operator enables it: readers of traces may not be allowed
to see them.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from backend.services.agent.engine.call_telemetry import (
    ModelCallTelemetry,
    RoleAndText,
    get_error_type,
    trace_run,
    trace_tool_call,
)
from backend.services.agent.engine.metrics import AgentMetrics, ModelLabels, to_known_label
from backend.services.agent.engine.run_context import ROLES, RunContext, count_tokens
from backend.services.agent.model import RequestType


class AgentTelemetry:
    """Records the runs of one process and their steps."""

    def __init__(self, metrics: AgentMetrics, *, with_content: bool) -> None:
        self._metrics = metrics
        self._with_content = with_content

    def trace_run(self, labels: ModelLabels) -> AbstractContextManager[None]:
        """Record the block as one run, with a span and its duration."""
        return trace_run(self._metrics, labels)

    def record_fallback(self, model: str, fallback: str, error_type: str) -> None:
        """Count a fallback from *model*, which failed with *error_type*."""
        self._metrics.record_fallback(model, fallback, error_type)

    @contextmanager
    def trace_model_call(
        self, labels: ModelLabels, request_type: RequestType, messages: Sequence[BaseMessage]
    ) -> Iterator["TracedModelCall"]:
        """Record the block as one call of a model with *messages*.

        The block must record the response with `TracedModelCall.end`, or raise.
        """
        call = TracedModelCall(
            self._metrics, labels, request_type, messages, with_content=self._with_content
        )
        try:
            yield call
        except BaseException as error:
            call.fail(error)
            raise

    @contextmanager
    def trace_graph_step(self, node: str) -> Iterator[None]:
        """Record the block as one step of the graph, in *node*."""
        started, error_type = time.perf_counter(), ""
        try:
            yield
        except BaseException as error:
            error_type = get_error_type(error)
            raise
        finally:
            self._metrics.record_graph_step(node, time.perf_counter() - started, error_type)

    def create_tool_middleware(self) -> "ToolTelemetryMiddleware":
        """Return the middleware for one agent; it must be the outermost."""
        return ToolTelemetryMiddleware(self, self._metrics, with_content=self._with_content)


class TracedModelCall:
    """Records one model call, which starts when this object is created."""

    def __init__(
        self,
        metrics: AgentMetrics,
        labels: ModelLabels,
        request_type: RequestType,
        messages: Sequence[BaseMessage],
        *,
        with_content: bool,
    ) -> None:
        self._messages = messages
        self._with_content = with_content
        self._call = ModelCallTelemetry(
            metrics,
            labels,
            request_type,
            (lambda: map(_to_role_and_text, messages)) if with_content else None,
        )

    def record_token(self) -> None:
        """Record the time to the first token."""
        self._call.record_token()

    def end(self, message: AIMessage) -> None:
        """Record the response."""
        output = _to_role_and_text(message) if self._with_content else None
        self._call.end(*count_tokens(self._messages, message), output)

    def fail(self, error: BaseException) -> None:
        """Record that the call failed with *error*."""
        self._call.fail(error)


class ToolTelemetryMiddleware(AgentMiddleware[AgentState[Any], RunContext]):
    """Records every tool call, including refused ones."""

    def __init__(
        self, telemetry: AgentTelemetry, metrics: AgentMetrics, *, with_content: bool
    ) -> None:
        super().__init__()
        self._telemetry = telemetry
        self._metrics = metrics
        self._with_content = with_content

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Any]],
    ) -> ToolMessage:
        # The runtime of a ToolCallRequest has no type parameter, its context is typed as None.
        context: RunContext = request.runtime.context  # type: ignore[assignment]
        tool = to_known_label(request.tool_call["name"], context.tools)
        with (
            self._telemetry.trace_graph_step("tools"),
            trace_tool_call(self._metrics, tool) as call,
        ):
            message: ToolMessage = await handler(request)
            content = (request.tool_call["args"], message.text) if self._with_content else None
            call.record_result(failed=message.status == "error", content=content)
        return message


def _to_role_and_text(message: BaseMessage) -> RoleAndText:
    return ROLES.get(message.type, message.type), message.text

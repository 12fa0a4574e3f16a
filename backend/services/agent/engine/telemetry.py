"""LangChain callbacks and middleware that record runs, model calls and tool calls.

Message contents are recorded only if the operator enables it: readers of traces may not be allowed
to see them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from backend.services.agent.engine.call_telemetry import (
    ModelCallTelemetry,
    RoleAndText,
    get_error_type,
    trace_run,
    trace_tool_call,
)
from backend.services.agent.engine.chat_models.registry import MODEL_KEY, PROVIDER_KEY
from backend.services.agent.engine.metrics import AgentMetrics, ModelLabels, to_known_label
from backend.services.agent.engine.run_context import ROLES, RunContext, count_tokens
from backend.services.agent.model import RequestType


class AgentTelemetry:
    """Records the runs of one process and creates the callbacks that record their steps."""

    def __init__(self, metrics: AgentMetrics, *, with_content: bool) -> None:
        self._metrics = metrics
        self._with_content = with_content

    def trace_run(self, labels: ModelLabels) -> AbstractContextManager[None]:
        """Record the block as one run, with a span and its duration."""
        return trace_run(self._metrics, labels)

    def record_fallback(self, model: str, fallback: str, error_type: str) -> None:
        """Count a fallback from *model*, which failed with *error_type*."""
        self._metrics.record_fallback(model, fallback, error_type)

    def create_model_callback(self, request_type: RequestType) -> "ModelTelemetryCallback":
        """Return the LangChain callback for one run."""
        return ModelTelemetryCallback(self._metrics, request_type, with_content=self._with_content)

    def create_tool_middleware(self) -> "ToolTelemetryMiddleware":
        """Return the middleware for one agent; it must be the outermost."""
        return ToolTelemetryMiddleware(self._metrics, with_content=self._with_content)


class ModelTelemetryCallback(BaseCallbackHandler):
    """Records every model call of a run and every step of the graph."""

    run_inline = True  # in the run's own task, where the current span is known

    def __init__(
        self, metrics: AgentMetrics, request_type: RequestType, *, with_content: bool
    ) -> None:
        self._metrics = metrics
        self._request_type = request_type
        self._with_content = with_content
        self._calls: dict[UUID, tuple[ModelCallTelemetry, list[BaseMessage]]] = {}
        self._nodes: dict[UUID, tuple[str, float]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        call = ModelCallTelemetry(
            self._metrics,
            _get_model_labels(metadata or {}),
            self._request_type,
            (lambda: map(_to_role_and_text, messages[0])) if self._with_content else None,
        )
        self._calls[run_id] = (call, messages[0])

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],  # noqa: ARG002
        *,
        run_id: UUID,
        **_: Any,
    ) -> None:
        if run_id in self._calls:
            self._calls[run_id][0].record_token()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        if run_id not in self._calls:
            return
        call, messages = self._calls.pop(run_id)
        message = _get_message(response)
        output = _to_role_and_text(message) if self._with_content else None
        call.end(*count_tokens(messages, message), output)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        if run_id in self._calls:
            self._calls.pop(run_id)[0].fail(error)

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,  # noqa: ARG002
        inputs: Any,  # noqa: ARG002
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        # All calls within a node have the node's name in their metadata. Only for the node itself,
        # *name* is this name.
        if name is not None and name == (metadata or {}).get("langgraph_node"):
            self._nodes[run_id] = (name, time.perf_counter())

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._record_graph_step(run_id, "")

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._record_graph_step(run_id, get_error_type(error))

    def _record_graph_step(self, run_id: UUID, error_type: str) -> None:
        if (node := self._nodes.pop(run_id, None)) is not None:
            name, started = node
            self._metrics.record_graph_step(name, time.perf_counter() - started, error_type)


class ToolTelemetryMiddleware(AgentMiddleware[AgentState[Any], RunContext]):
    """Records every tool call, including refused ones."""

    def __init__(self, metrics: AgentMetrics, *, with_content: bool) -> None:
        super().__init__()
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
        with trace_tool_call(self._metrics, tool) as call:
            message: ToolMessage = await handler(request)
            content = (request.tool_call["args"], message.text) if self._with_content else None
            call.record_result(failed=message.status == "error", content=content)
        return message


def _get_model_labels(metadata: Mapping[str, Any]) -> ModelLabels:
    """Return the labels in LangChain's *metadata*, which ChatModelRegistry has set."""
    default = ModelLabels()
    return ModelLabels(
        metadata.get(PROVIDER_KEY, default.provider), metadata.get(MODEL_KEY, default.model)
    )


def _get_message(response: LLMResult) -> AIMessage:
    generation = response.generations[0][0]
    message = generation.message if isinstance(generation, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else AIMessage("")


def _to_role_and_text(message: BaseMessage) -> RoleAndText:
    return ROLES.get(message.type, message.type), message.text

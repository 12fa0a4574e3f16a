"""Metrics, logs and traces of runs, model calls and tool calls.

Spans follow https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Message contents are
recorded only if the operator enables it: readers of traces may not be allowed to see them.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from backend.chassis.observability.tracing import (
    AttributeValue,
    Span,
    SpanKind,
    set_span_error,
    start_as_current_span,
    start_span,
)
from backend.chassis.web.problems import ServiceError
from backend.services.agent.engine.chat_models.registry import MODEL_KEY, PROVIDER_KEY
from backend.services.agent.engine.metrics import (
    TOOL_FAILED,
    AgentMetrics,
    ModelLabels,
    get_tool_span_attributes,
    to_known_label,
)
from backend.services.agent.engine.run_context import RunContext, count_tokens

_log = logging.getLogger(__name__)


class AgentTelemetry:
    """Records the runs of one process and creates the callbacks that record their steps."""

    def __init__(self, metrics: AgentMetrics, *, with_content: bool) -> None:
        self._metrics = metrics
        self._with_content = with_content

    @contextmanager
    def trace_run(self, labels: ModelLabels) -> Iterator[None]:
        """Record the block as one run, with a span and its duration."""
        started, error_type = time.perf_counter(), ""
        attributes = _get_model_attributes("invoke_agent", labels)
        try:
            with start_as_current_span(f"invoke_agent {labels.model}", attributes=attributes):
                yield
        except BaseException as error:
            error_type = _get_error_type(error)
            raise
        finally:
            self._metrics.record_run(labels, time.perf_counter() - started, error_type)

    def record_fallback(self, model: str, fallback: str, error_type: str) -> None:
        """Count a fallback from *model*, which failed with *error_type*."""
        self._metrics.record_fallback(model, fallback, error_type)

    def create_model_callback(self) -> "ModelTelemetryCallback":
        """Return the LangChain callback for one run."""
        return ModelTelemetryCallback(self._metrics, with_content=self._with_content)

    def create_tool_middleware(self) -> "ToolTelemetryMiddleware":
        """Return the middleware for one agent; it must be the outermost."""
        return ToolTelemetryMiddleware(self._metrics, with_content=self._with_content)


@dataclass(slots=True)
class _ModelCall:
    """A model call in progress."""

    labels: ModelLabels
    messages: list[BaseMessage]
    span: Span
    started: float
    has_first_token: bool = False


class ModelTelemetryCallback(BaseCallbackHandler):
    """Records every model call of a run and every step of the graph."""

    run_inline = True  # in the run's own task, where the current span is known

    def __init__(self, metrics: AgentMetrics, *, with_content: bool) -> None:
        self._metrics = metrics
        self._with_content = with_content
        self._calls: dict[UUID, _ModelCall] = {}
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
        labels = _get_model_labels(metadata or {})
        attributes = _get_model_attributes("chat", labels)
        span = start_span(f"chat {labels.model}", SpanKind.CLIENT, attributes)
        if self._with_content:
            span.set_attributes({"gen_ai.input.messages": _serialize_messages(messages[0])})
        self._calls[run_id] = _ModelCall(labels, messages[0], span, time.perf_counter())

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],  # noqa: ARG002
        *,
        run_id: UUID,
        **_: Any,
    ) -> None:
        call = self._calls.get(run_id)
        if call is not None and not call.has_first_token:
            call.has_first_token = True
            self._metrics.record_first_token(call.labels, time.perf_counter() - call.started)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        call = self._calls.pop(run_id, None)
        if call is None:
            return
        seconds = time.perf_counter() - call.started
        message = _get_message(response)
        prompt_tokens, completion_tokens = count_tokens(call.messages, message)
        self._metrics.record_model_response(
            call.labels, seconds, "", prompt_tokens, completion_tokens
        )
        fields = _get_log_fields(call.labels, seconds) | {
            "input_tokens": prompt_tokens,
            "output_tokens": completion_tokens,
        }
        _log.info("model %s responded", call.labels.model, extra={"fields": fields})
        call.span.set_attributes(
            {
                "gen_ai.usage.input_tokens": prompt_tokens,
                "gen_ai.usage.output_tokens": completion_tokens,
            }
        )
        if self._with_content:
            call.span.set_attributes({"gen_ai.output.messages": _serialize_messages([message])})
        call.span.end()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        call = self._calls.pop(run_id, None)
        if call is None:
            return
        error_type, seconds = _get_error_type(error), time.perf_counter() - call.started
        self._metrics.record_model_response(call.labels, seconds, error_type, 0, 0)
        fields = _get_log_fields(call.labels, seconds) | {"error": error_type}
        _log.warning("model %s failed", call.labels.model, extra={"fields": fields})
        set_span_error(call.span, error_type)
        call.span.end()

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
        # The metadata of everything that a node calls contains the node's name. Only the node
        # itself has it as its own name.
        if name is not None and name == (metadata or {}).get("langgraph_node"):
            self._nodes[run_id] = (name, time.perf_counter())

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._record_graph_step(run_id, "")

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._record_graph_step(run_id, _get_error_type(error))

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
        tool, error_type = to_known_label(request.tool_call["name"], context.tools), ""
        started = time.perf_counter()
        try:
            with start_as_current_span(
                f"execute_tool {tool}", attributes=get_tool_span_attributes(tool)
            ) as span:
                message: ToolMessage = await handler(request)
                if message.status == "error":
                    error_type = TOOL_FAILED
                    set_span_error(span, error_type)
                if self._with_content:
                    span.set_attributes(_get_content_attributes(request.tool_call["args"], message))
        except BaseException as error:
            error_type = _get_error_type(error)
            raise
        finally:
            self._metrics.record_tool_call(tool, time.perf_counter() - started, error_type)
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


def _get_log_fields(labels: ModelLabels, seconds: float) -> dict[str, AttributeValue]:
    """Return the log fields of a model call. Contents are never logged."""
    return {
        "provider": labels.provider,
        "model": labels.model,
        "took_ms": round(seconds * 1000, 2),
    }


def _get_model_attributes(operation: str, labels: ModelLabels) -> dict[str, AttributeValue]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": labels.provider,
        "gen_ai.request.model": labels.model,
    }


def _get_error_type(error: BaseException) -> str:
    """Return the code of a ServiceError, else the class name: a small set of values."""
    return error.code if isinstance(error, ServiceError) else type(error).__name__


def _serialize_messages(messages: list[BaseMessage]) -> str:
    """Return *messages* as JSON in the format of OpenTelemetry's gen_ai.*.messages."""
    roles = {"human": "user", "ai": "assistant"}
    serialized = [
        {
            "role": roles.get(message.type, message.type),
            "parts": [{"type": "text", "content": message.text}],
        }
        for message in messages
    ]
    return json.dumps(serialized, ensure_ascii=False)


def _get_content_attributes(
    arguments: Mapping[str, Any], message: ToolMessage
) -> dict[str, AttributeValue]:
    return {
        "gen_ai.tool.call.arguments": json.dumps(arguments, ensure_ascii=False, default=str),
        "gen_ai.tool.call.result": message.text,
    }

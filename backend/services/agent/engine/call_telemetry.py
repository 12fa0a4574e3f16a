"""Metrics, logs and spans of runs, model calls and tool calls, with and without LangChain.

Spans follow https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. This module does not
import LangChain.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from backend.chassis.observability.tracing import (
    AttributeValue,
    Span,
    SpanKind,
    set_span_error,
    start_as_current_span,
    start_span,
)
from backend.chassis.web.problems import ServiceError
from backend.services.agent.engine.metrics import (
    TOOL_FAILED,
    AgentMetrics,
    ModelLabels,
    get_tool_span_attributes,
)
from backend.services.agent.model import RequestType

_log = logging.getLogger("backend.services.agent.engine.telemetry")

_INPUT_MESSAGES: Final = "gen_ai.input.messages"
_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

# Role and text of a message.
RoleAndText = tuple[str, str]


class ModelCallTelemetry:
    """Records one model call, which starts when this object is created.

    Args:
        metrics: counts the call.
        labels: the model.
        request_type: origin of the run.
        input_messages: returns the messages for the span; None if contents are not recorded.
    """

    def __init__(
        self,
        metrics: AgentMetrics,
        labels: ModelLabels,
        request_type: RequestType,
        input_messages: Callable[[], Iterable[RoleAndText]] | None = None,
    ) -> None:
        self._metrics = metrics
        self._labels = labels
        self._request_type = request_type
        self._started = time.perf_counter()
        self._has_first_token = False
        self._span = start_span(
            f"chat {labels.model}", SpanKind.CLIENT, get_model_attributes("chat", labels)
        )
        if input_messages is not None:
            self._span.set_attributes({_INPUT_MESSAGES: serialize_messages(input_messages())})

    def record_token(self) -> None:
        """Record the time to the first token."""
        if not self._has_first_token:
            self._has_first_token = True
            self._metrics.record_first_token(self._labels, time.perf_counter() - self._started)

    def end(
        self, prompt_tokens: int, completion_tokens: int, output: RoleAndText | None = None
    ) -> None:
        """Record the response. *output* is None if contents are not recorded."""
        seconds = time.perf_counter() - self._started
        self._metrics.record_model_response(
            self._labels, seconds, "", prompt_tokens, completion_tokens, self._request_type
        )
        fields = self._get_log_fields(seconds) | {
            "input_tokens": prompt_tokens,
            "output_tokens": completion_tokens,
        }
        _log.info("model %s responded", self._labels.model, extra={"fields": fields})
        self._span.set_attributes(
            {
                "gen_ai.usage.input_tokens": prompt_tokens,
                "gen_ai.usage.output_tokens": completion_tokens,
            }
        )
        if output is not None:
            self._span.set_attributes({_OUTPUT_MESSAGES: serialize_messages([output])})
        self._span.end()

    def fail(self, error: BaseException) -> None:
        """Record that the call failed with *error*."""
        error_type, seconds = get_error_type(error), time.perf_counter() - self._started
        self._metrics.record_model_response(self._labels, seconds, error_type, 0, 0)
        fields = self._get_log_fields(seconds) | {"error": error_type}
        _log.warning("model %s failed", self._labels.model, extra={"fields": fields})
        set_span_error(self._span, error_type)
        self._span.end()

    def _get_log_fields(self, seconds: float) -> dict[str, AttributeValue]:
        """Return the log fields of the call. Contents are never logged."""
        return {
            "provider": self._labels.provider,
            "model": self._labels.model,
            "request_type": self._request_type,
            "took_ms": round(seconds * 1000, 2),
        }


@contextmanager
def trace_run(metrics: AgentMetrics, labels: ModelLabels) -> Iterator[None]:
    """Record the block as one run, with a span and its duration."""
    started, error_type = time.perf_counter(), ""
    attributes = get_model_attributes("invoke_agent", labels)
    try:
        with start_as_current_span(f"invoke_agent {labels.model}", attributes=attributes):
            yield
    except BaseException as error:
        error_type = get_error_type(error)
        raise
    finally:
        metrics.record_run(labels, time.perf_counter() - started, error_type)


class ToolCallTelemetry:
    """Outcome of a traced tool call, set within the block of `trace_tool_call`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.error_type = ""

    def record_result(
        self, *, failed: bool, content: tuple[Mapping[str, Any], str] | None = None
    ) -> None:
        """Record the result.

        Args:
            failed: whether the tool failed or was refused.
            content: arguments and text of the result; None if contents are not recorded.
        """
        if failed:
            self.error_type = TOOL_FAILED
            set_span_error(self._span, TOOL_FAILED)
        if content is not None:
            arguments, text = content
            self._span.set_attributes(
                {
                    "gen_ai.tool.call.arguments": json.dumps(
                        arguments, ensure_ascii=False, default=str
                    ),
                    "gen_ai.tool.call.result": text,
                }
            )


@contextmanager
def trace_tool_call(metrics: AgentMetrics, tool: str) -> Iterator[ToolCallTelemetry]:
    """Record the block as a call of *tool*, with a span and its duration."""
    started, error_type = time.perf_counter(), ""
    try:
        with start_as_current_span(
            f"execute_tool {tool}", attributes=get_tool_span_attributes(tool)
        ) as span:
            call = ToolCallTelemetry(span)
            yield call
            error_type = call.error_type
    except BaseException as error:
        error_type = get_error_type(error)
        raise
    finally:
        metrics.record_tool_call(tool, time.perf_counter() - started, error_type)


def get_model_attributes(operation: str, labels: ModelLabels) -> dict[str, AttributeValue]:
    """Return the span attributes of an *operation* of a model."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": labels.provider,
        "gen_ai.request.model": labels.model,
    }


def get_error_type(error: BaseException) -> str:
    """Return the code of a ServiceError, else the class name: a small set of values."""
    return error.code if isinstance(error, ServiceError) else type(error).__name__


def serialize_messages(messages: Iterable[RoleAndText]) -> str:
    """Return *messages* as JSON in the format of OpenTelemetry's gen_ai.*.messages."""
    serialized = [
        {"role": role, "parts": [{"type": "text", "content": text}]} for role, text in messages
    ]
    return json.dumps(serialized, ensure_ascii=False)

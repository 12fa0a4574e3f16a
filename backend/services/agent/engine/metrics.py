"""Prometheus metrics of models and tools, named after OpenTelemetry's GenAI conventions.

The buckets are those of https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/.
Label values come from the operator's configuration. Names that clients or models make up are
counted as UNKNOWN_LABEL: each new label value would occupy memory until the process ends.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from backend.services.agent.engine.token_prices import Prices, calculate_cost
from backend.services.agent.model import DEFAULT_REQUEST_TYPE, RequestType

_log = logging.getLogger(__name__)

# The error_type of every failed tool: the tool's own message is free text for the model.
TOOL_FAILED: Final = "tool_failed"
UNKNOWN_LABEL: Final = "(unknown)"

_SECONDS_BUCKETS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
_MODEL_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


@dataclass(frozen=True, slots=True)
class ModelLabels:
    """Name and provider of a configured model, as label values."""

    provider: str = UNKNOWN_LABEL
    model: str = UNKNOWN_LABEL


class AgentMetrics:
    """The agent's metrics of one process.

    Args:
        registry: where the metrics are registered.
        prices: price of a million input tokens and of a million output tokens, by model.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        prices: Prices | None = None,
    ) -> None:
        def create_seconds_histogram(name: str, documentation: str, *labels: str) -> Histogram:
            return Histogram(
                name, documentation, labels, buckets=_SECONDS_BUCKETS, registry=registry
            )

        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Input and output tokens of model responses.",
            (*_MODEL_LABELS, "gen_ai_token_type", "request_type"),
            buckets=_TOKEN_BUCKETS,
            registry=registry,
        )
        self._operations = create_seconds_histogram(
            "gen_ai_client_operation_duration_seconds",
            "Duration of a model call, from the request to the end of the response.",
            *_MODEL_LABELS,
            "error_type",
        )
        self._first_chunks = create_seconds_histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time from the request to a model to the first chunk of its response.",
            *_MODEL_LABELS,
        )
        self._agents = create_seconds_histogram(
            "gen_ai_invoke_agent_duration_seconds",
            "Duration of an agent run, with all its model and tool calls.",
            *_MODEL_LABELS,
            "error_type",
        )
        self._tools = create_seconds_histogram(
            "gen_ai_execute_tool_duration_seconds",
            "Duration of a tool call.",
            "gen_ai_operation_name",
            "gen_ai_tool_name",
            "error_type",
        )
        self._refusals = Counter(
            "agent_tool_refusals",
            "Tool calls that were refused and not executed.",
            ("tool", "reason"),
            registry=registry,
        )
        self._nodes = create_seconds_histogram(
            "agent_node_duration_seconds",
            "Duration of one step of the agent's graph.",
            "node",
            "error_type",
        )
        self._fallbacks = Counter(
            "agent_model_fallbacks_total",
            "Fallbacks to another model after the requested one failed.",
            ("model", "successor", "error_type"),
            registry=registry,
        )
        self._prices = prices or {}
        self._cost = Counter(
            "agent_model_cost",
            "Cost of the tokens of models, in the currency of LLM_PRICES.",
            (_MODEL_LABELS[-1], "request_type"),
            registry=registry,
        )

    def record_fallback(self, model: str, fallback: str, error_type: str) -> None:
        """Count a fallback from *model*, which failed with *error_type*."""
        self._fallbacks.labels(model, fallback, error_type).inc()

    def record_model_response(
        self,
        labels: ModelLabels,
        seconds: float,
        error_type: str,
        prompt_tokens: int,
        completion_tokens: int,
        request_type: RequestType = DEFAULT_REQUEST_TYPE,
    ) -> None:
        """Record a finished model call; *error_type* is "" if it succeeded."""
        values = ("chat", labels.provider, labels.model)
        self._operations.labels(*values, error_type).observe(seconds)
        if error_type:
            return
        self._tokens.labels(*values, "input", request_type).observe(prompt_tokens)
        self._tokens.labels(*values, "output", request_type).observe(completion_tokens)
        cost = calculate_cost(self._prices, labels.model, prompt_tokens, completion_tokens)
        if cost is not None:
            self._cost.labels(labels.model, request_type).inc(cost)

    def record_first_token(self, labels: ModelLabels, seconds: float) -> None:
        """Record the time to the first chunk of a model's response."""
        self._first_chunks.labels("chat", labels.provider, labels.model).observe(seconds)

    def record_run(self, labels: ModelLabels, seconds: float, error_type: str) -> None:
        """Record a finished run; *error_type* is "" if it succeeded."""
        self._agents.labels("invoke_agent", labels.provider, labels.model, error_type).observe(
            seconds
        )

    def record_tool_call(self, tool: str, seconds: float, error_type: str) -> None:
        """Record and log a finished tool call; *error_type* is "" if it succeeded."""
        self._tools.labels("execute_tool", tool, error_type).observe(seconds)
        fields = {"tool": tool, "took_ms": round(seconds * 1000, 2)}
        if error_type:
            fields["error"] = error_type
        _log.info("tool %s called", tool, extra={"fields": fields})

    def record_tool_refusal(self, tool: str, reason: str) -> None:
        """Count a refused tool call."""
        self._refusals.labels(tool, reason).inc()

    def record_graph_step(self, node: str, seconds: float, error_type: str) -> None:
        """Record the execution of a graph node; *error_type* is "" if it succeeded."""
        self._nodes.labels(node, error_type).observe(seconds)


def to_known_label(name: str, known_names: Collection[str]) -> str:
    """Return *name* if it is one of *known_names*, else UNKNOWN_LABEL."""
    return name if name in known_names else UNKNOWN_LABEL


def get_tool_span_attributes(tool: str) -> dict[str, str]:
    """Return the span attributes of a call of *tool*."""
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}

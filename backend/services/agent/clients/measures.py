"""What the agent's work costs, for Prometheus, under OpenTelemetry's GenAI names.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, whose buckets these are.
Every label is of a set that the operator has chosen: what clients and models make up counts
as STRANGER, or a made-up name would cost memory for ever.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_log = logging.getLogger(__name__)

# What a failed tool's error is called: its words are for the model, and of any alphabet.
TOOL_FAILED: Final = "tool_failed"
STRANGER: Final = "(unknown)"

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))
_PRICED_TOKENS: Final = 1_000_000
_MODEL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


@dataclass(frozen=True, slots=True)
class Labels:
    """Which model, by the name and provider that it is set up with."""

    provider: str = STRANGER
    model: str = STRANGER


class Measures:
    """The histograms of one process."""

    def __init__(
        self,
        registry: CollectorRegistry,
        prices: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """*prices* are those of a million tokens, read and written, by model."""

        def timed(name: str, told: str, *labels: str) -> Histogram:
            return Histogram(name, told, labels, buckets=_SECONDS, registry=registry)

        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of one answer of a model, read and written.",
            (*_MODEL, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=registry,
        )
        self._operations = timed(
            "gen_ai_client_operation_duration_seconds",
            "One answer of a model, from being asked to its end.",
            *_MODEL,
            "error_type",
        )
        self._first_chunks = timed(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From asking a model to the first piece of its answer.",
            *_MODEL,
        )
        self._agents = timed(
            "gen_ai_invoke_agent_duration_seconds",
            "One run of the agent, with all its models and tools.",
            *_MODEL,
            "error_type",
        )
        self._tools = timed(
            "gen_ai_execute_tool_duration_seconds",
            "One call of a tool.",
            "gen_ai_operation_name",
            "gen_ai_tool_name",
            "error_type",
        )
        self._refusals = Counter(
            "agent_tool_refusals",
            "Tool calls that were refused and never made.",
            ("tool", "reason"),
            registry=registry,
        )
        self._nodes = timed(
            "agent_node_duration_seconds", "One step of the agent's graph.", "node", "error_type"
        )

        self._stand_ins = Counter(
            "agent_model_fallbacks_total",
            "Answers that another model gave because the one asked for failed.",
            ("model", "successor", "error_type"),
            registry=registry,
        )

        self._prices = prices or {}
        self._cost = Counter(
            "agent_model_cost",
            "What the tokens of models cost, in the currency of LLM_PRICES.",
            (_MODEL[-1],),
            registry=registry,
        )

    def stood_in(self, model: str, successor: str, error: str) -> None:
        """*successor* answers because *model* has failed with *error*."""
        self._stand_ins.labels(model, successor, error).inc()

    def answered(self, labels: Labels, took: float, error: str, prompt: int, written: int) -> None:
        """A model has answered after *took* seconds, or failed with *error*."""
        named = ("chat", labels.provider, labels.model)
        self._operations.labels(*named, error).observe(took)
        if not error:
            self._tokens.labels(*named, "input").observe(prompt)
            self._tokens.labels(*named, "output").observe(written)
            if labels.model in self._prices:
                read_price, written_price = self._prices[labels.model]
                cost = (prompt * read_price + written * written_price) / _PRICED_TOKENS
                self._cost.labels(labels.model).inc(cost)

    def began(self, labels: Labels, took: float) -> None:
        """A model has said its first word."""
        self._first_chunks.labels("chat", labels.provider, labels.model).observe(took)

    def ran(self, labels: Labels, took: float, error: str) -> None:
        """A run of the agent is over."""
        self._agents.labels("invoke_agent", labels.provider, labels.model, error).observe(took)

    def used(self, tool: str, took: float, error: str) -> None:
        """A tool has been called."""
        self._tools.labels("execute_tool", tool, error).observe(took)
        told = {"tool": tool, "took_ms": round(took * 1000, 2)}
        if error:
            told["error"] = error
        _log.info("the tool %s was used", tool, extra={"fields": told})

    def refused(self, tool: str, reason: str) -> None:
        """A call of a tool was refused."""
        self._refusals.labels(tool, reason).inc()

    def stepped(self, node: str, took: float, error: str) -> None:
        """A node of the graph is done."""
        self._nodes.labels(node, error).observe(took)


def known(name: str, names: Collection[str]) -> str:
    """*name* as a label: itself, if it is one of *names*."""
    return name if name in names else STRANGER


def tool_attributes(tool: str) -> dict[str, str]:
    """What a span of a tool's call says of it."""
    return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}

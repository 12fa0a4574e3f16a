"""Metrics of the agent's models."""

from prometheus_client import CollectorRegistry

from backend.services.agent.engine.metrics import AgentMetrics, ModelLabels


def test_cost_is_counted_only_for_models_with_a_configured_price():
    registry = CollectorRegistry()
    metrics = AgentMetrics(registry, {"priced": (2.0, 8.0)})

    metrics.record_model_response(ModelLabels("provider", "priced"), 1.0, "", 500_000, 250_000)
    metrics.record_model_response(ModelLabels("provider", "priced"), 1.0, "timeout", 0, 0)
    metrics.record_model_response(ModelLabels("provider", "free"), 1.0, "", 500_000, 250_000)

    def cost(model: str) -> float | None:
        labels = {"gen_ai_request_model": model, "request_type": "query"}
        return registry.get_sample_value("agent_model_cost_total", labels)

    assert (cost("priced"), cost("free")) == (3.0, None)

"""What the agent's work costs, as numbers."""

from prometheus_client import CollectorRegistry

from backend.services.agent.clients.measures import Labels, Measures


def test_tokens_cost_what_the_operator_has_said_and_nothing_else():
    registry = CollectorRegistry()
    measures = Measures(registry, {"priced": (2.0, 8.0)})

    measures.answered(Labels("anyone", "priced"), 1.0, "", 500_000, 250_000)
    measures.answered(Labels("anyone", "priced"), 1.0, "timeout", 0, 0)
    measures.answered(Labels("anyone", "free"), 1.0, "", 500_000, 250_000)

    def cost(model: str) -> float | None:
        return registry.get_sample_value("agent_model_cost_total", {"gen_ai_request_model": model})

    assert (cost("priced"), cost("free")) == (3.0, None)

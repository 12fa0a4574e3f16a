"""The Redis-compatible server, set up in ways that lose what is relied upon."""

import pytest


def test_a_server_that_is_set_up_well_is_not_spoken_of(found, valkey):
    valkey.client.config_set("appendonly", "yes")
    assert found("suite", REDIS_URL=valkey.url) == []


@pytest.mark.parametrize(
    ("setting", "value", "level", "said"),
    [
        ("maxmemory-policy", "allkeys-lru", "error", "forgets keys"),
        ("maxmemory", "700000", "warning", "The server uses"),
        ("appendonly", "no", "warning", "append-only file"),
    ],
)
def test_a_server_that_may_forget_is_told(found, valkey, setting, value, level, said):
    valkey.client.config_set("appendonly", "yes")
    valkey.client.config_set(setting, value)
    ((found_level, what, mend),) = found("suite", REDIS_URL=valkey.url)
    assert (found_level, said in what) == (level, True)
    assert "redis-cli config set" in mend


def test_a_server_that_does_not_answer_is_told(found):
    ((level, _, mend),) = found("suite", REDIS_URL="redis://127.0.0.1:9/0")
    assert (level, "REDIS_URL" in mend) == ("error", True)


def test_traces_without_their_extra_are_told(found):
    told = found("suite", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    from importlib.util import find_spec

    wanted = [] if find_spec("opentelemetry") else ["./start_microservices.sh install --extra otel"]
    assert [mend for _, _, mend in told] == wanted

"""Findings about the Redis-compatible server and about missing extras."""

import pytest


def test_doctor_finds_nothing_with_a_suitable_redis_configuration(run_doctor, valkey):
    valkey.client.config_set("appendonly", "yes")
    assert run_doctor("suite", REDIS_URL=valkey.url) == []


@pytest.mark.parametrize(
    ("setting", "value", "level", "text"),
    [
        ("maxmemory-policy", "allkeys-lru", "error", "evicts keys"),
        ("maxmemory", "700000", "warning", "The server uses"),
        ("appendonly", "no", "warning", "append-only file"),
    ],
)
def test_doctor_reports_redis_settings_that_lose_data(
    run_doctor, valkey, setting, value, level, text
):
    valkey.client.config_set("appendonly", "yes")
    valkey.client.config_set(setting, value)
    ((reported_level, problem, fix),) = run_doctor("suite", REDIS_URL=valkey.url)
    assert (reported_level, text in problem) == (level, True)
    assert "redis-cli config set" in fix


@pytest.mark.parametrize(
    "variables",
    [
        {"EVENTS_URL": "redis://127.0.0.1:9/0"},
        {"EVENTS_URL": "amqp://user:word@127.0.0.1:9//"},
        {"KAFKA_BROKERS": '["127.0.0.1:9", "127.0.0.1:10"]'},
    ],
)
def test_doctor_reports_an_unreachable_broker_of_events(run_doctor, valkey, variables):
    valkey.client.config_set("appendonly", "yes")
    ((level, problem, fix),) = run_doctor("suite", REDIS_URL=valkey.url, **variables)
    assert (level, next(iter(variables)) in fix) == ("error", True)
    assert "does not respond" in problem
    assert "word" not in problem


def test_doctor_finds_nothing_if_events_use_the_same_server(run_doctor, valkey):
    valkey.client.config_set("appendonly", "yes")
    assert run_doctor("suite", REDIS_URL=valkey.url, EVENTS_URL=valkey.url) == []


def test_doctor_reports_an_unreachable_redis(run_doctor):
    ((level, _, fix),) = run_doctor("suite", REDIS_URL="redis://127.0.0.1:9/0")
    assert (level, "REDIS_URL" in fix) == ("error", True)

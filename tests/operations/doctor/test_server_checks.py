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


def test_doctor_reports_settings_with_which_grpc_servers_do_not_start(run_doctor, valkey):
    valkey.client.config_set("appendonly", "yes")
    variables = {"REDIS_URL": valkey.url, "HOST": "192.0.2.1"}

    assert run_doctor("suite", **variables) == []
    ((level, problem, _fix),) = run_doctor("suite", GRPC="on", **variables)

    assert level == "error"
    assert "GRPC_CERTFILE" in problem


def test_doctor_reports_missing_packages_of_grpc(run_doctor, valkey, monkeypatch):
    valkey.client.config_set("appendonly", "yes")
    monkeypatch.setattr("backend.chassis.rpc.companion._PACKAGES", ("no_such_package",))

    findings = run_doctor("suite", GRPC="on", REDIS_URL=valkey.url)

    assert [fix for _, _, fix in findings] == ["./start_microservices.sh install --extra grpc"]

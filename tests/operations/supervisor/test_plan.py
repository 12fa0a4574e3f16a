"""The plan of a start: programs, ports, hosts, environment."""

from dataclasses import replace
from pathlib import Path

import pytest

from backend.chassis.catalog import CATALOG
from backend.chassis.console import CommandError
from backend.chassis.service_description import Companion
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import StartOptions, make_plan

ROOT = Path("/p")


def plan(options: StartOptions | None = None, **variables: str):
    return make_plan(
        ROOT, EnvironmentVariables(variables), options or StartOptions(), companions=()
    )


def test_plan_contains_every_service_with_its_port_and_log():
    programs = plan().programs

    assert [(p.name, p.port, p.log.name) for p in programs] == [
        (s.full_name, s.port, s.log_name) for s in CATALOG
    ]
    assert {p.host for p in programs} == {"127.0.0.1"}


def test_port_offset_changes_every_port_and_url():
    result = plan(StartOptions(port_offset=100), AUTH_SERVICE_PORT="7000")

    assert {p.name: p.port for p in result.programs}["auth-service"] == 7100
    assert result.environment["AUTH_SERVICE_PORT"] == "7100"
    assert result.environment["AUTH_SERVICE_URL"] == "http://127.0.0.1:7100"
    assert result.environment["GATEWAY_PORT"] == "5100"


def test_port_offset_beyond_the_valid_range_is_rejected():
    with pytest.raises(CommandError, match="port-offset"):
        plan(StartOptions(port_offset=65000))


def test_configured_service_url_is_not_replaced():
    assert plan(RAG_SERVICE_URL="http://far:1").environment["RAG_SERVICE_URL"] == "http://far:1"


def test_gateway_host_applies_to_the_gateway_only():
    hosts = {p.name: p.host for p in plan(GATEWAY_HOST="192.0.2.7").programs}

    assert hosts.pop("gateway") == "192.0.2.7"
    assert set(hosts.values()) == {"127.0.0.1"}


def test_gateway_with_a_certificate_is_probed_over_tls():
    gateway = plan(TLS_CERTFILE="/c.pem", TLS_KEYFILE="/k.pem").programs[-1]

    assert gateway.probe_url == "https://127.0.0.1:5000/health/live"


def test_debug_mode_binds_to_loopback_only():
    result = plan(StartOptions(dev=True), GATEWAY_HOST="192.0.2.7", HOST="192.0.2.7")

    assert {p.host for p in result.programs} == {"127.0.0.1"}
    assert (result.environment["HOST"], result.environment["GATEWAY_HOST"]) == ("127.0.0.1",) * 2
    assert result.environment["FLASK_DEBUG"] == "1"


@pytest.mark.parametrize("name", ["REDIS_URL", "REDIS_HOST", "REDIS_PORT"])
def test_valkey_runs_unless_an_external_server_is_configured(name):
    assert plan().runs_valkey
    assert not plan(**{name: "1"}).runs_valkey


def test_only_selects_services_and_rejects_unknown_names():
    assert [p.name for p in plan(StartOptions(only=("auth",))).programs] == ["auth-service"]
    with pytest.raises(CommandError, match=r"No service is called 'atuh'\. Available: auth"):
        plan(StartOptions(only=("atuh",)))


STORE = Companion(
    "store",
    "auth",
    ("-m", "store", "--port={port}", "--path={data}"),
    is_needed=lambda get, _: get("STORE_URL") is None,
    port=7000,
    port_variable="STORE_PORT",
    url_variable="STORE_URL",
)


def with_store(*only: str, **variables: str):
    options = StartOptions(only=only, port_offset=5)
    return make_plan(ROOT, EnvironmentVariables(variables), options, companions=(STORE,))


def test_companion_gets_port_and_folder_and_its_url_is_in_the_environment():
    result = with_store()

    store = result.programs[-1]
    assert store.command[1:] == ("-m", "store", "--port=7005", "--path=/p/data")
    assert (store.log.name, store.probe_url) == ("store.log", None)
    assert result.environment["STORE_URL"] == "http://127.0.0.1:7005"


def test_companion_that_is_not_needed_is_not_planned():
    result = with_store(STORE_URL="http://far:1")

    assert "store" not in [p.name for p in result.programs]
    assert result.environment["STORE_URL"] == "http://far:1"


@pytest.mark.parametrize(
    ("only", "programs"),
    [
        ("auth", ["auth-service", "store"]),
        ("store", ["store"]),
        ("agent", ["agent-service"]),
    ],
)
def test_companion_is_planned_with_its_service(only, programs):
    assert [p.name for p in with_store(only).programs] == programs


def test_environment_omits_pythondontwritebytecode():
    assert "PYTHONDONTWRITEBYTECODE" not in plan(PYTHONDONTWRITEBYTECODE="1").environment


def test_vector_server_runs_unless_another_vector_store_is_configured():
    def names(**variables: str) -> set[str]:
        return {p.name for p in make_plan(ROOT, EnvironmentVariables(variables)).programs}

    default_plan = make_plan(ROOT, EnvironmentVariables({}))

    (server,) = [p for p in default_plan.programs if p.name == "vectors"]
    assert (server.port, server.url) == (None, f"unix:{ROOT}/data/rag/vectors.sock")
    assert default_plan.environment["CHROMA_URL"] == server.url
    assert "vectors" not in names(CHROMA_URL="http://far:8000")
    assert "vectors" not in names(VECTOR_STORE="qdrant")
    # Chroma's own server has no authentication.
    assert "chroma" not in names()


def test_instances_have_their_own_ports_and_logs_and_all_urls_are_shared():
    result = plan(StartOptions(scale={"agent": 3}, port_offset=1))

    agents = [p for p in result.programs if p.name.startswith("agent")]
    assert [(p.name, p.port, p.log.name) for p in agents] == [
        ("agent-service", 5003, "agent_service.log"),
        ("agent-service-2", 5103, "agent_service_2.log"),
        ("agent-service-3", 5203, "agent_service_3.log"),
    ]
    assert result.environment["AGENT_SERVICE_URL"] == ",".join(
        f"http://127.0.0.1:{port}" for port in (5003, 5103, 5203)
    )
    assert result.environment["AGENT_SERVICE_PORT"] == "5003"
    assert [p.environment.get("AGENT_SERVICE_PORT") for p in agents] == [None, "5103", "5203"]


@pytest.mark.parametrize("name", ["gateway", "store"])
def test_gateway_and_stores_cannot_be_scaled(name):
    store = replace(STORE, stores_data=True)
    with pytest.raises(CommandError, match=f"{name} cannot be scaled"):
        make_plan(
            ROOT, EnvironmentVariables({}), StartOptions(scale={name: 2}), companions=(store,)
        )


def test_scaling_an_unknown_service_is_rejected():
    with pytest.raises(CommandError, match="No service is called 'atuh'"):
        plan(StartOptions(scale={"atuh": 2}))

"""What is decided before anything starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from backend.chassis.catalog import CATALOG
from backend.chassis.console import CannotRun
from backend.chassis.service_description import Companion
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import Wishes, make_plan

ROOT = Path("/p")


def plan(wishes: Wishes | None = None, **variables: str):
    return make_plan(ROOT, Variables(variables), wishes or Wishes(), companions=())


def test_every_service_of_the_catalog_is_run_on_its_port_with_its_log():
    programs = plan().programs

    assert [(p.name, p.port, p.log.name) for p in programs] == [
        (s.full_name, s.port, s.log_name) for s in CATALOG
    ]
    assert {p.host for p in programs} == {"127.0.0.1"}


def test_an_offset_moves_every_port_and_every_service_hears_of_it():
    moved = plan(Wishes(port_offset=100), AUTH_SERVICE_PORT="7000")

    assert {p.name: p.port for p in moved.programs}["auth-service"] == 7100
    assert moved.environment["AUTH_SERVICE_PORT"] == "7100"
    assert moved.environment["AUTH_SERVICE_URL"] == "http://127.0.0.1:7100"
    assert moved.environment["GATEWAY_PORT"] == "5100"


def test_an_offset_that_leaves_the_ports_there_are_is_refused():
    with pytest.raises(CannotRun, match="port-offset"):
        plan(Wishes(port_offset=65000))


def test_a_url_that_was_set_stays():
    assert plan(RAG_SERVICE_URL="http://far:1").environment["RAG_SERVICE_URL"] == "http://far:1"


def test_the_gateway_alone_may_be_opened_to_the_network():
    hosts = {p.name: p.host for p in plan(GATEWAY_HOST="192.0.2.7").programs}

    assert hosts.pop("gateway") == "192.0.2.7"
    assert set(hosts.values()) == {"127.0.0.1"}


def test_a_gateway_with_a_certificate_is_asked_over_tls():
    gateway = plan(TLS_CERTFILE="/c.pem", TLS_KEYFILE="/k.pem").programs[-1]

    assert gateway.probe_url == "https://127.0.0.1:5000/health/live"


def test_debug_mode_listens_on_loopback_whatever_is_set():
    told = plan(Wishes(dev=True), GATEWAY_HOST="192.0.2.7", HOST="192.0.2.7")

    assert {p.host for p in told.programs} == {"127.0.0.1"}
    assert (told.environment["HOST"], told.environment["GATEWAY_HOST"]) == ("127.0.0.1",) * 2
    assert told.environment["FLASK_DEBUG"] == "1"


@pytest.mark.parametrize("name", ["REDIS_URL", "REDIS_HOST", "REDIS_PORT"])
def test_valkey_comes_along_unless_another_server_is_named(name):
    assert plan().own_valkey
    assert not plan(**{name: "1"}).own_valkey


def test_only_what_is_asked_for_runs_and_an_unknown_name_is_refused():
    assert [p.name for p in plan(Wishes(only=("auth",))).programs] == ["auth-service"]
    with pytest.raises(CannotRun, match="No service is called 'atuh'; there are auth"):
        plan(Wishes(only=("atuh",)))


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
    wishes = Wishes(only=only, port_offset=5)
    return make_plan(ROOT, Variables(variables), wishes, companions=(STORE,))


def test_a_companion_gets_its_port_and_folder_and_all_hear_where_it_is():
    told = with_store()

    store = told.programs[-1]
    assert store.command[1:] == ("-m", "store", "--port=7005", "--path=/p/data")
    assert (store.log.name, store.probe_url) == ("store.log", None)
    assert told.environment["STORE_URL"] == "http://127.0.0.1:7005"


def test_a_companion_that_is_not_wanted_does_not_run():
    told = with_store(STORE_URL="http://far:1")

    assert "store" not in [p.name for p in told.programs]
    assert told.environment["STORE_URL"] == "http://far:1"


@pytest.mark.parametrize(
    ("only", "run"),
    [
        ("auth", ["auth-service", "store"]),
        ("store", ["store"]),
        ("agent", ["agent-service"]),
    ],
)
def test_a_companion_comes_along_with_its_service(only, run):
    assert [p.name for p in with_store(only).programs] == run


def test_services_keep_what_they_compiled_whatever_the_shell_says():
    assert "PYTHONDONTWRITEBYTECODE" not in plan(PYTHONDONTWRITEBYTECODE="1").environment


def test_vectors_get_a_server_here_unless_they_lie_elsewhere():
    def names(**variables: str) -> set[str]:
        return {p.name for p in make_plan(ROOT, Variables(variables)).programs}

    here = make_plan(ROOT, Variables({}))

    assert "chroma" in names()
    assert here.environment["CHROMA_URL"] == "http://127.0.0.1:5020"
    assert "chroma" not in names(CHROMA_URL="http://far:8000")
    assert "chroma" not in names(VECTOR_STORE="qdrant")


def test_instances_have_ports_and_logs_of_their_own_and_all_hear_of_each():
    told = plan(Wishes(scale={"agent": 3}, port_offset=1))

    agents = [p for p in told.programs if p.name.startswith("agent")]
    assert [(p.name, p.port, p.log.name) for p in agents] == [
        ("agent-service", 5003, "agent_service.log"),
        ("agent-service-2", 5103, "agent_service_2.log"),
        ("agent-service-3", 5203, "agent_service_3.log"),
    ]
    assert told.environment["AGENT_SERVICE_URL"] == ",".join(
        f"http://127.0.0.1:{port}" for port in (5003, 5103, 5203)
    )
    assert told.environment["AGENT_SERVICE_PORT"] == "5003"
    assert [p.environment.get("AGENT_SERVICE_PORT") for p in agents] == [None, "5103", "5203"]


@pytest.mark.parametrize("name", ["gateway", "store"])
def test_what_there_is_one_of_is_not_scaled(name):
    store = replace(STORE, stores_data=True)
    with pytest.raises(CannotRun, match=f"{name} runs once"):
        make_plan(ROOT, Variables({}), Wishes(scale={name: 2}), companions=(store,))


def test_an_unknown_name_is_not_scaled():
    with pytest.raises(CannotRun, match="No service is called 'atuh'"):
        plan(Wishes(scale={"atuh": 2}))

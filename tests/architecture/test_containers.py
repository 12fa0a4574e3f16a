"""What the container files promise, as far as it shows without a container engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy" / "compose").glob("*.yml"))]
COMPOSE = yaml.safe_load(COMPOSE_FILES[0].read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
# The image holds no engine for a model: whoever runs containers runs a model server in one.
CONTAINED = [entry for entry in COMPANIONS if entry.name != "local-model"]
STORES = {"postgres", "valkey"}
WATCHERS = {"prometheus", "grafana"}
DONE_AND_GONE = {"passwords", "migrate"}
every_service = pytest.mark.parametrize("service", CATALOG, ids=lambda entry: entry.name)
every_container = pytest.mark.parametrize("name", SERVICES)


def checker(name: str) -> str:
    """A checker that was installed with the tests."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE_FILES],
            id="compose-spec",
        ),
        pytest.param(["compose-lint", COMPOSE_FILES[0]], id="compose-lint"),
        pytest.param(["hadolint", ROOT / "deploy" / "Dockerfile"], id="hadolint"),
    ],
)
def test_checkers_find_nothing(command):
    name, *words = command
    checked = subprocess.run(
        [checker(name), *words], capture_output=True, text=True, timeout=60, cwd=ROOT
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_runs_the_catalog_its_stores_and_what_prepares_them_and_nothing_else():
    run = {entry.name for entry in (*CATALOG, *CONTAINED)}
    assert set(SERVICES) == run | STORES | WATCHERS | DONE_AND_GONE


def test_who_watches_is_started_when_asked_for():
    profiled = {name for name, told in SERVICES.items() if "profiles" in told}

    assert profiled == WATCHERS


@pytest.mark.parametrize("companion", CONTAINED, ids=lambda entry: entry.name)
def test_compose_runs_each_companion_and_asks_those_that_answer(companion):
    told = SERVICES[companion.name]

    assert told["command"] == ["serve", companion.name]
    if companion.port_variable:
        assert told["environment"][companion.port_variable] == str(companion.port)
    assert told["healthcheck"]["test"][-2:] == ["ready", companion.name]


@every_service
def test_compose_serves_each_service_on_its_port_and_asks_whether_it_is_ready(service):
    told = SERVICES[service.name]

    assert told["command"] == ["serve", service.name]
    assert told["environment"][service.port_variable] == str(service.port)
    assert told["healthcheck"]["test"][-2:] == ["ready", service.name]


@every_service
def test_services_find_each_other_by_name(service):
    url = COMPOSE["x-service"]["environment"].get(service.url_variable)

    assert url == f"http://{service.name}:{service.port}"


def test_the_gateway_alone_is_reachable_from_outside_and_from_this_host_only_by_default():
    published = {name: told["ports"] for name, told in SERVICES.items() if "ports" in told}

    assert list(published) == ["gateway"]
    assert published["gateway"] == ["${GATEWAY_HOST:-127.0.0.1}:${GATEWAY_PORT:-5000}:5000"]


def test_what_is_published_is_told_by_variables_that_no_container_sets_otherwise():
    # podman-compose fills in `ports` out of `environment` too.
    assert "GATEWAY_HOST" not in SERVICES["gateway"]["environment"]


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", []))


def test_who_is_reachable_from_outside_reaches_no_database():
    assert networks_of("gateway") == {"edge", "inner"}
    for store in ("postgres", "chroma", "valkey"):
        assert all(COMPOSE["networks"][network]["internal"] for network in networks_of(store))
        assert "edge" not in networks_of(store)
    assert not networks_of("gateway") & (networks_of("postgres") | networks_of("chroma"))


def test_networks_are_declared_and_used():
    used = set().union(*(networks_of(name) for name in SERVICES))

    assert used == set(COMPOSE["networks"])


@every_container
def test_every_container_is_held_and_nobody_special(name):
    told = SERVICES[name]

    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "restart", "logging"} <= told.keys()
    assert told.get("networks") or told["network_mode"] == "none"
    # Our image and these two say by themselves who they run as.
    said = told["image"] == "ai-agent-system" or name in WATCHERS
    assert said or told["user"] not in ("root", "0")


@every_container
def test_what_goes_on_says_how_it_is_and_what_does_not_is_not_begun_again(name):
    told = SERVICES[name]

    assert told["restart"] == ("on-failure" if name in DONE_AND_GONE else "unless-stopped")
    assert ("healthcheck" in told) == (name not in DONE_AND_GONE)


def test_no_password_stands_in_the_file():
    for told in SERVICES.values():
        for variable, value in told.get("environment", {}).items():
            secret = variable.endswith(("PASSWORD", "SECRET", "KEY", "DATABASE_URL"))
            assert not secret or value.startswith("${"), variable


def test_every_volume_that_is_used_is_declared_and_the_other_way_round():
    mounted = [volume for told in SERVICES.values() for volume in told.get("volumes", [])]
    sources = {volume.partition(":")[0] for volume in mounted}
    files = {source for source in sources if source.startswith(".")}

    assert sources - files == set(COMPOSE["volumes"])
    for volume in mounted:
        assert volume.partition(":")[0] not in files or volume.endswith(":ro")


def test_everything_that_depends_names_a_service_that_can_answer():
    wanted = {True: "service_completed_successfully", False: "service_healthy"}
    for told in SERVICES.values():
        for name, how in told.get("depends_on", {}).items():
            assert how == {"condition": wanted[name in DONE_AND_GONE]}


def test_the_image_runs_as_nobody_special_and_copies_what_exists():
    # By number: a cluster can't tell who a name is.
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    ignored = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored


def test_the_image_is_made_of_what_is_locked():
    installs = re.findall(r"pip --python \S+ install (.+?)(?: && |\nRUN|\n#)", DOCKERFILE, re.S)

    assert len(installs) == 2
    for words in installs:
        assert {"--require-hashes", "--no-deps", ":all:"} <= set(words.split())

"""Container files, checked without a container engine."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy" / "compose").glob("*.yml"))]
COMPOSE = yaml.safe_load(COMPOSE_FILES[0].read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
# The image has no engine for local models: with containers a model server runs in its own one.
# A companion with a Unix socket serves the processes of one host only.
CONTAINER_COMPANIONS = [
    entry for entry in COMPANIONS if entry.name != "local-model" and entry.socket is None
]
STORES = {"postgres", "redis"}
MONITORING = {"prometheus", "grafana"}
RPC = {entry.name for entry in COMPANIONS if entry.name.endswith("-rpc")}
SETUP_JOBS = {"passwords", "migrate"}
TESTS = {"test"}
every_service = pytest.mark.parametrize("service", CATALOG, ids=lambda entry: entry.name)
every_container = pytest.mark.parametrize("name", SERVICES)


def checker(name: str) -> str:
    """Return the path of a checker that is installed with the tests."""
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
def test_checkers_report_no_problem(command):
    name, *arguments = command
    result = subprocess.run(
        [checker(name), *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_compose_runs_exactly_the_catalog_its_stores_and_setup_jobs():
    programs = {entry.name for entry in (*CATALOG, *CONTAINER_COMPANIONS)}
    assert set(SERVICES) == programs | STORES | MONITORING | SETUP_JOBS | TESTS


def test_monitoring_grpc_and_tests_run_only_with_their_profiles():
    profiles = {name: item["profiles"] for name, item in SERVICES.items() if "profiles" in item}

    assert {name for name, names in profiles.items() if names == ["observability"]} == MONITORING
    assert {name for name, names in profiles.items() if names == ["grpc"]} == RPC
    assert {name for name, names in profiles.items() if names == ["test"]} == TESTS
    assert profiles.keys() == MONITORING | RPC | TESTS


@pytest.mark.parametrize("companion", CONTAINER_COMPANIONS, ids=lambda entry: entry.name)
def test_compose_runs_and_checks_each_companion(companion):
    container = SERVICES[companion.name]

    assert container["command"] == ["serve", companion.name]
    if companion.port_variable:
        assert container["environment"][companion.port_variable] == str(companion.port)
    assert container["healthcheck"]["test"][-2:] == ["ready", companion.name]


@every_service
def test_compose_runs_and_checks_each_service_on_its_port(service):
    container = SERVICES[service.name]

    assert container["command"] == ["serve", service.name]
    if service.is_gateway:
        assert f"{service.port_variable}={service.port}" in container["entrypoint"]
    else:
        assert container["environment"][service.port_variable] == str(service.port)
    assert container["healthcheck"]["test"][-2:] == ["ready", service.name]


@every_service
def test_service_urls_use_container_names(service):
    url = COMPOSE["x-service"]["environment"].get(service.url_variable)

    assert url == f"http://{service.name}:{service.port}"


def test_only_the_gateway_is_published_and_on_loopback_by_default():
    published = {name: item["ports"] for name, item in SERVICES.items() if "ports" in item}

    assert list(published) == ["gateway"]
    assert published["gateway"] == ["${GATEWAY_HOST:-127.0.0.1}:${GATEWAY_PORT:-5000}:5000"]


@pytest.mark.parametrize(
    ("file", "port"), [("docker-compose.yml", 5000), ("docker-compose.microservices.yml", 80)]
)
def test_environment_does_not_change_the_published_port(file, port):
    # podman-compose also substitutes `ports` from `environment`.
    for service in yaml.safe_load((ROOT / file).read_text())["services"].values():
        variables = service.get("environment", {})
        assert "GATEWAY_HOST" not in variables
        assert variables.get("GATEWAY_PORT") in (None, f"${{GATEWAY_PORT:-{port}}}")


def get_networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", []))


def test_gateway_network_does_not_reach_databases():
    assert get_networks("gateway") == {"edge", "inner"}
    for store in ("postgres", "chroma", "redis"):
        assert all(COMPOSE["networks"][network]["internal"] for network in get_networks(store))
        assert "edge" not in get_networks(store)
    assert not get_networks("gateway") & (get_networks("postgres") | get_networks("chroma"))


def test_networks_are_declared_and_used():
    used = set().union(*(get_networks(name) for name in SERVICES))

    assert used == set(COMPOSE["networks"])


@every_container
def test_every_container_is_restricted_and_unprivileged(name):
    container = SERVICES[name]

    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "restart", "logging"} <= container.keys()
    assert container.get("networks") or container["network_mode"] == "none"
    # Our image and the monitoring images set their own user.
    sets_user = container["image"] == "ai-agent-system" or name in MONITORING
    assert sets_user or container["user"] not in ("root", "0")


@every_container
def test_services_have_health_checks_and_setup_jobs_run_once(name):
    container = SERVICES[name]

    restart = "on-failure" if name in SETUP_JOBS else "no" if name in TESTS else "unless-stopped"
    assert container["restart"] == restart
    assert ("healthcheck" in container) == (name not in SETUP_JOBS | TESTS)


def test_compose_file_contains_no_password():
    for container in SERVICES.values():
        for variable, value in container.get("environment", {}).items():
            secret = variable.endswith(("PASSWORD", "SECRET", "KEY", "DATABASE_URL"))
            assert not secret or value.startswith("${"), variable


def test_volumes_are_declared_exactly_if_used():
    mounted = [volume for container in SERVICES.values() for volume in container.get("volumes", [])]
    sources = {volume.partition(":")[0] for volume in mounted}
    files = {source for source in sources if source.startswith(".")}

    assert sources - files == set(COMPOSE["volumes"])
    for volume in mounted:
        assert volume.partition(":")[0] not in files or volume.endswith(":ro")


def test_dependencies_wait_for_the_right_condition():
    conditions = {True: "service_completed_successfully", False: "service_healthy"}
    for container in SERVICES.values():
        for name, dependency in container.get("depends_on", {}).items():
            assert dependency == {"condition": conditions[name in SETUP_JOBS]}


def test_image_runs_as_a_numeric_user_and_copies_existing_files():
    # A number: Kubernetes cannot verify a user name with runAsNonRoot.
    users = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"] * 2  # of the tests and of the services
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert source == "." or f"!{source}" in ignored


def test_test_stage_runs_pytest_and_is_not_built_by_default():
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    # The last stage is what `docker build` without a target builds.
    assert " AS " not in stages[-1].partition("\n")[0]
    (stage,) = (text for text in stages if text.partition("\n")[0].endswith(" AS test"))

    assert SERVICES["test"]["build"]["target"] == "test"
    assert 'ENTRYPOINT ["python", "-m", "pytest"]' in stage
    assert "--from=test" not in DOCKERFILE


def test_test_stage_gets_everything_that_is_tracked():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("the list of tracked files needs git")
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    listed = subprocess.run(
        [git, "ls-files"], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT
    )
    names = {path.partition("/")[0] for path in listed.stdout.splitlines()}

    assert [name for name in names if not any(fnmatch(name, item) for item in sent)] == []


def test_image_installs_only_locked_packages():
    installs = re.findall(r"pip --python \S+ install (.+?)(?: && |\nRUN|\n#)", DOCKERFILE, re.S)

    assert len(installs) == 4
    for arguments in installs:
        assert {"--require-hashes", "--no-deps", ":all:"} <= set(arguments.split())

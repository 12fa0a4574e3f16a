"""What the Kubernetes files promise, as far as it shows without a cluster."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"
KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl puts the overlays together")


@pytest.fixture(scope="module", params=["one-node", "production"])
def told(request) -> list[dict]:
    """All that an overlay asks a cluster for."""
    made = subprocess.run(
        [KUBECTL, "kustomize", OVERLAYS / request.param],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(made.stdout))


def of_kind(told: list[dict], *kinds: str) -> dict[str, dict]:
    return {each["metadata"]["name"]: each for each in told if each["kind"] in kinds}


def pods(told: list[dict]) -> dict[str, dict]:
    found = of_kind(told, "Deployment", "StatefulSet", "Job")
    return {name: each["spec"]["template"] for name, each in found.items()}


def test_everything_fits_its_schema(told):
    validate = pytest.importorskip("kubernetes_validate").validate
    for each in told:
        validate(each, "1.31", strict=True)


def test_every_service_and_companion_has_its_deployment(told):
    wanted = {entry.name for entry in CATALOG} | {each.name for each in COMPANIONS}

    assert wanted - {"local-model"} <= set(of_kind(told, "Deployment"))


def test_nobody_is_root_or_writes_where_programs_lie(told):
    for name, pod in pods(told).items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        for container in pod["spec"]["containers"]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"], name
            assert allowed["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_what_is_reached_says_when_it_is_ready(told):
    for name in of_kind(told, "Service"):
        assert all("readinessProbe" in each for each in pods(told)[name]["spec"]["containers"]), (
            name
        )


def test_ports_are_those_of_the_catalog(told):
    services = of_kind(told, "Service")
    for entry in CATALOG:
        assert services[entry.name]["spec"]["ports"][0]["port"] == entry.port
        (container,) = pods(told)[entry.name]["spec"]["containers"]
        assert container["args"] == ["serve", entry.name]
        assert container["ports"] == [{"containerPort": entry.port, "name": "http"}]


def test_the_gateway_alone_is_open_to_everybody(told):
    policies = of_kind(told, "NetworkPolicy")
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}

    open_to_all = [
        name
        for name, policy in policies.items()
        if any("from" not in rule for rule in policy["spec"].get("ingress", []))
    ]

    assert open_to_all == ["gateway"]


def test_no_secret_stands_in_a_file(told):
    assert not of_kind(told, "Secret")
    for settings in of_kind(told, "ConfigMap").values():
        assert not [name for name in settings["data"] if name.endswith(("KEY", "PASSWORD"))]


def test_every_volume_that_is_mounted_is_there(told):
    for name, pod in pods(told).items():
        kept = of_kind(told, "StatefulSet").get(name, {}).get("spec", {})
        there = {each["name"] for each in pod["spec"].get("volumes", [])}
        there |= {each["metadata"]["name"] for each in kept.get("volumeClaimTemplates", [])}
        for container in pod["spec"]["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} <= there, name

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
    assert policies["nobody"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }

    open_to_all = [
        name
        for name, policy in policies.items()
        if any("from" not in rule for rule in policy["spec"].get("ingress", []))
    ]

    assert open_to_all == ["gateway"]


def test_everybody_behind_the_gateway_is_found_pod_by_pod(told):
    services = of_kind(told, "Service")

    for entry in CATALOG:
        headless = services[entry.name]["spec"].get("clusterIP") == "None"
        assert headless != entry.is_gateway, entry.name


def test_what_is_replaced_is_kept_until_nobody_asks_it_any_more(told):
    deployments = of_kind(told, "Deployment")
    drain = 30
    for entry in CATALOG:
        pod = deployments[entry.name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        needed = wait + (drain if entry.is_gateway else 5)
        assert pod["terminationGracePeriodSeconds"] > needed, entry.name
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_several_of_a_service_are_spread_and_leave_one_at_a_time(told):
    budgets = of_kind(told, "PodDisruptionBudget")
    for name in [*(entry.name for entry in CATALOG), "rag-worker"]:
        (spread,) = pods(told)[name]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        assert budgets[name]["spec"]["selector"] == spread["labelSelector"]


def test_many_pods_mount_only_a_volume_for_many(told):
    scaled = of_kind(told, "HorizontalPodAutoscaler")
    if not scaled:
        pytest.skip("nothing is scaled on one node")
    assert {entry.name for entry in CATALOG} - {"admin"} <= set(scaled)
    assert of_kind(told, "PersistentVolumeClaim")["data"]["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]


def test_nobody_may_ask_the_machines_metadata(told):
    outward = of_kind(told, "NetworkPolicy")["outward"]["spec"]["egress"]

    assert outward == [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}]


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

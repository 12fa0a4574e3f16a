"""Kubernetes manifests, rendered and checked without a cluster."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.settings import Env
from backend.services.gateway.settings import Settings
from tests.architecture.kubernetes_schemas import load_validator
from tests.prometheus import promtool

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"
RPC = {entry.name: entry for entry in COMPANIONS if entry.name.endswith("-rpc")}
KUBECTL = shutil.which("kubectl")


def test_component_grpc_runs_and_checks_each_rpc_companion():
    component = OVERLAYS.parent / "components" / "grpc" / "grpc.yaml"
    objects = list(yaml.safe_load_all(component.read_text()))
    deployments, services = (select_kind(objects, kind) for kind in ("Deployment", "Service"))

    assert deployments.keys() == services.keys() == RPC.keys()
    for name, companion in RPC.items():
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert container["args"] == ["serve", name]
        assert ports["grpc"] == companion.port
        assert ports["metrics"] == companion.port + companion.probe_port_offset
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"] == {"path": companion.probe_path, "port": "metrics"}
        # Clients balance over the addresses of the name.
        assert services[name]["spec"]["clusterIP"] == "None"


@pytest.fixture(scope="module", params=["one-node", "production"])
def manifests(request) -> list[dict]:
    """All objects of an overlay."""
    if KUBECTL is None:
        pytest.skip("kubectl is needed to render the overlays")
    rendered = subprocess.run(
        [KUBECTL, "kustomize", OVERLAYS / request.param],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(rendered.stdout))


def select_kind(manifests: list[dict], *kinds: str) -> dict[str, dict]:
    return {item["metadata"]["name"]: item for item in manifests if item["kind"] in kinds}


def pods(manifests: list[dict]) -> dict[str, dict]:
    workloads = select_kind(manifests, "Deployment", "StatefulSet", "Job")
    return {name: item["spec"]["template"] for name, item in workloads.items()}


def test_component_grpc_matches_the_schemas_and_restricts_its_containers():
    if KUBECTL is None:
        pytest.skip("kubectl is needed to render the component")
    validate = load_validator()
    component = OVERLAYS.parent / "components" / "grpc" / "grpc.yaml"
    objects = list(yaml.safe_load_all(component.read_text()))

    for item in objects:
        validate(item)
    test_containers_are_not_root_and_have_read_only_file_systems(objects)
    test_every_mounted_volume_is_defined(objects)


def test_manifests_match_their_schemas(manifests):
    validate = load_validator()
    for item in manifests:
        validate(item)


def test_every_service_and_companion_has_a_deployment(manifests):
    # A companion with a Unix socket serves the processes of one host only.
    companions = [entry for entry in COMPANIONS if entry.socket is None]
    expected = {entry.name for entry in (*CATALOG, *companions)} - RPC.keys()

    assert expected - {"local-model"} <= set(select_kind(manifests, "Deployment"))


def test_containers_are_not_root_and_have_read_only_file_systems(manifests):
    for name, pod in pods(manifests).items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        for container in pod["spec"]["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_every_service_has_readiness_probes(manifests):
    for name, service in select_kind(manifests, "Service").items():
        if service["spec"].get("publishNotReadyAddresses"):
            continue  # for Prometheus, which scrapes pods that are not ready too
        containers = pods(manifests)[name]["spec"]["containers"]
        assert all("readinessProbe" in container for container in containers), name


def test_ports_match_the_catalog(manifests):
    services = select_kind(manifests, "Service")
    for entry in CATALOG:
        assert services[entry.name]["spec"]["ports"][0]["port"] == entry.port
        (container,) = pods(manifests)[entry.name]["spec"]["containers"]
        assert container["args"] == ["serve", entry.name]
        assert container["ports"] == [{"containerPort": entry.port, "name": "http"}]


def test_only_the_gateway_accepts_traffic_from_everywhere(manifests):
    policies = select_kind(manifests, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }

    open_to_all = [
        name
        for name, policy in policies.items()
        if any("from" not in rule for rule in policy["spec"].get("ingress", []))
    ]

    assert open_to_all == ["gateway"]


def test_services_behind_the_gateway_are_headless(manifests):
    services = select_kind(manifests, "Service")

    for entry in CATALOG:
        headless = services[entry.name]["spec"].get("clusterIP") == "None"
        assert headless != entry.is_gateway, entry.name


def test_pods_wait_for_open_requests_before_they_terminate(manifests):
    deployments = select_kind(manifests, "Deployment")
    drain = 30
    for entry in CATALOG:
        pod = deployments[entry.name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        needed = wait + (drain if entry.is_gateway else 5)
        assert pod["terminationGracePeriodSeconds"] > needed, entry.name
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_instances_are_spread_and_disrupted_one_at_a_time(manifests):
    budgets = select_kind(manifests, "PodDisruptionBudget")
    for name in [*(entry.name for entry in CATALOG), "rag-worker", "chat-worker"]:
        (spread,) = pods(manifests)[name]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        assert budgets[name]["spec"]["selector"] == spread["labelSelector"]


def test_scaled_pods_mount_a_read_write_many_volume(manifests):
    scaled = select_kind(manifests, "HorizontalPodAutoscaler")
    if not scaled:
        pytest.skip("the one-node overlay scales nothing")
    assert {entry.name for entry in CATALOG} - {"admin", "console"} <= set(scaled)
    assert select_kind(manifests, "PersistentVolumeClaim")["data"]["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]


def test_egress_to_the_metadata_address_is_denied(manifests):
    outward = select_kind(manifests, "NetworkPolicy")["outward"]["spec"]["egress"]

    assert outward == [
        {
            "to": [
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
                {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128"]}},
            ]
        }
    ]


def test_ingress_passes_uploads_and_streams_on(manifests, tmp_path):
    ingresses = select_kind(manifests, "Ingress")
    if not ingresses:
        pytest.skip("the one-node overlay has no ingress")
    prefix = "nginx.ingress.kubernetes.io/"
    annotations = {
        name.removeprefix(prefix): value
        for name, value in ingresses["gateway"]["metadata"]["annotations"].items()
    }

    # The default limit of the ingress controller, 1 MB, refuses most PDF files.
    assert annotations["proxy-body-size"] == "0"
    assert annotations["proxy-request-buffering"] == annotations["proxy-buffering"] == "off"
    routes = Settings.from_env(Env({"DATA_DIR": str(tmp_path)})).table.routes
    longest = max(route.timeout for route in routes)
    assert float(annotations["proxy-read-timeout"]) > longest
    assert float(annotations["proxy-send-timeout"]) > longest


def test_database_and_redis_ports_are_set_by_the_production_overlay(manifests):
    policies = select_kind(manifests, "NetworkPolicy")
    patched = yaml.safe_load_all((OVERLAYS / "production" / "external-ports.yaml").read_text())
    ports = {item["metadata"]["name"]: item["spec"]["egress"] for item in patched}

    assert ports.keys() == {"database", "redis"}
    if select_kind(manifests, "Ingress"):
        for name, egress in ports.items():
            assert policies[name]["spec"]["egress"] == egress
            assert policies[name]["spec"]["podSelector"]["matchExpressions"], name


def test_prometheus_discovers_every_pod_from_any_namespace(manifests):
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "kubernetes.yml").read_text())
    services = select_kind(manifests, "Service")
    scraped = {}
    for job in config["scrape_configs"]:
        ((discovery,),) = [job["dns_sd_configs"]]
        assert discovery["type"] == "SRV"
        ((name,),) = [discovery["names"]]
        port, protocol, service, namespace, *domain = name.split(".")
        assert (protocol, domain) == ("_tcp", ["svc", "cluster", "local"])
        assert namespace == services[service]["metadata"]["namespace"]
        spec = services[service]["spec"]
        # Only a headless Service has a record for each pod.
        assert spec["clusterIP"] == "None", service
        assert port == f"_{spec['ports'][0]['name']}"
        scraped[job["job_name"]] = spec["ports"][0]["port"]

    expected = {entry.name: entry.port for entry in CATALOG}
    expected |= {
        entry.name: entry.port
        for entry in COMPANIONS
        if entry.probe_path == "/health/live" and entry.name not in RPC
    }
    assert scraped == expected


def test_kubernetes_prometheus_configuration_is_valid():
    promtool("check", "config", "--syntax-only", "kubernetes.yml")


def test_manifests_contain_no_secrets(manifests):
    assert not select_kind(manifests, "Secret")
    for settings in select_kind(manifests, "ConfigMap").values():
        assert not [name for name in settings["data"] if name.endswith(("KEY", "PASSWORD"))]


def test_every_mounted_volume_is_defined(manifests):
    for name, pod in pods(manifests).items():
        stateful_set = select_kind(manifests, "StatefulSet").get(name, {}).get("spec", {})
        claims = stateful_set.get("volumeClaimTemplates", [])
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name

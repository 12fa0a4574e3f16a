"""Write the deployment files that are derived from others: `make render`.

    docker-compose.microservices.yml   docker-compose.yml with other names of services, on port 80
    deploy/swarm.yml                   docker-compose.yml as a stack of Docker Swarm
    docker/Dockerfile                  deploy/Dockerfile, because BuildKit follows no link to it
    k8s/*.yaml                         the overlay deploy/k8s/overlays/production, by kind

docs/compatibility.md says for whom.
"""

import copy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    "gateway": "api-gateway",
    "packages": "package-service",
    "agent": "ai-agent-service",
    "realtime": "websocket-service",
}
KINDS = {
    "namespace": ("Namespace",),
    "configmap": ("ConfigMap",),
    "deployment": (
        "PersistentVolumeClaim",
        "Job",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
    ),
    "service": ("Service",),
    "ingress": ("Ingress",),
}
# Keys of Compose that `docker stack deploy` refuses or ignores, or that are converted below.
NOT_IN_SWARM = (
    "build",
    "cpus",
    "depends_on",
    "mem_limit",
    "mem_reservation",
    "network_mode",
    "pids_limit",
    "profiles",
    "restart",
    "security_opt",
    "shm_size",
    "tmpfs",
)
NOTE = "# Written by `make render` from {source}. Do not edit.\n"
MICROSERVICES_NOTE = (
    NOTE.format(source="docker-compose.yml")
    + """\
# The same system with the names of services of the replaced systems, and the gateway on port 80:
#   docker compose --file docker-compose.microservices.yml up --build
"""
)
SWARM_NOTE = (
    NOTE.format(source="docker-compose.yml")
    + """\
# A stack of Docker Swarm. Build the image, push it if there are several nodes, and write a .env:
#   set -a; . ./.env; set +a
#   docker build --file deploy/Dockerfile --tag ai-agent-system .
#   IMAGE=ai-agent-system docker stack deploy --compose-file deploy/swarm.yml agent
# Containers with volumes run on a manager. With several managers, replace the constraint
# `node.role == manager` by the host name of one. Swarm starts containers in any order: those that
# start before the databases are restarted.
"""
)


def render_microservices(compose: Mapping[str, Any]) -> dict[str, Any]:
    """Return *compose* with the names of NAMES and the gateway on port 80."""
    result = _copy_without_extensions(compose)
    services = {}
    for name, service in result["services"].items():
        if name in NAMES:
            networks = service["networks"]
            aliases = set(networks["inner"]["aliases"]) - {NAMES[name]} | {name}
            networks["inner"]["aliases"] = sorted(aliases)
        if "ports" in service:
            service["ports"] = ["${GATEWAY_HOST:-127.0.0.1}:${GATEWAY_PORT:-80}:5000"]
        if "GATEWAY_PORT" in service.get("environment", {}):
            service["environment"]["GATEWAY_PORT"] = "${GATEWAY_PORT:-80}"
        services[NAMES.get(name, name)] = service
    return result | {"services": services}


def render_swarm(compose: Mapping[str, Any]) -> dict[str, Any]:
    """Return *compose*, without the services of profiles, as a stack of Docker Swarm."""
    source = _copy_without_extensions(compose)
    services = {
        name: _convert_service(service)
        for name, service in source["services"].items()
        if "profiles" not in service
    }
    used = {network for service in services.values() for network in service["networks"]}
    mounted = {
        volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if isinstance(volume, str)
    }
    return {
        "version": "3.9",
        "services": services,
        "networks": {
            name: {"driver": "overlay"} | (network or {})
            for name, network in source["networks"].items()
            if name in used
        },
        "volumes": {name: {} for name in source["volumes"] if name in mounted},
        "configs": {"passwords-script": {"file": "./compose/passwords.sh"}},
    }


def _convert_service(service: Mapping[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in service.items() if key not in NOT_IN_SWARM}
    volumes: list[Any] = []
    for volume in service.get("volumes", ()):
        if "/passwords.sh:" in volume:
            script = {"source": "passwords-script", "target": "/passwords.sh", "mode": 0o444}
            result["configs"] = [script]
        else:
            volumes.append(volume)
    placement = {"constraints": ["node.role == manager"]} if volumes else {}
    volumes += [{"type": "tmpfs", "target": path} for path in service.get("tmpfs", ())]
    if volumes:
        result["volumes"] = volumes
    if service["image"] == "ai-agent-system":
        result["image"] = "${IMAGE:-ai-agent-system}"
        # The stack file is in a subfolder.
        result["env_file"] = ["../.env"]
    # An empty value would replace that of .env, which `docker stack deploy` does not substitute.
    environment = service.get("environment", {})
    result["environment"] = {k: v for k, v in environment.items() if v != f"${{{k}:-}}"}
    if "ports" in service:
        # Swarm publishes ports on all addresses of each node.
        result["ports"] = ["${GATEWAY_PORT:-5000}:5000"]
    # A container without a network gets a default one.
    result.setdefault("networks", {"inner": {}})
    is_job = service["restart"] == "on-failure"
    limits: dict[str, Any] = {"memory": service["mem_limit"], "pids": service["pids_limit"]}
    if "cpus" in service:
        limits["cpus"] = service["cpus"]
    reservations = {"memory": service.get("mem_reservation", "64m"), "cpus": "0.05"}
    result["deploy"] = {
        "restart_policy": {"condition": "on-failure" if is_job else "any", "delay": "5s"},
        "resources": {"limits": limits, "reservations": reservations},
    } | ({"placement": placement} if placement else {})
    return result


def render_kubernetes(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return *objects* by the name of their file in `k8s`."""
    files = {
        name: [item for kind in kinds for item in objects if item["kind"] == kind]
        for name, kinds in KINDS.items()
    }
    if sum(map(len, files.values())) != len(objects):
        raise ValueError("KINDS lacks a kind of the overlay.")
    return files


def render_all(kubectl: str | None) -> dict[Path, str]:
    """Return the text of each file; without *kubectl*, those below `k8s` are left out."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    microservices = _rename_dependencies(render_microservices(compose))
    texts = {
        ROOT / "docker-compose.microservices.yml": MICROSERVICES_NOTE + _dump(microservices),
        ROOT / "deploy" / "swarm.yml": SWARM_NOTE + _dump(render_swarm(compose)),
        ROOT / "docker" / "Dockerfile": NOTE.format(source="deploy/Dockerfile")
        + (ROOT / "deploy" / "Dockerfile").read_text(),
    }
    if kubectl is not None:
        overlay = "deploy/k8s/overlays/production"
        rendered = subprocess.run(  # noqa: S603
            [kubectl, "kustomize", ROOT / overlay],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        objects = list(yaml.safe_load_all(rendered.stdout))
        for name, items in render_kubernetes(objects).items():
            note = NOTE.format(source=overlay)
            texts[ROOT / "k8s" / f"{name}.yaml"] = note + "---\n".join(map(_dump, items))
    return texts


def _rename_dependencies(compose: dict[str, Any]) -> dict[str, Any]:
    for service in compose["services"].values():
        dependencies = service.get("depends_on", {})
        service["depends_on"] = {NAMES.get(name, name): dependencies[name] for name in dependencies}
    return compose


def _copy_without_extensions(compose: Mapping[str, Any]) -> dict[str, Any]:
    # Copied value by value, so that YAML contains no anchors.
    return {key: _copy_tree(value) for key, value in compose.items() if not key.startswith("x-")}


def _copy_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy_tree(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy_tree(item) for item in value]
    return copy.copy(value)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def main() -> int:
    """Write all files and return the exit code."""
    kubectl = shutil.which("kubectl")
    for file, text in render_all(kubectl).items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    if kubectl is None:
        sys.stderr.write("kubectl is not installed: the files below k8s were not written.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

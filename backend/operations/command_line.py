"""Command line of `start_microservices.sh`, with which containers also run services."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CommandError
from backend.chassis.service_description import Companion, Service
from backend.operations import installer
from backend.operations.backup.swap_plan import check_no_interrupted_restore
from backend.operations.doctor.report import print_errors, print_report
from backend.operations.path_length import check_path_length
from backend.operations.supervisor.commands import SuiteCommands
from backend.operations.supervisor.entrypoint import (
    find_program,
    find_served_program,
    read_command_variables,
)
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.log_files import create_log_folder
from backend.operations.supervisor.plan import (
    WILDCARD_LOOPBACKS,
    Plan,
    StartOptions,
    get_host,
    get_scheme,
    make_plan,
)
from backend.operations.supervisor.port_checks import check_ports
from backend.operations.supervisor.processes.ports import format_host
from backend.operations.supervisor.processes.readiness import is_ready, probe_path
from backend.operations.supervisor.state import SupervisorState

_MAX_INSTANCES = 9
ROOT = Path(__file__).resolve().parents[2]

COMMANDS = """\
commands:
  start            install missing packages and run everything on this host (the default)
  stop             stop what start has started
  restart          stop, then start with the options of the last start; new options override them
  status           show the running programs and whether they are ready
  logs [SERVICE]   print the last lines of one log or of all; -f follows them, --request ID
                   prints the lines of one request
  doctor           show problems with their fixes, and every setting with its origin; --findings
                   shows problems only
  install          install missing packages only; --tests: also those of the tests;
                   --extra ollama,anthropic,…: also the packages of these extras
  serve [SERVICE]  run one service or companion in the foreground (for containers); by default
                   that named by the variable SERVICE, or the gateway
  ready [SERVICE]  exit with 0 if SERVICE, or the program that this container runs, is ready
  migrate          run the migrations of all services and exit
"""


def main(arguments: Sequence[str]) -> int:
    try:
        match arguments:
            case ["serve", str(name)] if not name.startswith("-"):
                # The argument parser would copy a megabyte of memory pages that services share.
                return _serve(_find_program(name), EnvironmentVariables.read(ROOT))
            case _:
                return _run_command(_create_parser().parse_args(arguments), arguments)
    except CommandError as error:
        print(error, file=sys.stderr)
    except PermissionError as error:
        print(
            f"This user may not access {error.filename or ROOT}. Run the command as the user that "
            "runs the services, or correct the permissions.",
            file=sys.stderr,
        )
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"The disk is full ({error.filename or ROOT}). Free some space.", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def _run_command(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    variables = EnvironmentVariables.read(ROOT)
    if options.command == "serve":
        return _serve(_find_program(options.service or _default_service(variables)), variables)
    if options.command == "ready":
        entry = (
            _find_program(options.service)
            if options.service
            else find_served_program(_default_service(variables))
        )
        exported = {**variables.exported, **read_command_variables()}
        return 0 if _is_ready(entry, replace(variables, exported=exported)) else 1
    if options.command == "migrate":
        return _migrate()
    if options.command == "install":
        select = (
            installer.development_environment if options.tests else installer.runtime_environment
        )
        environment = select(ROOT, options.offline)
        if unused := installer.describe_unused_environment(environment):
            print(unused)
        installer.ensure_installed(environment)
        if options.extra:
            installer.install_extras(environment, options.extra.split(","))
        return 0
    start_arguments = tuple(word for word in arguments if word not in ("start", "--behind"))
    plan = _make_plan(options, variables)
    suite = SuiteCommands(plan, start_arguments, lambda: print_errors(ROOT, plan, variables))
    match options.command:
        case "start" | "restart":
            _start(suite, options, variables, arguments)
        case "stop":
            print("Stopped." if suite.stop() else "Not running.")
        case "status":
            return suite.status()
        case "logs" if options.request:
            return suite.show_request(options.service, options.request)
        case "logs":
            suite.show_logs(options.service, options.lines, follow=options.follow)
        case "doctor":
            return print_report(
                ROOT,
                suite.plan,
                variables,
                as_json=options.json,
                findings_only=options.findings,
            )
    return 0


def _serve(entry: Service | Companion, variables: EnvironmentVariables) -> int:
    check_no_interrupted_restore(variables.path("DATA_DIR", ROOT / "data", ROOT))
    if isinstance(entry, Companion):
        host = variables.get("HOST") or "127.0.0.1"
        data = variables.path("DATA_DIR", ROOT / "data", ROOT)
        command = entry.command(sys.executable, host, _port(entry, variables), data)
        os.execve(sys.executable, command, variables.merged())  # noqa: S606 - from the catalog
    # Imported here: all other commands work before any package is installed.
    from backend.chassis.web.serving import serve

    serve(entry)
    return 0


def _is_ready(entry: Service | Companion, variables: EnvironmentVariables) -> bool:
    port = _port(entry, variables)
    if isinstance(entry, Companion):
        if port is None:
            # It is ready once it runs, and the container ends with it.
            return True
        port += entry.probe_port_offset
        scheme, path = ("tls", "") if entry.probe_path is None else ("http", entry.probe_path)
        host = variables.get("HOST") or "127.0.0.1"
    else:
        scheme, path = get_scheme(entry, variables), probe_path(entry)
        host = get_host(entry, variables)
    address = format_host(WILDCARD_LOOPBACKS.get(host, host))
    return is_ready(f"{scheme}://{address}:{port}{path}")


def _port(entry: Service | Companion, variables: EnvironmentVariables) -> int | None:
    if isinstance(entry, Service):
        # For one service in a container; all others have ports of their own.
        default = variables.number("PORT", entry.port, 1, 65535)
        return variables.number(entry.port_variable, default, 1, 65535)
    return entry.port and variables.number(entry.port_variable, entry.port, 1, 65535)


def _default_service(variables: EnvironmentVariables) -> str:
    """Return the service of a container that is started without a command."""
    return variables.get("SERVICE") or "gateway"


def _find_program(name: str) -> Service | Companion:
    entry = find_program(name)
    if entry is None:
        known: tuple[Service | Companion, ...] = (*CATALOG, *COMPANIONS)
        raise CommandError(f"Name one service: {', '.join(entry.name for entry in known)}.")
    return entry


def _migrate() -> int:
    from backend.chassis.database.migration_folders import list_services_with_tables
    from backend.chassis.database.sessions import migrate_services
    from backend.chassis.settings import SettingsError, load_env

    try:
        for service, revision in migrate_services(load_env(), list_services_with_tables()):
            print(f"{service}: {revision}")
    except SettingsError as error:
        raise CommandError(str(error)) from error
    return 0


def _make_plan(options: argparse.Namespace, variables: EnvironmentVariables) -> Plan:
    start_options = StartOptions(
        only=tuple(filter(None, options.only.split(","))),
        scale=dict(options.scale),
        port_offset=options.port_offset,
        dev=options.dev,
    )
    return make_plan(ROOT, variables, start_options)


def _start(
    suite: SuiteCommands,
    options: argparse.Namespace,
    variables: EnvironmentVariables,
    arguments: Sequence[str],
) -> None:
    environment = installer.runtime_environment(ROOT, options.offline)
    check_path_length(suite.plan.data)
    installer.ensure_installed(environment)
    if Path(sys.prefix) != environment.folder:
        _replace_process(environment.python, *arguments)
    if options.command == "restart":
        _restart(suite, variables, arguments, environment.python)
    if not options.behind and (unused := installer.describe_unused_environment(environment)):
        print(unused)
    if options.detach and not options.behind:
        suite.start_detached([sys.executable, "-m", "backend.operations", *arguments])
    else:
        suite.start(quiet=options.behind)


def _restart(
    suite: SuiteCommands,
    variables: EnvironmentVariables,
    arguments: Sequence[str],
    python: Path,
) -> NoReturn:
    """Stop, then start with the options of the last start; those of *arguments* override them."""
    previous = SupervisorState.read(suite.plan.run_folder)
    new_arguments = [word for word in arguments if word != "restart"]
    merged = ["start", *(previous.arguments if previous else ()), *new_arguments]
    plan = _make_plan(_create_parser().parse_args(merged), variables)
    # Check what could make the start fail while the services still run.
    check_ports(plan, previous.ports if previous else ())
    create_log_folder(plan.logs)
    suite.stop()
    _replace_process(python, *merged)


def _replace_process(python: Path, *arguments: str) -> NoReturn:
    os.execv(python, [str(python), "-m", "backend.operations", *arguments])  # noqa: S606


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./start_microservices.sh",
        description="Run the AI Agent System on this host.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = (
        "start",
        "stop",
        "restart",
        "status",
        "logs",
        "doctor",
        "install",
        "serve",
        "ready",
        "migrate",
    )
    parser.add_argument("command", nargs="?", choices=commands, default="start", metavar="COMMAND")
    parser.add_argument("service", nargs="?", metavar="SERVICE", help="for logs, serve and ready")
    parser.add_argument("--detach", action="store_true", help="return once everything is ready")
    parser.add_argument(
        "--dev", action="store_true", help="run Flask's debug server, on loopback only"
    )
    parser.add_argument("--only", default="", metavar="A,B", help="start only these services")
    parser.add_argument(
        "--scale",
        type=_parse_scale,
        action="append",
        default=[],
        metavar="A=N",
        help="start N instances of A",
    )
    parser.add_argument(
        "--port-offset", type=int, default=0, metavar="N", help="add N to each port"
    )
    parser.add_argument(
        "--offline", type=Path, metavar="DIR", help="install from the wheels in DIR"
    )
    parser.add_argument(
        "--tests", action="store_true", help="for install: include what the tests need"
    )
    parser.add_argument(
        "--extra", default="", metavar="A,B", help="for install: extras of pyproject.toml"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="for logs: print new lines as they are written"
    )
    parser.add_argument("-n", "--lines", type=int, default=20, help="for logs: number of lines")
    parser.add_argument("--request", metavar="ID", help="for logs: lines of one request")
    parser.add_argument("--json", action="store_true", help="for doctor: print JSON")
    parser.add_argument(
        "--findings", action="store_true", help="for doctor: print problems only, no settings"
    )
    parser.add_argument("--behind", action="store_true", help=argparse.SUPPRESS)
    return parser


def _parse_scale(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not count.isdecimal() or not 1 <= int(count) <= _MAX_INSTANCES:
        raise argparse.ArgumentTypeError(f"write SERVICE=N with N up to {_MAX_INSTANCES}, as rag=2")
    return name, int(count)

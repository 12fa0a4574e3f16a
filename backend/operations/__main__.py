"""The command behind `start_microservices.sh`, and the one a container runs a service with."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CannotRun
from backend.chassis.service_description import Companion, Service
from backend.operations import installer
from backend.operations.backup.swap_plan import refuse_half_restored
from backend.operations.doctor.report import examine
from backend.operations.supervisor.commands import Suite
from backend.operations.supervisor.entrypoint import served_here
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import Wishes, make_plan, scheme_of
from backend.operations.supervisor.readiness import is_ready, probe_path
from backend.operations.supervisor.state import State

_MOST_INSTANCES = 9
ROOT = Path(__file__).resolve().parents[2]

COMMANDS = """\
commands:
  start            install what is missing and run everything here (the default)
  stop             end what start started
  restart          stop, then start the way it ran
  status           what runs, and whether it is ready
  logs [SERVICE]   the last lines of one log or of all; -f goes on; --request ID: one request's
  doctor           every setting with its origin, what is wrong here, and what mends it
  install          install what is missing and stop there; --tests: what the tests need;
                   --extra ollama,anthropic,…: what speaks to these
  serve SERVICE    one service or companion in the foreground (containers use these two)
  ready [SERVICE]  whether it is ready, by exit code; in a container, whether what it serves is
  migrate          bring all tables up to date, and end
"""


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    try:
        return _obey(asked, arguments)
    except CannotRun as trouble:
        print(trouble, file=sys.stderr)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"The disk is full ({error.filename or ROOT}). Make room.", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def _obey(asked: argparse.Namespace, arguments: Sequence[str]) -> int:
    variables = Variables.read(ROOT)
    if asked.command == "serve":
        return _serve(_named(asked.service), variables)
    if asked.command == "ready":
        entry = _named(asked.service) if asked.service else served_here()
        return 0 if _is_ready(entry, variables) else 1
    if asked.command == "migrate":
        return _migrate()
    if asked.command == "install":
        wanted = installer.for_developing if asked.tests else installer.for_running
        installer.ensure(wanted(ROOT, asked.offline))
        if asked.extra:
            installer.add_extras(wanted(ROOT, asked.offline), asked.extra.split(","))
        return 0
    wishes = Wishes(
        only=tuple(filter(None, asked.only.split(","))),
        scale=dict(asked.scale),
        port_offset=asked.port_offset,
        dev=asked.dev,
    )
    given = tuple(word for word in arguments if word not in ("start", "--behind"))
    suite = Suite(make_plan(ROOT, variables, wishes), given)
    match asked.command:
        case "start" | "restart":
            _start(suite, asked, arguments)
        case "stop":
            print("Stopped." if suite.stop() else "Nothing runs.")
        case "status":
            return suite.status()
        case "logs" if asked.request:
            return suite.show_request(asked.service, asked.request)
        case "logs":
            suite.show_logs(asked.service, asked.lines, follow=asked.follow)
        case "doctor":
            return examine(ROOT, suite.plan, variables, as_json=asked.json)
    return 0


def _serve(entry: Service | Companion, variables: Variables) -> int:
    refuse_half_restored(variables.path("DATA_DIR", ROOT / "data", ROOT))
    if isinstance(entry, Companion):
        host = variables.get("HOST") or "127.0.0.1"
        data = variables.path("DATA_DIR", ROOT / "data", ROOT)
        command = entry.command(sys.executable, host, _port(entry, variables), data)
        os.execve(sys.executable, command, variables.merged())  # noqa: S606 - from the catalog
    # Imported here alone: every other command works before anything is installed.
    from backend.chassis.web.serving import serve

    serve(entry)
    return 0


def _is_ready(entry: Service | Companion, variables: Variables) -> bool:
    path = entry.probe_path if isinstance(entry, Companion) else probe_path(entry)
    if path is None:
        # It answers nobody: it is ready when it runs, and a container ends with it.
        return True
    scheme = "http" if isinstance(entry, Companion) else scheme_of(entry, variables)
    return is_ready(f"{scheme}://127.0.0.1:{_port(entry, variables)}{path}")


def _port(entry: Service | Companion, variables: Variables) -> int | None:
    return entry.port and variables.number(entry.port_variable, entry.port, 1, 65535)


def _named(name: str | None) -> Service | Companion:
    known: tuple[Service | Companion, ...] = (*CATALOG, *COMPANIONS)
    for entry in known:
        if entry.name == name:
            return entry
    raise CannotRun(f"Name one service: {', '.join(entry.name for entry in known)}.")


def _migrate() -> int:
    from backend.chassis.database.sessions import migrate_all
    from backend.chassis.settings import SettingsError, load_env

    try:
        for service, revision in migrate_all(load_env()):
            print(f"{service}: {revision}")
    except SettingsError as error:
        raise CannotRun(str(error)) from error
    return 0


def _start(suite: Suite, asked: argparse.Namespace, arguments: Sequence[str]) -> None:
    wanted = installer.for_running(ROOT, asked.offline)
    installer.ensure(wanted)
    if Path(sys.prefix) != wanted.folder:
        _become(wanted.python, *arguments)
    if asked.command == "restart":
        past = State.read(suite.plan.run_folder)
        suite.stop()
        words = tuple(arguments[1:]) or (tuple(past.arguments) if past else ())
        _become(wanted.python, "start", *words)
    if asked.detach and not asked.behind:
        suite.start_detached([sys.executable, "-m", "backend.chassis", *arguments])
    else:
        suite.start(quietly=asked.behind)


def _become(python: Path, *words: str) -> NoReturn:
    os.execv(python, [str(python), "-m", "backend.chassis", *words])  # noqa: S606 - ourselves


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./start_microservices.sh",
        description="Run the AI Agent System on this host.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = (
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
    parser.add_argument("command", nargs="?", choices=words, default="start", metavar="COMMAND")
    parser.add_argument("service", nargs="?", metavar="SERVICE", help="for logs and serve")
    parser.add_argument("--detach", action="store_true", help="come back when all is ready")
    parser.add_argument("--dev", action="store_true", help="Flask's debug mode, on loopback only")
    parser.add_argument("--only", default="", metavar="A,B", help="these services alone")
    parser.add_argument(
        "--scale", type=_scaled, action="append", default=[], metavar="A=N", help="N instances of A"
    )
    parser.add_argument(
        "--port-offset", type=int, default=0, metavar="N", help="added to each port"
    )
    parser.add_argument("--offline", type=Path, metavar="DIR", help="install from these wheels")
    parser.add_argument("--tests", action="store_true", help="for install")
    parser.add_argument(
        "--extra", default="", metavar="A,B", help="for install: what pyproject.toml calls so"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="for logs")
    parser.add_argument("-n", "--lines", type=int, default=20, help="for logs")
    parser.add_argument("--request", metavar="ID", help="for logs: what all say of one request")
    parser.add_argument("--json", action="store_true", help="for doctor: for scripts")
    parser.add_argument("--behind", action="store_true", help=argparse.SUPPRESS)
    return parser


def _scaled(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not count.isdecimal() or not 1 <= int(count) <= _MOST_INSTANCES:
        raise argparse.ArgumentTypeError(f"write it like rag=2, up to {_MOST_INSTANCES}")
    return name, int(count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Commands of `start_microservices.sh`."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.chassis.catalog import find_unlisted_services
from backend.chassis.console import CommandError, format_table, print_line
from backend.chassis.observability.json_log_format import escape_control_characters
from backend.chassis.one_time_secrets import pop_one_time_secrets
from backend.operations.supervisor import log_files, state
from backend.operations.supervisor.greeting import format_example_commands
from backend.operations.supervisor.plan import Plan
from backend.operations.supervisor.processes import readiness
from backend.operations.supervisor.processes.spawn import stop_processes
from backend.operations.supervisor.state import (
    RunningProgram,
    SupervisorState,
    create_private_folder,
    format_age,
)
from backend.operations.supervisor.supervise import STOP_SECONDS, Supervisor

_DEBUGGING_NOTE = (
    "Debugging: these services have no terminal, so breakpoint() is skipped. Run one in a terminal "
    "instead:\n  FLASK_DEBUG=1 python -m backend.services.NAME.app\n"
    'The PIN of the debugger in the browser is in each log ("Debugger PIN").'
)
_READY = "ready"
# A program on demand without a process. It is started when it is needed.
_WAITING = "waiting"
_EXIT_NOT_RUNNING = 3  # as for `systemctl status`


@dataclass(frozen=True, slots=True)
class SuiteCommands:
    """Commands for the programs of one plan.

    Attributes:
        arguments: command-line arguments that the plan was made from.
        print_errors: prints problems of the running services, after a start.
    """

    plan: Plan
    arguments: tuple[str, ...] = ()
    print_errors: Callable[[], None] = lambda: None

    def start(self, *, quiet: bool = False) -> None:
        """Run until stopped. With *quiet*, another process prints the greeting."""
        for name in find_unlisted_services():
            print_line(
                f"WARNING: backend/services/{name} is not started: it is not in SERVICE_NAMES of "
                "backend/chassis/catalog.py."
            )
        on_ready = (lambda: None) if quiet else self._greet
        Supervisor(self.plan, on_ready, self.arguments).run()
        print_line("All processes have stopped.")

    def start_detached(self, command: Sequence[str]) -> None:
        """Run *command* in its own session and return once everything is ready."""
        create_private_folder(create_private_folder(self.plan.data) / "run")
        offset = 0
        self.plan.console_file.unlink(missing_ok=True)
        with self.plan.console_file.open("ab") as console:
            supervisor = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--behind"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.plan.root,
                start_new_session=True,
            )
        try:
            while supervisor.poll() is None and not self._is_ready_under(supervisor.pid):
                offset = _print_new_output(self.plan.console_file, offset)
                time.sleep(0.1)
        except KeyboardInterrupt:  # cancelled: stop what was started
            supervisor.terminate()
            supervisor.wait()
        _print_new_output(self.plan.console_file, offset)
        if supervisor.poll() is not None:
            raise SystemExit(1)
        self.print_greeting()
        self.print_errors()

    def _greet(self) -> None:
        self.print_greeting()
        # In a thread: the supervisor must watch its processes during the checks.
        threading.Thread(target=self.print_errors, daemon=True, name="doctor").start()

    def _is_ready_under(self, pid: int) -> bool:
        current = SupervisorState.read(self.plan.run_folder)
        return current is not None and current.ready and current.supervisor.pid == pid

    def print_greeting(self) -> None:
        current = self._read_state()
        print_line(f"\n{_format_overview(current.programs)}\n")
        for secret in pop_one_time_secrets(self.plan.data):
            print_line(f"{secret}\n")
        if current.gateway_url:
            print_line(
                f"Commands for a first answer:\n\n{format_example_commands(current.gateway_url)}\n"
            )
        if self.plan.is_dev:
            print_line(f"{_DEBUGGING_NOTE}\n")
        logs = _relative_path(self.plan.logs)
        print_line(
            f"Logs are in {logs}, one file for each program (column log). "
            "./start_microservices.sh logs NAME prints the end of one."
        )
        print_line("Stop with Ctrl-C or ./start_microservices.sh stop.")

    def stop(self) -> bool:
        """Stop the processes started from this data folder; return False if none was running."""
        current = SupervisorState.read(self.plan.run_folder)
        if current is None:
            return False
        if current.supervisor.is_alive:
            os.kill(current.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS + 5
        while current.supervisor.is_alive and time.monotonic() < deadline:
            time.sleep(0.05)
        stop_processes(current.processes, 2.0)
        if not current.supervisor.is_alive:
            state.delete_state(self.plan.run_folder)
        return True

    def status(self) -> int:
        current = SupervisorState.read(self.plan.run_folder)
        if current is None or not current.supervisor.is_alive:
            print_line("Not running.")
            return _EXIT_NOT_RUNNING
        statuses = {entry.name: _status_text(entry) for entry in current.programs}
        print_line(_format_overview(current.programs, statuses))
        return 0 if set(statuses.values()) <= {_READY, _WAITING} else 1

    def _read_state(self) -> SupervisorState:
        current = SupervisorState.read(self.plan.run_folder)
        if current is None:
            raise CommandError("Not running.")
        return current

    def show_logs(self, name: str | None, count: int, *, follow: bool) -> None:
        logs = self._find_logs(name)
        for log in logs:
            if len(logs) > 1:
                print_line(f"==> {log.name} <==")
            for line in log_files.read_last_lines(log, count):
                print_line(line)
        if follow:
            for log, line in log_files.follow_logs(logs):
                print_line(f"{log.stem}: {line}" if len(logs) > 1 else line)

    def show_request(self, name: str | None, request_id: str) -> int:
        """Print the log lines of a request or trace; return 1 if there are none."""
        lines = log_files.find_request_lines(self._find_logs(name), request_id)
        if not lines:
            print_line(
                f"No log contains {request_id!r}. Pass the value of a response's X-Request-ID "
                "header or a trace id."
            )
            return 1
        for line in lines:
            clock = str(line.get("timestamp"))[11:23]
            print_line(
                escape_control_characters(
                    f"{clock}  {line['service']!s:<16}  {line.get('message', '')}"
                )
            )
            if "exception" in line:
                print_line(escape_control_characters(str(line["exception"]), keep="\n"))
        return 0

    def _find_logs(self, name: str | None) -> list[Path]:
        """Return the logs of all instances of *name*, or all logs if *name* is None."""
        known = {program.log.stem: program.log for program in self.plan.programs}
        # Include logs of instances that are not in the current plan.
        known |= {log.stem: log for log in sorted(self.plan.logs.glob("*.log"))}
        if name is None:
            return [log for log in known.values() if log.exists()]
        base = name.replace("-", "_")
        for stem in (base, f"{base}_service"):
            if matches := [log for log in known.values() if log_files.belongs_to(stem, log)]:
                return matches
        raise CommandError(f"There is no log of {name!r}. Available: {', '.join(known)}.")


def _status_text(entry: RunningProgram) -> str:
    if entry.process is None:
        return _WAITING
    if not entry.process.is_alive:
        return "restarting"
    ready = entry.probe_url is None or readiness.is_ready(entry.probe_url)
    return _READY if ready else "not ready"


def _format_overview(
    programs: Iterable[RunningProgram], statuses: dict[str, str] | None = None
) -> str:
    rows = [
        (
            entry.name,
            statuses[entry.name] if statuses else _WAITING if entry.process is None else _READY,
            entry.url,
            "-" if entry.process is None else entry.process.pid,
            "-" if entry.process is None else format_age(entry.since),
            entry.restarts,
            _relative_path(entry.log),
        )
        for entry in programs
    ]
    return format_table(("service", "state", "address", "pid", "up", "restarts", "log"), rows)


def _relative_path(path: str | Path) -> str:
    return str(path).removeprefix(f"{Path.cwd()}{os.sep}")


def _print_new_output(console: Path, offset: int) -> int:
    """Print the content of *console* after *offset* and return the new offset."""
    with console.open("rb") as file:
        file.seek(offset)
        output = file.read()
    sys.stdout.write(output.decode("utf-8", "replace"))
    sys.stdout.flush()
    return offset + len(output)

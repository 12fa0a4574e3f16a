"""The words `start_microservices.sh` understands, each a function."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.chassis.console import CannotRun, first_answer, say, table
from backend.chassis.one_time_secrets import take_announcements
from backend.operations.supervisor import log_files, readiness, state
from backend.operations.supervisor.plan import Plan
from backend.operations.supervisor.processes import end_all
from backend.operations.supervisor.state import Started, State, age, private_folder
from backend.operations.supervisor.supervise import STOP_SECONDS, Supervisor

_NOT_RUNNING = 3  # as `systemctl status` answers


@dataclass(frozen=True, slots=True)
class Suite:
    """One plan, and the words it was asked for with."""

    plan: Plan
    arguments: tuple[str, ...] = ()

    def start(self, *, quietly: bool = False) -> None:
        """Run until told to end; *quietly* when another process greets the person."""
        say(f"Starting {', '.join(program.name for program in self.plan.programs)}")
        greet = (lambda: None) if quietly else self.greet
        Supervisor(self.plan, greet, self.arguments).run()
        say("Everything has ended.")

    def start_detached(self, again: Sequence[str]) -> None:
        """Run *again*, the same command, in a session of its own; come back when all is ready."""
        private_folder(private_folder(self.plan.data) / "run")
        began = 0
        self.plan.screen.unlink(missing_ok=True)
        with self.plan.screen.open("ab") as screen:
            supervisor = subprocess.Popen(  # noqa: S603 - ourselves
                [*again, "--behind"],
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
                cwd=self.plan.root,
                start_new_session=True,
            )
        try:
            while supervisor.poll() is None and not self._ready_under(supervisor.pid):
                began = _pass_on(self.plan.screen, began)
                time.sleep(0.1)
        except KeyboardInterrupt:  # changed their mind: nothing stays behind
            supervisor.terminate()
            supervisor.wait()
        _pass_on(self.plan.screen, began)
        if supervisor.poll() is not None:
            raise SystemExit(1)
        self.greet()

    def _ready_under(self, pid: int) -> bool:
        now = State.read(self.plan.run_folder)
        return now is not None and now.ready and now.supervisor.pid == pid

    def greet(self) -> None:
        now = self._state()
        say(f"\n{_overview(now.programs)}\n")
        for note in take_announcements(self.plan.data):
            say(f"{note}\n")
        if now.gateway_url:
            say(f"A first answer, to paste:\n\n{first_answer(now.gateway_url)}\n")
        say(f"Ctrl-C here or ./start_microservices.sh stop ends it. Logs: {_short(self.plan.logs)}")

    def stop(self) -> bool:
        """End what was started here and nothing else; False if nothing ran."""
        now = State.read(self.plan.run_folder)
        if now is None:
            return False
        if now.supervisor.alive:
            os.kill(now.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS + 5
        while now.supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        end_all([entry.process for entry in now.programs], 2.0)
        if not now.supervisor.alive:
            state.forget(self.plan.run_folder)
        return True

    def status(self) -> int:
        now = State.read(self.plan.run_folder)
        if now is None or not now.supervisor.alive:
            say("Not running.")
            return _NOT_RUNNING
        mood = {entry.name: _mood(entry) for entry in now.programs}
        say(_overview(now.programs, mood))
        return 0 if all(word == "ready" for word in mood.values()) else 1

    def _state(self) -> State:
        now = State.read(self.plan.run_folder)
        if now is None:
            raise CannotRun("Not running.")
        return now

    def show_logs(self, name: str | None, count: int, *, follow: bool) -> None:
        chosen = self._logs(name)
        for log in chosen:
            if len(chosen) > 1:
                say(f"==> {log.name} <==")
            for line in log_files.last_lines(log, count):
                say(line)
        if follow:
            for log, line in log_files.follow(chosen):
                say(f"{log.stem}: {line}" if len(chosen) > 1 else line)

    def show_request(self, name: str | None, wanted: str) -> int:
        """One request's way through all services, or one trace's; 1 where no log knows it."""
        said = log_files.of_request(self._logs(name), wanted)
        if not said:
            say(
                f"No log speaks of {wanted!r}. Give the value of an answer's X-Request-ID, "
                "or a trace's id."
            )
            return 1
        for line in said:
            clock = str(line.get("timestamp"))[11:23]
            say(log_files.harmless(f"{clock}  {line['service']!s:<16}  {line.get('message', '')}"))
            if "exception" in line:
                say(log_files.harmless(str(line["exception"]), keep="\n"))
        return 0

    def _logs(self, name: str | None) -> list[Path]:
        """The logs of what is called *name*, of each of its instances; all without a name."""
        known = {program.log.stem: program.log for program in self.plan.programs}
        # However many instances there were when they were written.
        known |= {log.stem: log for log in sorted(self.plan.logs.glob("*.log"))}
        if name is None:
            return [log for log in known.values() if log.exists()]
        called = name.replace("-", "_")
        for stem in (called, f"{called}_service"):
            if found := [log for log in known.values() if log_files.is_of(stem, log)]:
                return found
        raise CannotRun(f"There is no log of {name!r}; there are {', '.join(known)}.")


def _mood(entry: Started) -> str:
    if not entry.process.alive:
        return "starting again"
    ready = entry.probe_url is None or readiness.is_ready(entry.probe_url)
    return "ready" if ready else "not ready"


def _overview(programs: Iterable[Started], mood: dict[str, str] | None = None) -> str:
    rows = [
        (
            entry.name,
            mood[entry.name] if mood else "ready",
            entry.url,
            entry.process.pid,
            age(entry.since),
            entry.restarts,
            _short(entry.log),
        )
        for entry in programs
    ]
    return table(("service", "state", "address", "pid", "up", "restarts", "log"), rows)


def _short(path: str | Path) -> str:
    return str(path).removeprefix(f"{Path.cwd()}{os.sep}")


def _pass_on(screen: Path, place: int) -> int:
    """Show what *screen* holds beyond *place*; the place to go on from."""
    with screen.open("rb") as file:
        file.seek(place)
        fresh = file.read()
    sys.stdout.write(fresh.decode("utf-8", "replace"))
    sys.stdout.flush()
    return place + len(fresh)

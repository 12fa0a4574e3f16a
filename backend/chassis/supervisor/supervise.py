"""Start everything, keep it running, and end exactly that."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backend.chassis.supervisor import health, logs, ports, state
from backend.chassis.supervisor.children import Identity, end_all, identify, signal_group, spawn
from backend.chassis.supervisor.disk import refuse_full_disk
from backend.chassis.supervisor.plan import Plan, Program
from backend.chassis.supervisor.screen import CannotRun, say
from backend.chassis.supervisor.state import Started, State
from backend.chassis.supervisor.valkey import Valkey, find_binary, forget_url

STOP_SECONDS = 10.0
# Of those: by when the gateway, then the services, then Valkey have to be gone.
_GATEWAY_SHARE, _SERVICES_SHARE, _VALKEY_SHARE = 0.4, 0.9, 1.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_STEADY_SECONDS = 60.0
_TRIM_SECONDS = 60.0
_LAST_LINES = 20
_LEAST_FREE = 64 * 1024 * 1024


@dataclass(slots=True)
class Child:
    """A program we keep running, and how that went so far."""

    name: str
    url: str
    log: Path
    start: Callable[[], subprocess.Popen[bytes]]
    is_ready: Callable[[], bool]
    is_gateway: bool = False
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    since: float = 0.0
    said_before: int = 0
    restarts: int = 0
    pause: float = _SHORTEST_PAUSE
    start_again_at: float | None = None

    def run(self) -> None:
        self.said_before = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.start()
        self.identity = identify(self.process.pid)
        self.since = time.time()
        self.start_again_at = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_words(self) -> str:
        lines = logs.last_lines(self.log, _LAST_LINES, beyond=self.said_before)
        return "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"

    def ending(self) -> str:
        code = self.process.returncode if self.process else None
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with code {code}"


@dataclass(slots=True)
class Supervisor:
    """Runs one plan until a signal ends it. Only its main thread may start children: they are
    tied to the thread that forked them.
    """

    plan: Plan
    on_ready: Callable[[], None]
    arguments: tuple[str, ...] = ()
    children: list[Child] = field(default_factory=list)
    _signals: int = 0
    _woken: socket.socket | None = None

    def run(self) -> None:
        """Come back when everything ended on request; raise CannotRun when it could not start."""
        with state.sole_supervisor(self.plan.data), self._listening_to_signals():
            self._end_leftovers()
            self._refuse_taken_ports()
            self._refuse_full_disk()
            self._write_state()  # from here on `stop` finds us
            self.plan.logs.mkdir(parents=True, exist_ok=True)
            try:
                self._start_all()
                if not self._signals:
                    self._watch()
            finally:
                self._stop_all()
                if self.plan.own_valkey:
                    forget_url(self.plan.data)
                state.forget(self.plan.run_folder)

    def _end_leftovers(self) -> None:
        """Of a supervisor that was killed where no kernel ends its children for it."""
        past = State.read(self.plan.run_folder)
        left = [entry.process for entry in past.programs if entry.process.alive] if past else []
        end_all(left, STOP_SECONDS)

    def _refuse_taken_ports(self) -> None:
        for program in self.plan.programs:
            if not ports.is_free(program.host, program.port):
                raise CannotRun(
                    f"Port {program.port}, which {program.name} wants, is taken by "
                    f"{ports.holder(program.port)}: end that, or set {program.port_variable}, "
                    "or move all ports with --port-offset."
                )

    def _refuse_full_disk(self) -> None:
        for folder in (self.plan.data, self.plan.logs):
            refuse_full_disk(folder, _LEAST_FREE)

    def _start_all(self) -> None:
        environment = dict(self.plan.environment)
        if self.plan.own_valkey and (valkey := self._valkey(environment)):
            environment["REDIS_URL"] = valkey
        services = [_service(program, self.plan, environment) for program in self.plan.programs]
        self._start(services)
        if not self._signals:
            self._write_state(ready=True)
            self.on_ready()

    def _valkey(self, environment: Mapping[str, str]) -> str | None:
        binary = find_binary()
        if binary is None:
            say("No Valkey for this platform: limits and sessions are kept in each process alone.")
            return None
        server = Valkey(binary, self.plan.data, self.plan.logs)
        child = Child(
            name=server.name,
            url=f"redis://127.0.0.1:{server.port}",
            log=server.log,
            start=lambda: server.start(environment),
            is_ready=server.is_ready,
        )
        self._start([child])
        return server.url

    def _start(self, fresh: Collection[Child]) -> None:
        """Start all at once and wait for each; a death on the way ends the whole start."""
        began = time.monotonic()
        for child in fresh:
            self.children.append(child)
            child.run()
        self._write_state()
        waiting, reminder = list(fresh), 10.0
        while waiting and not self._signals:
            for child in list(waiting):
                passed = time.monotonic() - began
                if not child.running:
                    raise CannotRun(
                        f"{child.name} {child.ending()} while starting. The end of {child.log}:\n"
                        + child.last_words()
                    )
                if child.is_ready():
                    say(f"  {child.name} is ready ({passed:.1f} s)")
                    waiting.remove(child)
                elif passed > self.plan.ready_seconds:
                    raise CannotRun(
                        f"{child.name} runs but is not ready after {passed:.0f} s. "
                        f"The end of {child.log}:\n" + child.last_words()
                    )
                elif passed > reminder:
                    reminder += 10.0
                    say(
                        f"  still waiting for {', '.join(c.name for c in waiting)} ({passed:.0f} s)"
                    )
            if waiting:
                self._wait(0.1)

    def _watch(self) -> None:
        trim_at = time.monotonic() + _TRIM_SECONDS
        while not self._signals:
            for child in self.children:
                self._revive(child)
            if time.monotonic() > trim_at:
                for child in self.children:
                    logs.trim(child.log)
                trim_at = time.monotonic() + _TRIM_SECONDS
            self._wait(0.5)

    def _revive(self, child: Child) -> None:
        """Start a dead child again, after a pause that grows while it keeps dying."""
        if child.running:
            return
        now = time.monotonic()
        if child.start_again_at is None:
            if child.process:  # what it had started must not hold its port
                signal_group(child.process.pid, signal.SIGKILL)
            if time.time() - child.since > _STEADY_SECONDS:
                child.pause = _SHORTEST_PAUSE
            say(f"{child.name} {child.ending()}; starting it again in {child.pause:g} s")
            child.start_again_at = now + child.pause
            child.pause = min(child.pause * 2, _LONGEST_PAUSE)
        elif now >= child.start_again_at:
            child.restarts += 1
            try:
                child.run()
                self._write_state(ready=True)
            except (OSError, CannotRun) as trouble:  # a full disk must not end what still runs
                say(f"{child.name} could not be started: {trouble}")
                child.start_again_at = now + child.pause

    def _stop_all(self) -> None:
        """One deadline for all: no new requests first, then the services, their memory last."""
        asked = self._signals
        begun = time.monotonic()
        gateway = [child for child in self.children if child.is_gateway]
        valkey = [child for child in self.children if child.name == Valkey.name]
        services = [c for c in self.children if c not in gateway and c not in valkey]
        stages = ((gateway, _GATEWAY_SHARE), (services, _SERVICES_SHARE), (valkey, _VALKEY_SHARE))
        for group, share in stages:
            self._end([c for c in group if c.process], begun + share * STOP_SECONDS, asked)

    def _end(self, group: Collection[Child], deadline: float, asked: int) -> None:
        pids = [child.process.pid for child in group if child.process]
        for child in group:
            if child.running and child.process:
                signal_group(child.process.pid, signal.SIGTERM)
        # A second Ctrl-C means: now.
        while (
            any(c.running for c in group) and time.monotonic() < deadline and self._signals == asked
        ):
            self._wait(0.05)
        for pid in pids:  # also what a service had started and left behind
            signal_group(pid, signal.SIGKILL)
        for child in group:
            if child.process:
                child.process.wait()

    def _state(self, *, ready: bool) -> State:
        return State(
            supervisor=identify(os.getpid()),
            ready=ready,
            arguments=list(self.arguments),
            gateway_url=next((c.url for c in self.children if c.is_gateway), None),
            programs=[
                Started(c.name, c.identity, c.url, str(c.log), c.since, c.restarts)
                for c in self.children
                if c.identity
            ],
        )

    def _write_state(self, *, ready: bool = False) -> None:
        self._state(ready=ready).write(self.plan.run_folder)

    @contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        """Count the requests to end; any signal, a child's death too, wakes `_wait` at once."""

        def count(_number: int, _frame: object) -> None:
            self._signals += 1

        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            self._woken = reader
            before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            past = {n: signal.signal(n, count) for n in (signal.SIGINT, signal.SIGTERM)}
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
                past[signal.SIGHUP] = signal.signal(signal.SIGHUP, count)
            past[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            try:
                yield
            finally:
                signal.set_wakeup_fd(before)
                for number, handler in past.items():
                    signal.signal(number, handler)

    def _wait(self, seconds: float) -> None:
        if self._woken and select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(4096)


def _service(program: Program, plan: Plan, environment: Mapping[str, str]) -> Child:
    return Child(
        name=program.name,
        url=program.url,
        log=program.log,
        start=lambda: spawn(program.command, program.log, environment, plan.root),
        is_ready=lambda: health.is_ready(program.url),
        is_gateway=program.is_gateway,
    )

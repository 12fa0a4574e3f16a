"""Start everything, keep it running, and end exactly that."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from backend.chassis.console import CannotRun, keep, say
from backend.operations.backup.swap_plan import refuse_half_restored
from backend.operations.disk_space import refuse_full_disk
from backend.operations.supervisor import child_output, log_files, ports, readiness, state
from backend.operations.supervisor.child import Child
from backend.operations.supervisor.plan import Plan, Program
from backend.operations.supervisor.processes import end_all, identify, signal_group, spawn
from backend.operations.supervisor.signals import Signals, listening
from backend.operations.supervisor.state import Started, State
from backend.operations.supervisor.valkey import Valkey, find_binary, forget_url

STOP_SECONDS = 10.0
# Of those: by when the gateway, then the services, then their stores have to be gone.
_GATEWAY_SHARE, _SERVICES_SHARE, _STORES_SHARE = 0.4, 0.9, 1.0
_TRIM_SECONDS = 10.0
_SETTLE_SECONDS = 0.5
_REMIND_SECONDS = 10.0
_LEAST_FREE = 64 * 1024 * 1024


@dataclass(slots=True)
class Supervisor:
    """Runs one plan until a signal ends it. Only its main thread may start children: they are
    tied to the thread that forked them.
    """

    plan: Plan
    on_ready: Callable[[], None]
    arguments: tuple[str, ...] = ()
    children: list[Child] = field(default_factory=list)
    _signals: Signals = field(init=False)

    def run(self) -> None:
        """Come back when everything ended on request; raise CannotRun when it could not start."""
        with state.sole_supervisor(self.plan.data), listening() as self._signals:
            refuse_half_restored(self.plan.data)
            self._end_leftovers()
            self._refuse_taken_ports()
            self._refuse_full_disk()
            self._write_state()  # from here on `stop` finds us
            self.plan.logs.mkdir(parents=True, exist_ok=True)
            keep(self.plan.own_log)
            try:
                self._start_all()
                if not self._signals.asked_to_end:
                    self._watch()
            finally:
                self._stop_all()
                child_output.settle(_SETTLE_SECONDS)
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
            if program.port and not ports.is_free(program.host, program.port):
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
        self._start([_child(program, self.plan, environment) for program in self.plan.programs])
        if not self._signals.asked_to_end:
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
            is_store=True,
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
        waiting, reminder = list(fresh), _REMIND_SECONDS
        while waiting and not self._signals.asked_to_end:
            for child in list(waiting):
                passed = time.monotonic() - began
                child.refuse_failed_start(passed, self.plan.ready_seconds)
                if child.is_ready(_patience(passed)):
                    say(f"  {child.name} is ready ({passed:.1f} s)")
                    waiting.remove(child)
            if waiting and passed > reminder:
                reminder += _REMIND_SECONDS
                say(f"  still waiting for {', '.join(c.name for c in waiting)} ({passed:.0f} s)")
            if waiting:
                self._signals.wait(0.1 if passed < _REMIND_SECONDS else 0.5)

    def _watch(self) -> None:
        trim_at = time.monotonic() + _TRIM_SECONDS
        while not self._signals.asked_to_end:
            for child in self.children:
                self._revive(child)
            if time.monotonic() > trim_at:
                own = (self.plan.own_log, self.plan.screen)
                for log in (*(child.log for child in self.children), *own):
                    log_files.trim(log)
                trim_at = time.monotonic() + _TRIM_SECONDS
            self._signals.wait(0.5)

    def _revive(self, child: Child) -> None:
        """Start a dead child again, after a pause that grows while it keeps dying."""
        if child.running:
            return
        now = time.monotonic()
        if child.start_again_at is None:
            if child.process:  # what it had started must not hold its port
                signal_group(child.process.pid, signal.SIGKILL)
            say(f"{child.name} {child.ending()}; starting it again in {child.plan_restart():g} s")
        elif now >= child.start_again_at:
            child.restarts += 1
            try:
                child.run()
            except (OSError, CannotRun) as trouble:
                say(f"{child.name} could not be started: {trouble}")
                child.plan_restart()
            with contextlib.suppress(OSError):  # a full disk must not end what still runs
                self._write_state(ready=True)

    def _stop_all(self) -> None:
        """One deadline for all: no new requests first, then the services, their stores last."""
        asked = self._signals.asked_to_end
        begun = time.monotonic()
        gateway = [child for child in self.children if child.is_gateway]
        stores = [child for child in self.children if child.is_store]
        services = [c for c in self.children if c not in gateway and c not in stores]
        stages = ((gateway, _GATEWAY_SHARE), (services, _SERVICES_SHARE), (stores, _STORES_SHARE))
        for group, share in stages:
            self._end([c for c in group if c.process], begun + share * STOP_SECONDS, asked)

    def _end(self, group: Collection[Child], deadline: float, asked: int) -> None:
        pids = [child.process.pid for child in group if child.process]
        for child in group:
            if child.running and child.process:
                signal_group(child.process.pid, signal.SIGTERM)
        while any(child.running for child in group) and time.monotonic() < deadline:
            if self._signals.asked_to_end > asked:  # a second Ctrl-C means: now
                break
            self._signals.wait(0.05)
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
                Started(c.name, c.identity, c.url, str(c.log), c.since, c.restarts, c.probe_url)
                for c in self.children
                if c.identity
            ],
        )

    def _write_state(self, *, ready: bool = False) -> None:
        self._state(ready=ready).write(self.plan.run_folder)


def _patience(passed: float) -> float:
    """Short at first, so that one service which still loads does not hide that others are ready."""
    return min(0.2 + passed / 10, 2.0)


def _child(program: Program, plan: Plan, environment: Mapping[str, str]) -> Child:
    probe = program.probe_url
    heard = {**environment, **program.environment}
    return Child(
        name=program.name,
        url=program.url,
        log=program.log,
        start=lambda: spawn(
            program.command,
            program.log,
            heard,
            plan.root,
            plain=None if program.speaks_json else program.name,
        ),
        is_ready=lambda seconds: probe is None or readiness.is_ready(probe, seconds),
        probe_url=probe,
        is_gateway=program.is_gateway,
        is_store=program.is_store,
    )

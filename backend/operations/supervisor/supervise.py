"""The supervisor: start the programs of a plan, restart failed ones, stop them."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend.chassis import inherited_sockets
from backend.chassis.console import CommandError, copy_to_log, print_line
from backend.chassis.wake_pipe import WakePipe
from backend.operations.backup.swap_plan import check_no_interrupted_restore
from backend.operations.disk_space import MIN_FREE_BYTES_TO_START, check_disk_space
from backend.operations.supervisor import log_files, state
from backend.operations.supervisor.log_files import create_log_folder
from backend.operations.supervisor.plan import Plan, Program
from backend.operations.supervisor.port_checks import check_ports
from backend.operations.supervisor.processes import child_output, fork_client, readiness
from backend.operations.supervisor.processes.child import ChildProcess, SupervisedProcess
from backend.operations.supervisor.processes.fork_client import ForkServer
from backend.operations.supervisor.processes.liveness import (
    UNRESPONSIVE_SECONDS,
    LivenessMonitor,
)
from backend.operations.supervisor.processes.signals import SignalWatcher, watch_signals
from backend.operations.supervisor.processes.spawn import (
    identify,
    signal_group,
    spawn,
    stop_processes,
)
from backend.operations.supervisor.processes.standby import (
    ProbeResponder,
    Standby,
    listen_beside_grpc,
    listen_for_probes,
    listen_on_private_socket,
)
from backend.operations.supervisor.processes.valkey import Valkey, delete_url_file, find_binary
from backend.operations.supervisor.state import RunningProgram, SupervisorState

_MIGRATIONS = "backend.operations.supervisor.processes.migrations"
STOP_SECONDS = 10.0
# Deadlines as shares of STOP_SECONDS: first the gateway, then services, then stores.
_GATEWAY_SHARE, _SERVICES_SHARE, _STORES_SHARE = 0.4, 0.9, 1.0
_ROTATE_SECONDS = 10.0
_OUTPUT_SECONDS = 0.5
_PROGRESS_SECONDS = 10.0
# Measuring the progress of starting programs reads the status of every process of the host.
_CHECK_SECONDS = 1.0


@dataclass(slots=True)
class Supervisor:
    """Runs one plan until it is stopped by a signal.

    Only the main thread may start children: the kernel ends them when the thread that forked them
    ends (PR_SET_PDEATHSIG).
    """

    plan: Plan
    on_ready: Callable[[], None]
    arguments: tuple[str, ...] = ()
    children: list[SupervisedProcess] = field(default_factory=list)
    _monitors: list[LivenessMonitor] = field(default_factory=list)
    _signals: SignalWatcher = field(init=False)
    _probes: ProbeResponder = field(default_factory=ProbeResponder)

    def run(self) -> None:
        """Run the plan and return after a requested stop.

        Raises:
            CommandError: the start failed.
        """
        with state.sole_supervisor(self.plan.data), watch_signals() as self._signals:
            check_no_interrupted_restore(self.plan.data)
            self._stop_orphans()
            check_ports(self.plan)
            self._check_disk_space()
            self._write_state()  # from now on `stop` can find this supervisor
            create_log_folder(self.plan.logs)
            copy_to_log(
                self.plan.supervisor_log, child_output.get_log_format(self.plan.environment)
            )
            print_line(f"Starting {', '.join(program.name for program in self.plan.programs)}")
            try:
                self._start_all()
                if not self._signals.stop_requests:
                    self._watch()
            finally:
                self._stop_all()
                child_output.wait_for_readers(_OUTPUT_SECONDS)
                if self.plan.runs_valkey:
                    delete_url_file(self.plan.data)
                state.delete_state(self.plan.run_folder)

    def _stop_orphans(self) -> None:
        """Stop children of a killed supervisor where the kernel does not (macOS)."""
        previous = SupervisorState.read(self.plan.run_folder)
        processes = previous.processes if previous else []
        alive = [process for process in processes if process.is_alive]
        stop_processes(alive, STOP_SECONDS)

    def _check_disk_space(self) -> None:
        for folder in (self.plan.data, self.plan.logs):
            check_disk_space(folder, MIN_FREE_BYTES_TO_START)

    def _start_all(self) -> None:
        environment = dict(self.plan.environment)
        fork_server = _create_fork_server(self.plan, environment)
        valkey = self._create_valkey() if self.plan.runs_valkey else None
        first = []
        if fork_server is not None:
            first.append(_supervise_fork_server(fork_server))
        if valkey is not None:
            first.append(_supervise_valkey(valkey, dict(environment)))
            environment["REDIS_URL"] = valkey.url
        self._start(first)
        if fork_server is not None:
            self._migrate_tables(fork_server, environment)
        if self._signals.stop_requests:
            return
        self._start(
            [
                _create_child(program, self.plan, environment, fork_server)
                for program in self.plan.programs
            ]
        )
        if not self._signals.stop_requests:
            self._write_state(ready=True)
            self.on_ready()

    def _migrate_tables(self, server: ForkServer, environment: Mapping[str, str]) -> None:
        """Migrate the tables of all services in one process, and wait for its end.

        Alembic would stay in the memory of each service that migrates its tables, about 16 MB. The
        services repeat what fails here and report the reason.
        """
        command = (sys.executable, "-m", _MIGRATIONS, *self.plan.services)
        log = self.plan.logs / "migrations.log"
        process = server.fork(
            command, log, environment, self.plan.root, output_service="migrations"
        )
        while process is not None and process.poll() is None:
            if self._signals.stop_requests:
                signal_group(process.pid, signal.SIGKILL)
            self._signals.wait(0.05)

    def _create_valkey(self) -> Valkey | None:
        binary = find_binary()
        if binary is None:
            print_line(
                "Valkey is not available for this platform: rate limits and revocations are kept "
                "in each process."
            )
            return None
        return Valkey(binary, self.plan.data, self.plan.logs, self.plan.loopback_host)

    def _start(self, children: Collection[SupervisedProcess]) -> None:
        """Start *children* in parallel and wait until each is ready; one failure ends the start."""
        began = time.monotonic()
        for child in children:
            self.children.append(child)
            if child.standby is None:
                child.run()
            else:
                self._put_on_standby(child)
        self._write_state()
        waiting = [child for child in children if not child.is_waiting]
        next_check, next_progress = 0.0, _PROGRESS_SECONDS
        while waiting and not self._signals.stop_requests:
            elapsed = time.monotonic() - began
            is_due = elapsed >= next_check
            for child in list(waiting):
                if is_due or not child.is_running:
                    child.check_startup(self.plan.start_timeout_seconds)
                if child.is_ready(_probe_timeout_seconds(elapsed)):
                    print_line(f"  {child.name} is ready ({elapsed:.1f} s)")
                    waiting.remove(child)
            if is_due:
                next_check = elapsed + _CHECK_SECONDS
            if waiting and elapsed > next_progress:
                next_progress += _PROGRESS_SECONDS
                names = ", ".join(child.name for child in waiting)
                print_line(f"  still loading {names} ({elapsed:.0f} s)")
            if waiting:
                self._signals.wait(0.1 if elapsed < _PROGRESS_SECONDS else 0.5)

    def _watch(self) -> None:
        rotate_at = time.monotonic() + _ROTATE_SECONDS
        self._monitors = [LivenessMonitor(child) for child in self.children]
        for monitor in self._monitors:
            monitor.start()
        while not self._signals.stop_requests:
            for child in self.children:
                self._start_or_restart(child)
            for monitor in self._monitors:
                _kill_if_unresponsive(monitor)
            if time.monotonic() > rotate_at:
                own_logs = (self.plan.supervisor_log, self.plan.console_file)
                for log in (*(child.log for child in self.children), *own_logs):
                    _rotate_log(log, self.plan.max_log_bytes)
                rotate_at = time.monotonic() + _ROTATE_SECONDS
            standbys = (c.standby for c in self.children if c.standby and c.is_waiting)
            self._signals.wait(0.5, [standby.source for standby in standbys])

    def _put_on_standby(self, child: SupervisedProcess) -> None:
        if child.process is not None:  # its own children must not keep its work
            signal_group(child.process.pid, signal.SIGKILL)
        child.wait_on_standby()
        if child.standby is not None and child.standby.probes is not None:
            self._probes.add(child.standby.probes)

    def _run_waiting(self, child: SupervisedProcess) -> None:
        """Start the process of a program on demand."""
        if child.standby is not None and child.standby.probes is not None:
            self._probes.remove(child.standby.probes)
        self._run_again(child)

    def _start_or_restart(self, child: SupervisedProcess) -> None:
        """Start a program on demand that was woken, and restart a program that has failed."""
        if child.is_running:
            return
        if child.is_waiting:
            if child.standby is not None and child.standby.is_woken:
                self._run_waiting(child)
        elif child.has_become_idle:
            self._put_on_standby(child)
            self._write_running_state()
        else:
            self._restart_after_delay(child)

    def _restart_after_delay(self, child: SupervisedProcess) -> None:
        """Restart an exited child after a delay that grows while it keeps failing."""
        now = time.monotonic()
        if child.restart_at is None:
            if child.process:  # its own children must not keep the port
                signal_group(child.process.pid, signal.SIGKILL)
            delay_seconds = child.schedule_restart()
            print_line(f"{child.name} {child.describe_exit()}; restarting in {delay_seconds:g} s")
        elif now >= child.restart_at:
            child.restarts += 1
            self._run_again(child)

    def _run_again(self, child: SupervisedProcess) -> None:
        try:
            child.run()
        except (OSError, CommandError) as error:
            print_line(f"{child.name} could not be started: {error}")
            child.schedule_restart()
        self._write_running_state()

    def _write_running_state(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop running programs
            self._write_state(ready=True)

    def _stop_all(self) -> None:
        """Stop within one deadline: first the gateway, then the services, their stores last."""
        for monitor in self._monitors:
            monitor.stop()
        stop_requests = self._signals.stop_requests
        began = time.monotonic()
        gateway = [child for child in self.children if child.is_gateway]
        stores = [child for child in self.children if child.stores_data]
        services = [c for c in self.children if c not in gateway and c not in stores]
        stages = ((gateway, _GATEWAY_SHARE), (services, _SERVICES_SHARE), (stores, _STORES_SHARE))
        for group, share in stages:
            running = [child for child in group if child.process]
            self._stop_group(running, began + share * STOP_SECONDS, stop_requests)

    def _stop_group(
        self, group: Collection[SupervisedProcess], deadline: float, stop_requests: int
    ) -> None:
        pids = [child.process.pid for child in group if child.process]
        for child in group:
            if child.is_running and child.process:
                signal_group(child.process.pid, signal.SIGTERM)
        while any(child.is_running for child in group) and time.monotonic() < deadline:
            if self._signals.stop_requests > stop_requests:  # a second Ctrl-C skips the wait
                break
            self._signals.wait(0.05)
        for pid in pids:  # including children that a service left running
            signal_group(pid, signal.SIGKILL)
        for child in group:
            if child.process:
                child.process.wait()

    def _current_state(self, *, ready: bool) -> SupervisorState:
        return SupervisorState(
            supervisor=identify(os.getpid()),
            ready=ready,
            arguments=list(self.arguments),
            gateway_url=next((c.url for c in self.children if c.is_gateway), None),
            programs=[
                RunningProgram(
                    c.name, c.identity, c.url, str(c.log), c.started_at, c.restarts, c.probe_url
                )
                for c in self.children
                if c.identity or c.is_waiting
            ],
        )

    def _write_state(self, *, ready: bool = False) -> None:
        self._current_state(ready=ready).write(self.plan.run_folder)


def _rotate_log(log: Path, max_bytes: int) -> None:
    try:
        log_files.rotate_log(log, max_bytes)
    except OSError as error:
        # The programs can still run, and the next rotation may succeed.
        print_line(f"{log} cannot be rotated: {error.strerror or error}")


def _kill_if_unresponsive(monitor: LivenessMonitor) -> None:
    """Kill a program that no longer responds; it is then restarted like one that has exited."""
    child = monitor.child
    if child.is_running and child.process and monitor.is_unresponsive:
        print_line(f"{child.name} has not responded for {UNRESPONSIVE_SECONDS:g} s; killing it")
        signal_group(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _probe_timeout_seconds(elapsed: float) -> float:
    """Return a short timeout at first, so that one loading service does not delay other probes."""
    return min(0.2 + elapsed / 10, 2.0)


def _supervise_valkey(server: Valkey, environment: Mapping[str, str]) -> SupervisedProcess:
    return SupervisedProcess(
        name=server.name,
        url=f"redis://{server.address}",
        log=server.log,
        start=lambda: server.start(environment),
        is_ready=server.is_ready,
        is_responding=server.is_ready,
        stores_data=True,
    )


def _create_fork_server(plan: Plan, environment: Mapping[str, str]) -> ForkServer | None:
    """Return a server for the programs that can be forked, or None if there are none."""
    modules = tuple(dict.fromkeys(name for program in plan.programs for name in program.imports))
    if not modules or not fork_client.is_supported():
        return None
    return ForkServer(modules, plan.logs / "fork_server.log", environment, plan.root)


def _supervise_fork_server(server: ForkServer) -> SupervisedProcess:
    return SupervisedProcess(
        name=server.name, url="-", log=server.log, start=server.start, is_ready=server.is_ready
    )


def _create_child(
    program: Program,
    plan: Plan,
    environment: Mapping[str, str],
    fork_server: ForkServer | None,
) -> SupervisedProcess:
    probe, liveness = program.probe_url, program.liveness_url
    variables = {**environment, **program.environment}
    output_service = None if program.logs_json else program.name

    standby = _create_standby(program) if program.on_demand else None
    sockets = standby.descriptors if standby is not None else {}

    def start() -> ChildProcess:
        if fork_server is not None and program.imports:
            forked = fork_server.fork(
                program.command,
                program.log,
                variables,
                plan.root,
                output_service=output_service,
                sockets=sockets,
            )
            if forked is not None:
                return forked
        inherited = {inherited_sockets.VARIABLE: inherited_sockets.format_descriptors(sockets)}
        return spawn(
            program.command,
            program.log,
            variables | inherited if sockets else variables,
            plan.root,
            output_service=output_service,
            keep_open=tuple(sockets.values()),
        )

    return SupervisedProcess(
        name=program.name,
        url=program.url,
        log=program.log,
        start=start,
        is_ready=lambda seconds: probe is None or readiness.is_ready(probe, seconds),
        is_responding=lambda seconds: (
            liveness is None or readiness.is_responding(liveness, seconds)
        ),
        probe_url=probe,
        is_gateway=program.is_gateway,
        stores_data=program.stores_data,
        standby=standby,
    )


def _create_standby(program: Program) -> Standby:
    """Listen in place of *program*.

    Raises:
        CommandError: a port cannot be bound.
    """
    standby = Standby()
    try:
        if program.wake_folder is not None and program.port is not None:
            standby.pipe = WakePipe(program.wake_folder, program.port)
        elif program.socket is not None:
            standby.main = listen_on_private_socket(Path(program.socket))
        elif program.port is not None:
            standby.main = listen_beside_grpc(program.host, program.port)
        if program.probe_path is not None and program.port is not None:
            probe_port = program.port + program.probe_port_offset
            standby.probes = listen_for_probes(program.host, probe_port)
    except OSError as error:
        standby.close()
        raise CommandError(f"{program.name} cannot listen: {error}") from error
    return standby

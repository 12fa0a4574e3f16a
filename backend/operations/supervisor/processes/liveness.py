"""Detect programs that run but no longer respond."""

import threading
import time
from dataclasses import dataclass, field

from backend.operations.supervisor.processes.child import SupervisedProcess
from backend.operations.supervisor.processes.spawn import ProcessIdentity

PROBE_SECONDS = 5.0
"""Interval and timeout of the probes."""
UNRESPONSIVE_SECONDS = 30.0


@dataclass(slots=True)
class LivenessMonitor:
    """Probes one program in a thread and counts consecutive probes without a response.

    A process that has not responded yet is still starting, which may take minutes: its probes are
    not counted. Probes are counted instead of seconds, so that the time during which the
    supervisor itself is suspended does not count.
    """

    child: SupervisedProcess
    missed_probes: int = 0
    _responded: ProcessIdentity | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        name = f"liveness of {self.child.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    @property
    def is_unresponsive(self) -> bool:
        """True if the current process has responded once and then not for 30 seconds."""
        has_responded = self._responded is not None and self._responded == self.child.identity
        return has_responded and self.missed_probes * PROBE_SECONDS >= UNRESPONSIVE_SECONDS

    def probe(self) -> None:
        """Send one probe and count its result. A program without a process gets none."""
        identity = self.child.identity
        if identity is None:
            return
        if self.child.is_responding(PROBE_SECONDS):
            self._responded, self.missed_probes = identity, 0
        elif identity == self._responded:
            self.missed_probes += 1

    def _run(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            self.probe()
            self._stopped.wait(max(0.1, started + PROBE_SECONDS - time.monotonic()))

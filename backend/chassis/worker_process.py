"""Start a worker process: its metrics server, its wake-up pipe, and its work."""

import sys
from collections.abc import Callable
from pathlib import Path

from backend.chassis.inherited_sockets import PROBES, VARIABLE, open_inherited_socket
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.metrics_server import start_metrics_server
from backend.chassis.observability.process_metrics import BuildInfoCollector
from backend.chassis.settings import CommonSettings, Env, SettingsError
from backend.chassis.wake_pipe import WakePipe

# Does the work until a signal ends the process, or with a pipe until there is no more work.
Work = Callable[[Metrics, WakePipe | None], None]


def run_worker_process(
    name: str,
    env: Env,
    common: CommonSettings,
    port: int,
    folder: Path,
    work: Work,
    *,
    on_demand: bool,
) -> None:
    """Serve metrics and liveness probes on *port*, and run *work*.

    Args:
        folder: the service's data folder, which has the pipe that wakes the worker.
        on_demand: pass the pipe to *work*. The process ends when *work* returns, and the supervisor
            starts another one when the pipe is readable.
    """
    metrics = Metrics()
    metrics.register_shared(BuildInfoCollector(name))
    start_metrics_server(
        common.host,
        port,
        metrics,
        MetricsKey(common.secret_key.reveal()),
        open_inherited_socket(env.optional(VARIABLE), PROBES),
    )
    try:
        work(metrics, WakePipe(folder, port) if on_demand else None)
    except SettingsError as error:
        sys.exit(f"{name}: {error}")

"""Start a worker process: its metrics server, and its work here or in a child on demand."""

import sys
from collections.abc import Callable
from pathlib import Path

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.metrics_server import MetricsServer, bind_metrics_server
from backend.chassis.observability.process_metrics import BuildInfoCollector
from backend.chassis.on_demand import run_on_demand
from backend.chassis.settings import CommonSettings, SettingsError
from backend.chassis.wake_pipe import WakePipe

ON_DEMAND_OPTION = "--on-demand"
# Starts the server if there is one, and does the work until a signal ends the process, or with a
# pipe until there is no more work.
Work = Callable[[Metrics, MetricsServer | None, WakePipe | None], None]


def run_worker_process(
    name: str,
    common: CommonSettings,
    port: int,
    folder: Path,
    work: Work,
    *,
    on_demand: bool,
    runs_at_start: bool = True,
) -> None:
    """Serve metrics and liveness probes on *port*, and run *work*.

    Args:
        folder: the service's data folder, which has the pipe that wakes the worker.
        on_demand: run *work* in a child process that exists only while there is work. It has no
            effect except on Linux.
        runs_at_start: False if the service wakes the worker also for work that it finds when it
            starts. A worker on demand then has no child until it is woken.
    """
    metrics = Metrics()
    metrics.register_shared(BuildInfoCollector(name))
    server = bind_metrics_server(common.host, port, metrics, MetricsKey(common.secret_key.reveal()))

    def run(pipe: WakePipe | None) -> None:
        try:
            work(metrics, server, pipe)
        except SettingsError as error:
            sys.exit(f"{name}: {error}")

    if on_demand and sys.platform == "linux":
        pipe = WakePipe(folder, port)
        run_on_demand(lambda: run(pipe), pipe, server, runs_at_start=runs_at_start)
    run(None)

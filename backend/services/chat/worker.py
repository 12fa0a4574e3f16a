"""Worker process of the chat service: `python -m backend.services.chat.worker [--on-demand]`.

It answers messages, downloads media and sends deliveries. With --on-demand, it ends when
there is no work. The supervisor starts it again when the service on the same host wakes it.
"""

import logging
import signal
import sys
import threading
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from backend.chassis.observability.logs import configure_logging
from backend.chassis.observability.tracing import configure_tracing
from backend.chassis.service_description import ON_DEMAND_OPTION
from backend.chassis.settings import SettingsError, load_env
from backend.services.chat.settings import Settings

if TYPE_CHECKING:
    from backend.chassis.observability.metrics import Metrics
    from backend.chassis.wake_pipe import WakePipe
    from backend.services.chat.jobs.job_loop import JobLoop

_NAME = "chat-worker"
_log = logging.getLogger(__name__)
# A worker on demand ends after this time without work. Work that is due sooner keeps it.
_IDLE = timedelta(seconds=30)
_CHECK_SECONDS = 1.0
# Minimum time between two looks for work that the service causes. The first one after a pause is
# at once.
_WAKE_SECONDS = 0.1


def main() -> None:
    try:
        env = load_env()
        settings = Settings.from_env(env)
    except SettingsError as error:
        sys.exit(f"{_NAME}: {error}")
    configure_logging(_NAME, settings.common.log_level, settings.common.log_format)
    from backend.chassis.worker_process import run_worker_process

    run_worker_process(
        _NAME,
        env,
        settings.common,
        settings.worker_port,
        settings.folder,
        partial(_run_worker, settings),
        on_demand=ON_DEMAND_OPTION in sys.argv,
    )


def _run_worker(
    settings: Settings,
    metrics: "Metrics",
    pipe: "WakePipe | None",
) -> None:
    """Run the jobs until a signal ends the process, or with *pipe* until there is no work."""
    from backend.chassis.observability.polled_metrics import DependencyCollector
    from backend.services.chat.clients.metrics import ChatMetrics
    from backend.services.chat.jobs.job_loop import JobLoop
    from backend.services.chat.wiring import ChatComponents

    # Called after the imports above: tracing instruments only libraries that are already loaded.
    configure_tracing(settings.common, _NAME)
    components = ChatComponents.open(settings, ChatMetrics(metrics.registry))
    components.database.register_metrics(metrics)
    check = components.database.check_connection
    metrics.register_polled(DependencyCollector({"database": check}))
    loop = JobLoop(components.create_jobs())
    # Of changed accounts and hooks.
    components.signals.start()
    ended = threading.Event()

    def end() -> None:
        ended.set()
        if pipe is not None:
            pipe.write()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
    loop.start()
    _log.info("ready")
    if pipe is None:
        ended.wait()
    else:
        _wait_until_idle(loop, pipe, ended)
    loop.stop()
    components.close()


def _wait_until_idle(loop: "JobLoop", pipe: "WakePipe", ended: threading.Event) -> None:
    idle_since = monotonic()
    while not ended.is_set():
        if pipe.wait(_CHECK_SECONDS):
            loop.wake()
            idle_since = monotonic()
            ended.wait(_WAKE_SECONDS)
        elif loop.has_work_within(_IDLE):
            idle_since = monotonic()
        elif monotonic() - idle_since >= _IDLE.total_seconds():
            return


if __name__ == "__main__":
    main()

"""Serve a service in this process with one gunicorn worker, without gunicorn's master process."""

import faulthandler
import os
import signal
import sys
from importlib import import_module
from types import FrameType

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.sock import create_sockets
from gunicorn.workers.base import Worker

from backend.chassis.web.keep_alive_worker import KeepAliveWorker


class _SelfMonitoredWorker(Worker):
    """A worker that monitors itself, as gunicorn's master monitors its workers.

    The kernel ends the process with SIGALRM if the worker's main loop hangs for the configured
    timeout, or if a requested stop takes longer than the graceful timeout. Before that, the stacks
    of all threads are written to stderr. A handler in Python would wait for the interpreter's lock.
    """

    def init_signals(self) -> None:
        super().init_signals()
        faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)

    def notify(self) -> None:
        if self.alive:
            # gunicorn passes half of the configured timeout to its workers.
            signal.setitimer(signal.ITIMER_REAL, self.timeout * 2)

    def limit_stop(self) -> None:
        """End the process after the graceful timeout, even if its threads have not finished."""
        if self.alive:
            signal.setitimer(signal.ITIMER_REAL, self.cfg.graceful_timeout)


class SingleWorker(_SelfMonitoredWorker, KeepAliveWorker):
    """A thread worker without a master."""

    def init_signals(self) -> None:
        super().init_signals()
        # There is no master that could replace this worker: end as after SIGTERM. The
        # supervisor or the container runtime starts a new process.
        signal.signal(signal.SIGHUP, self.handle_exit)
        signal.siginterrupt(signal.SIGHUP, False)

    def is_parent_alive(self) -> bool:
        """Return True: a service started in a shell continues when the shell exits."""
        return True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.limit_stop()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self.limit_stop()
        super().handle_quit(sig, frame)


class _SingleLoopWorker(_SelfMonitoredWorker):
    """Mixin for a worker with an event loop (AsyncioWorker) and without a master."""

    reload_signal = signal.SIGHUP

    def is_master_alive(self) -> bool:
        """Return True: a service started in a shell continues when the shell exits."""
        return True


def get_single_worker_class(name: str) -> type[Worker]:
    """Return the class of a worker that runs without a master.

    Args:
        name: gunicorn's name of the worker class: `gthread`, or the path of an AsyncioWorker.
    """
    if name == "gthread":
        return SingleWorker
    module, _, class_name = name.rpartition(".")
    worker_class: type[Worker] = getattr(import_module(module), class_name)
    return type(f"Single{class_name}", (_SingleLoopWorker, worker_class), {})


def serve_in_this_process(app: BaseApplication) -> None:
    """Serve *app* until a signal ends the process. The worker class must be a single one."""
    cfg = app.cfg
    log = cfg.logger_class(cfg)
    sockets = create_sockets(cfg, log)
    log.info("Listening at: %s (%s)", ",".join(map(str, sockets)), os.getpid())
    worker = cfg.worker_class(
        0,
        os.getppid(),
        sockets,  # type: ignore[arg-type]  # BaseSocket has the methods of its socket
        app,
        cfg.timeout / 2,
        cfg,
        log,
    )
    try:
        worker.init_process()
    except Exception:  # the last resort of the process: log the error and exit
        log.exception("The service ended with an error")
        sys.exit(1 if worker.booted else Arbiter.WORKER_BOOT_ERROR)
    finally:
        worker.tmp.close()
        log.info("Stopped (%s)", os.getpid())

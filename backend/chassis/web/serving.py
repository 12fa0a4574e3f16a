"""Serve one service with gunicorn. Used by the supervisor and in containers."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from math import ceil
from pathlib import Path

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.workers.base import Worker

from backend.chassis.breakpoints import explain_breakpoints
from backend.chassis.observability.logs import configure_logging
from backend.chassis.observability.multiprocess_metrics import (
    delete_multiprocess_folder,
    enable_multiprocess_mode,
    get_multiprocess_folder,
    merge_dead_worker,
    register_worker,
)
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.service_description import Service
from backend.chassis.settings import Env, SettingsError, count_threads, load_env, read_port
from backend.chassis.web.concurrency_limit import ConcurrencyLimit
from backend.chassis.web.gunicorn_logger import GunicornLogger
from backend.chassis.web.http1.request_head import MAX_HEAD_BYTES
from backend.chassis.web.keep_alive_worker import KeepAliveWorker
from backend.chassis.web.single_process import get_single_worker_class, serve_in_this_process

_CHECK_TIMEOUT_SECONDS = 30
_IDLE_CONNECTIONS = 1000
# The highest limit of gunicorn. The gateway's, 8 KiB, includes the line end.
_MAX_LINE_BYTES = 8190
_log = logging.getLogger(__name__)
# gunicorn's default settings. They are built with the import, so that the services that the fork
# server forks share the memory of their 120 objects.
_DEFAULT_CONFIG = Config()
# A file system in memory, where the system has one.
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108


def serve(service: Service) -> None:
    """Serve *service* until a signal ends the process."""
    try:
        env = load_env()
        options = build_gunicorn_options(service, env)
        configure_logging(service.full_name, env.log_level, env.log_format)
    except SettingsError as error:
        sys.exit(f"{service.full_name}: {error}")
    explain_breakpoints(service.module)
    if runs_in_one_process(service, env):
        worker_class = get_single_worker_class(service.worker_class)
        serve_in_this_process(_Gunicorn(service, options | {"worker_class": worker_class}))
        return
    if not service.uses_event_loop:
        options["worker_class"] = KeepAliveWorker
    if options["workers"] != 1:
        enable_multiprocess_mode(_get_metrics_folder(service, env))
    _Gunicorn(service, options).run()


def runs_in_one_process(service: Service, env: Env) -> bool:
    """Return whether *service* runs without a gunicorn master.

    The gateway always has one: it replaces the worker at a reload (SIGHUP) without a failed
    request.
    """
    return not service.is_gateway and count_workers(service, env) == 1


def count_workers(service: Service, env: Env) -> int:
    return env.number(service.workers_variable, 1, min_value=1)


def _get_metrics_folder(service: Service, env: Env) -> Path:
    """Return the folder for the workers' metrics.

    The host name is part of it: containers may share a data folder, but not a host name.
    """
    return env.path("DATA_DIR", "data") / "run" / f"numbers-{service.name}-{socket.gethostname()}"


def load_app(service: Service) -> Flask:
    """Return the result of the service module's `create_app()`, or its `app` if it has none."""
    module = import_module(service.module)
    app: Flask = module.create_app() if hasattr(module, "create_app") else module.app
    return app


def build_gunicorn_options(service: Service, env: Env) -> dict[str, object]:
    """Return gunicorn's settings for *service*."""
    pool_threads = _count_pool_threads(service, env)
    host = env.text("GATEWAY_HOST" if service.is_gateway else "HOST", "127.0.0.1")
    port = read_port(env, service)
    return {
        "proc_name": service.full_name,
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "worker_class": service.worker_class,
        "workers": count_workers(service, env),
        "threads": pool_threads,
        # Open connections, of which most are idle ones of the gateway's pool.
        "worker_connections": _IDLE_CONNECTIONS + pool_threads,
        # Accept what the gateway accepts: gunicorn's own limits are lower, and its errors are HTML.
        "limit_request_line": _MAX_LINE_BYTES,
        "limit_request_field_size": MAX_HEAD_BYTES,
        # Longer than the keep-alive of clients and proxies: they close idle connections first and
        # never reuse one that was just closed here.
        "keepalive": 75,
        "timeout": 120,
        "graceful_timeout": _get_graceful_timeout_seconds(service, env),
        # All services that run as one user would share one control socket.
        "control_socket_disable": True,
        "logger_class": GunicornLogger,
        # A worker's heartbeat file must not wait for a slow disk.
        "worker_tmp_dir": str(_MEMORY_FOLDER) if os.access(_MEMORY_FOLDER, os.W_OK) else None,
        "post_fork": _initialize_worker,
        "child_exit": _merge_worker_metrics,
        "on_exit": _delete_worker_metrics,
    }


def _count_pool_threads(service: Service, env: Env) -> int:
    """Return the size of gunicorn's thread pool; threads are started when they are needed.

    A worker with an event loop has thread pools of its own.
    """
    threads = count_threads(env, service)
    return threads if service.uses_event_loop else ConcurrencyLimit.count_pool_threads(threads)


def _get_graceful_timeout_seconds(service: Service, env: Env) -> int:
    """Return how long a stopping worker may finish its requests.

    With an event loop this is longer than the time that the worker waits for its clients.
    """
    if service.is_gateway:
        return ceil(env.decimal("GATEWAY_DRAIN_SECONDS", 30.0)) + 1
    seconds = env.number("SERVICE_DRAIN_SECONDS", 5, min_value=1)
    return seconds + 1 if service.uses_event_loop else seconds


def _initialize_worker(_server: Arbiter, _worker: Worker) -> None:
    """End the worker if its master gets SIGKILL, and include it in the service's metrics."""
    die_with_parent(os.getppid())
    register_worker(os.getppid())


def _merge_worker_metrics(_server: Arbiter, worker: Worker) -> None:
    folder = get_multiprocess_folder()
    if folder is not None:
        merge_dead_worker(folder, int(worker.pid))


def _delete_worker_metrics(_server: Arbiter) -> None:
    folder = get_multiprocess_folder()
    if folder is not None:
        delete_multiprocess_folder(folder)


class _ValidatingArbiter(Arbiter):
    """Arbiter that validates the configuration before a reload (SIGHUP).

    gunicorn's own arbiter exits if a new worker cannot start.
    """

    def __init__(self, app: "_Gunicorn") -> None:
        super().__init__(app)
        self._service = app.service

    def handle_hup(self) -> None:
        error = _check_configuration(self._service)
        if error:
            _log.error("Reload skipped. The previous configuration stays active: %s", error)
        else:
            super().handle_hup()


def _check_configuration(service: Service) -> str:
    """Return the error that the gateway's `check` command reports, or "" if there is none."""
    if not service.is_gateway:
        return ""
    package = service.module.rpartition(".")[0]
    result = subprocess.run(  # noqa: S603 - the name comes from the catalog
        [sys.executable, "-m", package, "check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHECK_TIMEOUT_SECONDS,
    )
    return result.stderr.strip() or "the check failed" if result.returncode else ""


class _Gunicorn(BaseApplication):
    """gunicorn with options from the settings instead of a command line."""

    def __init__(self, service: Service, options: dict[str, object]) -> None:
        self.service = service
        self._options = options
        super().__init__()

    def run(self) -> None:
        _ValidatingArbiter(self).run()

    def load_default_config(self) -> None:
        self.cfg = _DEFAULT_CONFIG

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Iterable[bytes]]:
        try:
            app = load_app(self.service)
            if self.service.uses_event_loop:
                return app
            return ConcurrencyLimit(app, count_threads(load_env(), self.service))
        except SettingsError as error:
            # Print the message without a traceback and do not restart the worker: it would fail
            # in the same way.
            sys.stderr.write(f"{self.service.full_name}: {error}\n")
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None

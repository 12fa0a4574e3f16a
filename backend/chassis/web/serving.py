"""Run one service under gunicorn: how the supervisor and containers serve each of them."""

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
from gunicorn.workers.base import Worker

from backend.chassis.observability.multiprocess_metrics import (
    absorb,
    belong_to,
    forget_all,
    share_among_workers,
    shared_folder,
)
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.service_description import Service
from backend.chassis.settings import Env, SettingsError, load_env

_CHECK_SECONDS = 30
_log = logging.getLogger(__name__)
_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one


def serve(service: Service) -> None:
    """Serve until a signal ends it."""
    try:
        env = load_env()
        options = gunicorn_options(service, env)
    except SettingsError as error:
        sys.exit(f"{service.full_name}: {error}")
    if options["workers"] != 1:
        share_among_workers(_numbers_folder(service, env))
    _Gunicorn(service, options).run()


def _numbers_folder(service: Service, env: Env) -> Path:
    """Where the workers' numbers meet; containers may share a data folder, never a host name."""
    return env.path("DATA_DIR", "data") / "run" / f"numbers-{service.name}-{socket.gethostname()}"


def application(service: Service) -> Flask:
    """The service's `create_app()`; a small service may just have an `app`."""
    module = import_module(service.module)
    app: Flask = module.create_app() if hasattr(module, "create_app") else module.app
    return app


def gunicorn_options(service: Service, env: Env) -> dict[str, object]:
    prefix = service.port_variable.removesuffix("_PORT")
    workers = env.number(f"{prefix}_WORKERS", 1, least=1)
    host = env.text("GATEWAY_HOST" if service.is_gateway else "HOST", "127.0.0.1")
    port = env.number(service.port_variable, service.port, least=1)
    return {
        "proc_name": service.full_name,
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "worker_class": service.worker_class,
        "workers": workers,
        "threads": env.number(f"{prefix}_THREADS", service.threads, least=1),
        # Longer than the keep-alive of those in front: they never reuse a connection just closed.
        "keepalive": 75,
        "timeout": 120,
        "graceful_timeout": _leaving_seconds(service, env),
        # All services of a user would share one socket.
        "control_socket_disable": True,
        # Each service writes its own line for each request, with the request's id.
        "accesslog": None,
        "logconfig_dict": _json_lines(service.full_name),
        # A worker's sign of life must not wait for a slow disk.
        "worker_tmp_dir": str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None,
        "post_fork": _tie_to_master,
        "child_exit": _keep_numbers,
        "on_exit": _forget_numbers,
    }


def _leaving_seconds(service: Service, env: Env) -> int:
    """What gunicorn leaves a worker to finish in: at least what the gateway grants its callers."""
    if service.is_gateway:
        return ceil(env.decimal("GATEWAY_DRAIN_SECONDS", 30.0)) + 1
    return env.number("SERVICE_DRAIN_SECONDS", 5, least=1)


def _json_lines(name: str) -> dict[str, object]:
    """What gunicorn itself says becomes a JSON line like every other."""
    return {
        "formatters": {
            "json": {"()": "backend.chassis.observability.logs.JsonLines", "service": name}
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": {"propagate": True}},
    }


def _tie_to_master(_server: Arbiter, _worker: Worker) -> None:
    """A worker must not outlive a master killed by -9, and counts what it takes with it."""
    die_with_parent(os.getppid())
    belong_to(os.getppid())


def _keep_numbers(_server: Arbiter, worker: Worker) -> None:
    folder = shared_folder()
    if folder is not None:
        absorb(folder, int(worker.pid))


def _forget_numbers(_server: Arbiter) -> None:
    folder = shared_folder()
    if folder is not None:
        forget_all(folder)


class _CarefulArbiter(Arbiter):
    """Reloads on HUP only what will start; gunicorn's own ends when a new worker can't."""

    def __init__(self, app: "_Gunicorn") -> None:
        super().__init__(app)
        self._service = app.service

    def handle_hup(self) -> None:
        trouble = _trouble(self._service)
        if trouble:
            _log.error("Not reloaded, the old configuration stays: %s", trouble)
        else:
            super().handle_hup()


def _trouble(service: Service) -> str:
    """What the gateway's own check of its route table says against it."""
    if not service.is_gateway:
        return ""
    package = service.module.rpartition(".")[0]
    checked = subprocess.run(  # noqa: S603 - the name comes from the catalog
        [sys.executable, "-m", package, "check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHECK_SECONDS,
    )
    return checked.stderr.strip() or "the check failed" if checked.returncode else ""


class _Gunicorn(BaseApplication):
    """gunicorn with options from us rather than from a command line."""

    def __init__(self, service: Service, options: dict[str, object]) -> None:
        self.service = service
        self._options = options
        super().__init__()

    def run(self) -> None:
        _CarefulArbiter(self).run()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Iterable[bytes]]:
        try:
            return application(self.service)
        except SettingsError as error:
            # One sentence instead of a trace, and no second try: it would end the same way.
            sys.stderr.write(f"{self.service.full_name}: {error}\n")
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None

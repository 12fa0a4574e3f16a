"""Build, wire and run a Flask app the way all services do."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from prometheus_client.core import GaugeMetricFamily, Metric
from werkzeug.exceptions import NotFound
from werkzeug.serving import is_running_from_reloader

from backend import __version__
from backend.chassis.catalog import get_service
from backend.chassis.observability.logs import log_as_json, log_requests
from backend.chassis.observability.metrics import Metrics, count_requests, metrics_response
from backend.chassis.observability.polled_metrics import (
    AskedNumbers,
    Dependencies,
    redis_numbers,
    space_in,
)
from backend.chassis.observability.process_metrics import Build
from backend.chassis.observability.tracing import open_tracing, trace_requests
from backend.chassis.one_time_secrets import take_announcements
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.redis import examine
from backend.chassis.settings import CommonSettings, SettingsError, load_env
from backend.chassis.web import openapi
from backend.chassis.web.docs_page import docs_routes
from backend.chassis.web.health import Check, health_routes, plain_health
from backend.chassis.web.problems import install_problems
from backend.security import public
from backend.security.authentication import follows_revocations
from backend.security.guards import undeclared
from backend.security.http_errors import request_id
from backend.security.redis import connect
from backend.security.validation import MAX_JSON_BYTES

T = TypeVar("T")
_PARTS = "backend.parts"
_API_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_service(
    common: CommonSettings,
    checks: Mapping[str, Check],
    *,
    health: Callable[[], ResponseReturnValue] | None = None,
    metrics: Metrics | None = None,
) -> Flask:
    """A Flask app with what every service answers: probes, metrics, problems, documents.

    *checks* raise for a dependency that does not answer; *health* replaces the
    plain `/health`; *metrics* brings numbers of the service's own. Call `seal` when all
    routes are registered.
    """
    entry = get_service(common.name)
    log_as_json(entry.full_name)
    if common.redis_url is not None:
        with connect(common.redis_url) as redis:
            examine(redis)
    app = Flask(entry.full_name, static_folder=None)
    app.config.update(
        SECRET_KEY=common.secret_key.reveal(),
        MAX_CONTENT_LENGTH=MAX_JSON_BYTES,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    install_problems(app)
    if "database" in checks:
        # Here alone: it takes a library that who has no database does without.
        from backend.chassis.web.database_errors import answer_outages

        answer_outages(app)
    open_tracing(common, entry.full_name)
    trace_requests(app)
    log_requests(app)
    metrics = _with_surroundings(metrics or Metrics(), common, checks)
    metrics.tell(_Revocations(app))
    provide(app, count_requests(app, metrics))
    app.before_request(_refuse_nul)
    app.after_request(_add_headers)
    app.add_url_rule("/health", "health", health or plain_health(entry.full_name))
    app.register_blueprint(health_routes(entry.full_name, checks))
    return app


def _with_surroundings(
    metrics: Metrics, common: CommonSettings, checks: Mapping[str, Check]
) -> Metrics:
    """*metrics* with the numbers of what the service stands on."""
    metrics.tell(Build(get_service(common.name).full_name))
    metrics.ask(space_in(common.data_dir))
    needed: dict[str, Callable[[], object]] = dict(checks)
    if common.redis_url is not None:
        redis = connect(common.redis_url)
        needed["redis"] = redis.ping
        metrics.ask(AskedNumbers("redis", partial(redis_numbers, redis)))
    metrics.ask(Dependencies(needed))
    return metrics


class _Revocations:
    """A collector that tells whether *app* hears what is revoked."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        follows = follows_revocations(self._app)
        if follows is not None:
            yield GaugeMetricFamily(
                "revocations_followed",
                "1 while the process asked hears at once that a session has ended.",
                float(follows),
            )


def open_metrics(app: Flask) -> None:
    """Answer `/metrics` to everybody: for a service that only its own network reaches."""

    @app.get("/metrics")
    @public
    def metrics() -> Response:
        return metrics_response(use(Metrics))


def self_description(app: Flask) -> None:
    """Answer `/openapi.json` and `/docs` for the routes of this app."""
    title = app.name
    app.register_blueprint(
        docs_routes(title, lambda: openapi.describe(current_app, title, __version__))
    )


def seal(app: Flask) -> Flask:
    """*app*, or RuntimeError if one of its routes does not say who may call it."""
    open_routes = sorted(undeclared(app))
    if open_routes:
        raise RuntimeError(
            f"These routes declare no guard: {', '.join(open_routes)}. "
            "Put @require_permission(…), @authenticated or @public on their views."
        )
    return app


def provide(app: Flask, part: object) -> None:
    """Hand *part* to the routes of *app*; they ask for it by its type."""
    app.extensions.setdefault(_PARTS, {})[type(part)] = part


def use(kind: type[T]) -> T:
    """The part of type *kind* that the app in hand was given."""
    part: T = current_app.extensions[_PARTS][kind]
    return part


def run(create_app: Callable[[], Flask], name: str) -> None:
    """Run a service by itself, on Flask's own server: `python -m backend.services.NAME.app`."""
    env = load_env()
    try:
        common = CommonSettings.from_env(env, name)
        # Debug mode runs code for whoever reaches it: never on an outside address.
        host = "127.0.0.1" if env.debug else common.host
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        if is_running_from_reloader():
            die_with_parent(os.getppid())
        elif env.debug:
            # The reloader's parent opens the port, watches files and restarts its child. It must
            # not open the database or start threads as well, so an empty app runs in it.
            Flask(name).run(host, common.port, debug=True)
        app = create_app()
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    if sys.stderr.isatty():  # a supervisor shows them itself; a log must not hold them
        for text in take_announcements(common.data_dir):
            sys.stderr.write(f"\n{text}\n\n")
    app.run(host, common.port, debug=env.debug, threaded=True)


def _refuse_nul() -> None:
    # Nothing has a NUL in its name, and PostgreSQL fails on a text that does.
    if "\x00" in request.path:
        raise NotFound


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("X-Request-ID", request_id())
    for name, value in _API_HEADERS.items():
        response.headers.setdefault(name, value)
    if "Authorization" in request.headers or "X-API-Key" in request.headers:
        response.headers.setdefault("Cache-Control", "no-store")
    return response

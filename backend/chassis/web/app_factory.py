"""Build, wire and run the Flask app of a service."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Request, Response, current_app, request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from prometheus_client.core import GaugeMetricFamily, Metric
from werkzeug.exceptions import NotFound
from werkzeug.serving import WSGIRequestHandler, is_running_from_reloader

from backend import __version__
from backend.chassis.breakpoints import explain_breakpoints
from backend.chassis.catalog import get_service
from backend.chassis.observability.logs import configure_logging, log_requests
from backend.chassis.observability.metrics import Metrics, build_metrics_response, count_requests
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.observability.polled_metrics import (
    DependencyCollector,
    PolledCollector,
    collect_redis_metrics,
    create_disk_space_collector,
)
from backend.chassis.observability.process_metrics import BuildInfoCollector
from backend.chassis.observability.tracing import configure_tracing, trace_requests
from backend.chassis.one_time_secrets import pop_one_time_secrets
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.redis import check_redis
from backend.chassis.settings import CommonSettings, SettingsError, load_env
from backend.chassis.web import openapi
from backend.chassis.web.compression import compress_responses
from backend.chassis.web.cors import allow_cross_origin_requests, load_cors_origins
from backend.chassis.web.docs_page import create_docs_blueprint
from backend.chassis.web.health import Check, create_health_blueprint, create_health_view
from backend.chassis.web.problems import register_error_handlers
from backend.chassis.web.response_headers import SECURITY_HEADERS
from backend.security import public
from backend.security.authentication import is_subscribed_to_revocations
from backend.security.guards import routes_without_guard
from backend.security.http_errors import unauthenticated
from backend.security.redis import connect
from backend.security.request_ids import request_id
from backend.security.validation import MAX_JSON_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

T = TypeVar("T")
_log = logging.getLogger(__name__)
View = Callable[..., Any]
_COMPONENTS = "backend.components"
# A policy that lets pages of other sites show the response in a frame.
_FRAME_SOURCES = re.compile(r"\bframe-ancestors (?!'none')")


def create_service(
    common: CommonSettings,
    checks: Mapping[str, Check],
    *,
    readiness: Mapping[str, Check] | None = None,
    health: Callable[[], ResponseReturnValue] | None = None,
    metrics: Metrics | None = None,
) -> Flask:
    """Return a Flask app with health routes, metrics, tracing, logging and problem responses.

    Call `verify_routes` after registering all routes.

    Args:
        common: settings that every service has.
        checks: maps the name of a dependency to a function that raises if it does not work.
        readiness: the checks of `/health/ready`, if they differ from *checks*.
        health: replaces the default view of `/health`.
        metrics: contains the service's own metrics.

    Raises:
        SettingsError: a setting makes the service unusable.
    """
    entry = get_service(common.name)
    configure_logging(entry.full_name, common.log_level, common.log_format)
    if common.redis_url is None:
        _log.warning(
            "no Redis-compatible server is configured: this process notices logouts and "
            "revocations of other processes only when access tokens expire (ten minutes by "
            "default), and counts rate limits alone. Set REDIS_URL, or use "
            "./start_microservices.sh, which runs a server."
        )
    else:
        with connect(common.redis_url) as redis:
            check_redis(redis)
    app = _ServiceApp(entry.full_name, static_folder=None)
    app.path_replacements = entry.path_replacements
    app.config.update(SECRET_KEY=common.secret_key.reveal(), MAX_CONTENT_LENGTH=MAX_JSON_BYTES)
    register_error_handlers(app)
    if "database" in checks:
        # Imported only here: services without a database must not load SQLAlchemy.
        from backend.chassis.web.database_errors import register_database_error_handlers
        from backend.chassis.web.encryption_errors import register_encryption_error_handlers

        register_database_error_handlers(app)
        register_encryption_error_handlers(app)
    configure_tracing(common, entry.full_name)
    trace_requests(app)
    log_requests(app)
    metrics = metrics or Metrics()
    _register_environment_metrics(metrics, common, checks)
    metrics.register_shared(_RevocationCollector(app))
    provide(app, count_requests(app, metrics))
    provide(app, MetricsKey(common.secret_key.reveal()))
    app.before_request(_reject_nul)
    app.after_request(_add_headers)
    compress_responses(app)
    app.add_url_rule("/health", "health", health or create_health_view(entry.full_name))
    app.register_blueprint(create_health_blueprint(entry.full_name, checks, readiness))
    return app


class _NoSessions(SessionInterface):
    """Ignores the cookies of Flask's sessions: no service uses them."""

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        return self.make_null_session(app)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store nothing."""


class _ServiceApp(Flask):
    """Flask app without sessions and without asynchronous views, which no service uses."""

    session_interface = _NoSessions()
    path_replacements: tuple[tuple[str, str], ...] = ()

    def wsgi_app(
        self, variables: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve the paths of the gateway's API too, such as `/api/v1/auth/me` for `/me`."""
        path: str = variables["PATH_INFO"]
        if path.startswith("/api/"):
            for prefix, replacement in self.path_replacements:
                if path == prefix or path.startswith(f"{prefix}/"):
                    variables["PATH_INFO"] = f"{replacement}{path.removeprefix(prefix)}" or "/"
                    break
        return super().wsgi_app(variables, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*: all views and hooks are synchronous. Flask inspects each at each call."""
        return func


def _register_environment_metrics(
    metrics: Metrics, common: CommonSettings, checks: Mapping[str, Check]
) -> None:
    """Add metrics of the build, the disk, Redis and the dependencies to *metrics*."""
    metrics.register_shared(BuildInfoCollector(get_service(common.name).full_name))
    metrics.register_polled(create_disk_space_collector(common.data_dir))
    dependencies: dict[str, Callable[[], object]] = dict(checks)
    if common.redis_url is not None:
        redis = connect(common.redis_url)
        dependencies["redis"] = redis.ping
        metrics.register_polled(PolledCollector("redis", partial(collect_redis_metrics, redis)))
    metrics.register_polled(DependencyCollector(dependencies))


class _RevocationCollector:
    """Prometheus collector that reports whether *app* is subscribed to session revocations."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        is_subscribed = is_subscribed_to_revocations(self._app)
        if is_subscribed is not None:
            yield GaugeMetricFamily(
                "revocations_followed",
                "1 if the process that serves the scrape is subscribed to session revocations.",
                float(is_subscribed),
            )


def add_metrics_route(app: Flask) -> None:
    """Add `/metrics`, which requires the metrics key.

    Other users of the host must not see the routes, error counts and sizes in it.
    """

    @app.get("/metrics")
    @public
    def metrics() -> Response:
        if not _has_metrics_key():
            raise unauthenticated(
                "not_authenticated",
                "Send the metrics key as a bearer token: "
                "python -m backend.services.gateway metrics-key prints it.",
            )
        return build_metrics_response(use(Metrics))


def accept_metrics_key(guarded: View) -> View:
    """Let requests with the metrics key skip the guard. Place it directly above the guard."""

    @wraps(guarded)
    def view(*args: Any, **kwargs: Any) -> Any:
        allowed = guarded.__wrapped__ if _has_metrics_key() else guarded  # type: ignore[attr-defined]
        return allowed(*args, **kwargs)

    return view


def _has_metrics_key() -> bool:
    """Return True if the current request carries the metrics key."""
    return use(MetricsKey).matches_authorization(request.headers.get("Authorization", ""))


def add_docs_routes(app: Flask) -> None:
    """Add `/openapi.json` and `/docs` for the routes of *app*."""
    title = app.name
    description = get_service(title.removesuffix("-service")).api_description
    app.register_blueprint(
        create_docs_blueprint(
            title,
            lambda: openapi.build_openapi_document(current_app, title, __version__, description),
        )
    )


def verify_routes(app: Flask) -> Flask:
    """Check that every route of *app* declares a guard, and return *app*.

    Raises:
        RuntimeError: a route declares no guard.
    """
    unguarded = sorted(routes_without_guard(app))
    if unguarded:
        raise RuntimeError(
            f"These routes declare no guard: {', '.join(unguarded)}. "
            "Put @require_permission(…), @authenticated or @public on their views."
        )
    return app


def provide(app: Flask, component: object) -> None:
    """Make *component* available to the routes of *app*, which get it by its type from `use`."""
    app.extensions.setdefault(_COMPONENTS, {})[type(component)] = component


def use(component_type: type[T]) -> T:
    """Return the component of this type that was provided to the current app."""
    return get_component(current_app, component_type)


def get_component(app: Flask, component_type: type[T]) -> T:
    """Return the component of this type that was provided to *app*, for use outside requests."""
    component: T = app.extensions[_COMPONENTS][component_type]
    return component


def find_component(app: Flask, component_type: type[T]) -> T | None:
    """Return the component of this type that was provided to *app*, or None."""
    component: T | None = app.extensions.get(_COMPONENTS, {}).get(component_type)
    return component


def run_development_server(create_app: Callable[[], Flask], name: str) -> None:
    """Run one service on Flask's development server: `python -m backend.services.NAME.app`."""
    env = load_env()
    try:
        common = CommonSettings.from_env(env, name)
        # Debug mode executes code for anyone who can connect, so it never listens on an outside
        # address.
        host = "127.0.0.1" if env.is_debug else common.host
        explain_breakpoints(get_service(name).module)
        if is_running_from_reloader():
            die_with_parent(os.getppid())
        elif env.is_debug:
            # This is the reloader's parent: it opens the port, watches files and restarts its
            # child. It must not open the database or start threads as well: it runs an empty app.
            logging.getLogger("werkzeug").setLevel(logging.WARNING)
            Flask(name).run(host, common.port, debug=True)
            return  # after Ctrl-C
        app = create_app()
        if env.is_debug and not get_service(name).is_gateway:
            allow_cross_origin_requests(app, load_cors_origins(env))
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    # The supervisor prints the secrets itself. They must not end up in a log file.
    if sys.stderr.isatty():
        for text in pop_one_time_secrets(common.data_dir):
            sys.stderr.write(f"\n{text}\n\n")
    # In debug mode werkzeug logs the PIN of its debugger.
    logging.getLogger("werkzeug").setLevel(logging.INFO if env.is_debug else logging.WARNING)
    app.run(
        host,
        common.port,
        debug=env.is_debug,
        threaded=True,
        request_handler=_RequestHandler,
    )


class _RequestHandler(WSGIRequestHandler):
    """Handler without an access log: each service writes its own, with request ids."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _reject_nul() -> None:
    # No name contains a NUL character, and PostgreSQL raises an error for text with one.
    if "\x00" in request.path:
        raise NotFound


def _add_headers(response: Response) -> Response:
    present = {name.lower() for name in response.headers.keys()}  # noqa: SIM118 - not a dict
    if _FRAME_SOURCES.search(response.headers.get("Content-Security-Policy", "")):
        # CSP replaces the header, which cannot name the sites that may show the page.
        present.add("x-frame-options")
    headers = [("X-Request-ID", request_id()), *SECURITY_HEADERS]
    if "Authorization" in request.headers or "X-API-Key" in request.headers:
        headers.append(("Cache-Control", "no-store"))
    response.headers.extend([item for item in headers if item[0].lower() not in present])
    return response

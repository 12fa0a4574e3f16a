"""Spans for Redis commands, with the command name and without arguments.

Follows https://opentelemetry.io/docs/specs/semconv/database/redis/. redis-py has no hooks, so the
methods that every command passes through are wrapped while a recorder exists.
"""

from collections.abc import Callable
from typing import Any, Final

from redis.client import Pipeline, Redis
from redis.cluster import ClusterPipeline, RedisCluster

from backend.chassis.observability.tracing import (
    AttributeValue,
    SpanKind,
    current_span_context,
    start_as_current_span,
)

_MAX_COMMAND_NAMES: Final = 5


def instrument_redis() -> Callable[[], None]:
    """Record the commands of all Redis clients as children of the current span.

    Returns a function that removes the instrumentation.
    """
    wrappers: list[tuple[type, str, Callable[..., Any]]] = [
        (Redis, "execute_command", _wrap_command),
        (RedisCluster, "execute_command", _wrap_command),
        (Pipeline, "execute", _wrap_pipeline),
        (ClusterPipeline, "execute", _wrap_pipeline),
    ]
    originals = [(cls, name, getattr(cls, name)) for cls, name, _ in wrappers]
    for cls, name, wrap in wrappers:
        setattr(cls, name, wrap(getattr(cls, name)))

    def uninstrument() -> None:
        for cls, name, method in originals:
            setattr(cls, name, method)

    return uninstrument


def _wrap_command(method: Callable[..., Any]) -> Callable[..., Any]:
    def execute_command(client: Any, *args: Any, **options: Any) -> Any:
        # Background commands, such as connection checks, do not start traces.
        if current_span_context() is None:
            return method(client, *args, **options)
        name = _command_name(args)
        with start_as_current_span(name, SpanKind.CLIENT, _attributes(client, name)):
            return method(client, *args, **options)

    return execute_command


def _wrap_pipeline(method: Callable[..., Any]) -> Callable[..., Any]:
    def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
        if current_span_context() is None:
            return method(pipeline, *args, **options)
        names = [_command_name(_arguments(command)) for command in pipeline.command_stack]
        attributes = _attributes(pipeline, "PIPELINE") | {
            "db.operation.batch.size": len(names),
            "db.query.text": " ".join(names[:_MAX_COMMAND_NAMES]),
        }
        with start_as_current_span("PIPELINE", SpanKind.CLIENT, attributes):
            return method(pipeline, *args, **options)

    return execute


def _arguments(command: Any) -> tuple[Any, ...]:
    """Return the arguments of a pipelined command. A cluster pipeline wraps them in an object."""
    return tuple(command.args if hasattr(command, "args") else command[0])


def _command_name(args: tuple[Any, ...]) -> str:
    first = args[0] if args else ""
    return (first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)).upper()


def _attributes(client: Any, name: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"db.system.name": "redis", "db.operation.name": name}
    pool = getattr(client, "connection_pool", None)
    address = {} if pool is None else pool.connection_kwargs
    if "host" in address:
        attributes["server.address"] = str(address["host"])
        attributes["server.port"] = int(address.get("port", 6379))
    return attributes

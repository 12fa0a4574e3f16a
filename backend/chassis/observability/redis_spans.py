"""A span for each command that the Redis-compatible server is asked: its name and no values.

https://opentelemetry.io/docs/specs/semconv/database/redis/. redis-py tells nobody of its
commands, so the methods that all of them pass are wrapped while there is a recorder.
"""

from collections.abc import Callable
from typing import Any, Final

from redis.client import Pipeline, Redis
from redis.cluster import ClusterPipeline, RedisCluster

from backend.chassis.observability.tracing import Kind, Value, here, span

_MOST_NAMES: Final = 5


def watch_commands() -> Callable[[], None]:
    """Make spans of all clients' commands, below whatever is at work; returns what ends it."""
    wrapped: list[tuple[type, str, Callable[..., Any]]] = [
        (Redis, "execute_command", _one),
        (RedisCluster, "execute_command", _one),
        (Pipeline, "execute", _several),
        (ClusterPipeline, "execute", _several),
    ]
    bare = [(kind, name, getattr(kind, name)) for kind, name, _ in wrapped]
    for kind, name, wrap in wrapped:
        setattr(kind, name, wrap(getattr(kind, name)))

    def stop() -> None:
        for kind, name, method in bare:
            setattr(kind, name, method)

    return stop


def _one(method: Callable[..., Any]) -> Callable[..., Any]:
    def execute_command(client: Any, *args: Any, **options: Any) -> Any:
        # What nobody asked for, such as looking after a connection, is no trace.
        if here() is None:
            return method(client, *args, **options)
        name = _name(args)
        with span(name, Kind.CLIENT, _told(client, name)):
            return method(client, *args, **options)

    return execute_command


def _several(method: Callable[..., Any]) -> Callable[..., Any]:
    def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
        if here() is None:
            return method(pipeline, *args, **options)
        names = [_name(_arguments(each)) for each in pipeline.command_stack]
        told = _told(pipeline, "PIPELINE") | {
            "db.operation.batch.size": len(names),
            "db.query.text": " ".join(names[:_MOST_NAMES]),
        }
        with span("PIPELINE", Kind.CLIENT, told):
            return method(pipeline, *args, **options)

    return execute


def _arguments(queued: Any) -> tuple[Any, ...]:
    """Of a command in a pipeline; a cluster's keeps them in an object."""
    return tuple(queued.args if hasattr(queued, "args") else queued[0])


def _name(args: tuple[Any, ...]) -> str:
    first = args[0] if args else ""
    return (first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)).upper()


def _told(client: Any, name: str) -> dict[str, Value]:
    told: dict[str, Value] = {"db.system.name": "redis", "db.operation.name": name}
    pool = getattr(client, "connection_pool", None)
    place = {} if pool is None else pool.connection_kwargs
    if "host" in place:
        told |= {"server.address": str(place["host"]), "server.port": int(place.get("port", 6379))}
    return told

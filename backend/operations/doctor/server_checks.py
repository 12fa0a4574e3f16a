"""Checks of the Redis-compatible server and of the broker: reachable, and not losing data."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.chassis.events_url import IN_PROCESS, parse_kafka_servers
from backend.chassis.settings import Env, SettingsError, load_events_url
from backend.security.redis import connect
from backend.security.redis.permanent_errors import explain_permanent_error
from backend.security.settings import redis_url

_TIMEOUT_SECONDS = 3.0
_REDIS_URL = "REDIS_URL"
_MIN_REDIS_VERSION = (6, 2)
_MAX_CLOCK_SKEW_SECONDS = 2.0


def check_redis(env: Env) -> Iterator[Finding]:
    """Yield the problems of the Redis-compatible server, if one is configured or running."""
    url = redis_url(os.environ)
    if url is None:
        return
    is_external = env.optional("REDIS_URL") is not None or env.optional("REDIS_HOST") is not None
    variable = _REDIS_URL if env.optional(_REDIS_URL) else "REDIS_HOST"
    fix = f"Start it, or correct {variable}." if is_external else "./start_microservices.sh restart"
    consequence = "Revocations cannot be checked. Requests fail with 503 after 30 seconds."
    yield from _check_server(url, is_external=is_external, consequence=consequence, fix=fix)


def check_event_broker(env: Env) -> Iterator[Finding]:
    """Yield the problems of the broker of domain events, if it is another server."""
    try:
        url = load_events_url(env, None)
    except SettingsError:
        return  # reported by the checks of each service
    if url in (IN_PROCESS, redis_url(os.environ)):
        return
    variable = "EVENTS_URL" if env.optional("EVENTS_URL") else "KAFKA_BROKERS"
    consequence = "Events wait in the tables of the services until it responds."
    fix = f"Start it, or correct {variable}."
    if not url.startswith(("kafka", "amqp")):
        yield from _check_server(url, is_external=True, consequence=consequence, fix=fix)
        return
    servers = parse_kafka_servers(url) if url.startswith("kafka") else ()
    urls = [f"kafka://{server}" for server in servers] or [url]
    reasons = [check_connection(server) for server in urls]
    if all(reasons):
        yield error(
            "events", f"The broker of events does not respond ({reasons[0]}).", consequence, fix
        )


def _check_server(url: str, *, is_external: bool, consequence: str, fix: str) -> Iterator[Finding]:
    """Yield the problems of the Redis-compatible server at *url*."""
    try:
        with connect(url, timeout=_TIMEOUT_SECONDS, retries=0) as client:
            info: Mapping[str, Any] = client.info()
            seconds, microseconds = client.time()
    except (RedisError, OSError, ValueError) as failure:
        yield error(
            "redis",
            (isinstance(failure, RedisError) and explain_permanent_error(failure))
            or f"The Redis-compatible server does not respond: {failure}",
            consequence,
            fix,
        )
        return
    yield from _check_version(info)
    yield from _check_memory(info)
    if is_external:
        yield from _check_persistence(info)
    skew = abs(time.time() - (seconds + microseconds / 1e6))
    if skew > _MAX_CLOCK_SKEW_SECONDS:
        yield warning(
            "clock",
            f"The clocks of this host and of the Redis-compatible server differ by {skew:.0f} s.",
            "Rate limits are counted over other minutes than the RateLimit headers state.",
            "Synchronize both hosts with a time server: timedatectl set-ntp true",
        )


def _check_version(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if "valkey_version" not in info and numbers and numbers < _MIN_REDIS_VERSION:
        yield error(
            "redis",
            f"The server is Redis {version}.",
            "It lacks required commands, which were added in 6.2.",
            "Run Valkey, or Redis 6.2 or newer.",
        )


def _check_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield error(
            "redis",
            f"The server evicts keys when its memory is full (maxmemory-policy {policy}).",
            "Revoked sessions would become valid again, and rate limits would restart.",
            "redis-cli config set maxmemory-policy noeviction",
        )
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and used > 0.9 * limit:
        yield warning(
            "redis",
            f"The server uses {used // 2**20} of {limit // 2**20} MB.",
            "When its memory is full, it stores neither rate limits nor revocations.",
            "redis-cli config set maxmemory BYTES, with a larger value",
        )


def _check_persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    if not int(info.get("aof_enabled", 0)):
        yield warning(
            "redis",
            "The server writes no append-only file.",
            "When it stops, data since its last snapshot is lost: rate limits, events of running "
            "responses, daily request counts, and domain events that consumers have not received. "
            "Revocations are published again.",
            "redis-cli config set appendonly yes",
        )

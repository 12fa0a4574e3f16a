"""EVENTS_URL: which broker carries the events."""

import json
from importlib.util import find_spec
from urllib.parse import urlsplit

from backend.security.redis import parse_redis_url

IN_PROCESS = "memory://"
_REDIS = ("redis", "rediss", "valkey", "valkeys", "unix")
_AMQP = ("amqp", "amqps")
_KAFKA_PORT = 9092


def read_events_url(url: str, kafka_brokers: str, redis_url: str | None) -> str:
    """Return *url*, else *kafka_brokers* as a URL, else *redis_url*, else `memory://`.

    Args:
        url: value of EVENTS_URL, or an empty string.
        kafka_brokers: value of KAFKA_BROKERS, or an empty string.

    Raises:
        ValueError: a setting is invalid, or both name different brokers. The message contains no
            password.
    """
    brokers = ""
    if kafka_brokers:
        brokers = parse_events_url(f"kafka://{','.join(_parse_brokers(kafka_brokers))}")
    if not url:
        return brokers or redis_url or IN_PROCESS
    parsed = parse_events_url(url)
    if brokers and not _is_same_broker(parsed, brokers):
        raise ValueError(
            "EVENTS_URL and KAFKA_BROKERS set the same thing and have different values. Keep one "
            "of them."
        )
    return parsed


def _is_same_broker(url: str, brokers: str) -> bool:
    return url.startswith("kafka://") and parse_kafka_servers(url) == parse_kafka_servers(brokers)


def parse_events_url(url: str) -> str:
    """Return *url* if a broker of its scheme is supported.

    Raises:
        ValueError: it is not, or the URL is invalid. The message contains no password.
    """
    scheme = url.partition("://")[0]
    if url == IN_PROCESS:
        return url
    if scheme in _REDIS:
        try:
            parse_redis_url(url)
        except ValueError as error:
            raise ValueError(str(error).replace("REDIS_URL", "EVENTS_URL")) from None
        return url
    if scheme in _AMQP:
        _parse_port(url)
        return url
    if scheme == "kafka":
        parse_kafka_servers(url)
        return url
    raise ValueError(
        "EVENTS_URL must begin with redis://, rediss://, unix://, amqp://, amqps:// or kafka://, "
        "or be memory://."
    )


def parse_kafka_servers(url: str) -> tuple[str, ...]:
    """Return the servers of a `kafka://` URL as HOST:PORT.

    Raises:
        ValueError: the URL names no server, or has parts that are not supported.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError(
            "EVENTS_URL with kafka:// supports addresses only: kafka://one:9092,two:9092."
        )
    servers = [text.strip() for text in parts.netloc.split(",") if text.strip()]
    if not servers:
        raise ValueError("EVENTS_URL names no server. Write kafka://one:9092,two:9092.")
    return tuple(_format_server(server) for server in servers)


def find_missing_extra(url: str) -> str | None:
    """Return the extra whose packages *url* needs and that are not installed, or None."""
    is_missing = url.startswith("kafka://") and find_spec("confluent_kafka") is None
    return "kafka" if is_missing else None


def _format_server(server: str) -> str:
    parts = urlsplit(f"//{server}")
    port = _parse_port(f"//{server}") or _KAFKA_PORT
    host = parts.hostname or "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError("The port in EVENTS_URL is not a number.") from None


def _parse_brokers(text: str) -> list[str]:
    """Parse KAFKA_BROKERS: a JSON list of addresses, or addresses separated by commas."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        brokers = json.loads(text)
    except ValueError:
        brokers = None
    if not isinstance(brokers, list) or not all(isinstance(item, str) for item in brokers):
        raise ValueError('KAFKA_BROKERS is no list of addresses, such as ["one:9092", "two:9092"].')
    return brokers

"""What the sessions of a service's database wait for, and how many there are, for Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine, text
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.orm import Session

_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_SERVER = text(
    "SELECT pg_database_size(current_database()), current_setting('max_connections')::int,"
    " (SELECT sum(numbackends) FROM pg_stat_database)"
)


class Meter:
    """Counts the sessions of one process, once there is somewhere to show it."""

    def __init__(self) -> None:
        self._waits: Histogram | None = None

    def show(self, registry: CollectorRegistry, most: int) -> None:
        """Count in *registry* from now on; *most* connections may be held at once."""
        self._used = Gauge(
            "db_client_connection_count",
            "Connections in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit = Gauge(
            "db_client_connection_max",
            "Connections that may be in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit.set(most)
        self._timeouts = Counter(
            "db_client_connection_timeouts",
            "Sessions that got no connection in time.",
            registry=registry,
        )
        self._waits = Histogram(
            "db_client_connection_wait_time_seconds",
            "From asking for a session to its connection; in SQLite, to the right to write.",
            ("access",),
            buckets=_SECONDS,
            registry=registry,
        )

    @contextmanager
    def counting(self, session: Session, access: str) -> Iterator[None]:
        """Count *session* while the block lasts, and what it waits for its connection."""
        if self._waits is None:
            yield
            return
        began = perf_counter()
        try:
            session.connection()
        except NoneFree:
            self._timeouts.inc()
            raise
        self._waits.labels(access).observe(perf_counter() - began)
        self._used.inc()
        try:
            yield
        finally:
            self._used.dec()


def store_numbers(engine: Engine) -> Iterator[Metric]:
    """How large the database is, and how many connections its server has of how many."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        files = (file, file.with_name(f"{file.name}-wal"))
        yield _size(sum(each.stat().st_size for each in files if each.exists()))
        return
    with engine.connect() as connection:
        size, most, connections = connection.execute(_SERVER).one()
    yield _size(size)
    yield GaugeMetricFamily(
        "database_server_connections", "Connections of all clients.", float(connections or 0)
    )
    yield GaugeMetricFamily(
        "database_server_max_connections", "Connections that the server allows.", float(most)
    )


def _size(size: int) -> Metric:
    return GaugeMetricFamily("database_size_bytes", "The database with all its tables.", size)

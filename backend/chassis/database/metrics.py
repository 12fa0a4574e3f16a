"""Prometheus metrics of a service's database: sessions, connections and size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

_BUCKETS_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_SERVER_QUERY = text(
    "SELECT pg_database_size(current_database()), current_setting('max_connections')::int,"
    " (SELECT sum(numbackends) FROM pg_stat_database)"
)


class SessionMetrics:
    """Metrics of the database sessions of one process. Counts nothing before `register`."""

    def __init__(self) -> None:
        self._wait_times: Histogram | None = None

    def register(self, registry: CollectorRegistry, max_connections: int) -> None:
        """Add the metrics to *registry* and start to count.

        Args:
            max_connections: size of the connection pool.
        """
        self._used = Gauge(
            "db_client_connection_count",
            "Connections in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit = Gauge(
            "db_client_connection_max",
            "Maximum number of connections in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit.set(max_connections)
        self._timeouts = Counter(
            "db_client_connection_timeouts",
            "Sessions that did not get a connection in time.",
            registry=registry,
        )
        self._wait_times = Histogram(
            "db_client_connection_wait_time_seconds",
            "Time to get a connection for a session; on SQLite, to get the write lock.",
            ("access",),
            buckets=_BUCKETS_SECONDS,
            registry=registry,
        )

    @contextmanager
    def measure_session(self, session: Session, access: str) -> Iterator[None]:
        """Open the connection of *session*, measure the wait and count the session as in use.

        Args:
            access: "read" or "write", a label of the wait time.
        """
        if self._wait_times is None:
            yield
            return
        started = perf_counter()
        try:
            session.connection()
        except PoolTimeoutError:
            self._timeouts.inc()
            raise
        self._wait_times.labels(access).observe(perf_counter() - started)
        self._used.inc()
        try:
            yield
        finally:
            self._used.dec()


def collect_database_metrics(engine: Engine) -> Iterator[Metric]:
    """Yield the size of the database and, on PostgreSQL, the connections of the server."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        files = (file, file.with_name(f"{file.name}-wal"))
        yield _create_size_metric(sum(path.stat().st_size for path in files if path.exists()))
        return
    with engine.connect() as connection:
        size, max_connections, connections = connection.execute(_SERVER_QUERY).one()
    yield _create_size_metric(size)
    yield GaugeMetricFamily(
        "database_server_connections", "Connections of all clients.", float(connections or 0)
    )
    yield GaugeMetricFamily(
        "database_server_max_connections",
        "Maximum number of connections of the server.",
        float(max_connections),
    )


def _create_size_metric(size_bytes: int) -> Metric:
    return GaugeMetricFamily(
        "database_size_bytes", "Size of the database with all its tables.", size_bytes
    )

"""Metrics of database sessions and of the database server."""

import pytest
import sqlalchemy as sa

from backend.chassis.observability.metrics import Metrics
from tests.servers import wait_until


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def metrics(database):
    metrics = Metrics()
    database.register_metrics(metrics)
    return metrics


def read_values(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render_text().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_open_sessions_are_counted_including_those_across_tenants(database, metrics):
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
        with database.across_tenants().read():
            assert read_values(metrics)["db_client_connection_count"] == 2
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError

    values = read_values(metrics)
    assert values["db_client_connection_count"] == 0
    assert values['db_client_connection_wait_time_seconds_count{access="read"}'] == 2
    assert values['db_client_connection_wait_time_seconds_count{access="write"}'] == 1
    assert values["db_client_connection_timeouts_total"] == 0


def test_database_size_and_server_connections_are_reported(database, metrics):
    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n INTEGER NOT NULL)")

    # A scrape omits values that the database does not return within 0.4 s.
    wait_until(lambda: "database_size_bytes" in read_values(metrics))
    values = read_values(metrics)

    assert values["database_size_bytes"] > 0
    if database.engine.dialect.name == "postgresql":
        max_connections = values["database_server_max_connections"]
        assert 1 <= values["database_server_connections"] <= max_connections

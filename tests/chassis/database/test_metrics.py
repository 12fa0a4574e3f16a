"""What a database's sessions and its server tell of themselves."""

import pytest
import sqlalchemy as sa

from backend.chassis.observability.metrics import Metrics


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def metrics(database):
    metrics = Metrics()
    database.show(metrics)
    return metrics


def told(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_sessions_count_while_they_last_also_those_across_tenants(database, metrics):
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
        with database.across_tenants().read():
            assert told(metrics)["db_client_connection_count"] == 2
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError

    found = told(metrics)
    assert found["db_client_connection_count"] == 0
    assert found['db_client_connection_wait_time_seconds_count{access="read"}'] == 2
    assert found['db_client_connection_wait_time_seconds_count{access="write"}'] == 1
    assert found["db_client_connection_timeouts_total"] == 0


def test_the_store_tells_its_size_and_a_server_its_connections(database, metrics):
    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n INTEGER NOT NULL)")

    found = told(metrics)

    assert found["database_size_bytes"] > 0
    if database.engine.dialect.name == "postgresql":
        most = found["database_server_max_connections"]
        assert 1 <= found["database_server_connections"] <= most

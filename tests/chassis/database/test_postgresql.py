"""PostgreSQL with passwords, TLS, Unix sockets, few privileges, and lost connections."""

import re
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.chassis.settings import SettingsError
from backend.chassis.web.app_factory import create_service, verify_routes
from backend.security import public
from tests import servers, tls

pytestmark = pytest.mark.postgres
PASSWORD = "p@ss/w:rd#?%"
ONE_TENANT = """
    INSERT INTO tenants (id, slug, name, personal, generation, created_at)
    VALUES ('tenant-1', 'one', 'One', false, 0, now())
"""
RULES = ["host all guarded 127.0.0.1/32 scram-sha-256", "host all stranger 127.0.0.1/32 reject"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pg")


@pytest.fixture(scope="module")
def certificate(folder):
    return tls.certificate(folder)


@pytest.fixture(scope="module")
def server(folder):
    with servers.postgres(
        folder, rules=RULES, extra_settings={"unix_socket_directories": str(folder)}
    ) as server:
        server.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
        server.execute("CREATE ROLE stranger LOGIN")
        server.execute("CREATE DATABASE plain OWNER guarded")
        yield server


@pytest.fixture
def tls_port(server, certificate):
    with tls.tls_proxy(server.port, certificate, answers_ssl_request=True) as port:
        yield port


@pytest.fixture
def url(server):
    """URL of a user who owns a database and has no other privileges."""
    return f"postgresql+pg8000://guarded:{quote(PASSWORD, '')}@localhost:{server.port}/plain"


def test_row_level_security_applies_to_an_owner_that_may_not_create_roles(url, server):
    database = open_database(url, "auth")
    database.migrate("auth")

    with database.write("tenant-1") as session:
        assert session.scalar(sa.text("SELECT current_user")) == "guarded"
        session.execute(sa.text(ONE_TENANT))
    with database.read("tenant-2") as session:
        assert session.scalar(sa.text("SELECT count(*) FROM tenants")) == 0
    with database.across_tenants().read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM tenants")) == 1
    database.migrate("auth")

    # An administrator creates the role. It is used from the next start on.
    server.execute("CREATE ROLE plain_auth_app NOLOGIN; GRANT plain_auth_app TO guarded")
    database = open_database(url, "auth")
    database.migrate("auth")
    with database.read("tenant-1") as session:
        assert session.scalar(sa.text("SELECT current_user")) == "plain_auth_app"
        assert session.scalar(sa.text("SELECT count(*) FROM tenants")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(("guarded:", "guarded:not"), "rejects the password of guarded", id="password"),
        pytest.param(("guarded:", "stranger:"), "does not let stranger connect", id="user"),
        pytest.param(
            ("/plain", "/nothing"), "CREATE DATABASE nothing OWNER guarded;", id="database"
        ),
        pytest.param(("localhost", "db.invalid"), "PostgreSQL at db.invalid:", id="host"),
        pytest.param(("/plain", "/postgres"), "GRANT CREATE ON DATABASE postgres", id="rights"),
        pytest.param(("/plain", "/plain?sslmode=verify-full"), "does not support TLS", id="TLS"),
        pytest.param(("/plain", "/plain?sslmode=yes"), "it must be disable", id="sslmode"),
        pytest.param(
            ("/plain", "/plain?pool=3"), "has an unknown parameter 'pool'", id="parameter"
        ),
        pytest.param(("localhost:", "localhost:x"), "DATABASE_URL is not a valid URL", id="port"),
    ],
)
def test_connection_error_is_explained_without_the_password(url, change, message):
    with pytest.raises(SettingsError, match=re.escape(message)) as raised:
        open_database(url.replace(*change, 1), "auth").migrate("auth")
    assert PASSWORD not in str(raised.value)
    assert quote(PASSWORD, "") not in str(raised.value)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_connects_over_tls(url, tls_port, server, certificate, mode):
    url = url.replace(str(server.port), str(tls_port))
    database = open_database(f"{url}?sslmode={mode}&sslrootcert={certificate}", "auth")
    database.migrate("auth")

    with pytest.raises(SettingsError, match=r"TLS to PostgreSQL at localhost:\d+ failed"):
        open_database(f"{url}?sslmode=verify-full", "auth").migrate("auth")


def test_connects_over_tls_by_default_if_the_server_supports_it(url, tls_port, server):
    # The proxy forwards nothing before a TLS handshake.
    database = open_database(url.replace(str(server.port), str(tls_port)), "auth")
    database.migrate("auth")

    with database.read() as session:
        assert session.scalar(sa.text("SELECT session_user")) == "guarded"
    database.engine.dispose()


def test_connects_through_a_unix_socket(server, folder):
    url = f"postgresql+pg8000://owner@/postgres?host={folder}&port={server.port}"
    with open_database(url, "public")._owner.connect() as connection:
        assert connection.scalar(sa.text("SELECT inet_server_addr() IS NULL"))


def test_terminated_connection_is_replaced(url, server):
    database = open_database(url, "auth")
    database.migrate("auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))

    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'"
    )

    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def test_restarted_server_is_used_again(tmp_path):
    with servers.postgres(tmp_path) as first:
        url, port = first.database(), first.port
        database = open_database(url, "auth")
        database.migrate("auth")
        database.check_connection()

    with servers.postgres(tmp_path, port):
        database.check_connection()


def test_connect_timeout_does_not_limit_queries(url):
    database = open_database(f"{url}?connect_timeout=1", "auth")
    database.migrate("auth")
    query = sa.text("SELECT 'answered' FROM pg_sleep(1.5)")
    with database.read() as session:
        assert session.scalar(query) == "answered"
    with database.as_owner() as connection:
        assert connection.scalar(query) == "answered"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2030-01-31 12:00:00+00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31 12:00:00.5+05:30", datetime(2030, 1, 31, 6, 30, 0, 500_000, UTC)),
        ("2030-01-31 12:00:00.123456-03", datetime(2030, 1, 31, 15, 0, 0, 123_456, UTC)),
        ("1880-01-31 12:00:00+00:19:32", datetime(1880, 1, 31, 11, 40, 28, tzinfo=UTC)),
        ("infinity", "infinity"),
        ("20000-01-31 12:00:00+00", "20000-01-31 13:00:00+01"),
    ],
)
def test_times_are_read_in_any_time_zone(url, text, value):
    database = open_database(url, "auth")
    database.migrate("auth")

    with database.read() as session:
        session.execute(sa.text("SET LOCAL TimeZone = 'Europe/Amsterdam'"))
        query = sa.text("SELECT CAST(CAST(:text AS text) AS timestamptz)")
        assert session.scalar(query, {"text": text}) == value


def test_connections_parameter_limits_the_pool(url):
    database = open_database(f"{url}?connections=2", "auth")
    assert (database.engine.pool.size(), database.engine.pool._max_overflow) == (1, 1)


def test_requests_return_503_while_the_server_is_down(tmp_path, common, identities):
    with servers.postgres(tmp_path) as server:
        database = open_database(server.database(), "auth")
        database.migrate("auth")
        app = create_service(common, {"database": database.check_connection})

        @app.get("/one")
        @public
        def one() -> dict[str, int]:
            with database.read() as session:
                return {"one": session.scalar(sa.text("SELECT 1"))}

        client = identities.trust(verify_routes(app)).test_client()
        assert client.get("/one").json == {"one": 1}

    response = client.get("/one")

    assert (response.status_code, response.json["type"]) == (503, "/problems/database_unavailable")
    assert response.headers["Retry-After"] == "1"

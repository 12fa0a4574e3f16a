"""PostgreSQL as operators have it: passwords, TLS, sockets, few rights, and an end now and then."""

import re
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.chassis.settings import SettingsError
from backend.chassis.web.app_factory import create_service, seal
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
        folder, rules=RULES, more={"unix_socket_directories": str(folder)}
    ) as server:
        server.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
        server.execute("CREATE ROLE stranger LOGIN")
        server.execute("CREATE DATABASE plain OWNER guarded")
        yield server


@pytest.fixture
def tls_port(server, certificate):
    with tls.in_front_of(server.port, certificate, asked_first=True) as port:
        yield port


@pytest.fixture
def url(server):
    """Of somebody who owns a database and may do nothing else."""
    return f"postgresql+pg8000://guarded:{quote(PASSWORD, '')}@localhost:{server.port}/plain"


def test_who_may_make_no_role_is_held_to_a_tenant_all_the_same(url, server):
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

    # An administrator parts the two; from the next start on they are.
    server.execute("CREATE ROLE plain_auth_app NOLOGIN; GRANT plain_auth_app TO guarded")
    database = open_database(url, "auth")
    database.migrate("auth")
    with database.read("tenant-1") as session:
        assert session.scalar(sa.text("SELECT current_user")) == "plain_auth_app"
        assert session.scalar(sa.text("SELECT count(*) FROM tenants")) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            ("guarded:", "guarded:not"), "knows another password of guarded", id="password"
        ),
        pytest.param(("guarded:", "stranger:"), "does not let stranger in", id="user"),
        pytest.param(
            ("/plain", "/nothing"), "CREATE DATABASE nothing OWNER guarded;", id="database"
        ),
        pytest.param(("localhost", "db.invalid"), "PostgreSQL at db.invalid:", id="host"),
        pytest.param(("/plain", "/postgres"), "GRANT CREATE ON DATABASE postgres", id="rights"),
        pytest.param(("/plain", "/plain?sslmode=verify-full"), "speaks no TLS", id="TLS"),
        pytest.param(("/plain", "/plain?sslmode=yes"), "it must be disable", id="sslmode"),
        pytest.param(("/plain", "/plain?pool=3"), "has a parameter 'pool'", id="parameter"),
        pytest.param(("localhost:", "localhost:x"), "DATABASE_URL cannot be read", id="port"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence_without_the_password(url, change, told):
    with pytest.raises(SettingsError, match=re.escape(told)) as refused:
        open_database(url.replace(*change, 1), "auth").migrate("auth")
    assert PASSWORD not in str(refused.value)
    assert quote(PASSWORD, "") not in str(refused.value)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_it_is_reached_over_tls(url, tls_port, server, certificate, mode):
    url = url.replace(str(server.port), str(tls_port))
    database = open_database(f"{url}?sslmode={mode}&sslrootcert={certificate}", "auth")
    database.migrate("auth")

    with pytest.raises(SettingsError, match=r"TLS to PostgreSQL at localhost:\d+ failed"):
        open_database(f"{url}?sslmode=verify-full", "auth").migrate("auth")


def test_it_is_reached_through_a_socket(server, folder):
    url = f"postgresql+pg8000://owner@/postgres?host={folder}&port={server.port}"
    with open_database(url, "public")._owner.connect() as connection:
        assert connection.scalar(sa.text("SELECT inet_server_addr() IS NULL"))


def test_who_is_cut_off_goes_on_with_the_next_question(url, server):
    database = open_database(url, "auth")
    database.migrate("auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))

    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'"
    )

    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def test_a_server_that_was_restarted_is_used_again(tmp_path):
    with servers.postgres(tmp_path) as first:
        url, port = first.database(), first.port
        database = open_database(url, "auth")
        database.migrate("auth")
        database.check()

    with servers.postgres(tmp_path, port):
        database.check()


def test_what_takes_longer_than_connecting_may_is_waited_for(url):
    database = open_database(f"{url}?connect_timeout=1", "auth")
    database.migrate("auth")
    with database.read() as session:
        session.execute(sa.text("SELECT pg_sleep(1.5)"))
    with database.as_owner() as connection:
        connection.execute(sa.text("SELECT pg_sleep(1.5)"))


def test_a_process_holds_no_more_connections_than_it_may(url):
    database = open_database(f"{url}?connections=2", "auth")
    assert (database.engine.pool.size(), database.engine.pool._max_overflow) == (1, 1)


def test_callers_are_asked_to_come_again_while_it_is_away(tmp_path, common, identities):
    with servers.postgres(tmp_path) as server:
        database = open_database(server.database(), "auth")
        database.migrate("auth")
        app = create_service(common, {"database": database.check})

        @app.get("/one")
        @public
        def one() -> dict[str, int]:
            with database.read() as session:
                return {"one": session.scalar(sa.text("SELECT 1"))}

        client = identities.trust(seal(app)).test_client()
        assert client.get("/one").json == {"one": 1}

    away = client.get("/one")

    assert (away.status_code, away.json["type"]) == (503, "/problems/database_unavailable")
    assert away.headers["Retry-After"] == "1"

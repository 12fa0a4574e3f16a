"""Each service's settings, tables and neighbours, broken once each."""

import datetime
import ssl
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from backend.chassis.catalog import CATALOG
from backend.chassis.database import migrations
from backend.services.auth.__main__ import main as auth_command
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from tests.services.gateway.edge.test_worker import make_certificate

NOWHERE = "127.0.0.1:9"


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_nothing_is_found_and_nothing_changed_where_nothing_is_wrong(
    found, folder, monkeypatch, name
):
    for secret in ("SECRET_KEY", "JWT_SECRET_KEY"):
        monkeypatch.delenv(secret)

    assert found(name) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("service", "settings", "said"),
    [
        ("auth", {"SESSION_SECONDS": "a month"}, "SESSION_SECONDS"),
        ("auth", {"APP_ENV": "production", "SECRET_KEY": "change-me"}, "SECRET_KEY is shorter"),
        ("auth", {"ADMIN_PASSWORD": "password"}, "ADMIN_PASSWORD is too weak"),
        ("agent", {"LLM": "gpt-5"}, "'gpt-5' is not a model"),
        ("agent", {"LLM": "openai:gpt-5-mini", "OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ("rag", {"VECTOR_STORE": "pinecone"}, "VECTOR_STORE must be one of"),
        ("rag", {"CHROMA_URL": f"http://{NOWHERE}"}, "The vector store (chroma)"),
        ("rag", {"CELERY_BROKER_URL": f"amqp://{NOWHERE}", "CHROMA_URL": "x"}, "The broker"),
        (
            "rag",
            {"EMBEDDING_BASE_URL": f"http://{NOWHERE}/v1", "EMBEDDING_MODEL": "e5"},
            "The server of the embedding model",
        ),
        ("gateway", {"TLS_CERTFILE": "/nowhere.pem"}, "go together"),
        ("gateway", {"TLS_CERTFILE": "/no.pem", "TLS_KEYFILE": "/no.key"}, "can't be used"),
        ("gateway", {"GATEWAY_ROUTES": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
def test_settings_that_a_service_refuses_or_that_lead_nowhere_are_errors(
    found, service, settings, said
):
    errors = [what for level, what, _ in found(service, **settings) if level == "error"]
    assert any(said in what for what in errors), errors


@pytest.mark.parametrize(
    ("service", "settings", "said"),
    [
        ("agent", {"LLM": f"http://{NOWHERE}/v1#qwen"}, "The server of the model qwen"),
        ("auth", {"SMTP_URL": f"smtp://{NOWHERE}"}, "The mail server"),
    ],
)
def test_what_others_serve_and_does_not_answer_is_a_warning(found, service, settings, said):
    ((level, what, _),) = found(service, **settings)
    assert level == "warning"
    assert said in what


def test_a_certificate_that_ends_soon_is_told(found, folder):
    certificate, key = make_certificate(folder)
    ends = ssl._ssl._test_decode_cert(str(certificate))["notAfter"]
    left = ssl.cert_time_to_seconds(ends) - datetime.datetime.now(datetime.UTC).timestamp()
    told = found("gateway", TLS_CERTFILE=str(certificate), TLS_KEYFILE=str(key))
    assert [what for _, what, _ in told] == (
        [f"The certificate expires in {left / 86400:.0f} days."] if left < 14 * 86400 else []
    )


@pytest.mark.parametrize("service", ["auth", "agent", "rag"])
def test_a_damaged_file_is_told(found, tables, folder, service):
    tables(service).engine.dispose()
    file = folder / f"{service}.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 4096))
    (finding,) = found(service)
    assert finding[0] == "error"
    assert f"{file} is damaged" in finding[1]
    assert "restore" in finding[2]


def test_what_is_no_database_is_told(found, folder):
    (folder / "auth.db").write_text("Once upon a time there was a database. " * 100)
    assert "not a database" in found("auth")[0][1]


def at_revision(database, service, revision):
    with database.as_owner() as connection:
        table = f"alembic_version_{service}"
        connection.execute(text(f"UPDATE {table} SET version_num = '{revision}'"))  # noqa: S608


def test_tables_of_another_release_are_told(found, tables, each_database_url):
    database = tables("agent", each_database_url)
    at_revision(database, "agent", "9999")
    ((level, what, _),) = found("agent", DATABASE_URL=each_database_url)
    assert (level, "newer release" in what) == ("error", True)

    at_revision(database, "agent", "0002")
    ((level, what, mend),) = found("agent")
    assert (level, mend) == ("warning", "python -m backend migrate")
    newest = migrations.revisions(Path(__file__).parents[3] / "backend/services/agent/migrations")
    assert newest[-1] in what


def test_a_postgresql_that_does_not_answer_is_told_without_its_password(found):
    ((level, what, mend),) = found("auth", DATABASE_URL=f"postgresql://app:hidden@{NOWHERE}/app")
    assert level == "error"
    assert "hidden" not in what
    assert "DATABASE_URL" in mend


@pytest.mark.postgres
def test_a_user_who_may_not_make_roles_is_told(found, postgres_url):
    database = postgres_url.rpartition("/")[2]
    with sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f'CREATE ROLE "modest_{database}" LOGIN'))
    modest = sa.make_url(postgres_url).set(username=f"modest_{database}", password=None)
    told = found("auth", DATABASE_URL=modest.render_as_string(hide_password=False))
    assert any("CREATEROLE" in mend for _, _, mend in told), told


def test_that_nobody_administers_the_suite_is_told_with_a_mend_that_works(found, tables):
    tables("auth")
    assert found("auth") == []
    ((level, _, mend),) = found("auth", "--running")
    assert level == "error"

    auth_command(["users", "create", "root", "--role", "admin"])
    assert "users create NAME --role admin" in mend


def test_once_there_is_an_admin_nothing_is_told(found, tables, capsys):
    tables("auth")
    auth_command(["users", "create", "root", "--role", "admin"])
    capsys.readouterr()
    assert found("auth", "--running") == []


def test_documents_that_failed_wait_or_lost_their_file_are_told(found, tables, folder):
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    with tables("rag").write() as session:
        shelf = CollectionRow(tenant_id="t", owner_id="o", name="shelf")
        session.add(shelf)
        session.flush()
        for number, status in enumerate(("failed", "queued", "ready")):
            session.add(
                DocumentRow(
                    tenant_id="t",
                    collection_id=shelf.id,
                    owner_id="o",
                    filename="f",
                    title="f",
                    title_given=False,
                    content_type="text/plain",
                    size_bytes=1,
                    sha256=str(number),
                    blob=f"blob-{number}",
                    attributes={},
                    created_at=long_ago,
                    status=status,
                )
            )
    blobs = folder / "rag" / "blobs"
    blobs.mkdir(parents=True)
    for number in range(2):
        (blobs / f"blob-{number}").touch()
    told = [what for _, what, _ in found("rag", "--running")]

    assert len(told) == 3
    assert told[0].startswith("1 uploaded files are missing")
    assert told[1].startswith("1 documents could not be read")
    assert told[2].startswith("1 documents wait for longer than 10 minutes")

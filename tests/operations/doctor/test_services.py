"""Findings about settings, tables and dependencies of each service."""

import datetime
import ssl
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from backend.chassis.catalog import CATALOG
from backend.chassis.database.migration_folders import list_revisions
from backend.operations.doctor import package_checks
from backend.services.auth.__main__ import main as auth_command
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from tests.services.gateway.edge.test_worker import make_certificate

NOWHERE = "127.0.0.1:9"


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_doctor_finds_nothing_and_creates_no_files_with_default_settings(
    run_doctor, folder, monkeypatch, name
):
    for secret in ("SECRET_KEY", "JWT_SECRET_KEY"):
        monkeypatch.delenv(secret)

    assert run_doctor(name) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("service", "settings", "text"),
    [
        ("auth", {"SESSION_SECONDS": "a month"}, "SESSION_SECONDS"),
        ("auth", {"APP_ENV": "production", "SECRET_KEY": "change-me"}, "SECRET_KEY is shorter"),
        (
            "auth",
            {"APP_ENV": "production", "ADMIN_PASSWORD": "password"},
            "ADMIN_PASSWORD is too weak",
        ),
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
        ("gateway", {"TLS_CERTFILE": "/nowhere.pem"}, "Set both TLS_CERTFILE and TLS_KEYFILE"),
        ("gateway", {"TLS_CERTFILE": "/no.pem", "TLS_KEYFILE": "/no.key"}, "cannot be used"),
        ("gateway", {"GATEWAY_ROUTES": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
def test_doctor_reports_invalid_settings_and_unreachable_stores_as_errors(
    run_doctor, service, settings, text
):
    errors = [problem for level, problem, _ in run_doctor(service, **settings) if level == "error"]
    assert any(text in problem for problem in errors), errors


def test_doctor_reports_a_sample_secret(run_doctor):
    errors = [problem for level, problem, _ in run_doctor("suite", SECRET_KEY="change-me")]
    assert "SECRET_KEY is a well-known sample value." in errors


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, "otel"),
        ({"VECTOR_STORE": "pgvector"}, "pgvector"),
        ({"EMBEDDING_MODEL": "e5"}, "torch"),
        ({"MCP_SERVERS": "servers.json"}, "mcp"),
    ],
)
def test_doctor_reports_a_missing_extra(run_doctor, monkeypatch, settings, extra):
    monkeypatch.setattr(package_checks, "find_spec", lambda _: None)
    fixes = [fix for _, _, fix in run_doctor("suite", **settings)]
    assert f"./start_microservices.sh install --extra {extra}" in fixes


@pytest.mark.parametrize(
    ("service", "settings", "text"),
    [
        ("agent", {"LLM": f"http://{NOWHERE}/v1#qwen"}, "The server of the model qwen"),
        ("auth", {"SMTP_URL": f"smtp://{NOWHERE}"}, "The mail server"),
        ("auth", {"ADMIN_PASSWORD": "admin123"}, "ADMIN_PASSWORD is too weak"),
    ],
)
def test_doctor_reports_unreachable_external_servers_as_warnings(
    run_doctor, service, settings, text
):
    ((level, problem, _),) = run_doctor(service, **settings)
    assert level == "warning"
    assert text in problem


def test_doctor_reports_a_certificate_that_expires_soon(run_doctor, folder):
    certificate, key = make_certificate(folder)
    expiry = ssl._ssl._test_decode_cert(str(certificate))["notAfter"]
    seconds_left = (
        ssl.cert_time_to_seconds(expiry) - datetime.datetime.now(datetime.UTC).timestamp()
    )
    findings = run_doctor("gateway", TLS_CERTFILE=str(certificate), TLS_KEYFILE=str(key))
    assert [problem for _, problem, _ in findings] == (
        [f"The certificate expires in {seconds_left / 86400:.0f} days."]
        if seconds_left < 14 * 86400
        else []
    )


@pytest.mark.parametrize("service", ["auth", "agent", "rag"])
def test_doctor_reports_a_damaged_sqlite_file(run_doctor, create_tables, folder, service):
    create_tables(service).engine.dispose()
    file = folder / f"{service}.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 4096))
    (finding,) = run_doctor(service)
    assert finding[0] == "error"
    assert f"{file} is damaged" in finding[1]
    assert "restore" in finding[2]


def test_doctor_reports_a_file_that_is_not_a_database(run_doctor, folder):
    (folder / "auth.db").write_text("Once upon a time there was a database. " * 100)
    assert "not a database" in run_doctor("auth")[0][1]


def set_revision(database, service, revision):
    with database.as_owner() as connection:
        table = f"alembic_version_{service}"
        connection.execute(text(f"UPDATE {table} SET version_num = '{revision}'"))  # noqa: S608


def test_doctor_reports_tables_of_another_release(run_doctor, create_tables, each_database_url):
    database = create_tables("agent", each_database_url)
    set_revision(database, "agent", "9999")
    ((level, problem, _),) = run_doctor("agent", DATABASE_URL=each_database_url)
    assert (level, "newer release" in problem) == ("error", True)

    set_revision(database, "agent", "0002")
    ((level, problem, fix),) = run_doctor("agent")
    assert (level, fix) == ("warning", "python -m backend migrate")
    newest = list_revisions(Path(__file__).parents[3] / "backend/services/agent/migrations")
    assert newest[-1] in problem


def test_doctor_reports_an_unreachable_postgresql_without_its_password(run_doctor):
    ((level, problem, fix),) = run_doctor(
        "auth", DATABASE_URL=f"postgresql://app:hidden@{NOWHERE}/app"
    )
    assert level == "error"
    assert "hidden" not in problem
    assert "DATABASE_URL" in fix


@pytest.mark.postgres
def test_doctor_reports_a_database_user_without_createrole(run_doctor, postgres_url):
    database = postgres_url.rpartition("/")[2]
    with sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f'CREATE ROLE "limited_{database}" LOGIN'))
    limited_url = sa.make_url(postgres_url).set(username=f"limited_{database}", password=None)
    findings = run_doctor("auth", DATABASE_URL=limited_url.render_as_string(hide_password=False))
    assert any("CREATEROLE" in fix for _, _, fix in findings), findings


def test_doctor_reports_a_missing_administrator_with_a_fix_that_works(run_doctor, create_tables):
    create_tables("auth")
    assert run_doctor("auth") == []
    ((level, _, fix),) = run_doctor("auth", "--running")
    assert level == "error"

    auth_command(["users", "create", "root", "--role", "admin"])
    assert "users create NAME --role admin" in fix


def test_doctor_finds_nothing_when_an_administrator_exists(run_doctor, create_tables, capsys):
    create_tables("auth")
    auth_command(["users", "create", "root", "--role", "admin"])
    capsys.readouterr()
    assert run_doctor("auth", "--running") == []


def test_doctor_reports_missing_files_and_failed_and_stalled_documents(
    run_doctor, create_tables, folder
):
    an_hour_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    with create_tables("rag").write() as session:
        collection = CollectionRow(tenant_id="t", owner_id="o", name="shelf")
        session.add(collection)
        session.flush()
        for number, status in enumerate(("failed", "queued", "ready")):
            session.add(
                DocumentRow(
                    tenant_id="t",
                    collection_id=collection.id,
                    owner_id="o",
                    filename="f",
                    title="f",
                    title_given=False,
                    content_type="text/plain",
                    size_bytes=1,
                    sha256=str(number),
                    blob=f"blob-{number}",
                    attributes={},
                    created_at=an_hour_ago,
                    status=status,
                )
            )
    blobs = folder / "rag" / "blobs"
    blobs.mkdir(parents=True)
    for number in range(2):
        (blobs / f"blob-{number}").touch()
    problems = [problem for _, problem, _ in run_doctor("rag", "--running")]

    assert len(problems) == 3
    assert problems[0].startswith("1 uploaded files are missing")
    assert problems[1].startswith("The processing of 1 documents failed")
    assert problems[2].startswith("1 documents wait for more than 10 minutes")

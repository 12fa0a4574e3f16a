"""Backups of a database in use, and backups and restores that are killed."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.chassis.console import CommandError
from backend.chassis.database.sessions import open_database
from backend.operations.backup import swap_plan
from backend.operations.backup.installation import connect_as_owner
from backend.operations.backup.swap_plan import Move
from backend.operations.supervisor.state import sole_supervisor
from backend.services.agent.store.tables import Conversation, Message
from tests.servers import wait_until

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def run_in_background(installation, *arguments):
    """Run a command in another process, which is killed after the block."""
    environment = os.environ | {"DATA_DIR": str(installation.data)}
    child = subprocess.Popen(
        [sys.executable, "-m", "backend", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@contextmanager
def creating_conversations(url):
    """Create conversations, each with two messages in one transaction, until the block ends."""
    database, stopped, conversation_ids = open_database(url, "agent"), threading.Event(), []

    def create_until_stopped():
        while not stopped.is_set():
            conversation_id = f"c{len(conversation_ids)}"
            with database.across_tenants().write() as session:
                columns = {"tenant_id": "t", "owner_id": "o", "title": "x"}
                times = {"created_at": NOW, "updated_at": NOW}
                session.add(Conversation(id=conversation_id, **columns, **times))
                session.flush()
                for position in range(2):
                    session.add(
                        Message(
                            id=f"{conversation_id}.{position}",
                            conversation_id=conversation_id,
                            position=position,
                            role="user",
                            text="x" * 500,
                            status="done",
                            created_at=NOW,
                        )
                    )
            conversation_ids.append(conversation_id)

    worker = threading.Thread(target=create_until_stopped)
    worker.start()
    try:
        yield conversation_ids
    finally:
        stopped.set()
        worker.join()
        database.engine.dispose()


@pytest.mark.parametrize(
    "kind",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.slow])],
)
def test_backup_is_consistent_while_rows_are_written(
    create_installation_on, create_installation, kind, tmp_path, capsys
):
    busy, file = create_installation_on("busy", kind), tmp_path / "all.backup"
    for service, url in busy.installation.urls.items():
        open_database(url, service).migrate(service)
    with creating_conversations(busy.installation.urls["agent"]) as conversation_ids:
        wait_until(lambda: len(conversation_ids) > 10)
        assert busy.run_command("backup", file) == 0, capsys.readouterr().err
        created = len(conversation_ids)
        wait_until(lambda: len(conversation_ids) > created)

    new = create_installation("new")
    assert new.run_command("restore", file) == 0, capsys.readouterr().err
    with connect_as_owner(new.installation.urls["agent"], "agent") as tables:
        count = "SELECT count(*) FROM "
        conversations = tables.scalar(sa.text(f"{count} conversations"))
        assert tables.scalar(sa.text(f"{count} messages")) == 2 * conversations
        assert 10 < conversations <= created


@pytest.mark.slow
def test_killed_backup_leaves_no_file_and_does_not_block_the_next_one(filled, tmp_path):
    (filled.data / "rag").mkdir()
    # The backup waits for this lock.
    lock = (filled.data / "rag" / "blobs.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    draft = tmp_path / "all.backup.part"
    with run_in_background(filled, "backup", tmp_path / "all.backup") as backup:
        wait_until(draft.exists, seconds=60)
        assert filled.run_command("backup", tmp_path / "all.backup") == 1  # the draft is locked
        backup.kill()
        backup.wait()
    lock.close()

    assert not (tmp_path / "all.backup").exists()
    filled.run_command("backup", tmp_path / "all.backup")
    assert filled.run_command("verify-backup", tmp_path / "all.backup") == 0
    assert not draft.exists()


@pytest.mark.slow
def test_killed_restore_succeeds_when_repeated(filled, create_installation, tmp_path, capsys):
    file, new = tmp_path / "all.backup", create_installation("new")
    filled.run_command("backup", file)
    with run_in_background(new, "restore", file) as restore:
        wait_until((new.data / "restoring").exists, seconds=60)
        restore.kill()
        restore.wait()

    with pytest.raises(CommandError, match="python -m backend restore"):
        swap_plan.check_no_interrupted_restore(new.data)
    assert new.run_command("restore", file) == 0, capsys.readouterr().err
    assert new.read_rows()["agent"] == filled.read_rows()["agent"]
    swap_plan.check_no_interrupted_restore(new.data)


@pytest.mark.slow
def test_restore_completes_an_interrupted_swap_plan(create_installation, capsys, filled, tmp_path):
    half, file = create_installation("half"), tmp_path / "all.backup"
    filled.run_command("backup", file)
    staging, aside = half.data / "restoring", half.data / "replaced-1"
    staging.mkdir(parents=True)
    for name in ("one", "two"):
        (half.data / name).write_text(f"old {name}")
        (staging / name).write_text(f"new {name}")
    (half.data / "left").write_text("old left")
    swap_plan.write_plan(
        half.data,
        [
            Move(None, half.data / "left", aside / "left"),
            *(Move(staging / n, half.data / n, aside / n) for n in ("one", "two")),
        ],
    )
    swap_plan.commit_plan(half.data)
    # Interrupted after "left" and "one" were swapped and "two" was moved aside.
    aside.mkdir()
    for name in ("left", "one", "two"):
        (half.data / name).rename(aside / name)
    (staging / "one").rename(half.data / "one")

    with pytest.raises(CommandError, match="interrupted while it replaced files"):
        swap_plan.check_no_interrupted_restore(half.data)
    assert half.run_command("restore", file) == 0

    assert "The interrupted restore is now complete" in capsys.readouterr().out
    assert not staging.exists()
    for name in ("one", "two"):
        assert (half.data / name).read_text() == f"new {name}"
        assert (aside / name).read_text() == f"old {name}"
    assert not (half.data / "left").exists()


@pytest.mark.slow
def test_restore_fails_while_services_run(filled, tmp_path, capsys):
    file = tmp_path / "all.backup"
    filled.run_command("backup", file)
    with sole_supervisor(filled.data):
        assert filled.run_command("restore", file, "--replace") == 1
    assert "already running" in capsys.readouterr().err

    database = open_database(filled.installation.urls["auth"], "auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
    assert filled.run_command("restore", file, "--replace") == 1
    assert "auth.db open" in capsys.readouterr().err
    database.engine.dispose()
    assert filled.run_command("restore", file, "--replace") == 0


@pytest.mark.slow
@pytest.mark.postgres
def test_restore_on_postgresql_renames_replaced_schemas_and_continues_sequences(
    create_installation_on, filled, tmp_path, capsys
):
    server, file = create_installation_on("server", "postgresql"), tmp_path / "all.backup"
    filled.run_command("backup", file)
    server.fill()
    database = open_database(server.installation.urls["auth"], "auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
        assert server.run_command("restore", file, "--replace") == 1
        assert "other connections" in capsys.readouterr().err
    database.engine.dispose()
    assert server.run_command("restore", file) == 1
    assert "add --replace" in capsys.readouterr().err

    assert server.run_command("restore", file, "--replace") == 0, capsys.readouterr().err

    with connect_as_owner(server.installation.urls["auth"], "auth") as tables:
        schemas = sa.inspect(tables).get_schema_names()
        last_id = tables.scalar(sa.text("SELECT max(id) FROM audit_records"))
        next_id = tables.scalar(
            sa.text("SELECT nextval(pg_get_serial_sequence('audit_records', 'id'))")
        )
    for service in server.installation.urls:
        assert any(schema.startswith(f"{service}_replaced_") for schema in schemas)
    assert next_id == last_id + 1
    # The role of the service can read the rows that the owner has restored.
    with database.across_tenants().read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM users")) == 3
    database.engine.dispose()

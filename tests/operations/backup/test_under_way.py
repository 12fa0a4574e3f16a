"""Backups while others write, and what is left of those that were killed."""

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

from backend.chassis.console import CannotRun
from backend.chassis.database.sessions import open_database
from backend.operations.backup import swap_plan
from backend.operations.backup.installation import connected
from backend.operations.backup.swap_plan import Move
from backend.operations.supervisor.state import sole_supervisor
from backend.services.agent.store.tables import Conversation, Message
from tests.servers import wait_until

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def typed(place, *words):
    """A command that runs in a process of its own."""
    environment = os.environ | {"DATA_DIR": str(place.data)}
    child = subprocess.Popen(
        [sys.executable, "-m", "backend", *map(str, words)],
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
def conversing(url):
    """Begins conversations, each with its two messages in one transaction, until the block ends."""
    database, over, begun = open_database(url, "agent"), threading.Event(), []

    def work():
        while not over.is_set():
            name = f"c{len(begun)}"
            with database.across_tenants().write() as session:
                about = {"tenant_id": "t", "owner_id": "o", "title": "x"}
                times = {"created_at": NOW, "updated_at": NOW}
                session.add(Conversation(id=name, **about, **times))
                session.flush()
                for number in range(2):
                    place = {"id": f"{name}.{number}", "conversation_id": name, "position": number}
                    said = {"role": "user", "text": "x" * 500, "status": "done"}
                    session.add(Message(**place, **said, created_at=NOW))
            begun.append(name)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield begun
    finally:
        over.set()
        worker.join()
        database.engine.dispose()


@pytest.mark.parametrize(
    "kind",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.slow])],
)
def test_a_backup_is_of_one_moment_whatever_is_written_meanwhile(
    make_each, make_place, kind, tmp_path, capsys
):
    place, file = make_each("busy", kind), tmp_path / "all.backup"
    for service, url in place.installation.urls.items():
        open_database(url, service).migrate(service)
    with conversing(place.installation.urls["agent"]) as begun:
        wait_until(lambda: len(begun) > 10)
        assert place.type_in("backup", file) == 0, capsys.readouterr().err
        told = len(begun)
        wait_until(lambda: len(begun) > told)

    new = make_place("new")
    assert new.type_in("restore", file) == 0, capsys.readouterr().err
    with connected(new.installation.urls["agent"], "agent") as tables:
        count = "SELECT count(*) FROM "
        conversations = tables.scalar(sa.text(f"{count} conversations"))
        assert tables.scalar(sa.text(f"{count} messages")) == 2 * conversations
        assert 10 < conversations <= told


def test_a_backup_that_was_killed_leaves_no_file_and_does_not_stop_the_next(full, tmp_path):
    (full.data / "rag").mkdir()
    waited_for = (full.data / "rag" / "blobs.lock").open("w")
    fcntl.flock(waited_for, fcntl.LOCK_SH)
    draft = tmp_path / "all.backup.part"
    with typed(full, "backup", tmp_path / "all.backup") as backup:
        wait_until(draft.exists, seconds=60)
        assert full.type_in("backup", tmp_path / "all.backup") == 1  # another one is writing it
        backup.kill()
        backup.wait()
    waited_for.close()

    assert not (tmp_path / "all.backup").exists()
    full.type_in("backup", tmp_path / "all.backup")
    assert full.type_in("verify-backup", tmp_path / "all.backup") == 0
    assert not draft.exists()


@pytest.mark.slow
@pytest.mark.slow
def test_a_restore_that_was_killed_is_done_again(full, make_place, tmp_path, capsys):
    file, new = tmp_path / "all.backup", make_place("new")
    full.type_in("backup", file)
    with typed(new, "restore", file) as restore:
        wait_until((new.data / "restoring").exists, seconds=60)
        restore.kill()
        restore.wait()

    with pytest.raises(CannotRun, match="python -m backend restore"):
        swap_plan.refuse_half_restored(new.data)
    assert new.type_in("restore", file) == 0, capsys.readouterr().err
    assert new.contents()["agent"] == full.contents()["agent"]
    swap_plan.refuse_half_restored(new.data)


def test_moves_that_were_interrupted_go_on_where_they_were(make_place, capsys, full, tmp_path):
    place, file = make_place("half"), tmp_path / "all.backup"
    full.type_in("backup", file)
    stage, aside = place.data / "restoring", place.data / "replaced-1"
    stage.mkdir(parents=True)
    for name in ("one", "two"):
        (place.data / name).write_text(f"old {name}")
        (stage / name).write_text(f"new {name}")
    (place.data / "left").write_text("old left")
    swap_plan.prepare(
        place.data,
        [
            Move(None, place.data / "left", aside / "left"),
            *(Move(stage / n, place.data / n, aside / n) for n in ("one", "two")),
        ],
    )
    swap_plan.decide(place.data)
    # So far it came: one has changed places, two is half-way.
    aside.mkdir()
    for done, left in (("left", "left"), ("one", "one"), ("two", "two")):
        (place.data / done).rename(aside / left)
    (stage / "one").rename(place.data / "one")

    with pytest.raises(CannotRun, match="half-way"):
        swap_plan.refuse_half_restored(place.data)
    assert place.type_in("restore", file) == 0

    assert "has come to its end" in capsys.readouterr().out
    assert not stage.exists()
    for name in ("one", "two"):
        assert (place.data / name).read_text() == f"new {name}"
        assert (aside / name).read_text() == f"old {name}"
    assert not (place.data / "left").exists()


def test_nothing_is_restored_over_a_suite_that_runs(full, tmp_path, capsys):
    file = tmp_path / "all.backup"
    full.type_in("backup", file)
    with sole_supervisor(full.data):
        assert full.type_in("restore", file, "--replace") == 1
    assert "already run" in capsys.readouterr().err

    database = open_database(full.installation.urls["auth"], "auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
    assert full.type_in("restore", file, "--replace") == 1
    assert "auth.db open" in capsys.readouterr().err
    database.engine.dispose()
    assert full.type_in("restore", file, "--replace") == 0


@pytest.mark.postgres
def test_on_postgresql_replaced_tables_keep_another_name_and_numbers_go_on(
    make_each, full, tmp_path, capsys
):
    place, file = make_each("server", "postgresql"), tmp_path / "all.backup"
    full.type_in("backup", file)
    place.fill()
    database = open_database(place.installation.urls["auth"], "auth")
    with database.read() as session:
        session.execute(sa.text("SELECT 1"))
        assert place.type_in("restore", file, "--replace") == 1
        assert "others are connected" in capsys.readouterr().err
    database.engine.dispose()
    assert place.type_in("restore", file) == 1
    assert "add --replace" in capsys.readouterr().err

    assert place.type_in("restore", file, "--replace") == 0, capsys.readouterr().err

    with connected(place.installation.urls["auth"], "auth") as tables:
        schemas = sa.inspect(tables).get_schema_names()
        last = tables.scalar(sa.text("SELECT max(id) FROM audit_records"))
        following = tables.scalar(
            sa.text("SELECT nextval(pg_get_serial_sequence('audit_records', 'id'))")
        )
    for service in place.installation.urls:
        assert any(each.startswith(f"{service}_replaced_") for each in schemas)
    assert following == last + 1
    # The service's own role sees what its owner has restored.
    with database.across_tenants().read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM users")) == 3
    database.engine.dispose()

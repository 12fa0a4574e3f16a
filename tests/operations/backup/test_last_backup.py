"""The time of the last complete backup, which Prometheus monitors."""

import time

from backend.chassis.backup_contract import collect_backup_metrics
from backend.chassis.database.sessions import open_database


def last_backup_times(installation):
    return [
        sample.value
        for metric in collect_backup_metrics(installation.data)
        for sample in metric.samples
    ]


def test_backup_with_problems_is_not_recorded(filled, tmp_path):
    # The sample rows of rag and chat name files that do not exist.
    assert filled.run_command("backup", tmp_path / "incomplete.backup") != 0

    assert last_backup_times(filled) == []


def test_complete_backup_is_recorded(filled, tmp_path):
    for service, statement in (
        ("rag", "DELETE FROM documents"),
        ("chat", "DELETE FROM chat_uploads"),
    ):
        database = open_database(filled.installation.urls[service], service)
        with database.as_owner() as connection:
            connection.exec_driver_sql(statement)
        database.engine.dispose()

    assert filled.run_command("backup", tmp_path / "complete.backup") == 0

    (completed_at,) = last_backup_times(filled)
    assert abs(completed_at - time.time()) < 60

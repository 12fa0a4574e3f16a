"""Backup and restore between kinds of databases."""

import pytest


def drop_changed_tables(rows):
    """Leave out the tables that a restore changes, and those that a backup leaves out."""
    ended = {"sessions", "users", "tenants", "password_resets", "password_reset_requests"}
    ended |= {"pending_emails", "outgoing_mails", "signing_epochs", "invitations"}
    updated = {"external_sign_ins", "documents", "embeddings", "embedding_models"}
    changed = ended | updated | {"sentence_vectors"}
    return {
        service: {name: lines for name, lines in tables.items() if name not in changed}
        for service, tables in rows.items()
    }


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("source_kind", "target_kind"),
    [
        pytest.param("sqlite", "postgresql", id="sqlite to postgresql"),
        pytest.param("postgresql", "sqlite", id="postgresql to sqlite", marks=pytest.mark.slow),
        pytest.param("sqlite", "sqlite", id="sqlite", marks=pytest.mark.slow),
        pytest.param("postgresql", "postgresql", id="postgresql", marks=pytest.mark.slow),
    ],
)
def test_restore_recreates_every_row_and_file(
    create_installation_on, source_kind, target_kind, tmp_path, capsys
):
    source = create_installation_on("source", source_kind)
    target = create_installation_on("target", target_kind)
    source.fill()
    before = source.read_rows()
    file = tmp_path / "all.backup"

    # The sample rows reference files that do not exist.
    assert source.run_command("backup", file) == 1
    assert "was missing" in capsys.readouterr().out
    assert target.run_command("restore", file) == 0, capsys.readouterr()

    assert drop_changed_tables(target.read_rows()) == drop_changed_tables(before)
    assert (target.data / "secrets" / "SECRET_KEY").read_text() == "sample secret\n"
    assert (target.data / "mcp.json").read_text() == "{}"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not (target.data / "restoring").exists()

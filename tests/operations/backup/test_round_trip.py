"""What is backed up comes back, whatever database it came from and goes to."""

import pytest


def forgetting(contents):
    """What a restore leaves as it was."""
    ended = {"sessions", "users", "tenants", "password_resets", "password_reset_requests"}
    settled = {"external_sign_ins", "documents", "embeddings", "embedding_models"}
    return {
        service: {name: rows for name, rows in tables.items() if name not in ended | settled}
        for service, tables in contents.items()
    }


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("origin", "target"),
    [
        pytest.param("sqlite", "postgresql", id="sqlite to postgresql"),
        pytest.param("postgresql", "sqlite", id="postgresql to sqlite"),
        pytest.param("sqlite", "sqlite", id="sqlite", marks=pytest.mark.slow),
        pytest.param("postgresql", "postgresql", id="postgresql", marks=pytest.mark.slow),
    ],
)
def test_every_row_and_secret_comes_back(make_each, origin, target, tmp_path, capsys):
    old, new = make_each("old", origin), make_each("new", target)
    old.fill()
    before = old.contents()
    file = tmp_path / "all.backup"

    # The samples name originals that are nowhere.
    assert old.type_in("backup", file) == 1
    assert "was missing" in capsys.readouterr().out
    assert new.type_in("restore", file) == 0, capsys.readouterr()

    assert forgetting(new.contents()) == forgetting(before)
    assert (new.data / "secrets" / "SECRET_KEY").read_text() == "kept secret\n"
    assert (new.data / "mcp.json").read_text() == "{}"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not (new.data / "restoring").exists()

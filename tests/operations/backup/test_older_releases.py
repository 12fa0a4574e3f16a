"""Restore backups of older releases and use the restored data."""

from pathlib import Path

import pytest

from backend.ai.embedding import BuiltInEmbedder
from backend.chassis.settings import Env
from backend.services.auth.app import create_app as create_auth_app
from backend.services.auth.settings import Settings
from backend.services.rag.app import create_app as create_rag_app
from tests.identities import Identities
from tests.services.rag.conftest import ApiUser, build_settings, stop_app

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
# Each contains an account "ada" with an API key, a document and a conversation.
RELEASES = sorted(DATA.glob("release-*.backup"))
PASSWORD = "seven small boats"
SECRETS = {
    "SECRET_KEY": "a secret of the tests, long enough",
    "JWT_SECRET_KEY": "another secret of the tests, long enough",
}
UPGRADE = DATA / "upgrade" / "ae15a62"
UPGRADE_PASSPHRASE = "upgrade fixture passphrase, for tests only"


@pytest.fixture(params=RELEASES, ids=lambda file: file.stem)
def restored(request, create_installation, capsys):
    installation = create_installation("restored")
    code = installation.run_command("restore", request.param, **SECRETS)
    assert code == 0, capsys.readouterr().err
    return installation


def test_restored_account_document_and_conversation_are_usable(restored):
    values = SECRETS | {"DATA_DIR": str(restored.data)}
    auth = create_auth_app(Settings.from_env(Env(values))).test_client()
    login = auth.post("/login", json={"username": "ada", "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {login.json['access_token']}"}
    account = auth.get("/me", headers=bearer).json
    identities = Identities()
    settings = build_settings(restored.data, database_url=f"sqlite:///{restored.data / 'rag.db'}")
    rag = create_rag_app(settings, BuiltInEmbedder(threads=1))
    rag.testing = True
    identities.trust(rag)
    ada = ApiUser(rag, identities.bearer(account["id"], tenant_id=account["tenant_id"]))

    (hit,) = ada.search("when do the boats sail?", mode="dense")

    stop_app(rag)
    assert hit["text"] == "Ferries leave the northern quay at dawn."
    assert any("17 * 23 = 391" in row for row in restored.read_rows()["agent"]["messages"])


@pytest.mark.parametrize("name", ["plain.backup", "sealed.backup"])
def test_restore_accepts_backups_written_before_the_tar_library(
    create_installation, tmp_path, capsys, name
):
    """Commit ae15a62 wrote tar blocks itself, and called encrypted backups sealed."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(UPGRADE_PASSPHRASE)
    installation = create_installation("restored")

    code = installation.run_command(
        "restore", UPGRADE / name, "--passphrase-file", passphrase, SECRET_KEY="", JWT_SECRET_KEY=""
    )

    output = capsys.readouterr()
    assert code == 0, output.err
    assert "auth: 89 rows" in output.out
    assert (installation.data / "secrets" / "SECRET_KEY").is_file()
    assert len(list((installation.data / "rag" / "blobs").iterdir())) == 4

"""What an earlier release has backed up, this one restores, and people work with it."""

from pathlib import Path

import pytest

from backend.ai.embedding import Embedder
from backend.chassis.settings import Env
from backend.services.auth.app import create_app as open_accounts
from backend.services.auth.settings import Settings
from backend.services.rag.app import create_app as open_library
from tests.identities import Identities
from tests.services.rag.conftest import Person, settings_in, stop

ROOT = Path(__file__).parents[3]
BACKUPS = sorted((ROOT / "tests" / "data").glob("release-*.backup"))
# Of ada's in each of them: an account with a key for what is read, a document, a conversation.
PASSWORD = "seven small boats"
SECRETS = {
    "SECRET_KEY": "a secret of the tests, long enough",
    "JWT_SECRET_KEY": "another secret of the tests, long enough",
}


@pytest.fixture(params=BACKUPS, ids=lambda file: file.stem)
def restored(request, make_place, capsys):
    place = make_place("restored")
    assert place.type_in("restore", request.param, **SECRETS) == 0, capsys.readouterr().err
    return place


def test_an_account_a_document_and_a_conversation_are_there(restored, monkeypatch):
    values = SECRETS | {"DATA_DIR": str(restored.data)}
    accounts = open_accounts(Settings.from_env(Env(values))).test_client()
    signed_in = accounts.post("/login", json={"username": "ada", "password": PASSWORD})
    ada = accounts.get(
        "/me", headers={"Authorization": f"Bearer {signed_in.json['access_token']}"}
    ).json
    identities = Identities()
    library = open_library(settings_in(restored.data), Embedder(ROOT / ".cache", threads=1))
    library.testing = True
    identities.trust(library)
    reader = Person(library, identities.bearer(ada["id"], tenant_id=ada["tenant_id"]))

    (found,) = reader.search("when do the boats sail?", mode="dense")

    stop(library)
    assert found["text"] == "Ferries leave the northern quay at dawn."
    assert any("17 * 23 = 391" in row for row in restored.contents()["agent"]["messages"])

"""`python -m backend users|tenants|keys`: an operator's daily work, by the service's own rules."""

import io
import json

import pytest

from backend.security.revocation import user_key
from backend.services.auth.__main__ import main
from backend.services.auth.app import create_app
from tests.services.auth.people import Person

SECRET = "of the tests, which is long enough to sign with"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return monkeypatch.setenv


@pytest.fixture
def command(environment, capsys):
    """Ask for a command; what it wrote. `fails` for one that must not do it: what it said."""

    class Command:
        def __call__(self, *words):
            assert main(words) == 0, capsys.readouterr().err
            return capsys.readouterr().out

        def told(self, *words):
            return json.loads(self(*words, "--json"))

        def fails(self, *words):
            assert main(words) == 1
            heard = capsys.readouterr()
            assert heard.out == ""
            return heard.err

    return Command()


@pytest.fixture
def client(command, environment):
    """The service beside which the commands work, with an admin that one of them made."""
    environment("ADMIN_USERNAME", "root")
    app = create_app()
    app.testing = True
    return app.test_client()


def sign_in(client, name, password):
    body = {"username": name, "password": password}
    return client.post("/login", json=body).status_code


def test_an_account_goes_through_its_days(command, client):
    made = command.told("users", "create", "ada", "--email", "ada@example.org", "--role", "viewer")

    assert sign_in(client, "ada", made["password"]) == 200
    assert made["roles"] == ["viewer"]
    assert "ada@example.org" in command("users", "list", "--search", "example.org")
    assert [each["username"] for each in command.told("users", "list")] == ["ada", "root"]
    command("users", "set-roles", "ada", "user")
    command("users", "disable", "ada@example.org")
    assert sign_in(client, "ada", made["password"]) == 403
    command("users", "enable", made["id"])
    assert sign_in(client, "ada", made["password"]) == 200
    assert command.told("users", "show", "ada")["roles"] == ["user"]
    command("users", "delete", "ada", "--yes")
    assert sign_in(client, "ada", made["password"]) == 401
    assert "users list --search" in command.fails("users", "show", "ada")


@pytest.mark.parametrize("way", ["made up", "from standard input", "by a token"])
def test_a_lost_password_is_mended(command, client, monkeypatch, way):
    password = "seven small boats"
    if way == "made up":
        password = command.told("users", "reset-password", "root")["password"]
    elif way == "from standard input":
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        assert password not in command("users", "reset-password", "root", "--password-stdin")
    else:
        token = command.told("users", "reset-password", "root", "--token")["token"]
        body = {"token": token, "new_password": password}
        assert client.post("/password/reset", json=body).status_code == 204
        assert client.post("/password/reset", json=body).status_code == 400

    assert sign_in(client, "root", password) == 200


def test_the_first_admin_may_be_made_before_anything_has_started(command, environment, tmp_path):
    made = command.told("users", "create", "root", "--role", "admin")
    client = create_app().test_client()

    assert sign_in(client, "root", made["password"]) == 200
    assert not (tmp_path / "announcements").exists()


def test_a_forgotten_device_and_too_many_tries_are_forgiven(command, client):
    made = command.told("users", "create", "ada")
    for _ in range(11):
        sign_in(client, "ada", "not her password")
    assert sign_in(client, "ada", made["password"]) == 429

    command("users", "unlock", "ada")
    assert sign_in(client, "ada", made["password"]) == 200

    ada = Person.sign_in(client, "ada", made["password"])
    assert client.post("/mfa/totp", headers=ada.bearer).status_code == 200
    again = command.told("users", "reset-password", "ada", "--drop-second-factor")
    assert sign_in(client, "ada", again["password"]) == 200


def test_the_last_admin_stays_one(command, client):
    for words in (("disable",), ("set-roles", "user"), ("delete", "--yes")):
        heard = command.fails("users", words[0], "root", *words[1:])
        assert "make somebody else one first" in heard


def test_nothing_is_deleted_unless_somebody_agrees(command, client, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert "--yes" in command.fails("users", "delete", "root")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("users", "create", "a b"), "user name"),
        (("users", "create", "root"), "Choose another"),
        (("users", "set-roles", "root", "emperor"), "built in"),
        (("tenants", "show", "nowhere"), "tenants list"),
        (("keys", "create", "root", "x", "--permissions", "moon:walk"), "rag:read"),
        (("keys", "create", "root", "x", "--tenant", "team"), "tenants add-member"),
        (("keys", "revoke", "aas_nothing"), "keys list"),
    ],
)
def test_what_can_not_be_done_says_what_can(command, client, words, said):
    command("users", "create", "ada")
    command("tenants", "create", "Team", "--admin", "ada")

    assert said in command.fails(*words)


def test_a_tenant_takes_in_and_lets_go(command, client):
    command("users", "create", "ada")
    command("users", "create", "bob")
    made = command.told("tenants", "create", "The Team", "--admin", "ada")
    command("tenants", "add-member", "the-team", "bob", "--role", "viewer")
    command("tenants", "rename", made["id"], "Another Team")
    shown = command.told("tenants", "show", "the-team")

    assert {each["username"]: each["roles"] for each in shown["members"]} == {
        "ada": ["tenant_admin"],
        "bob": ["viewer"],
    }
    assert [each["name"] for each in command.told("tenants", "list")] == ["Another Team"]
    assert len(command.told("tenants", "list", "--personal")) == 4
    command("tenants", "remove-member", "the-team", "bob")
    assert [each["username"] for each in command.told("tenants", "members", "the-team")] == ["ada"]


def test_a_key_acts_for_its_user_until_it_is_revoked(command, client):
    command("users", "create", "ada")
    words = ("keys", "create", "ada", "for the build", "--permissions", "rag:read", "--days", "3")
    key = command.told(*words)

    def exchange():
        return client.post("/api-keys/exchange", json={"key": key["key"]}).status_code

    assert exchange() == 200
    (listed,) = command.told("keys", "list", "--user", "ada")
    assert (listed["user"], listed["permissions"]) == ("ada", ["rag:read"])
    assert key["key"] not in json.dumps(listed)
    command("keys", "revoke", listed["begins"])
    assert exchange() == 401
    assert "no more than its owner" in command.fails(
        "keys", "create", "ada", "x", "--permissions", "system:read"
    )


def test_services_hear_at_once_what_a_command_ends(command, client, environment, valkey):
    environment("REDIS_URL", valkey.url)
    made = command.told("users", "create", "ada")
    command("users", "disable", "ada")

    assert valkey.client.get(user_key(made["id"])) == "1"


def test_a_redis_that_does_not_answer_is_told_of(command, client, environment, capsys):
    command("users", "create", "ada")
    environment("REDIS_URL", "redis://127.0.0.1:9/0")

    assert main(["users", "disable", "ada"]) == 0
    assert "ACCESS_TOKEN_SECONDS" in capsys.readouterr().err


def test_the_trail_tells_who_did_it(command, client):
    root = command.told("users", "reset-password", "root")
    command("users", "create", "ada")
    deeds = Person.sign_in(client, "root", root["password"]).get("/audit").json["items"]
    (made,) = [deed for deed in deeds if deed["action"] == "user.create"]

    assert (made["actor"], made["tenant_id"]) == ("operator", None)
    assert made["address"].startswith("command line (")


def test_it_works_alike_on_every_database(command, environment, each_database_url):
    environment("DATABASE_URL", each_database_url)
    command("users", "create", "ada")
    command("tenants", "create", "Team", "--admin", "ada")
    command("keys", "create", "ada", "one", "--tenant", "team")

    assert [each["username"] for each in command.told("users", "list")] == ["ada"]
    assert [each["slug"] for each in command.told("tenants", "list")] == ["team"]
    assert [each["name"] for each in command.told("keys", "list")] == ["one"]


def test_a_database_that_does_not_answer_is_told_of(command, environment):
    environment("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")

    assert "DATABASE_URL" in command.fails("users", "list")

"""Administration commands `python -m backend users|tenants|keys`."""

import io
import json

import pytest

from backend.security.revocation import user_key
from backend.services.auth.__main__ import main
from backend.services.auth.app import create_app
from tests.services.auth.api_user import ApiUser, get_problem

SECRET = "of the tests, which is long enough to sign with"


@pytest.fixture
def set_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return monkeypatch.setenv


@pytest.fixture
def command(set_variable, capsys):
    """Return an object that runs commands and returns their output."""

    class CommandRunner:
        def __call__(self, *arguments):
            """Run a command that succeeds; return its standard output."""
            assert main(arguments) == 0, capsys.readouterr().err
            return capsys.readouterr().out

        def run_json(self, *arguments):
            """Run a command with `--json`; return the parsed output."""
            return json.loads(self(*arguments, "--json"))

        def run_failing(self, *arguments):
            """Run a command that fails; return its standard error."""
            assert main(arguments) == 1
            output = capsys.readouterr()
            assert output.out == ""
            return output.err

    return CommandRunner()


@pytest.fixture
def client(command, set_variable):
    """Return a client of the auth service on the same database, with the first admin `root`."""
    set_variable("ADMIN_USERNAME", "root")
    app = create_app()
    app.testing = True
    return app.test_client()


def sign_in(client, name, password):
    body = {"username": name, "password": password}
    return client.post("/login", json=body).status_code


def test_users_commands_manage_an_account_from_creation_to_deletion(command, client):
    created = command.run_json(
        "users", "create", "ada", "--email", "ada@example.org", "--role", "viewer"
    )

    assert sign_in(client, "ada", created["password"]) == 200
    assert created["roles"] == ["viewer"]
    assert "ada@example.org" in command("users", "list", "--search", "example.org")
    assert [user["username"] for user in command.run_json("users", "list")] == ["ada", "root"]
    command("users", "set-roles", "ada", "user")
    command("users", "disable", "ada@example.org")
    assert sign_in(client, "ada", created["password"]) == 403
    command("users", "enable", created["id"])
    assert sign_in(client, "ada", created["password"]) == 200
    assert command.run_json("users", "show", "ada")["roles"] == ["user"]
    command("users", "delete", "ada", "--yes")
    assert sign_in(client, "ada", created["password"]) == 401
    assert "users list --search" in command.run_failing("users", "show", "ada")


@pytest.mark.parametrize("method", ["generated", "standard input", "token"])
def test_reset_password_command_sets_a_new_password(command, client, monkeypatch, method):
    password = "seven small boats"
    if method == "generated":
        password = command.run_json("users", "reset-password", "root")["password"]
    elif method == "standard input":
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        assert password not in command("users", "reset-password", "root", "--password-stdin")
    else:
        token = command.run_json("users", "reset-password", "root", "--token")["token"]
        body = {"token": token, "new_password": password}
        assert client.post("/password/reset", json=body).status_code == 204
        assert client.post("/password/reset", json=body).status_code == 400

    assert sign_in(client, "root", password) == 200


def test_first_admin_can_be_created_before_the_first_start(command, set_variable, tmp_path):
    created = command.run_json("users", "create", "root", "--role", "admin")
    client = create_app().test_client()

    assert sign_in(client, "root", created["password"]) == 200
    assert not (tmp_path / "announcements").exists()


def test_commands_reset_failed_sign_ins_and_remove_the_second_factor(command, client):
    created = command.run_json("users", "create", "ada")
    for _ in range(11):
        sign_in(client, "ada", "not her password")
    assert sign_in(client, "ada", created["password"]) == 429

    command("users", "unlock", "ada")
    assert sign_in(client, "ada", created["password"]) == 200

    ada = ApiUser.sign_in(client, "ada", created["password"])
    assert client.post("/mfa/totp", headers=ada.auth_headers).status_code == 200
    reset = command.run_json("users", "reset-password", "ada", "--drop-second-factor")
    assert sign_in(client, "ada", reset["password"]) == 200


def test_last_admin_cannot_be_removed(command, client):
    for name, *options in (("disable",), ("set-roles", "user"), ("delete", "--yes")):
        error = command.run_failing("users", name, "root", *options)
        assert "Give another user the admin role first" in error


def test_delete_requires_confirmation(command, client, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert "--yes" in command.run_failing("users", "delete", "root")


@pytest.mark.parametrize(
    ("arguments", "hint"),
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
def test_failing_command_prints_a_hint(command, client, arguments, hint):
    command("users", "create", "ada")
    command("tenants", "create", "Team", "--admin", "ada")

    assert hint in command.run_failing(*arguments)


def test_tenants_commands_add_and_remove_members(command, client):
    command("users", "create", "ada")
    command("users", "create", "bob")
    created = command.run_json("tenants", "create", "The Team", "--admin", "ada")
    command("tenants", "add-member", "the-team", "bob", "--role", "viewer")
    command("tenants", "rename", created["id"], "Another Team")
    shown = command.run_json("tenants", "show", "the-team")

    assert {member["username"]: member["roles"] for member in shown["members"]} == {
        "ada": ["tenant_admin"],
        "bob": ["viewer"],
    }
    assert [tenant["name"] for tenant in command.run_json("tenants", "list")] == ["Another Team"]
    assert len(command.run_json("tenants", "list", "--personal")) == 4
    command("tenants", "remove-member", "the-team", "bob")
    members = command.run_json("tenants", "members", "the-team")
    assert [member["username"] for member in members] == ["ada"]


def test_disable_and_tenant_deletion_take_effect_at_once_without_redis(command, client):
    ada = ApiUser.register(client, "ada")
    bob = ApiUser.register(client, "bob")
    tenant = command.run_json("tenants", "create", "Research", "--admin", "bob")
    bob = ApiUser.sign_in(client, "bob")
    in_tenant = bob.auth_headers | {"X-Tenant-ID": tenant["slug"]}
    body = {"name": "x", "permissions": ["rag:read"]}
    key = client.post("/api-keys", json=body, headers=in_tenant).json["key"]
    assert client.get("/me", headers=in_tenant).status_code == 200

    command("users", "disable", "ada")
    command("tenants", "delete", "research", "--yes")

    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert get_problem(client.get("/me", headers=in_tenant)) == (401, "session_ended")
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    assert bob.get("/me").status_code == 200


def test_key_is_accepted_until_it_is_revoked(command, client):
    command("users", "create", "ada")
    arguments = (
        "keys",
        "create",
        "ada",
        "for the build",
        "--permissions",
        "rag:read",
        "--days",
        "3",
    )
    key = command.run_json(*arguments)

    def exchange():
        return client.post("/api-keys/exchange", json={"key": key["key"]}).status_code

    assert exchange() == 200
    (listed,) = command.run_json("keys", "list", "--user", "ada")
    assert (listed["user"], listed["permissions"]) == ("ada", ["rag:read"])
    assert key["key"] not in json.dumps(listed)
    command("keys", "revoke", listed["begins"])
    assert exchange() == 401
    assert "no more permissions than its owner" in command.run_failing(
        "keys", "create", "ada", "x", "--permissions", "system:read"
    )


def test_command_publishes_revocation_immediately(command, client, set_variable, valkey):
    set_variable("REDIS_URL", valkey.url)
    created = command.run_json("users", "create", "ada")
    command("users", "disable", "ada")

    assert valkey.client.get(user_key(created["id"])) == "1"


def test_command_prints_a_warning_when_redis_does_not_respond(
    command, client, set_variable, capsys
):
    command("users", "create", "ada")
    set_variable("REDIS_URL", "redis://127.0.0.1:9/0")

    assert main(["users", "disable", "ada"]) == 0
    assert "so the services were not notified" in capsys.readouterr().err


def test_audit_log_names_the_operator(command, client):
    root = command.run_json("users", "reset-password", "root")
    command("users", "create", "ada")
    records = ApiUser.sign_in(client, "root", root["password"]).get("/audit").json["items"]
    (created,) = [record for record in records if record["action"] == "user.create"]

    assert (created["actor"], created["tenant_id"]) == ("operator", None)
    assert created["address"].startswith("command line (")


def test_commands_work_on_every_database(command, set_variable, each_database_url):
    set_variable("DATABASE_URL", each_database_url)
    command("users", "create", "ada")
    command("tenants", "create", "Team", "--admin", "ada")
    command("keys", "create", "ada", "one", "--tenant", "team")

    assert [user["username"] for user in command.run_json("users", "list")] == ["ada"]
    assert [tenant["slug"] for tenant in command.run_json("tenants", "list")] == ["team"]
    assert [key["name"] for key in command.run_json("keys", "list")] == ["one"]


def test_command_fails_with_a_hint_when_the_database_does_not_respond(command, set_variable):
    set_variable("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")

    assert "DATABASE_URL" in command.run_failing("users", "list")

"""Invitations: mail, acceptance by new and existing users, withdrawal and tenant separation."""

import re

import pytest

from backend.services.auth.app import create_app
from tests.servers import wait_until
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD

GRACE = "grace@example.org"
INVALID = (400, "invalid_invitation")
NEW_ACCOUNT = {"username": "grace", "password": PASSWORD}


@pytest.fixture
def invite(client, team):
    """Return a function that invites an address into the team's tenant."""

    def send_invitation(email=GRACE, headers=None, **fields):
        body = {"email": email, "roles": ["viewer"]} | fields
        return client.post("/invitations", json=body, headers=headers or team.admin_headers)

    return send_invitation


@pytest.fixture
def read_tokens(tmp_path):
    """Return a function that waits for *count* mails and returns all tokens by mail."""

    def read(count: int) -> list[tuple[str, str]]:
        folder = tmp_path / "mail"
        wait_until(lambda: len(list(folder.glob("*.eml"))) >= count)
        files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
        texts = [file.read_text().replace("=\n", "") for file in files]
        assert len(texts) == count
        return [(re.search(r"/console/invitation#(inv_[\w-]+)", text)[1], text) for text in texts]

    return read


@pytest.fixture
def invited_token(invite, read_tokens):
    assert invite().status_code == 201
    return read_tokens(1)[0][0]


def accept(client, token, headers=None, **fields):
    return client.post("/invitations/accept", json={"token": token} | fields, headers=headers)


def test_new_person_gets_an_account_with_the_roles_in_the_tenant(
    client, team, invite, read_tokens, execute
):
    invited = invite(roles=["viewer", "user", "viewer"])
    assert invited.status_code == 201
    assert invited.json["roles"] == ["viewer", "user"]
    assert "inv_" not in invited.text
    ((token, mail),) = read_tokens(1)
    assert f"To: {GRACE}" in mail
    assert "administrator invites you to join The Team" in mail

    accepted = accept(client, token, **NEW_ACCOUNT, display_name="Grace Hopper")

    assert accepted.status_code == 201
    user = accepted.json["user"]
    assert (user["email"], user["display_name"]) == (GRACE, "Grace Hopper")
    assert (user["tenant_id"], user["roles"]) == (team.id, ["user", "viewer"])
    assert [tenant["id"] for tenant in user["tenants"]] == [team.id]
    assert execute("SELECT email_verified FROM users WHERE username = 'grace'") == [(1,)]
    headers = {"Authorization": f"Bearer {accepted.json['access_token']}"}
    assert client.get("/me", headers=headers).json["username"] == "grace"
    assert ApiUser.sign_in(client, GRACE).username == "grace"
    assert client.get("/invitations", headers=team.admin_headers).json["items"] == []
    assert get_problem(accept(client, token, username="second", password=PASSWORD)) == INVALID


def test_signed_in_user_joins_the_tenant(client, team, ada, invited_token):
    joined = accept(client, invited_token, ada.auth_headers)

    assert joined.status_code == 200
    assert joined.json["tenant_id"] == team.id
    assert team.id in [tenant["id"] for tenant in joined.json["user"]["tenants"]]
    assert ada.get("/me").status_code == 200  # the session continues
    token = ada.refresh().json["access_token"]
    headers = {"Authorization": f"Bearer {token}", "X-Tenant-ID": team.id}
    assert client.get("/me", headers=headers).json["roles"] == ["viewer"]
    assert get_problem(accept(client, invited_token, ada.auth_headers)) == INVALID


def test_member_keeps_other_roles(client, team, invited_token):
    assert accept(client, invited_token, team.member.auth_headers).status_code == 200

    path = f"/tenants/{team.id}/members/{team.member.user['id']}"
    assert client.get(path, headers=team.admin_headers).json["roles"] == ["user", "viewer"]


def test_token_without_account_data_needs_a_session(client, ada, invited_token):
    key = client.post("/api-keys", json={"name": "k"}, headers=ada.auth_headers).json["key"]

    anonymous = accept(client, invited_token)
    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
    by_key = accept(client, invited_token, {"X-API-Key": key})
    assert get_problem(by_key) == (403, "session_required")
    assert accept(client, invited_token, ada.auth_headers).status_code == 200


def test_existing_address_is_not_disclosed_to_the_inviting_user(
    client, ada, invite, read_tokens, team
):
    known, unknown = invite(ada.user["email"]), invite(GRACE)

    assert known.status_code == unknown.status_code == 201
    assert known.json.keys() == unknown.json.keys()
    mails = {re.search(r"^To: (.*)$", mail, re.MULTILINE)[1]: mail for _, mail in read_tokens(2)}
    assert mails.keys() == {ada.user["email"], GRACE}


def test_acceptance_by_the_owner_of_the_address_requires_their_account(
    client, ada, invite, read_tokens
):
    invite(ada.user["email"])
    token = read_tokens(1)[0][0]

    taken = accept(client, token, username="ada2", password=PASSWORD)

    assert get_problem(taken) == (409, "email_taken")
    assert "Sign in" in taken.json["detail"]
    assert accept(client, token, ada.auth_headers).status_code == 200


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"username": "member", "password": PASSWORD}, (409, "username_taken")),
        ({"username": "grace", "password": "password1234"}, (422, "weak_password")),
        ({"username": "a b", "password": PASSWORD}, (422, "validation_failed")),
        ({"username": "grace"}, (422, "validation_failed")),
        ({"password": PASSWORD}, (422, "validation_failed")),
        ({"email": "other@example.org", **NEW_ACCOUNT}, (422, "validation_failed")),
        ({"roles": ["admin"], **NEW_ACCOUNT}, (422, "validation_failed")),
    ],
)
def test_rejected_acceptance_does_not_use_the_token(client, invited_token, fields, problem):
    assert get_problem(accept(client, invited_token, **fields)) == problem
    assert accept(client, invited_token, **NEW_ACCOUNT).status_code == 201


def test_token_expires_after_seven_days(client, team, invited_token, clock):
    clock.advance(days=7)

    assert get_problem(accept(client, invited_token, **NEW_ACCOUNT)) == INVALID
    administrator = ApiUser.sign_in(client, "administrator")
    headers = administrator.auth_headers | {"X-Tenant-ID": team.id}
    (listed,) = client.get("/invitations", headers=headers).json["items"]
    assert listed["expires_at"] == "2026-01-08T12:00:00Z"


def test_token_works_until_it_expires(client, invited_token, clock):
    clock.advance(days=6, hours=23, minutes=59)

    assert accept(client, invited_token, **NEW_ACCOUNT).status_code == 201


def test_withdrawn_invitation_cannot_be_accepted(client, team, invited_token):
    (listed,) = client.get("/invitations", headers=team.admin_headers).json["items"]
    path = f"/invitations/{listed['id']}"
    assert client.get(path, headers=team.admin_headers).json == listed

    assert client.delete(path, headers=team.admin_headers).status_code == 204

    assert get_problem(accept(client, invited_token, **NEW_ACCOUNT)) == INVALID
    assert client.delete(path, headers=team.admin_headers).status_code == 404
    assert client.get(path, headers=team.admin_headers).status_code == 404


def test_second_invitation_replaces_the_first(client, team, invite, read_tokens):
    invite("Grace@Example.org", roles=["user"])
    first = read_tokens(1)[0][0]
    invite(roles=["viewer"])
    (second,) = {token for token, _ in read_tokens(2)} - {first}

    (listed,) = client.get("/invitations", headers=team.admin_headers).json["items"]
    assert (listed["email"], listed["roles"]) == (GRACE, ["viewer"])
    assert get_problem(accept(client, first, **NEW_ACCOUNT)) == INVALID
    assert accept(client, second, **NEW_ACCOUNT).json["user"]["roles"] == ["viewer"]


@pytest.mark.parametrize(
    ("roles", "status", "code"),
    [
        (["admin"], 403, "permission_denied"),
        (["unknown"], 422, "validation_failed"),
        ([], 422, "validation_failed"),
    ],
)
def test_only_roles_that_the_caller_may_assign(client, team, invite, roles, status, code):
    assert get_problem(invite(roles=roles)) == (status, code)
    assert client.get("/invitations", headers=team.admin_headers).json["items"] == []


def test_member_without_permission_cannot_invite(client, team, invite):
    headers = team.member.auth_headers | {"X-Tenant-ID": team.id}

    assert invite(headers=headers).status_code == 403
    assert client.get("/invitations", headers=headers).status_code == 403
    assert client.delete("/invitations/unknown", headers=headers).status_code == 403


def test_administrator_cannot_replace_or_withdraw_what_they_could_not_grant(
    client, team, admin, invite
):
    path = f"/tenants/{team.id}/members/{admin.user['id']}"
    client.put(path, json={"roles": ["admin"]}, headers=admin.auth_headers)
    headers = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD).auth_headers
    created = invite(roles=["admin"], headers=headers | {"X-Tenant-ID": team.id})
    assert created.status_code == 201
    path = f"/invitations/{created.json['id']}"

    assert get_problem(invite()) == (403, "permission_denied")
    response = client.delete(path, headers=team.admin_headers)
    assert get_problem(response) == (403, "permission_denied")


def test_invitation_of_a_former_administrator_is_invalid(client, team, admin, invited_token):
    path = f"/tenants/{team.id}/members/{team.administrator.user['id']}"
    headers = admin.auth_headers
    assert client.put(path, json={"roles": ["user"]}, headers=headers).status_code == 200

    assert get_problem(accept(client, invited_token, **NEW_ACCOUNT)) == INVALID


def test_invitation_of_a_deleted_administrator_is_invalid(client, team, admin, invited_token):
    path = f"/users/{team.administrator.user['id']}"
    assert client.delete(path, headers=admin.auth_headers).status_code == 204

    assert get_problem(accept(client, invited_token, **NEW_ACCOUNT)) == INVALID


def test_invitation_ends_with_the_tenant(client, team, admin, invited_token, execute):
    response = client.delete(f"/tenants/{team.id}", headers=admin.auth_headers)
    assert response.status_code == 204

    assert get_problem(accept(client, invited_token, **NEW_ACCOUNT)) == INVALID
    assert execute("SELECT count(*) FROM invitations") == [(0,)]


def test_administrator_of_the_system_invites_to_an_account_of_its_own(
    client, admin, ada, invite, read_tokens
):
    assert invite(headers=admin.auth_headers, roles=["user"]).status_code == 201
    token, mail = read_tokens(1)[0]
    assert "admin invites you to create an account" in mail

    assert get_problem(accept(client, token, ada.auth_headers)) == (409, "account_exists")
    user = accept(client, token, **NEW_ACCOUNT).json["user"]
    assert user["roles"] == ["user"]
    assert user["tenant_id"] != admin.user["tenant_id"]


def test_other_tenants_see_no_invitation(client, admin, team, invite):
    created = invite().json
    path = f"/invitations/{created['id']}"

    assert client.get("/invitations", headers=admin.auth_headers).json["items"] == []
    assert client.get(path, headers=admin.auth_headers).status_code == 404
    assert client.delete(path, headers=admin.auth_headers).status_code == 404


def test_api_key_cannot_invite_or_withdraw(client, team, admin, invite):
    created = invite().json
    body = {"name": "k", "permissions": ["users:read", "users:write"]}
    key = client.post("/api-keys", json=body, headers=team.admin_headers)
    headers = {"X-API-Key": key.json["key"]}

    assert get_problem(invite(headers=headers)) == (403, "session_required")
    response = client.delete(f"/invitations/{created['id']}", headers=headers)
    assert get_problem(response) == (403, "session_required")
    assert len(client.get("/invitations", headers=headers).json["items"]) == 1


def test_address_gets_five_invitations_in_an_hour(invite, clock):
    assert [invite().status_code for _ in range(6)] == [201] * 5 + [429]
    assert invite("other@example.org").status_code == 201


def test_token_is_stored_as_a_digest_and_the_mail_is_encrypted(invited_token, execute):
    for table in ("invitations", "outgoing_mails", "audit_records", "auth_idempotency_keys"):
        assert invited_token not in str(execute(f"SELECT * FROM {table}"))  # noqa: S608


def test_invitation_is_refused_without_mail_server(make_settings, clock):
    secret = "vN8c3TqzKp5yWb2LrXe7HsGd4JmUf9Aa"
    settings = make_settings(APP_ENV="production", SECRET_KEY=secret, JWT_SECRET_KEY=secret[::-1])
    client = create_app(settings, clock.now).test_client()
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)

    response = client.post("/invitations", json={"email": GRACE}, headers=admin.auth_headers)

    assert get_problem(response) == (409, "mail_unavailable")


def test_invitations_are_audited(client, team, invited_token):
    accept(client, invited_token, **NEW_ACCOUNT)

    records = client.get("/audit", headers=team.admin_headers).json["items"]
    found = {record["action"]: record for record in records}
    assert found["invitation.create"]["actor"] == "administrator"
    assert found["invitation.create"]["details"] == {"email": GRACE, "roles": ["viewer"]}
    accepted = found["invitation.accept"]
    assert (accepted["actor"], accepted["details"]["new_account"]) == ("grace", True)
    assert accepted["details"]["invited_by"] == team.administrator.user["id"]


def test_list_is_paged(client, team, invite, clock):
    for number in range(5):
        invite(f"guest{number}@example.org")
        clock.advance(seconds=1)

    first = client.get("/invitations?limit=3", headers=team.admin_headers).json
    rest = client.get(
        f"/invitations?limit=3&cursor={first['next_cursor']}", headers=team.admin_headers
    ).json

    emails = [item["email"] for item in first["items"] + rest["items"]]
    assert emails == [f"guest{number}@example.org" for number in (4, 3, 2, 1, 0)]
    assert rest["next_cursor"] is None


def test_session_in_cookies_for_a_new_account(client, invited_token):
    headers = {"Sec-Fetch-Site": "same-origin", "X-Requested-With": "console"}

    accepted = accept(client, invited_token, headers, **NEW_ACCOUNT, session="cookie")

    assert accepted.status_code == 201
    assert "access_token" not in accepted.json
    assert len(accepted.headers.getlist("Set-Cookie")) >= 2

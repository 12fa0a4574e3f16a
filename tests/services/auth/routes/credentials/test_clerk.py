"""Exchange of Clerk's session tokens: users, organizations, sessions, and webhooks."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import make_url

from backend.security.authentication import get_security_context
from backend.security.service_tokens import ServiceTokens
from backend.services.auth.app import create_app
from tests.clerk import (
    ISSUER,
    PARTY,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    WEBHOOK_SECRET,
    Clerk,
    get_public_pem,
    serve,
)
from tests.services.auth.api_user import ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.routes.test_delegations import claims_of

ORIGIN = {"X-Forwarded-For": "203.0.113.9"}
ORGANIZATION = {"id": "org_acme", "slg": "acme", "rol": "member"}
ADMINISTRATOR = ORGANIZATION | {"rol": "admin"}


@pytest.fixture
def clerk(clock):
    with serve(Clerk(lambda: clock.now().timestamp())) as stand_in:
        yield stand_in


@pytest.fixture
def start(make_settings, clock, clerk, initialized_database):
    """Return a function that starts auth with the given variables."""

    def build(**variables):
        values = {
            "CLERK_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
            "CLERK_AUTHORIZED_PARTIES": PARTY,
            "CLERK_JWT_KEY": get_public_pem(),
            "CLERK_API_URL": clerk.url,
            "CLERK_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SECRET_KEY": "a secret that all services of the tests share",
        }
        settings = make_settings(**{**values, **variables})
        if settings.database_url.startswith("sqlite"):
            shutil.copy(initialized_database, str(make_url(settings.database_url).database))
        app = create_app(settings, clock.now)
        app.testing = True
        return app

    return build


@pytest.fixture
def app(start):
    return start()


class Gateway:
    """Exchanges tokens as the gateway does, and calls auth with the results."""

    def __init__(self, app, clerk):
        self.client = app.test_client()
        self.clerk = clerk
        secret = get_security_context(app).service_tokens._secret
        self._tokens = ServiceTokens(secret, "gateway")

    def exchange(self, token):
        headers = {"X-Service-Token": self._tokens.get_token("auth-service"), **ORIGIN}
        return self.client.post("/internal/clerk/exchange", json={"token": token}, headers=headers)

    def sign_in(self, **claims):
        """Return the headers with our token for a new session token."""
        response = self.exchange(self.clerk.sign(**claims))
        assert response.status_code == 200, response.json
        return {"Authorization": f"Bearer {response.json['access_token']}"}

    def get_problem(self, **claims):
        return get_problem(self.exchange(self.clerk.sign(**claims)))

    def get_me(self, headers):
        response = self.client.get("/me", headers=headers)
        assert response.status_code == 200, response.json
        return response.json

    def get_slug(self, headers):
        """Return the slug of the selected tenant."""
        me = self.get_me(headers)
        return next(item["slug"] for item in me["tenants"] if item["id"] == me["tenant_id"])

    def send_webhook(self, clock, event_type, data, **options):
        body = json.dumps({"type": event_type, "data": data, **options}).encode()
        headers = self.clerk.sign_webhook(body, clock.now())
        return self.client.post("/clerk/webhook", data=body, headers=headers)


@pytest.fixture
def gateway(app, clerk):
    return Gateway(app, clerk)


def get_tenant(headers):
    return claims_of(headers["Authorization"].removeprefix("Bearer "))["tid"]


def get_scope(headers):
    claims = claims_of(headers["Authorization"].removeprefix("Bearer "))
    assert "tenants" not in claims
    return set(claims["scope"].split())


def sign_in_admin(client):
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)


def test_first_token_creates_a_user_that_all_later_tokens_act_as(gateway):
    first = gateway.get_me(gateway.sign_in(username="ada", name="Ada L."))
    second = gateway.get_me(gateway.sign_in(sid="sess_2"))

    assert first["username"] == "ada"
    assert first["display_name"] == "Ada L."
    assert second["id"] == first["id"]
    assert gateway.get_me(gateway.sign_in(sub="user_bob", sid="sess_3"))["id"] != first["id"]


def test_response_lives_as_long_as_the_session_token(gateway, clerk, clock):
    token = clerk.sign()
    clock.advance(seconds=20)
    response = gateway.exchange(token)

    assert response.json["expires_in"] == 40
    assert response.headers["Cache-Control"] == "no-store"
    clock.advance(seconds=43)
    assert gateway.exchange(token).json["expires_in"] == 1  # within the clock skew
    clock.advance(seconds=3)
    assert get_problem(gateway.exchange(token)) == (401, "invalid_clerk_token")


def test_rejected_token_creates_nothing(gateway, execute):
    before = execute("SELECT count(*) FROM users")

    assert gateway.get_problem(azp="https://evil.example") == (401, "invalid_clerk_token")
    assert gateway.get_problem(key="other") == (401, "invalid_clerk_token")
    assert execute("SELECT count(*) FROM users") == before
    assert execute("SELECT count(*) FROM sessions") == [(0,)]


def test_only_services_can_exchange_tokens(gateway, clerk):
    response = gateway.client.post("/internal/clerk/exchange", json={"token": clerk.sign()})

    assert get_problem(response) == (403, "internal_only")


def test_exchange_is_not_found_without_an_application(start, clerk):
    app = start(
        **dict.fromkeys(("CLERK_PUBLISHABLE_KEY", "CLERK_AUTHORIZED_PARTIES", "CLERK_JWT_KEY"), ""),
        CLERK_WEBHOOK_SECRET="",
        CLERK_API_URL="",
    )
    gateway = Gateway(app, clerk)

    assert gateway.get_problem() == (404, "not_found")
    assert gateway.client.post("/clerk/webhook", data=b"{}").status_code == 404


def test_token_without_an_organization_acts_in_the_personal_tenant(gateway):
    headers = gateway.sign_in()

    assert gateway.get_slug(headers).startswith("u-")
    assert "users:read" not in get_scope(headers)


def test_organization_is_a_tenant_and_its_administrators_are_tenant_admins(gateway):
    member = gateway.sign_in(o=ORGANIZATION)
    administrator = gateway.sign_in(sub="user_bob", sid="sess_2", o=ADMINISTRATOR)

    assert get_tenant(member) == get_tenant(administrator)
    assert gateway.get_slug(member) == "acme"
    assert "users:write" in get_scope(administrator)
    assert "users:write" not in get_scope(member)
    assert not {"system:read", "system:write"} & get_scope(administrator)
    members = gateway.client.get("/users", headers=administrator).json["items"]
    assert len(members) == 2


def test_claims_of_version_1_select_the_same_tenant(gateway):
    version_2 = gateway.sign_in(o=ADMINISTRATOR)
    version_1 = gateway.sign_in(v=..., org_id="org_acme", org_role="org:admin", org_slug="acme")

    assert get_tenant(version_1) == get_tenant(version_2)
    assert get_scope(version_1) == get_scope(version_2)


def test_another_active_organization_changes_the_tenant_of_the_token(gateway):
    acme = gateway.sign_in(o=ADMINISTRATOR)
    other = gateway.sign_in(o={"id": "org_other", "rol": "member"})
    none = gateway.sign_in()

    assert len({get_tenant(headers) for headers in (acme, other, none)}) == 3
    assert "users:write" not in get_scope(other)
    for headers in (other, none):
        for name in (get_tenant(acme), "acme"):
            response = gateway.client.get("/me", headers={**headers, "X-Tenant-ID": name})
            assert get_problem(response) == (403, "not_a_member")


def test_organization_gets_no_existing_tenant_by_its_slug(gateway):
    admin = sign_in_admin(gateway.client)
    body = {"name": "Acme", "slug": "acme"}
    tenant = gateway.client.post("/tenants", json=body, headers=admin.auth_headers).json

    headers = gateway.sign_in(o=ADMINISTRATOR)

    assert get_tenant(headers) != tenant["id"]
    assert gateway.get_slug(headers).startswith("acme-")


def test_configured_organization_is_the_existing_tenant(start, clerk):
    gateway = Gateway(start(CLERK_ORGANIZATIONS="org_acme=team,org_lost=lost"), clerk)
    admin = sign_in_admin(gateway.client)
    tenant = gateway.client.post("/tenants", json={"name": "Team"}, headers=admin.auth_headers).json

    assert get_tenant(gateway.sign_in(o=ORGANIZATION)) == tenant["id"]
    assert gateway.get_problem(o={"id": "org_lost"}) == (401, "invalid_clerk_token")


def test_role_changes_with_the_next_token_and_an_older_token_does_not_restore_it(
    gateway, clerk, clock
):
    old_token = clerk.sign(o=ADMINISTRATOR)
    old_headers = gateway.sign_in(o=ADMINISTRATOR)
    clock.advance(seconds=10)

    new_headers = gateway.sign_in(o=ORGANIZATION)

    assert "users:write" not in get_scope(new_headers)
    assert get_problem(gateway.client.get("/users", headers=old_headers)) == (401, "session_ended")
    restored = gateway.exchange(old_token).json["access_token"]
    assert "users:write" not in get_scope({"Authorization": restored})


def test_role_that_an_administrator_here_has_granted_stays(gateway, clock):
    headers = gateway.sign_in(o=ORGANIZATION)
    tenant, user = get_tenant(headers), gateway.get_me(headers)["id"]
    admin = sign_in_admin(gateway.client)
    url = f"/tenants/{tenant}/members/{user}"
    roles = {"roles": ["user", "support"]}
    gateway.client.put(url, json=roles, headers=admin.auth_headers)
    clock.advance(seconds=30)

    assert "chat:reply" in get_scope(gateway.sign_in(o=ORGANIZATION))
    clock.advance(seconds=30)
    assert {"chat:reply", "users:write"} <= get_scope(gateway.sign_in(o=ADMINISTRATOR))


def test_member_that_was_removed_here_is_not_added_again(gateway, clock):
    headers = gateway.sign_in(o=ORGANIZATION)
    tenant, user = get_tenant(headers), gateway.get_me(headers)["id"]
    admin = sign_in_admin(gateway.client)
    gateway.client.delete(f"/tenants/{tenant}/members/{user}", headers=admin.auth_headers)
    clock.advance(seconds=30)

    assert gateway.get_problem(o=ORGANIZATION) == (401, "invalid_clerk_token")
    assert gateway.get_slug(gateway.sign_in()).startswith("u-")


def test_deleted_tenant_is_not_created_again(gateway):
    tenant = get_tenant(gateway.sign_in(o=ORGANIZATION))
    admin = sign_in_admin(gateway.client)
    response = gateway.client.delete(f"/tenants/{tenant}", headers=admin.auth_headers)
    assert response.status_code == 204, response.json

    assert gateway.get_problem(o=ORGANIZATION) == (401, "invalid_clerk_token")


def test_system_role_cannot_be_claimed(gateway):
    for role in ("admin", "org:admin", "system", "org:system_admin"):
        headers = gateway.sign_in(o=ORGANIZATION | {"rol": role}, role="admin", roles=["admin"])
        assert not {"system:read", "system:write"} & get_scope(headers)


def test_trusted_email_links_the_existing_account(start, clerk):
    gateway = Gateway(start(CLERK_TRUST_EMAIL="true"), clerk)
    ada = ApiUser.register(gateway.client, "ada", email="ada@example.org")

    linked = gateway.sign_in(email="ada@example.org", email_verified=True)

    assert gateway.get_me(linked)["id"] == ada.user["id"]


@pytest.mark.parametrize(
    ("trust", "claims"),
    [("false", {"email_verified": True}), ("true", {"email_verified": False}), ("true", {})],
)
def test_email_that_is_not_trusted_or_not_verified_links_nothing(start, clerk, trust, claims):
    gateway = Gateway(start(CLERK_TRUST_EMAIL=trust), clerk)
    ada = ApiUser.register(gateway.client, "ada", email="ada@example.org")

    me = gateway.get_me(gateway.sign_in(email="ada@example.org", **claims))

    assert me["id"] != ada.user["id"]
    assert me["email"] is None


def test_email_of_a_system_administrator_links_nothing(start, clerk):
    app = start(CLERK_TRUST_EMAIL="true")
    gateway = Gateway(app, clerk)
    admin = sign_in_admin(gateway.client)
    gateway.client.post(
        "/users",
        json={
            "username": "root",
            "password": "seven small boats",
            "email": "root@example.org",
            "roles": ["admin"],
        },
        headers=admin.auth_headers,
    )

    headers = gateway.sign_in(email="root@example.org", email_verified=True)

    assert not {"system:read", "system:write"} & get_scope(headers)
    assert gateway.get_me(headers)["username"] != "root"


PROFILE = {
    "id": "user_ada",
    "username": None,
    "first_name": "Ada",
    "last_name": "Lovelace",
    "primary_email_address_id": "idn_1",
    "email_addresses": [
        {"id": "idn_2", "email_address": "x@example.org", "verification": None},
        {
            "id": "idn_1",
            "email_address": "ada@example.org",
            "verification": {"status": "verified", "strategy": "email_code"},
        },
    ],
}


def test_profile_of_a_new_user_is_read_once_from_the_backend_api(start, clerk):
    gateway = Gateway(start(CLERK_TRUST_EMAIL="true", CLERK_SECRET_KEY=SECRET_KEY), clerk)
    clerk.profiles["user_ada"] = PROFILE

    user = gateway.get_me(gateway.sign_in())
    gateway.sign_in(sid="sess_2")

    assert (user["email"], user["display_name"]) == ("ada@example.org", "Ada Lovelace")
    assert user["username"] == "ada"
    assert clerk.requests == ["/v1/users/user_ada"]
    assert clerk.authorizations == [f"Bearer {SECRET_KEY}"]


def test_new_user_is_unavailable_while_the_backend_api_fails_and_known_users_are_not(start, clerk):
    gateway = Gateway(start(CLERK_TRUST_EMAIL="true", CLERK_SECRET_KEY=SECRET_KEY), clerk)
    clerk.profiles["user_ada"] = PROFILE
    gateway.sign_in()
    clerk.fault = "status"

    gateway.sign_in(sid="sess_2")
    assert gateway.get_problem(sub="user_bob") == (503, "provider_unavailable")
    clerk.fault = None
    assert gateway.get_problem(sub="user_bob") == (401, "invalid_clerk_token")  # deleted


def test_keys_are_unavailable_with_status_503(start, clerk):
    app = start(CLERK_JWT_KEY="", CLERK_JWKS_URL=f"{clerk.url}/.well-known/jwks.json")
    gateway = Gateway(app, clerk)
    clerk.fault = "status"

    response = gateway.exchange(clerk.sign())

    assert get_problem(response) == (503, "provider_unavailable")
    assert response.headers["Retry-After"]


def test_signed_out_session_is_ended_for_all_its_tokens(gateway, clock):
    headers = gateway.sign_in()
    other = gateway.sign_in(sid="sess_2")

    assert gateway.client.post("/logout", headers=headers).status_code == 204
    clock.advance(seconds=30)

    assert gateway.get_problem() == (401, "session_ended")
    assert gateway.client.get("/me", headers=headers).status_code == 401
    assert gateway.client.get("/me", headers=other).status_code == 200


def test_ended_session_stays_ended_after_its_retention(gateway, clock):
    gateway.client.post("/logout", headers=gateway.sign_in())
    clock.advance(days=400)
    gateway.sign_in(sid="sess_2")

    assert gateway.get_problem() == (401, "session_ended")


def test_session_that_was_not_used_for_long_is_opened_again(gateway, clock):
    gateway.sign_in()
    clock.advance(days=31)
    gateway.sign_in()
    clock.advance(days=60)
    gateway.sign_in(sid="sess_2")

    assert gateway.get_me(gateway.sign_in())


def test_sign_out_everywhere_ends_the_session(gateway):
    headers = gateway.sign_in()

    assert gateway.client.post("/logout/all", headers=headers).status_code == 204
    assert gateway.get_problem() == (401, "session_ended")


def test_session_is_listed_and_can_be_ended_by_its_owner(gateway, clock):
    gateway.sign_in()
    headers = gateway.sign_in(sid="sess_2")
    sessions = gateway.client.get("/me/sessions", headers=headers).json["items"]

    assert {item["method"] for item in sessions} == {"clerk"}
    assert {item["address"] for item in sessions} == {"203.0.113.9"}
    first = next(item["id"] for item in sessions if not item["current"])
    gateway.client.delete(f"/me/sessions/{first}", headers=headers)
    assert gateway.get_problem() == (401, "session_ended")


def test_disabled_user_is_rejected(gateway):
    headers = gateway.sign_in()
    user = gateway.get_me(headers)["id"]
    admin = sign_in_admin(gateway.client)
    gateway.client.patch(f"/users/{user}", json={"disabled": True}, headers=admin.auth_headers)

    assert gateway.client.get("/me", headers=headers).status_code == 401
    assert gateway.get_problem(sid="sess_2") == (403, "account_disabled")


def test_deleted_user_is_rejected(gateway):
    user = gateway.get_me(gateway.sign_in())["id"]
    admin = sign_in_admin(gateway.client)
    gateway.client.delete(f"/users/{user}", headers=admin.auth_headers)

    assert gateway.get_problem(sid="sess_2") == (401, "invalid_clerk_token")


def test_session_of_another_user_is_rejected(gateway):
    gateway.sign_in()

    assert gateway.get_problem(sub="user_bob") == (401, "invalid_clerk_token")


def test_sensitive_operation_needs_a_recent_proof_at_clerk(gateway, clock):
    key = {"name": "import", "permissions": ["rag:write"]}

    def create_key(**claims):
        return gateway.client.post("/api-keys", json=key, headers=gateway.sign_in(**claims))

    for stale in ({"fva": [30, -1]}, {"fva": ...}):
        assert get_problem(create_key(**stale)) == (403, "reauthentication_required")
    assert create_key(fva=[1, -1]).status_code == 201
    clock.advance(minutes=6)
    assert get_problem(create_key(fva=[7, -1])) == (403, "reauthentication_required")


def test_last_use_of_a_session_is_stored_once_a_minute(gateway, clock, execute):
    query = "SELECT last_used_at FROM sessions"
    gateway.sign_in()
    first = execute(query)
    clock.advance(seconds=59)
    gateway.sign_in()
    assert execute(query) == first
    clock.advance(seconds=1)
    gateway.sign_in()
    assert execute(query) != first


def test_concurrent_first_tokens_create_one_user_and_one_tenant(app, clerk, execute):
    token = clerk.sign(o=ORGANIZATION)

    with ThreadPoolExecutor(6) as executor:
        gateways = [Gateway(app, clerk) for _ in range(12)]
        statuses = list(executor.map(lambda item: item.exchange(token).status_code, gateways))

    assert set(statuses) == {200}
    assert execute("SELECT count(*) FROM external_identities") == [(1,)]
    assert execute("SELECT count(*) FROM external_organizations") == [(1,)]
    assert execute("SELECT count(*) FROM sessions") == [(1,)]


# Webhooks


@pytest.mark.parametrize("event", ["session.ended", "session.removed", "session.revoked"])
def test_session_that_ended_at_clerk_is_ended_here(gateway, clock, event, list_events):
    headers = gateway.sign_in()
    data = {"object": "session", "id": "sess_1", "user_id": "user_ada", "status": "revoked"}

    for _ in range(2):  # Clerk repeats webhooks
        assert gateway.send_webhook(clock, event, data).status_code == 204

    assert gateway.client.get("/me", headers=headers).status_code == 401
    assert gateway.get_problem() == (401, "session_ended")
    assert gateway.sign_in(sid="sess_2")
    ended = [data for name, _, data in list_events() if name == "auth.session-ended"]
    assert [data["reason"] for data in ended] == ["ended_by_provider"]


def test_session_that_ended_before_its_first_token_cannot_be_opened(gateway, clock):
    gateway.sign_in(sid="sess_2")
    gateway.send_webhook(clock, "session.revoked", {"id": "sess_1", "user_id": "user_ada"})

    assert gateway.get_problem() == (401, "session_ended")


def test_user_who_was_deleted_at_clerk_is_disabled(gateway, clock):
    headers = gateway.sign_in()
    key = {"name": "import", "permissions": ["rag:read"]}
    api_key = gateway.client.post("/api-keys", json=key, headers=headers).json["key"]

    data = {"id": "user_ada", "object": "user", "deleted": True}
    assert gateway.send_webhook(clock, "user.deleted", data).status_code == 204

    assert gateway.client.get("/me", headers=headers).status_code == 401
    assert gateway.client.get("/me", headers={"X-API-Key": api_key}).status_code == 401
    assert gateway.get_problem(sid="sess_2") == (403, "account_disabled")


def test_system_administrator_is_not_disabled_by_a_webhook(gateway, clock):
    headers = gateway.sign_in()
    user = gateway.get_me(headers)["id"]
    admin = sign_in_admin(gateway.client)
    body = {"roles": ["admin"]}
    gateway.client.patch(f"/users/{user}", json=body, headers=admin.auth_headers)

    gateway.send_webhook(clock, "user.deleted", {"id": "user_ada", "deleted": True})

    assert gateway.get_problem() == (401, "session_ended")
    shown = gateway.client.get(f"/users/{user}", headers=admin.auth_headers).json
    assert not shown["disabled"]


MEMBERSHIP = {
    "id": "orgmem_1",
    "role": "org:member",
    "organization": {"id": "org_acme", "slug": "acme"},
    "public_user_data": {"user_id": "user_ada", "identifier": "ada@example.org"},
}


def test_removed_member_loses_the_tenant_and_an_older_token_does_not_restore_it(
    gateway, clerk, clock
):
    headers = gateway.sign_in(o=ADMINISTRATOR)
    tenant = get_tenant(headers)
    token = clerk.sign(o=ADMINISTRATOR)
    clock.advance(seconds=5)

    response = gateway.send_webhook(clock, "organizationMembership.deleted", MEMBERSHIP)

    assert response.status_code == 204
    assert gateway.client.get("/users", headers=headers).status_code == 401
    assert get_problem(gateway.exchange(token)) == (401, "invalid_clerk_token")
    assert get_tenant(gateway.sign_in()) != tenant
    clock.advance(seconds=10)
    assert get_tenant(gateway.sign_in(o=ORGANIZATION)) == tenant  # was added at Clerk again


def test_removal_before_the_first_token_rejects_older_tokens(gateway, clerk, clock):
    token = clerk.sign(o=ORGANIZATION)
    clock.advance(seconds=5)
    gateway.send_webhook(clock, "organizationMembership.deleted", MEMBERSHIP)

    assert get_problem(gateway.exchange(token)) == (401, "invalid_clerk_token")


def test_late_webhook_does_not_undo_a_newer_token(gateway, clock):
    removed_at = int(clock.now().timestamp() * 1000)
    clock.advance(seconds=60)
    headers = gateway.sign_in(o=ORGANIZATION)

    gateway.send_webhook(clock, "organizationMembership.deleted", MEMBERSHIP, timestamp=removed_at)

    assert gateway.client.get("/me", headers=headers).status_code == 200


def test_late_webhook_does_not_undo_a_newer_token_with_the_same_role(gateway, clock):
    gateway.sign_in(o=ORGANIZATION)
    clock.advance(seconds=30)
    removed_at = int(clock.now().timestamp() * 1000)
    clock.advance(seconds=30)
    headers = gateway.sign_in(o=ORGANIZATION)  # was added at Clerk again

    gateway.send_webhook(clock, "organizationMembership.deleted", MEMBERSHIP, timestamp=removed_at)

    assert gateway.client.get("/me", headers=headers).status_code == 200


def test_changed_role_takes_effect_with_the_webhook(gateway, clock):
    headers = gateway.sign_in(o=ADMINISTRATOR)
    clock.advance(seconds=5)
    gateway.send_webhook(clock, "organizationMembership.updated", MEMBERSHIP)

    assert gateway.client.get("/users", headers=headers).status_code == 401
    clock.advance(seconds=5)
    assert "users:write" not in get_scope(gateway.sign_in(o=ORGANIZATION))


def test_webhook_with_another_signature_is_rejected(gateway, clerk, clock):
    headers = gateway.sign_in()
    event = {"type": "session.revoked", "data": {"id": "sess_1", "user_id": "user_ada"}}
    body = json.dumps(event).encode()
    now = clock.now()
    signed = clerk.sign_webhook(body, now)
    rejected = [
        {},
        clerk.sign_webhook(body, now, secret="whsec_" + "b3RoZXI="),
        clerk.sign_webhook(body + b" ", now),
        clerk.sign_webhook(body, now - timedelta(seconds=301)),
        clerk.sign_webhook(body, now + timedelta(seconds=301)),
        signed | {"svix-id": "msg_2"},
        signed | {"svix-timestamp": "x"},
        signed | {"svix-signature": "v1,"},
    ]

    for bad in rejected:
        response = gateway.client.post("/clerk/webhook", data=body, headers=bad)
        assert get_problem(response) == (401, "invalid_signature")
    assert gateway.client.get("/me", headers=headers).status_code == 200
    # After a rotation at Svix, both signatures are sent. Other senders use the standard's names.
    both = signed | {"svix-signature": f"v1,b3RoZXI= {signed['svix-signature']}"}
    assert gateway.client.post("/clerk/webhook", data=body, headers=both).status_code == 204
    standard = clerk.sign_webhook(body, now, prefix="webhook")
    assert gateway.client.post("/clerk/webhook", data=body, headers=standard).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"[" * 100_000,
        b'{"type": "user.created", "data": {"id": "user_1"}}',
        b'{"type": "user.deleted", "data": {}}',
        b'{"type": "user.deleted", "data": {"id": 7}}',
        b'{"type": "user.deleted", "data": {"id": "user_unknown"}}',
        b'{"type": "session.ended", "data": {"id": "sess_9", "user_id": "user_unknown"}}',
        b'{"type": "organizationMembership.deleted", "data": {"organization": null}}',
        b'{"type": "user.deleted", "data": {"id": "\xff"}}',
    ],
)
def test_signed_webhook_that_is_not_used_is_confirmed(gateway, clerk, clock, body):
    headers = clerk.sign_webhook(body, clock.now())

    response = gateway.client.post("/clerk/webhook", data=body, headers=headers)

    assert response.status_code == 204


def test_large_webhook_is_rejected(gateway):
    body = b"x" * (256 * 1024 + 1)

    assert gateway.client.post("/clerk/webhook", data=body).status_code == 413


def test_identity_is_the_pair_of_issuer_and_subject(gateway, execute):
    gateway.sign_in()

    rows = execute("SELECT issuer, subject FROM external_identities")
    assert rows == [(ISSUER, "user_ada")]

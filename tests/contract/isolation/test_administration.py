"""Administrators of two tenants never see or change anything of the other tenant."""

from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.contract.stages import PASSWORD

_numbers = count(1)
# Two administrators of the first tenant, one of the second.
TENANT_BY_USER = {"ada": "one", "bea": "one", "cid": "two"}
USERS = st.sampled_from(sorted(TENANT_BY_USER))
LISTS = ("/users", "/roles", "/tenants", "/service-accounts", "/invitations", "/audit")


class Administration(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.stage = stage
        self.users = {"one": {}, "two": {}}  # user ids and user names by tenant
        self.roles = {"one": set(), "two": set()}
        self.accounts = {"one": {}, "two": {}}  # keys of service accounts by id and tenant
        self.secrets = {"one": set(), "two": set()}

    @initialize()
    def create_tenants(self):
        admin = self.stage.headers("admin")
        self.tenants, self.headers = {}, {}
        for tenant in ("one", "two"):
            body = {"name": self.new_word(tenant)}
            self.tenants[tenant] = self.stage.post("/tenants", admin, json=body).json["id"]
            self.secrets[tenant].add(self.tenants[tenant])
        # The admin created both tenants and is a member of both.
        self.admin_id = self.client.get("/me", headers=admin).json["id"]
        for who, tenant in TENANT_BY_USER.items():
            name = self.new_word(tenant)
            body = {"username": name, "password": PASSWORD}
            user_id = self.stage.post("/register", {}, json=body).json["user"]["id"]
            path = f"/tenants/{self.tenants[tenant]}/members/{user_id}"
            put = self.client.put(path, headers=admin, json={"roles": ["tenant_admin"]})
            assert put.status_code == 201, put.text
            login = self.stage.post("/login", {}, json=body).json
            self.headers[who] = {
                "Authorization": f"Bearer {login['access_token']}",
                "X-Tenant-ID": self.tenants[tenant],
            }
            self.secrets[tenant].add(user_id)
            self.users[tenant][user_id] = name

    def new_word(self, tenant):
        word = f"w{next(_numbers)}q"
        self.secrets[tenant].add(word)
        return word

    def request(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=USERS)
    def create_user(self, who):
        tenant = TENANT_BY_USER[who]
        body = {"username": self.new_word(tenant), "password": PASSWORD}
        response = self.request(
            who, "POST", "/users", json=body | {"display_name": self.new_word(tenant)}
        )
        assert response.status_code == 201, response.text
        self.secrets[tenant].add(response.json["id"])
        self.users[tenant][response.json["id"]] = body["username"]

    @rule(who=USERS, name=st.sampled_from(["reader", "editor"]))
    def make_role(self, who, name):
        tenant = TENANT_BY_USER[who]
        body = {"permissions": ["rag:read"], "description": self.new_word(tenant)}
        response = self.request(who, "PUT", f"/roles/{name}", json=body)
        assert response.status_code == (200 if name in self.roles[tenant] else 201), response.text
        self.roles[tenant].add(name)

    @rule(who=USERS, name=st.sampled_from(["reader", "editor"]))
    def delete_role(self, who, name):
        tenant = TENANT_BY_USER[who]
        response = self.request(who, "DELETE", f"/roles/{name}")
        assert response.status_code == (204 if name in self.roles[tenant] else 404), response.text
        self.roles[tenant].discard(name)

    @rule(who=USERS)
    def create_service_account(self, who):
        tenant = TENANT_BY_USER[who]
        body = {"name": self.new_word(tenant), "permissions": ["rag:read"]}
        response = self.request(who, "POST", "/service-accounts", json=body)
        assert response.status_code == 201, response.text
        self.secrets[tenant].add(response.json["id"])
        self.accounts[tenant][response.json["id"]] = response.json["key"]

    @rule(who=USERS)
    def invite(self, who):
        """Routes about an invitation return 404 for administrators of the other tenant."""
        tenant = TENANT_BY_USER[who]
        body = {"email": f"{self.new_word(tenant)}@example.org"}
        response = self.request(who, "POST", "/invitations", json=body)
        assert response.status_code == 201, response.text
        self.secrets[tenant].add(response.json["id"])
        path = f"/invitations/{response.json['id']}"
        for other in TENANT_BY_USER:
            is_own = TENANT_BY_USER[other] == tenant
            assert self.request(other, "GET", path).status_code == (200 if is_own else 404)
            if not is_own:
                assert self.request(other, "DELETE", path).status_code == 404

    @precondition(lambda self: self.accounts["one"] or self.accounts["two"])
    @rule(who=USERS, data=st.data())
    def access_service_account(self, who, data):
        """Routes about a service account return 404 for administrators of the other tenant."""
        of = data.draw(st.sampled_from([name for name in self.accounts if self.accounts[name]]))
        account_id = data.draw(st.sampled_from(list(self.accounts[of])))
        is_own = TENANT_BY_USER[who] == of
        path = f"/service-accounts/{account_id}"
        response = self.request(who, "GET", path)
        assert response.status_code == (200 if is_own else 404), response.text
        rotated = self.request(who, "POST", f"{path}/rotate", json={"overlap_seconds": 0})
        assert rotated.status_code == (201 if is_own else 404), rotated.text
        if is_own:
            self.accounts[of][account_id] = rotated.json["key"]
        else:
            assert self.request(who, "DELETE", path).status_code == 404
        key = {"X-API-Key": self.accounts[of][account_id]}
        assert self.client.get("/me", headers=key).json["tenant_id"] == self.tenants[of]
        foreign = key | {"X-Tenant-ID": self.tenants[{"one": "two", "two": "one"}[of]]}
        assert self.client.get("/me", headers=foreign).status_code == 403

    @rule(who=USERS, of=st.sampled_from(["one", "two"]))
    def rename_tenant(self, who, of):
        body = {"name": self.new_word(of)}
        response = self.request(who, "PATCH", f"/tenants/{self.tenants[of]}", json=body)
        assert response.status_code == (200 if TENANT_BY_USER[who] == of else 404), response.text

    @precondition(lambda self: self.headers)
    @rule(who=USERS, of=st.sampled_from(["one", "two"]), data=st.data())
    def access_user(self, who, of, data):
        """Every route about a user returns 404 for administrators of the other tenant."""
        user_id = data.draw(st.sampled_from(list(self.users[of])))
        is_own = TENANT_BY_USER[who] == of
        member = f"/tenants/{self.tenants[of]}/members/{user_id}"
        for method, path, body, allowed in (
            ("GET", f"/users/{user_id}", None, {200}),
            ("PATCH", f"/users/{user_id}", {"display_name": self.new_word(of)}, {200, 403}),
            ("PATCH", f"/users/{user_id}", {"roles": ["tenant_admin"]}, {200}),
            ("POST", f"/users/{user_id}/unlock", None, {204}),
            ("GET", member, None, {200}),
            ("GET", f"/tenants/{self.tenants[of]}/members", None, {200}),
            ("PUT", member, {"roles": ["tenant_admin"]}, {200}),
        ):
            if is_own and body and "roles" in body:
                continue  # changing roles raises the generation, which revokes the current tokens
            response = self.request(who, method, path, json=body)
            expected = allowed if is_own else {404}
            assert response.status_code in expected, (method, path, response.text)
            self.assert_no_foreign_data(who, response)
        if not is_own:
            for path in (f"/users/{user_id}", member):
                assert self.request(who, "DELETE", path).status_code == 404
            # A user cannot be looked up through the own tenant either.
            path = f"/tenants/{self.tenants[TENANT_BY_USER[who]]}/members/{user_id}"
            assert self.request(who, "GET", path).status_code == 404

    @rule(who=USERS)
    def list_everything(self, who):
        tenant = TENANT_BY_USER[who]
        for path in LISTS:
            self.assert_no_foreign_data(who, self.request(who, "GET", f"{path}?limit=200"))
        users = self.request(who, "GET", "/users?limit=200").json["items"]
        assert {user["id"] for user in users} - {self.admin_id} == self.users[tenant].keys()
        assert all([t["id"] for t in user["tenants"]] == [user["tenant_id"]] for user in users)
        roles = [role["name"] for role in self.request(who, "GET", "/roles").json["items"]]
        assert {"reader", "editor"} & set(roles) == self.roles[tenant]
        tenants = self.request(who, "GET", "/tenants").json["items"]
        assert [item["id"] for item in tenants] == [self.tenants[tenant]]
        other = {"one": "two", "two": "one"}[tenant]
        for name in self.users[other].values():
            for path in (f"/users?q={name}", f"/audit?actor={name}"):
                assert self.request(who, "GET", path).json["items"] == []
        foreign = self.headers[who] | {"X-Tenant-ID": self.tenants[other]}
        for path in LISTS:
            assert self.client.get(path, headers=foreign).status_code == 403

    def assert_no_foreign_data(self, who, response):
        other = {"one": "two", "two": "one"}[TENANT_BY_USER[who]]
        for word in self.secrets[other]:
            assert f'"{word}' not in response.text, (who, word, response.text)

    def teardown(self):
        for who in TENANT_BY_USER if getattr(self, "headers", None) else ():
            self.list_everything(who)


@pytest.mark.slow
def test_administrators_are_confined_to_their_tenant(run):
    run("auth", Administration, examples=3, steps=15)

"""Whatever two tenants' administrators do: neither sees or touches anything of the other's."""

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.contract.stages import PASSWORD

_numbers = count(1)
# Two administer the first tenant, one the second.
PEOPLE = {"ada": "one", "bea": "one", "cid": "two"}
WHO = st.sampled_from(sorted(PEOPLE))
LISTS = ("/users", "/roles", "/tenants", "/audit")


class Administration(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.stage = stage
        self.users = {"one": {}, "two": {}}  # ids, and what else would give them away
        self.roles = {"one": set(), "two": set()}
        self.words = {"one": set(), "two": set()}

    @initialize()
    def begin(self):
        admin = self.stage.headers("admin")
        self.tenants, self.headers = {}, {}
        for tenant in ("one", "two"):
            body = {"name": self.word(tenant)}
            self.tenants[tenant] = self.stage.made("/tenants", admin, json=body).json["id"]
            self.words[tenant].add(self.tenants[tenant])
        # The first admin founded both, and so is a member of both.
        self.founder = self.client.get("/me", headers=admin).json["id"]
        for who, tenant in PEOPLE.items():
            name = self.word(tenant)
            body = {"username": name, "password": PASSWORD}
            user_id = self.stage.made("/register", {}, json=body).json["user"]["id"]
            path = f"/tenants/{self.tenants[tenant]}/members/{user_id}"
            put = self.client.put(path, headers=admin, json={"roles": ["tenant_admin"]})
            assert put.status_code == 201, put.text
            login = self.stage.made("/login", {}, json=body).json
            self.headers[who] = {
                "Authorization": f"Bearer {login['access_token']}",
                "X-Tenant-ID": self.tenants[tenant],
            }
            self.words[tenant].add(user_id)
            self.users[tenant][user_id] = name

    def word(self, tenant):
        word = f"w{next(_numbers)}q"
        self.words[tenant].add(word)
        return word

    def ask(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=WHO)
    def employ(self, who):
        tenant = PEOPLE[who]
        body = {"username": self.word(tenant), "password": PASSWORD}
        response = self.ask(who, "POST", "/users", json=body | {"display_name": self.word(tenant)})
        assert response.status_code == 201, response.text
        self.words[tenant].add(response.json["id"])
        self.users[tenant][response.json["id"]] = body["username"]

    @rule(who=WHO, name=st.sampled_from(["reader", "keeper"]))
    def make_role(self, who, name):
        tenant = PEOPLE[who]
        body = {"permissions": ["rag:read"], "description": self.word(tenant)}
        response = self.ask(who, "PUT", f"/roles/{name}", json=body)
        assert response.status_code == (200 if name in self.roles[tenant] else 201), response.text
        self.roles[tenant].add(name)

    @rule(who=WHO, name=st.sampled_from(["reader", "keeper"]))
    def delete_role(self, who, name):
        tenant = PEOPLE[who]
        response = self.ask(who, "DELETE", f"/roles/{name}")
        assert response.status_code == (204 if name in self.roles[tenant] else 404), response.text
        self.roles[tenant].discard(name)

    @rule(who=WHO, of=st.sampled_from(["one", "two"]))
    def rename(self, who, of):
        body = {"name": self.word(of)}
        response = self.ask(who, "PATCH", f"/tenants/{self.tenants[of]}", json=body)
        assert response.status_code == (200 if PEOPLE[who] == of else 404), response.text

    @precondition(lambda self: self.headers)
    @rule(who=WHO, of=st.sampled_from(["one", "two"]), data=st.data())
    def reach(self, who, of, data):
        """Everything about a user answers 404 from the other tenant."""
        user_id = data.draw(st.sampled_from(sorted(self.users[of])))
        mine = PEOPLE[who] == of
        member = f"/tenants/{self.tenants[of]}/members/{user_id}"
        for method, path, body, good in (
            ("GET", f"/users/{user_id}", None, {200}),
            ("PATCH", f"/users/{user_id}", {"display_name": self.word(of)}, {200, 403}),
            ("PATCH", f"/users/{user_id}", {"roles": ["tenant_admin"]}, {200}),
            ("POST", f"/users/{user_id}/unlock", None, {204}),
            ("GET", member, None, {200}),
            ("GET", f"/tenants/{self.tenants[of]}/members", None, {200}),
            ("PUT", member, {"roles": ["tenant_admin"]}, {200}),
        ):
            if mine and body and "roles" in body:
                continue  # roles raise a generation, which ends the tokens in hand
            response = self.ask(who, method, path, json=body)
            expected = good if mine else {404}
            assert response.status_code in expected, (method, path, response.text)
            self.is_silent(who, response)
        if not mine:
            for path in (f"/users/{user_id}", member):
                assert self.ask(who, "DELETE", path).status_code == 404
            # Nor can anybody be drawn over, to be looked at here.
            drawn = f"/tenants/{self.tenants[PEOPLE[who]]}/members/{user_id}"
            assert self.ask(who, "GET", drawn).status_code == 404

    @rule(who=WHO)
    def look(self, who):
        tenant = PEOPLE[who]
        for path in LISTS:
            self.is_silent(who, self.ask(who, "GET", f"{path}?limit=200"))
        seen = self.ask(who, "GET", "/users?limit=200").json["items"]
        assert {each["id"] for each in seen} - {self.founder} == self.users[tenant].keys()
        assert all([each["id"] for each in user["tenants"]] == [user["tenant_id"]] for user in seen)
        own = [each["name"] for each in self.ask(who, "GET", "/roles").json["items"]]
        assert {"reader", "keeper"} & set(own) == self.roles[tenant]
        shown = self.ask(who, "GET", "/tenants").json["items"]
        assert [each["id"] for each in shown] == [self.tenants[tenant]]
        other = {"one": "two", "two": "one"}[tenant]
        for name in self.users[other].values():
            for path in (f"/users?q={name}", f"/audit?actor={name}"):
                assert self.ask(who, "GET", path).json["items"] == []
        foreign = self.headers[who] | {"X-Tenant-ID": self.tenants[other]}
        for path in LISTS:
            assert self.client.get(path, headers=foreign).status_code == 403

    def is_silent(self, who, response):
        other = {"one": "two", "two": "one"}[PEOPLE[who]]
        for word in self.words[other]:
            assert f'"{word}' not in response.text, (who, word, response.text)

    def teardown(self):
        for who in PEOPLE if getattr(self, "headers", None) else ():
            self.look(who)


def test_administrators_reach_no_further_than_their_tenant(run):
    run("auth", Administration, examples=5, steps=15)

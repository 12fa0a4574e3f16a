"""An admin, and a tenant with an administrator of its own."""

from dataclasses import dataclass

import pytest
from flask.testing import FlaskClient

from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import Person


@dataclass
class Team:
    """A shared tenant: *head* administers it, *member* belongs to it."""

    id: str
    head: Person
    member: Person

    def by_head(self) -> dict[str, str]:
        return self.head.bearer | {"X-Tenant-ID": self.id}


@pytest.fixture
def admin(client: FlaskClient) -> Person:
    return Person.sign_in(client, "admin", ADMIN_PASSWORD)


@pytest.fixture
def team(client: FlaskClient, admin: Person) -> Team:
    made = client.post("/tenants", json={"name": "The Team"}, headers=admin.bearer).json
    people = {}
    for name, role in (("head", "tenant_admin"), ("member", "user")):
        person = Person.register(client, name)
        place = f"/tenants/{made['id']}/members/{person.user['id']}"
        joined = client.put(place, json={"roles": [role]}, headers=admin.bearer)
        assert joined.status_code == 201, joined.text
        people[name] = Person.sign_in(client, name)
    return Team(made["id"], **people)

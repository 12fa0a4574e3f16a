"""Fixtures: an admin, and a shared tenant with an administrator and a member."""

from dataclasses import dataclass

import pytest
from flask.testing import FlaskClient

from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


@dataclass
class Team:
    """A shared tenant with its administrator and a member with the role `user`."""

    id: str
    administrator: ApiUser
    member: ApiUser

    @property
    def admin_headers(self) -> dict[str, str]:
        """Headers of a request of the tenant's administrator in the tenant."""
        return self.administrator.auth_headers | {"X-Tenant-ID": self.id}


@pytest.fixture
def admin(client: FlaskClient) -> ApiUser:
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)


@pytest.fixture
def team(client: FlaskClient, admin: ApiUser) -> Team:
    tenant = client.post("/tenants", json={"name": "The Team"}, headers=admin.auth_headers).json
    users = {}
    for name, role in (("administrator", "tenant_admin"), ("member", "user")):
        user = ApiUser.register(client, name)
        path = f"/tenants/{tenant['id']}/members/{user.user['id']}"
        response = client.put(path, json={"roles": [role]}, headers=admin.auth_headers)
        assert response.status_code == 201, response.text
        users[name] = ApiUser.sign_in(client, name)
    return Team(tenant["id"], **users)

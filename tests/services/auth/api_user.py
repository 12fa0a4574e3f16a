"""API clients of the auth service, and a clock that tests advance."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from flask.testing import FlaskClient

PASSWORD = "seven small boats"


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        self._now += timedelta(**duration)


@dataclass
class ApiUser:
    """A user with a session and the tokens of the last sign-in."""

    client: FlaskClient
    username: str
    access_token: str
    refresh_token: str
    user: dict[str, Any]

    @classmethod
    def register(cls, client: FlaskClient, username: str, **fields: object) -> Self:
        body = {"username": username, "password": PASSWORD} | fields
        return cls._from_response(client, client.post("/register", json=body), 201)

    @classmethod
    def sign_in(cls, client: FlaskClient, username: str, password: str = PASSWORD) -> Self:
        body = {"username": username, "password": password}
        return cls._from_response(client, client.post("/login", json=body), 200)

    @classmethod
    def _from_response(cls, client: FlaskClient, response: Any, status: int) -> Self:
        assert response.status_code == status, response.text
        body = response.json
        user = body["user"]
        return cls(client, user["username"], body["access_token"], body["refresh_token"], user)

    @property
    def auth_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=self.auth_headers)

    def refresh(self, token: str | None = None) -> Any:
        return self.client.post("/refresh", json={"refresh_token": token or self.refresh_token})


def get_problem(response: Any) -> tuple[int, str]:
    """Return status and error code of a problem response."""
    assert response.content_type == "application/problem+json", response.text
    return response.status_code, response.json["code"]

"""People who use the auth service, and the clock on their wall."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from flask.testing import FlaskClient

PASSWORD = "seven small boats"


class Clock:
    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def pass_by(self, **how_long: float) -> None:
        self._now += timedelta(**how_long)


@dataclass
class Person:
    """Somebody with a session, who keeps the tokens of the last answer."""

    client: FlaskClient
    username: str
    access_token: str
    refresh_token: str
    user: dict[str, Any]

    @classmethod
    def register(cls, client: FlaskClient, username: str, **more: object) -> Self:
        body = {"username": username, "password": PASSWORD} | more
        return cls._of(client, client.post("/register", json=body), 201)

    @classmethod
    def sign_in(cls, client: FlaskClient, username: str, password: str = PASSWORD) -> Self:
        body = {"username": username, "password": password}
        return cls._of(client, client.post("/login", json=body), 200)

    @classmethod
    def _of(cls, client: FlaskClient, response: Any, status: int) -> Self:
        assert response.status_code == status, response.text
        answer = response.json
        user = answer["user"]
        return cls(client, user["username"], answer["access_token"], answer["refresh_token"], user)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=self.bearer)

    def refresh(self, token: str | None = None) -> Any:
        return self.client.post("/refresh", json={"refresh_token": token or self.refresh_token})


def outcome(response: Any) -> tuple[int, str]:
    """The status and the word that a program would look at."""
    assert response.content_type == "application/problem+json", response.text
    return response.status_code, response.json["code"]

"""Profiles of Clerk's users, from its Backend API."""

from dataclasses import dataclass
from typing import Annotated, Final, Protocol
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.chassis.settings import Secret
from backend.services.auth.clients.clerk.http import PROVIDER, ClerkHttp
from backend.services.auth.clients.clerk.tokens import limit_text
from backend.services.auth.errors import InvalidClerkToken, ProviderUnavailable

API_URL: Final = "https://api.clerk.com"


class _Verification(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str | None = None


class _EmailAddress(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    email_address: str
    verification: _Verification | None = None


class _User(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    username: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    primary_email_address_id: str | None = None
    email_addresses: Annotated[list[_EmailAddress], Field(max_length=100)] = []


@dataclass(frozen=True, slots=True)
class ClerkProfile:
    """A user's profile. *email* is the primary address if it is verified."""

    email: str | None
    username: str | None
    display_name: str | None


class UserDirectory(Protocol):
    """Source of profiles."""

    def get_profile(self, subject: str) -> ClerkProfile:
        """Return the profile of the user with the id *subject* at Clerk.

        Raises:
            InvalidClerkToken: the user does not exist any more.
            ProviderUnavailable: the API does not respond as specified, or rejects the secret key.
        """


class ClerkUsers:
    """Reads profiles from Clerk's Backend API."""

    def __init__(self, http: ClerkHttp, secret_key: Secret) -> None:
        self._http = http
        self._secret_key = secret_key

    def get_profile(self, subject: str) -> ClerkProfile:
        status, document = self._http.get_json(
            f"/v1/users/{quote(subject, safe='')}",
            {"Authorization": f"Bearer {self._secret_key.reveal()}"},
        )
        if status == 404:
            raise InvalidClerkToken("account", "The user was deleted at Clerk.")
        try:
            user = _User.model_validate(document) if status == 200 else None
        except ValidationError:
            user = None
        if user is None or user.id != subject:
            raise ProviderUnavailable(PROVIDER)
        name = " ".join(filter(None, (user.first_name, user.last_name)))
        email = next(
            (
                entry.email_address
                for entry in user.email_addresses
                if entry.id == user.primary_email_address_id
                and entry.verification is not None
                and entry.verification.status == "verified"
            ),
            None,
        )
        return ClerkProfile(limit_text(email), limit_text(user.username), limit_text(name))

"""Tokens of users for work after their requests, from auth."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.http import ServiceClient, UpstreamProblem, UpstreamUnavailable

_PATH: Final = "/internal/delegations"


class DelegationRefused(Exception):
    """The session of the user has ended, so nothing is done for them."""


class _Delegation(BaseModel):
    access_token: str = Field(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")


class DelegationClient:
    """Requests access tokens of users. They are used once and never stored."""

    def __init__(self, auth: ServiceClient) -> None:
        self._auth = auth

    def get_headers(
        self, session_id: str, tenant_id: str, permissions: Sequence[str]
    ) -> Mapping[str, str]:
        """Return headers that identify the user of the session to other services.

        Raises:
            DelegationRefused: the session has ended.
            UpstreamError: auth does not respond.
        """
        body = {
            "session_id": session_id,
            "tenant_id": tenant_id,
            "permissions": list(permissions),
        }
        try:
            response = _Delegation.model_validate(self._auth.post(_PATH, body, {}))
        except UpstreamProblem as error:
            if error.status == 401 and error.code == "session_ended":
                raise DelegationRefused from error
            raise
        except ValidationError as error:
            raise UpstreamUnavailable("Auth sent an invalid token.") from error
        return {"Authorization": f"Bearer {response.access_token}"}

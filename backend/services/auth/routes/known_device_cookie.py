"""The cookie that marks the browser as a known device of an account."""

from flask import Response, after_this_request, request

from backend.chassis.web.app_factory import use
from backend.services.auth.domain.credentials.external_identities import ExternalSignInService
from backend.services.auth.domain.credentials.known_devices import LIFETIME, KnownDevices

COOKIE = "known_device"


def get_device_token() -> str:
    """Return the device token of the request, or an empty string."""
    return request.cookies.get(COOKIE, "")


def remember_device(user_id: str) -> None:
    """Mark the client of the current request as a known device of the account."""
    token = use(KnownDevices).create_token(user_id)

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(
            COOKIE,
            token,
            max_age=LIFETIME,
            secure=use(ExternalSignInService).uses_tls,
            httponly=True,
            samesite="Strict",
        )
        return response

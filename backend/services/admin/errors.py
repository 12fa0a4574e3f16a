"""All errors of the admin service."""

from collections.abc import Mapping

from backend.chassis.web.problems import ServiceError


class StatsUnavailable(ServiceError):
    """No service returned statistics. If only some fail, the response lists them instead."""

    status = 503
    code = "stats_unavailable"
    title = "Statistics unavailable"

    def __init__(self) -> None:
        super().__init__(
            "No service returns statistics at the moment. GET /health shows which are healthy."
        )

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class UserNotFound(ServiceError):
    status = 404
    code = "not_found"
    title = "Resource not found"

    def __init__(self) -> None:
        super().__init__("There is no user with this ID.")


class ChatUnavailable(ServiceError):
    """The chat service does not respond."""

    status = 503
    code = "chat_unavailable"
    title = "Chat service unavailable"

    def __init__(self) -> None:
        super().__init__("The chat service does not respond at the moment. Try again later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class AuthUnavailable(ServiceError):
    """The auth service does not respond."""

    status = 503
    code = "auth_unavailable"
    title = "Auth service unavailable"

    def __init__(self) -> None:
        super().__init__("The auth service does not respond at the moment. Try again later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class DriftUnavailable(ServiceError):
    """The agent service does not return its values."""

    status = 503
    code = "drift_unavailable"
    title = "Drift unavailable"

    def __init__(self) -> None:
        super().__init__("The agent service does not respond at the moment. Try again later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}

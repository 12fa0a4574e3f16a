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

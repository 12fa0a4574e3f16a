"""All that can go wrong in the admin service, and how a caller hears of it."""

from collections.abc import Mapping

from backend.chassis.web.problems import ServiceError


class NobodyAnswers(ServiceError):
    """Not one service told its counts; where only some did not, the answer names them."""

    status = 503
    code = "stats_unavailable"
    title = "No counts"

    def __init__(self) -> None:
        super().__init__("No service tells its counts just now; GET /health says which are well.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}

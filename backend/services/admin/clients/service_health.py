"""Client for the health of a service and its dependencies, called with the caller's credentials."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from backend.chassis.http import ServiceClient, UpstreamError
from backend.chassis.web.health import DetailedHealth

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HealthClient:
    """Requests `/health/detailed` over HTTP. *services* are the clients by service name."""

    services: Mapping[str, ServiceClient]

    def request_health(
        self, service: str, caller_headers: Mapping[str, str]
    ) -> DetailedHealth | None:
        """Return the health of a service, or None if it does not respond as expected."""
        try:
            response = self.services[service].get("/health/detailed", caller_headers)
            return DetailedHealth.model_validate(response)
        except UpstreamError as error:
            _log.warning("no health from %s: %s", service, error)
        except ValidationError as error:
            _log.warning("invalid health from %s: %s", service, error)
        return None

"""Route for drift: differences of recent answers from learned baselines."""

from flask import Blueprint

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, caller_headers, require_permission
from backend.services.admin.domain.drift import DriftResponse, DriftService
from backend.services.admin.errors import DriftUnavailable

drift_routes = Blueprint("drift", __name__)


@drift_routes.get("/drift")
@require_permission(Permission.SYSTEM_READ)
@responds_with(DriftResponse, errors=(DriftUnavailable,))
def get_drift() -> DriftResponse:
    """Get the differences of recent answers from what is usual at their hour of the week."""
    return use(DriftService).get_drift(caller_headers())

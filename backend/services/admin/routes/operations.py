"""Route for the state of the whole system."""

from flask import Blueprint

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, caller_headers, require_permission
from backend.services.admin.domain.operations import OperationsReport, OperationsService

# Not `operations`: this is the tag of the health routes.
operations_routes = Blueprint("system", __name__)


@operations_routes.get("/operations")
@require_permission(Permission.SYSTEM_READ)
@responds_with(OperationsReport)
def get_operations() -> OperationsReport:
    """Get the state of every other service, its version and its dependencies.

    A service that does not respond is `unavailable`; the response has the status 200 nevertheless.
    """
    return use(OperationsService).get_report(caller_headers())

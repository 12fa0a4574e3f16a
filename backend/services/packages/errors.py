"""Errors of the packages service, and the problem responses (RFC 9457) for them."""

from backend.chassis.web.problems import ServiceError


class PackageNotFound(ServiceError):
    """The package does not exist, was deleted, or belongs to another tenant.

    The response is the same in all three cases, so that callers cannot probe for packages.
    """

    status = 404
    code = "not_found"
    title = "Package not found"

    def __init__(self) -> None:
        super().__init__("Package not found.")

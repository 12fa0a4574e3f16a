"""Errors of the packages service, and the problem responses (RFC 9457) for them."""

from collections.abc import Sequence

from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import FieldErrors


class PackageNotFound(ServiceError):
    """The package does not exist, was deleted, or belongs to another tenant.

    The response is the same in all three cases, so that callers cannot probe for packages.
    """

    status = 404
    code = "not_found"
    title = "Package not found"

    def __init__(self) -> None:
        super().__init__("Package not found.")


class PackageExists(ServiceError):
    """The tenant already has a package with this carrier and tracking number."""

    status = 409
    code = "package_exists"
    title = "Package exists"

    def __init__(self, carrier: str, number: str, package_id: str | None = None) -> None:
        which = f" Its id is {package_id}." if package_id else ""
        super().__init__(f"A package {number} of carrier {carrier} exists.{which}")


class CarrierUnknown(ServiceError):
    """The tracking number has no known format, or those of several carriers.

    Args:
        pointer: where the carrier is missing.
        advice: how to give it.
    """

    status = 422
    code = "carrier_unknown"
    title = "Carrier not identified"

    def __init__(
        self,
        candidates: Sequence[str],
        pointer: str = "#/carrier",
        advice: str = "Give the carrier.",
    ) -> None:
        self.candidates = candidates
        self._pointer = pointer
        detail = (
            f"The number can be one of {', '.join(candidates)}."
            if candidates
            else "The number has no known format, or its check digit is wrong."
        )
        super().__init__(f"{detail} {advice}")

    def errors(self) -> FieldErrors | None:
        if not self.candidates:
            return [{"pointer": self._pointer, "detail": "No candidates."}]
        return [
            {"pointer": self._pointer, "detail": "A candidate.", "carrier": carrier}
            for carrier in self.candidates
        ]


class VersionConflict(ServiceError):
    """The package was changed after the caller read it."""

    status = 412
    code = "version_conflict"
    title = "Package was changed"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The package has version {version}. Read it again, and send its ETag in If-Match."
        )


class InvalidEvents(ServiceError):
    """Some events of a request cannot be recorded. None of the request was recorded."""

    status = 422
    code = "validation_failed"
    title = "Invalid input"

    def __init__(self, errors: FieldErrors) -> None:
        self._errors = errors
        super().__init__("Some events cannot be recorded. See errors.")

    def errors(self) -> FieldErrors | None:
        return self._errors


class TooManyEvents(ServiceError):
    """The package would have more events than allowed."""

    status = 422
    code = "too_many_events"
    title = "Too many events"

    def __init__(self, max_events: int) -> None:
        super().__init__(f"A package can have at most {max_events} events.")


class QuotaExceeded(ServiceError):
    """The tenant would have more packages than allowed."""

    status = 403
    code = "quota_exceeded"
    title = "Quota exceeded"

    def __init__(self, max_packages: int) -> None:
        super().__init__(
            f"The tenant can have at most {max_packages} packages. Delete old ones, or let the "
            "operator raise PACKAGES_PER_TENANT."
        )


class InvalidFile(ServiceError):
    """The file cannot be imported at all. The message has the reason."""

    status = 422
    code = "invalid_file"
    title = "Invalid file"


class ExportTooLarge(ServiceError):
    """The export has more rows than a worksheet may have."""

    status = 422
    code = "export_too_large"
    title = "Export too large"

    def __init__(self, max_rows: int) -> None:
        super().__init__(
            f"An export in the format xlsx can have at most {max_rows} rows. Use csv or jsonl, or "
            "a narrower filter."
        )


class FormatUnavailable(ServiceError):
    """The package that writes this format is not installed."""

    status = 501
    code = "format_unavailable"
    title = "Format not installed"

    def __init__(self) -> None:
        super().__init__(
            "The format xlsx needs the package xlsxwriter. Install it with "
            "./start_microservices.sh install, or use csv or jsonl."
        )


class OptimizationUnavailable(ServiceError):
    """The package that computes tours is not installed."""

    status = 501
    code = "optimization_unavailable"
    title = "Optimization not installed"

    def __init__(self) -> None:
        super().__init__(
            "Tours need the package pyvrp. Install it with "
            "./start_microservices.sh install --extra optimization."
        )


class UnusablePackages(ServiceError):
    """Packages of a tour do not exist, or have no coordinates."""

    status = 422
    code = "validation_failed"
    title = "Invalid input"

    def __init__(self, errors: FieldErrors) -> None:
        self._errors = errors
        super().__init__("Some packages cannot be delivered by a tour. See errors.")

    def errors(self) -> FieldErrors | None:
        return self._errors


class TooManyTours(ServiceError):
    """The tenant has too many tours that are not computed yet."""

    status = 429
    code = "too_many_tours"
    title = "Too many tours"

    def __init__(self, max_tours: int) -> None:
        super().__init__(
            f"{max_tours} tours wait or are being computed. Try again when one is done."
        )


class TourNotFound(ServiceError):
    """The tour does not exist, or belongs to another tenant."""

    status = 404
    code = "not_found"
    title = "Tour not found"

    def __init__(self) -> None:
        super().__init__("Tour not found.")


class WebhookAccountNotFound(ServiceError):
    """The account does not exist, or belongs to another tenant."""

    status = 404
    code = "not_found"
    title = "Webhook account not found"

    def __init__(self) -> None:
        super().__init__("Webhook account not found.")


class DeliveryNotFound(ServiceError):
    """The delivery does not exist, or belongs to another account."""

    status = 404
    code = "not_found"
    title = "Delivery not found"

    def __init__(self) -> None:
        super().__init__("Delivery not found.")


class SignatureInvalid(ServiceError):
    """The signature of a webhook is missing or wrong, or there is no such account.

    The response is the same in all cases, so that senders cannot probe for accounts.
    """

    status = 401
    code = "invalid_signature"
    title = "Signature not valid"

    def __init__(self) -> None:
        super().__init__("The signature of the webhook is not valid for this account.")

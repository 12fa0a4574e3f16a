"""Map errors of encryption at rest to problem responses."""

from collections.abc import Mapping

from flask import Flask, Response

from backend.chassis.encryption import DamagedValue, MasterKeyError
from backend.chassis.web.problems import ServiceError, build_service_error_response


class DataDamaged(ServiceError):
    """An encrypted value or file was changed outside of the service."""

    status = 500
    code = "data_damaged"
    title = "Data damaged"


class MasterKeyUnavailable(ServiceError):
    """A data key cannot be unwrapped now."""

    status = 503
    code = "master_key_unavailable"
    title = "Master key unavailable"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "10"}


def register_encryption_error_handlers(app: Flask) -> None:
    """Respond with a problem document in *app* if stored data cannot be decrypted."""

    def handle_damage(_: DamagedValue) -> Response:
        return build_service_error_response(
            DataDamaged(
                "The stored data is damaged and cannot be decrypted. The operator can restore it "
                "from a backup."
            )
        )

    def handle_missing_key(_: MasterKeyError) -> Response:
        return build_service_error_response(
            MasterKeyUnavailable(
                "The data cannot be decrypted now, because the master key is not available. "
                "Retry later."
            )
        )

    app.register_error_handler(DamagedValue, handle_damage)
    app.register_error_handler(MasterKeyError, handle_missing_key)

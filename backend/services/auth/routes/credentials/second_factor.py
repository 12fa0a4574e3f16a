"""Routes for enrolling, confirming and deactivating the second factor (TOTP)."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import Input, authenticated, current_principal, validate_input
from backend.services.auth.domain.credentials.qr_codes import encode_qr_code
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.errors import (
    InvalidCredentials,
    SecondFactorActive,
    SecondFactorInactive,
    SessionEnded,
    TooBusy,
    TooManyAttempts,
    TotpCodeRejected,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import Password, TotpCode
from backend.services.auth.routes.sensitive_operations import sensitive

second_factor = Blueprint("second_factor", __name__)


class TotpConfirm(Input):
    """The current code of the authenticator app."""

    code: TotpCode


class TotpDeactivate(Input):
    """The password, and a TOTP or recovery code."""

    password: Password
    code: TotpCode


class TotpEnrollmentResponse(BaseModel):
    """The secret for the authenticator app.

    `otpauth_uri` is the content of the QR code `qr_code`: a string of 0 (light) and 1 (dark) for
    each row, without the light margin.
    """

    secret: str
    otpauth_uri: Annotated[str, Field(examples=["otpauth://totp/…"])]
    qr_code: list[str]


class RecoveryCodesResponse(BaseModel):
    """One-time codes that replace a TOTP code. They are returned only once."""

    recovery_codes: list[str]


@second_factor.post("/mfa/totp")
@authenticated
@sensitive
@responds_with(TotpEnrollmentResponse, errors=(SecondFactorActive, SessionEnded))
def start_totp_enrollment() -> TotpEnrollmentResponse:
    """Create a TOTP secret. The factor is inactive until it is confirmed."""
    enrollment = use(SecondFactorService).start_enrollment(current_principal().user_id)
    return TotpEnrollmentResponse(
        secret=enrollment.secret,
        otpauth_uri=enrollment.uri,
        qr_code=encode_qr_code(enrollment.uri),
    )


@second_factor.post("/mfa/totp/confirm")
@authenticated
@validate_input(TotpConfirm)
@sensitive
@responds_with(
    RecoveryCodesResponse,
    errors=(
        SecondFactorInactive,
        SecondFactorActive,
        TotpCodeRejected,
        TooManyAttempts,
    ),
)
@request_example({"code": "123456"})
def confirm_totp(body: TotpConfirm) -> RecoveryCodesResponse:
    """Activate the second factor with a first code."""
    codes = use(SecondFactorService).confirm_enrollment(
        current_principal().user_id, body.code, get_request_origin()
    )
    return RecoveryCodesResponse(recovery_codes=codes)


@second_factor.delete("/mfa/totp")
@authenticated
@validate_input(TotpDeactivate)
@sensitive
@responds_with(
    status=204,
    errors=(
        SecondFactorInactive,
        InvalidCredentials,
        TotpCodeRejected,
        TooManyAttempts,
        TooBusy,
    ),
)
@request_example({"password": "testpass123", "code": "123456"})
def deactivate_totp(body: TotpDeactivate) -> None:
    """Deactivate the second factor and delete its recovery codes."""
    caller = current_principal()
    use(SecondFactorService).deactivate_factor(
        caller.user_id, caller.session_id, body.password, body.code, get_request_origin()
    )


@second_factor.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response

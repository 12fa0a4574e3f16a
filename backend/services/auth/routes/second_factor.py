"""The second factor: turn it on, confirm it, turn it off."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Input, authenticated, validate_input
from backend.services.auth.domain.second_factor import SecondFactor
from backend.services.auth.errors import (
    InvalidCredentials,
    NoSecondFactor,
    SecondFactorOn,
    SessionEnded,
    SessionRequired,
    TooBusy,
    TooManyAttempts,
    WrongCode,
)
from backend.services.auth.routes.callers import signed_in_caller
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import Code, Password

second_factor = Blueprint("second_factor", __name__)


class Confirmation(Input):
    """A code that the device shows."""

    code: Code


class TurningOff(Input):
    """The password, and a code of the device or a recovery code."""

    password: Password
    code: Code


class Enrolment(BaseModel):
    """What the device needs; `otpauth_uri` is what a QR code for it holds."""

    secret: str
    otpauth_uri: Annotated[str, Field(examples=["otpauth://totp/…"])]


class RecoveryCodes(BaseModel):
    """Each is good once in place of a code; shown this once."""

    recovery_codes: list[str]


@second_factor.post("/mfa/totp")
@authenticated
@answers(Enrolment, errors=(SecondFactorOn, SessionEnded, SessionRequired))
def begin() -> Enrolment:
    """Make a secret for a device; nothing changes until it is confirmed."""
    made = use(SecondFactor).begin(signed_in_caller().user_id)
    return Enrolment(secret=made.secret, otpauth_uri=made.uri)


@second_factor.post("/mfa/totp/confirm")
@authenticated
@validate_input(Confirmation)
@answers(
    RecoveryCodes,
    errors=(NoSecondFactor, SecondFactorOn, WrongCode, TooManyAttempts, SessionRequired),
)
def confirm(given: Confirmation) -> RecoveryCodes:
    """Turn the second factor on with the device's first code."""
    codes = use(SecondFactor).confirm(signed_in_caller().user_id, given.code, origin())
    return RecoveryCodes(recovery_codes=codes)


@second_factor.delete("/mfa/totp")
@authenticated
@validate_input(TurningOff)
@answers(
    status=204,
    errors=(
        NoSecondFactor,
        InvalidCredentials,
        WrongCode,
        TooManyAttempts,
        TooBusy,
        SessionRequired,
    ),
)
def turn_off(given: TurningOff) -> None:
    """Turn the second factor off; its recovery codes go as well."""
    user_id = signed_in_caller().user_id
    use(SecondFactor).turn_off(user_id, given.password, given.code, origin())


@second_factor.after_request
def keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response

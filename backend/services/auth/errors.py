"""All that can go wrong in auth, and how a caller hears of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from backend.chassis.web.problems import ServiceError

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class UsernameTaken(ServiceError):
    status = 409
    code = "username_taken"
    title = "User name taken"

    def __init__(self) -> None:
        super().__init__("Somebody has this user name, or one that looks like it. Choose another.")


class EmailTaken(ServiceError):
    status = 409
    code = "email_taken"
    title = "E-mail address taken"

    def __init__(self) -> None:
        super().__init__("Another account uses this e-mail address.")


class UnfitUsername(ServiceError):
    """The message says what a user name may be."""

    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/username", "detail": str(self)}]


class WeakPassword(ServiceError):
    """The message says what is wrong with the password."""

    status = 422
    code = "weak_password"
    title = "Password too weak"

    def __init__(self, reason: str, pointer: str = "#/password") -> None:
        super().__init__(reason)
        self._pointer = pointer

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": self._pointer, "detail": str(self)}]


class _NotSignedIn(ServiceError):
    status = 401
    title = "Not authenticated"

    def headers(self) -> Mapping[str, str]:
        return _CHALLENGE


class InvalidCredentials(_NotSignedIn):
    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")


class TotpRequired(_NotSignedIn):
    code = "totp_required"

    def __init__(self) -> None:
        super().__init__("Send the code of your device, or a recovery code, as `totp` as well.")


class InvalidTotp(_NotSignedIn):
    code = "invalid_totp"

    def __init__(self) -> None:
        super().__init__("The code is wrong, too old, or was used before.")


class InvalidRefreshToken(_NotSignedIn):
    code = "invalid_refresh_token"

    def __init__(self) -> None:
        super().__init__("This is no refresh token of ours; sign in again.")


class RefreshReused(_NotSignedIn):
    code = "refresh_reused"

    def __init__(self) -> None:
        super().__init__(
            "This refresh token was spent before. Someone else may hold a copy, "
            "so the whole session has ended; sign in again."
        )


class SessionEnded(_NotSignedIn):
    code = "session_ended"

    def __init__(self) -> None:
        super().__init__("This session has ended; sign in again.")


class UnfitExpiry(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self) -> None:
        super().__init__("This time has passed.")

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/expires_at", "detail": str(self)}]


class UnknownRole(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self, place: int) -> None:
        super().__init__("There is no role of this name.")
        self._place = place

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": f"#/roles/{self._place}", "detail": str(self)}]


class InvalidResetToken(ServiceError):
    status = 400
    code = "invalid_reset_token"
    title = "Invalid token"

    def __init__(self) -> None:
        super().__init__("This token is unknown, was used, or is too old; ask for another one.")


class WrongCode(ServiceError):
    status = 422
    code = "invalid_totp"
    title = "Wrong code"

    def __init__(self) -> None:
        super().__init__("The code is wrong, too old, or was used before.")

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/code", "detail": str(self)}]


class SecondFactorOn(ServiceError):
    status = 409
    code = "totp_active"
    title = "Second factor is on"

    def __init__(self) -> None:
        super().__init__("The second factor is on; turn it off before you set another one up.")


class NoSecondFactor(ServiceError):
    status = 409
    code = "totp_inactive"
    title = "No second factor"

    def __init__(self) -> None:
        super().__init__("There is no second factor to confirm or to turn off.")


class SessionRequired(ServiceError):
    status = 403
    code = "session_required"
    title = "Not allowed"

    def __init__(self) -> None:
        super().__init__("An API key may not do this; sign in.")


class InvalidApiKey(_NotSignedIn):
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("The API key is unknown, expired or was deleted.")


class PermissionDenied(ServiceError):
    """What was asked for goes beyond what the caller may do."""

    status = 403
    code = "permission_denied"
    title = "Not allowed"

    def __init__(self, beyond: Iterable[str]) -> None:
        super().__init__(f"You do not have this yourself: {', '.join(sorted(beyond))}.")


class NoSuchThing(ServiceError):
    """It does not exist, or not for the caller: both look the same."""

    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("There is no such thing here.")


class ForeignAccount(ServiceError):
    status = 403
    code = "foreign_account"
    title = "Not allowed"

    def __init__(self) -> None:
        super().__init__(
            "This account belongs to another tenant. You may change its roles here, or "
            "remove it from the members."
        )


class LastAdmin(ServiceError):
    status = 409
    code = "last_admin"
    title = "Last admin"

    def __init__(self) -> None:
        super().__init__("Nobody would be an admin any more; make somebody else one first.")


class BuiltInRole(ServiceError):
    status = 409
    code = "built_in_role"
    title = "Built-in role"

    def __init__(self) -> None:
        super().__init__("This role is built in and stays as it is; choose another name.")


class RoleInUse(ServiceError):
    status = 409
    code = "role_in_use"
    title = "Role in use"

    def __init__(self) -> None:
        super().__init__("Somebody has this role; give them another one first.")


class SlugTaken(ServiceError):
    status = 409
    code = "slug_taken"
    title = "Slug taken"

    def __init__(self) -> None:
        super().__init__("Another tenant has this slug; choose another.")


class PersonalTenant(ServiceError):
    status = 409
    code = "personal_tenant"
    title = "Personal tenant"

    def __init__(self) -> None:
        super().__init__("A personal tenant takes in nobody else; make a shared one.")


class HomeTenant(ServiceError):
    status = 409
    code = "home_tenant"
    title = "Home tenant"

    def __init__(self) -> None:
        super().__init__("This is the tenant that the account belongs to; disable or delete it.")


class InvalidIdToken(_NotSignedIn):
    """The message says why the provider's word is not taken."""

    code = "invalid_id_token"


class InvalidSignIn(_NotSignedIn):
    code = "invalid_sign_in"

    def __init__(self) -> None:
        super().__init__("No sign-in was begun in this browser, or it is over; begin again.")


class ProviderUnavailable(ServiceError):
    status = 503
    code = "provider_unavailable"
    title = "Identity provider unavailable"

    def __init__(self, name: str) -> None:
        super().__init__(f"The identity provider {name} does not answer as it should.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class RotationUnderWay(Exception):
    """A key that was published does not sign yet; another one must wait."""

    def __init__(self, begins: datetime) -> None:
        super().__init__(
            f"A key is published that signs from {begins:%Y-%m-%d %H:%M:%S} UTC on. "
            "Rotate after that."
        )


class AccountDisabled(ServiceError):
    status = 403
    code = "account_disabled"
    title = "Account disabled"

    def __init__(self) -> None:
        super().__init__("This account was disabled; ask an administrator.")


class TooManyAttempts(ServiceError):
    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(f"Too many failed attempts. Try again in {wait_seconds} seconds.")
        self._wait_seconds = wait_seconds

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._wait_seconds)}


class TooBusy(ServiceError):
    status = 503
    code = "too_busy"
    title = "Too busy"

    def __init__(self) -> None:
        super().__init__("Too many people are signing in at this moment. Try again in a second.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}

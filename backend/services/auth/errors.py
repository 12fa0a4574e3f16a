"""Errors of the auth service and their HTTP responses."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from backend.chassis.web.problems import ServiceError

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class UsernameTaken(ServiceError):
    status = 409
    code = "username_taken"
    title = "User name taken"

    def __init__(self) -> None:
        super().__init__(
            "The user name is already taken, or looks like one that is. Choose another."
        )


class EmailTaken(ServiceError):
    status = 409
    code = "email_taken"
    title = "E-mail address taken"

    def __init__(
        self, detail: str = "Another account uses this e-mail address. Use a different one."
    ) -> None:
        super().__init__(detail)


class InvalidUsername(ServiceError):
    """The user name is not allowed; the message lists the rules."""

    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/username", "detail": str(self)}]


class WeakPassword(ServiceError):
    """The password does not meet the policy; the message gives the reason."""

    status = 422
    code = "weak_password"
    title = "Password too weak"

    def __init__(self, reason: str, pointer: str = "#/password") -> None:
        super().__init__(reason)
        self._pointer = pointer

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": self._pointer, "detail": str(self)}]


class _Unauthenticated(ServiceError):
    status = 401
    title = "Not authenticated"

    def headers(self) -> Mapping[str, str]:
        return _CHALLENGE


class InvalidCredentials(_Unauthenticated):
    code = "invalid_credentials"

    def __init__(self, detail: str = "The user name or the password is wrong.") -> None:
        super().__init__(detail)


class TotpRequired(_Unauthenticated):
    code = "totp_required"

    def __init__(self) -> None:
        super().__init__(
            "This account requires a second factor. Repeat the request with `totp`: the code of "
            "your authenticator app or a recovery code."
        )


class InvalidTotp(_Unauthenticated):
    """The second-factor code of a sign-in is not valid."""

    code = "invalid_totp"

    def __init__(self) -> None:
        super().__init__("The code is wrong, expired or already used.")


class InvalidRefreshToken(_Unauthenticated):
    code = "invalid_refresh_token"

    def __init__(self) -> None:
        super().__init__("The refresh token is unknown. Sign in again.")


class RefreshReused(_Unauthenticated):
    code = "refresh_reused"

    def __init__(self) -> None:
        super().__init__(
            "The refresh token was already used. It may have been stolen, so the session has been "
            "revoked. Sign in again."
        )


class SessionEnded(_Unauthenticated):
    code = "session_ended"

    def __init__(self) -> None:
        super().__init__("The session has ended. Sign in again.")


class HttpsRequired(ServiceError):
    """The browser would not store the session cookies over this connection."""

    status = 403
    code = "https_required"
    title = "HTTPS required"

    def __init__(self) -> None:
        super().__init__(
            "Browsers store session cookies only over HTTPS, or for localhost and loopback "
            "addresses. Enable TLS (TLS_CERTFILE and TLS_KEYFILE), or open the console at "
            "http://localhost. For development, COOKIES_OVER_HTTP=true allows plain HTTP."
        )


class ExpiryInPast(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self) -> None:
        super().__init__("The expiry is in the past.")

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/expires_at", "detail": str(self)}]


class ExpiryAfterParent(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self, latest: datetime) -> None:
        super().__init__(
            "The expiry is later than the expiry of the key that creates this key: "
            f"{latest:%Y-%m-%dT%H:%M:%SZ}."
        )

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/expires_at", "detail": str(self)}]


class UnknownRole(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self, index: int) -> None:
        super().__init__("The role does not exist.")
        self._index = index

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": f"#/roles/{self._index}", "detail": str(self)}]


class InvalidSetupToken(ServiceError):
    status = 400
    code = "invalid_setup_token"
    title = "Invalid setup link"

    def __init__(self) -> None:
        super().__init__(
            "The setup link is unknown, was already used, or is older than 24 hours. Sign in with "
            "the password that the start printed, or set one with "
            "'python -m backend users reset-password NAME'."
        )


class InvalidResetToken(ServiceError):
    status = 400
    code = "invalid_reset_token"
    title = "Invalid token"

    def __init__(self) -> None:
        super().__init__("The token is unknown, expired or already used. Request a new one.")


class InvalidEmailToken(ServiceError):
    status = 400
    code = "invalid_email_token"
    title = "Invalid token"

    def __init__(self) -> None:
        super().__init__(
            "The token is unknown, expired or already used. Change the e-mail address again."
        )


class InvalidInvitation(ServiceError):
    status = 400
    code = "invalid_invitation"
    title = "Invalid invitation"

    def __init__(self) -> None:
        super().__init__(
            "The invitation is unknown, expired, withdrawn or already accepted. Ask for a new one."
        )


class AccountExists(ServiceError):
    status = 409
    code = "account_exists"
    title = "Account exists"

    def __init__(self) -> None:
        super().__init__(
            "The invitation is for a new account, and you are signed in to one. Sign out to "
            "create another."
        )


class MailUnavailable(ServiceError):
    status = 409
    code = "mail_unavailable"
    title = "Mail not configured"

    def __init__(
        self,
        detail: str = (
            "The new address cannot be confirmed because this system sends no mail. Ask an "
            "operator to set SMTP_URL."
        ),
    ) -> None:
        super().__init__(detail)


class TotpCodeRejected(ServiceError):
    """The code that confirms or deactivates the second factor is not valid."""

    status = 422
    code = "invalid_totp"
    title = "Invalid code"

    def __init__(self) -> None:
        super().__init__("The code is wrong, expired or already used.")

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": "#/code", "detail": str(self)}]


class SecondFactorActive(ServiceError):
    status = 409
    code = "totp_active"
    title = "Second factor active"

    def __init__(self) -> None:
        super().__init__("The second factor is active. Deactivate it before enrolling another.")


class SecondFactorInactive(ServiceError):
    status = 409
    code = "totp_inactive"
    title = "Second factor not active"

    def __init__(self) -> None:
        super().__init__("The account has no second factor to confirm or deactivate.")


class SessionRequired(ServiceError):
    status = 403
    code = "session_required"
    title = "Not allowed"

    def __init__(self) -> None:
        super().__init__("API keys cannot be used for this request. Sign in instead.")


class ReauthenticationRequired(ServiceError):
    status = 403
    code = "reauthentication_required"
    title = "Recent proof required"

    def __init__(self) -> None:
        super().__init__(
            "This request needs a proof of the last 5 minutes that you are present. Send your "
            "password or a code to POST /auth/reauthenticate, or sign in, and repeat the request."
        )


class InvalidApiKey(_Unauthenticated):
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("The API key is unknown, expired or deleted.")


class KeyDepthExceeded(ServiceError):
    status = 403
    code = "key_depth_exceeded"
    title = "Not allowed"

    def __init__(self, max_depth: int) -> None:
        super().__init__(
            f"Keys can be nested {max_depth} levels deep, and this key is at the last level. "
            "Create the key in a session or with a key of a higher level."
        )


class PermissionDenied(ServiceError):
    """The request grants or affects permissions that the caller does not have."""

    status = 403
    code = "permission_denied"
    title = "Not allowed"

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__(f"You lack these permissions yourself: {', '.join(sorted(missing))}.")


class PermissionNotForServiceAccounts(ServiceError):
    status = 422
    code = "validation_failed"
    title = "Validation failed"

    def __init__(self, index: int, permission: str) -> None:
        super().__init__(f"A service account cannot have the permission {permission}.")
        self._index = index

    def errors(self) -> list[dict[str, str]]:
        return [{"pointer": f"#/permissions/{self._index}", "detail": str(self)}]


class ResourceNotFound(ServiceError):
    """The resource does not exist or the caller cannot see it; the response is the same."""

    status = 404
    code = "not_found"
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("Resource not found.")


class ForeignAccount(ServiceError):
    status = 403
    code = "foreign_account"
    title = "Not allowed"

    def __init__(self) -> None:
        super().__init__(
            "The account belongs to another tenant. In this tenant you can change its roles or "
            "remove it as a member."
        )


class LastAdmin(ServiceError):
    status = 409
    code = "last_admin"
    title = "Last admin"

    def __init__(self) -> None:
        super().__init__("No enabled admin would remain. Give another user the admin role first.")


class BuiltInRole(ServiceError):
    status = 409
    code = "built_in_role"
    title = "Built-in role"

    def __init__(self) -> None:
        super().__init__("Built-in roles cannot be changed or deleted. Choose another name.")


class RoleInUse(ServiceError):
    status = 409
    code = "role_in_use"
    title = "Role in use"

    def __init__(self) -> None:
        super().__init__(
            "The role is assigned to at least one user. Assign them another role first."
        )


class SlugTaken(ServiceError):
    status = 409
    code = "slug_taken"
    title = "Slug taken"

    def __init__(self) -> None:
        super().__init__("Another tenant uses this slug. Choose another.")


class PersonalTenant(ServiceError):
    status = 409
    code = "personal_tenant"
    title = "Personal tenant"

    def __init__(
        self, detail: str = "A personal tenant cannot have other members. Create a shared tenant."
    ) -> None:
        super().__init__(detail)


class HomeTenant(ServiceError):
    status = 409
    code = "home_tenant"
    title = "Home tenant"

    def __init__(
        self,
        detail: str = (
            "A member cannot be removed from the home tenant of the account. Disable or delete "
            "the account instead."
        ),
    ) -> None:
        super().__init__(detail)


class InvalidIdToken(_Unauthenticated):
    """The ID token or authorization code is not accepted; the message gives the reason."""

    code = "invalid_id_token"


class InvalidClerkToken(_Unauthenticated):
    """The session token of Clerk is not accepted. *reason* is a short term for it."""

    code = "invalid_clerk_token"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"The Clerk session token is rejected ({reason}). {detail}")
        self.reason = reason


class InvalidWebhookSignature(_Unauthenticated):
    code = "invalid_signature"

    def __init__(self) -> None:
        super().__init__(
            "The signature of the webhook is not valid, or older than 5 minutes. Compare "
            "CLERK_WEBHOOK_SECRET with the signing secret of the endpoint in Clerk's dashboard."
        )


class InvalidSignIn(_Unauthenticated):
    code = "invalid_sign_in"

    def __init__(self) -> None:
        super().__init__("This browser has no pending sign-in, or it expired. Start again.")


class ProviderUnavailable(ServiceError):
    status = 503
    code = "provider_unavailable"
    title = "Identity provider unavailable"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The identity provider {name} does not respond or its response is invalid. "
            "Retry later."
        )

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class RotationPending(Exception):
    """A published key does not sign yet, so another rotation cannot start."""

    def __init__(self, signs_from: datetime) -> None:
        super().__init__(
            f"A rotation is pending: the published key signs from "
            f"{signs_from:%Y-%m-%d %H:%M:%S} UTC on. Rotate after that."
        )


class AccountDisabled(ServiceError):
    status = 403
    code = "account_disabled"
    title = "Account disabled"

    def __init__(self) -> None:
        super().__init__("The account is disabled. Contact an administrator.")


class TooManyAttempts(ServiceError):
    status = 429
    code = "too_many_attempts"
    title = "Too many attempts"

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(f"Too many attempts. Try again in {wait_seconds} seconds.")
        self._wait_seconds = wait_seconds

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._wait_seconds)}


class TooBusy(ServiceError):
    status = 503
    code = "too_busy"
    title = "Too busy"

    def __init__(self) -> None:
        super().__init__("Too many sign-ins are in progress. Retry in one second.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}

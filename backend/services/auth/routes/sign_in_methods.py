"""The methods with which a user can prove to be present."""

from backend.chassis.web.app_factory import use
from backend.services.auth.domain.accounts import Account
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.routes.schemas import SignInMethod


def list_sign_in_methods(account: Account) -> list[SignInMethod]:
    """Return the methods that `POST /auth/reauthenticate` accepts from *account*."""
    methods: list[SignInMethod] = ["password"] if account.has_password else []
    if account.kind == "user" and use(SecondFactorService).is_active(account.id):
        methods.append("totp")
    return methods

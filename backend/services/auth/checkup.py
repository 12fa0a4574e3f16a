"""What the doctor asks of auth: whether somebody can administer it, and mail can be sent."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from backend.chassis.database.sessions import open_database
from backend.chassis.diagnostics import Finding, connection_error, error, warning
from backend.services.auth.domain.passwords import PasswordPolicy
from backend.services.auth.errors import WeakPassword
from backend.services.auth.settings import Settings
from backend.services.auth.store import accounts

_SMTP_PORTS = {"smtp": 25, "smtps": 465}


def findings(settings: Settings, *, tables: bool, running: bool) -> Iterator[Finding]:
    """*tables* says whether those are in order, *running* whether the suite runs on this host."""
    yield from _first_password(settings)
    yield from _mail(settings)
    if settings.common.production and urlsplit(settings.public_url).hostname in (
        "127.0.0.1",
        "localhost",
    ):
        yield warning(
            "auth",
            f"PUBLIC_URL is {settings.public_url}.",
            "Browsers that sign in through another provider are sent back to their own host.",
            "Set PUBLIC_URL to where browsers reach the gateway, such as https://agent.example.org",
        )
    if tables and running:
        yield from _admins(settings)


def _first_password(settings: Settings) -> Iterator[Finding]:
    if settings.admin_password is None:
        return
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    try:
        policy.check(settings.admin_password.reveal(), [settings.admin_username])
    except WeakPassword as weak:
        yield error(
            "auth",
            f"ADMIN_PASSWORD is too weak: {weak}",
            "Auth does not start with it while there is no administrator; and it can be guessed.",
            "Set another one, or unset it: a random one is then made and shown once.",
        )


def _mail(settings: Settings) -> Iterator[Finding]:
    if settings.smtp_url is None:
        return
    url = settings.smtp_url.reveal()
    reason = connection_error(url, _SMTP_PORTS.get(urlsplit(url).scheme))
    if reason is not None:
        yield warning(
            "auth",
            f"The mail server does not answer ({reason}).",
            "Mails for forgotten passwords wait, and are given up after a day.",
            "Correct SMTP_URL; meanwhile: python -m backend users reset-password USER",
        )


def _admins(settings: Settings) -> Iterator[Finding]:
    with open_database(settings.database_url, "auth").across_tenants().read() as session:
        holders = accounts.holders(session, "admin")
    if not holders:
        yield error(
            "auth",
            "No account is an administrator that may sign in.",
            "Nobody can administer the suite.",
            "python -m backend users create NAME --role admin",
        )

"""Checks that `doctor` runs for auth: administrators, initial password, mail and public URL."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from backend.chassis.database.sessions import open_database
from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.services.auth.clients.clerk.users import API_URL
from backend.services.auth.domain.credentials.passwords import PasswordPolicy
from backend.services.auth.errors import WeakPassword
from backend.services.auth.settings import Settings
from backend.services.auth.store import accounts

_SMTP_PORTS = {"smtp": 25, "smtps": 465}


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield a finding for each problem of the auth service.

    Args:
        tables_ok: True if the checks of the tables found no problem.
        running: True if the services run on this host.
    """
    yield from _check_admin_password(settings)
    yield from _check_mail_server(settings)
    yield from _check_clerk(settings)
    if settings.common.is_production and urlsplit(settings.public_url).hostname in (
        "127.0.0.1",
        "localhost",
    ):
        yield warning(
            "auth",
            f"PUBLIC_URL is {settings.public_url}.",
            "After a sign-in at an OpenID provider, browsers are redirected to their own host.",
            "Set PUBLIC_URL to the gateway's public address, such as https://agent.example.org",
        )
    if tables_ok and running:
        yield from _check_admins(settings)


def _check_admin_password(settings: Settings) -> Iterator[Finding]:
    if settings.admin_password is None:
        return
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    try:
        policy.check_password(settings.admin_password.reveal(), [settings.admin_username])
    except WeakPassword as exc:
        is_production = settings.common.is_production
        create_finding = error if is_production else warning
        yield create_finding(
            "auth",
            f"ADMIN_PASSWORD is too weak: {exc}",
            "Auth refuses to create the first administrator with it."
            if is_production
            else "It can be guessed, and production refuses it.",
            "Set a stronger one, or unset it to have a random one generated and shown once.",
        )


def _check_mail_server(settings: Settings) -> Iterator[Finding]:
    if settings.smtp_url is None:
        return
    url = settings.smtp_url.reveal()
    reason = check_connection(url, _SMTP_PORTS.get(urlsplit(url).scheme))
    if reason is not None:
        yield warning(
            "auth",
            f"The mail server does not respond ({reason}).",
            "Password reset mails are queued, and dropped after 24 hours.",
            "Correct SMTP_URL; meanwhile: python -m backend users reset-password USER",
        )


def _check_clerk(settings: Settings) -> Iterator[Finding]:
    clerk = settings.clerk
    if clerk is None:
        return
    if settings.common.is_production and not clerk.is_live:
        yield warning(
            "auth",
            "CLERK_PUBLISHABLE_KEY is of a development instance of Clerk.",
            "Its users and limits are those of a test, and anyone can sign up there.",
            "Set the keys of the production instance; they begin with pk_live_ and sk_live_.",
        )
    if not clerk.authorized_parties:
        yield warning(
            "auth",
            "CLERK_AUTHORIZED_PARTIES is not set.",
            "Tokens are accepted from every application of the Clerk instance. Production does "
            "not start without it.",
            "Set it to the origins of your pages, such as https://app.example.org",
        )
    if clerk.public_key is None and (reason := check_connection(clerk.jwks_url or clerk.issuer)):
        yield error(
            "auth",
            f"The keys of Clerk cannot be loaded ({reason}).",
            "Tokens of Clerk are rejected with status 503 once the last keys are a day old.",
            "Allow the connection, or set CLERK_JWT_KEY to the public key of the application.",
        )
    reads_profiles = clerk.secret_key is not None and clerk.trust_email
    if reads_profiles and (reason := check_connection(clerk.api_url or API_URL)):
        yield error(
            "auth",
            f"The profiles of Clerk's users cannot be loaded ({reason}).",
            "New users whose tokens have no e-mail address get the status 503.",
            "Allow the connection, or add the claims of docs/operations/clerk.md to the tokens.",
        )


def _check_admins(settings: Settings) -> Iterator[Finding]:
    with open_database(settings.database_url, "auth").across_tenants().read() as session:
        admin_ids = accounts.find_active_role_holders(session, "admin")
    if not admin_ids:
        yield error(
            "auth",
            "No enabled account has the admin role.",
            "The installation cannot be administered.",
            "python -m backend users create NAME --role admin",
        )

"""Administration of the auth service: `python -m backend users|tenants|keys …`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.settings import Env, SettingsError, load_env
from backend.chassis.web.problems import ServiceError
from backend.security.authentication import open_revocations
from backend.services.auth.domain.accounts import AccountService
from backend.services.auth.domain.administration.credentials import CredentialService
from backend.services.auth.domain.administration.tenants import TenantService
from backend.services.auth.domain.administration.users import UserService
from backend.services.auth.domain.credentials.api_keys import ApiKeyService
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.signing_keys import rotate_signing_key
from backend.services.auth.errors import RotationPending
from backend.services.auth.jobs.admin_cli import keys, tenants, users
from backend.services.auth.jobs.admin_cli.admin_commands import AdminCommands, CommandError
from backend.services.auth.settings import Settings

_COMMAND_GROUPS = {
    "users": (users.add_user_commands, "accounts"),
    "tenants": (tenants.add_tenant_commands, "tenants and their members"),
    "keys": (keys.add_key_commands, "API keys and the access token signing key"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    args = _create_parser().parse_args(arguments)
    try:
        admin = _create_admin_commands(load_env(), as_json=args.json)
        args.command(admin, args)
        admin.warn_if_unpublished()
    except (CommandError, RotationPending, ServiceError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        sys.stderr.write(
            f"The database operation failed: {reason}. "
            "Run `python -m backend doctor` to find the cause.\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _create_admin_commands(env: Env, *, as_json: bool) -> AdminCommands:
    """Create the domain services on the auth database, after running pending migrations."""
    settings = Settings.from_env(env)
    database = open_database(settings.database_url, "auth").across_tenants()
    database.migrate("auth")
    publisher = RevocationPublisher(
        database,
        open_revocations(settings.security.redis_url),
        settings.access_lifetime,
        _utc_now,
    )
    hasher = PasswordHasher(settings.logins_at_once)
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    # No command changes an e-mail address, so none sends a mail.
    encryptor = Encryptor(settings.common.secret_key.reveal(), "outgoing-mails")
    mails = OutgoingMails(database, None, encryptor, _utc_now)
    limiter = AttemptLimiter(database, settings.login_attempts, _utc_now)
    email_changes = EmailChanges(database, mails, limiter, settings.public_url, _utc_now)
    account_service = AccountService(database, hasher, policy, email_changes, _utc_now)
    return AdminCommands(
        users=UserService(database, account_service, email_changes, publisher, _utc_now),
        tenants=TenantService(database, publisher, _utc_now),
        api_keys=ApiKeyService(database, publisher, _utc_now),
        credentials=CredentialService(database, hasher, policy, publisher, _utc_now),
        publisher=publisher,
        rotate_signing_key=lambda lead_time: _rotate_key(
            database, lead_time, settings.access_lifetime
        ),
        now=_utc_now,
        public_url=settings.public_url,
        as_json=as_json,
    )


def _rotate_key(database: Database, lead_time: timedelta, token_lifetime: timedelta) -> datetime:
    return rotate_signing_key(database, _utc_now(), lead_time, token_lifetime)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    groups = parser.add_subparsers(dest="noun", required=True, metavar="RESOURCE")
    for name, (add_commands, resources) in _COMMAND_GROUPS.items():
        group = groups.add_parser(name, help=resources, description=f"Manage {resources}.")
        commands = group.add_subparsers(required=True, metavar="COMMAND")
        add_commands(commands)
        for command in commands.choices.values():
            command.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

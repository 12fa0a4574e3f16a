"""What an operator does to the auth service by hand: `python -m backend users|tenants|keys …`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.settings import Env, SettingsError, load_env
from backend.chassis.web.problems import ServiceError
from backend.security.authentication import open_revocations
from backend.services.auth.domain.accounts import Accounts
from backend.services.auth.domain.administration.credentials import Credentials
from backend.services.auth.domain.administration.tenants import Tenants
from backend.services.auth.domain.administration.users import Users
from backend.services.auth.domain.api_keys import ApiKeys
from backend.services.auth.domain.keys import rotate
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import RotationUnderWay
from backend.services.auth.jobs.operating import keys, tenants, users
from backend.services.auth.jobs.operating.office import CannotDo, Office
from backend.services.auth.settings import Settings

_NOUNS = {
    "users": (users.add_words, "accounts"),
    "tenants": (tenants.add_words, "tenants and their members"),
    "keys": (keys.add_words, "API keys, and the key that signs access tokens"),
}


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    try:
        office = _office(load_env(), as_json=asked.json)
        asked.command(office, asked)
        office.warn_if_untold()
    except (CannotDo, RotationUnderWay, ServiceError, SettingsError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        sys.stderr.write(
            f"The database does not do what is asked: {reason}. "
            "`python -m backend doctor` says what is wrong with it.\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _office(env: Env, *, as_json: bool) -> Office:
    """The service's parts, over its own tables, brought up to date like at a start."""
    settings = Settings.from_env(env)
    database = open_database(settings.database_url, "auth").across_tenants()
    database.migrate("auth")
    revoker = Revoker(
        database,
        open_revocations(settings.security.redis_url),
        settings.access_lifetime,
        _now,
    )
    desk = PasswordDesk(settings.logins_at_once)
    policy = PasswordPolicy(settings.password_min_length, settings.password_min_guesses)
    people = Accounts(database, desk, policy, _now)
    return Office(
        users=Users(database, people, revoker, _now),
        tenants=Tenants(database, revoker, _now),
        api_keys=ApiKeys(database, revoker, _now),
        credentials=Credentials(database, desk, policy, revoker, _now),
        revoker=revoker,
        rotate=lambda wait: _rotate(database, wait, settings.access_lifetime),
        now=_now,
        public_url=settings.public_url,
        as_json=as_json,
    )


def _rotate(database: Database, wait: timedelta, lifetime: timedelta) -> datetime:
    return rotate(database, _now(), wait, lifetime)


def _now() -> datetime:
    return datetime.now(UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="WORD")
    for noun, (add_words, about) in _NOUNS.items():
        spoken = nouns.add_parser(noun, help=about, description=f"Work with {about}.")
        words = spoken.add_subparsers(required=True, metavar="WORD")
        add_words(words)
        for word in words.choices.values():
            word.add_argument("--json", action="store_true", help="for scripts")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

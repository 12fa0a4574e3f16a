"""What an operator does to the auth service by hand: `python -m backend.services.auth …`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from backend.chassis.database import open_database
from backend.chassis.settings import SettingsError, load_env
from backend.services.auth.domain.keys import PUBLISHED_BEFORE, rotate
from backend.services.auth.errors import RotationUnderWay
from backend.services.auth.settings import Settings


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.services.auth")
    commands = parser.add_subparsers(dest="command", required=True)
    rotating = commands.add_parser(
        "rotate-keys", help="publish another signing key now, and sign with it after a while"
    )
    rotating.add_argument(
        "--wait-seconds",
        type=int,
        default=int(PUBLISHED_BEFORE.total_seconds()),
        metavar="N",
        help="how long it is published before it signs (600; at least 15)",
    )
    asked = parser.parse_args(arguments)
    try:
        return _rotate(timedelta(seconds=max(asked.wait_seconds, 15)))
    except (RotationUnderWay, SettingsError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1


def _rotate(wait: timedelta) -> int:
    settings = Settings.from_env(load_env())
    database = open_database(settings.database_url, "auth").across_tenants()
    database.migrate("auth")
    begins = rotate(database, datetime.now(UTC), wait, settings.access_lifetime)
    sys.stdout.write(
        f"Another key is published and signs from {begins:%Y-%m-%d %H:%M:%S} UTC on. "
        "The one before it is withdrawn when its last token has expired.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

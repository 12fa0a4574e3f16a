"""Migrate the tables of services before they start.

    python -m backend.operations.supervisor.processes.migrations SERVICE…

Prints the revision of each service. Services without tables are skipped.
"""

import sys
from collections.abc import Collection

from backend.chassis.console import print_line
from backend.chassis.database.migration_folders import list_services_with_tables
from backend.chassis.database.sessions import migrate_services
from backend.chassis.settings import SettingsError, load_env


def main(services: Collection[str]) -> int:
    names = [name for name in list_services_with_tables() if name in services]
    try:
        for name, revision in migrate_services(load_env(), names):
            print_line(f"{name}: {revision}")
    except SettingsError as error:
        print_line(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

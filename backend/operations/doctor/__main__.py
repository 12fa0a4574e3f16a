"""Check one service, or what all services share, and print the findings as JSON."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from backend.chassis.catalog import CATALOG
from backend.chassis.diagnostics import Finding, error, warning
from backend.chassis.settings import Env, Secret, SettingsError, load_env

Check = Callable[..., Iterable[Finding]]
# The name for checks of what all services share.
_SUITE = "suite"


class ReadOnlyEnv(Env):
    """Environment that does not create missing secrets: a check must not change anything."""

    def secret(self, name: str) -> Secret:
        file = self.path("DATA_DIR", "data") / "secrets" / name
        if self.is_production or self.optional(name) or file.exists():
            return super().secret(name)
        return Secret("placeholder of a secret that the first start creates")


def main(arguments: list[str]) -> int:
    """Print the findings and return 0, also if there are any."""
    parser = argparse.ArgumentParser(prog="python -m backend.operations.doctor")
    parser.add_argument("name", choices=(_SUITE, *(entry.name for entry in CATALOG)))
    parser.add_argument(
        "--running", action="store_true", help="the services are running on this host"
    )
    options = parser.parse_args(arguments)
    load_env()
    env = ReadOnlyEnv(os.environ)
    if options.name == _SUITE:
        findings = list(_check_suite(env))
    else:
        findings = list(_check_service(options.name, env, running=options.running))
    sys.stdout.write(json.dumps([finding.to_dict() for finding in findings]))
    return 0


def _check_suite(env: Env) -> Iterator[Finding]:
    from backend.operations.doctor.package_checks import check_packages
    from backend.operations.doctor.server_checks import check_redis

    yield from _run_check(_SUITE, check_packages, env)
    yield from _run_check(_SUITE, check_redis, env)


def _check_service(name: str, env: Env, *, running: bool) -> Iterator[Finding]:
    if find_spec(f"backend.services.{name}.settings") is None:
        return
    try:
        settings: Any = import_module(f"backend.services.{name}.settings").Settings.from_env(env)
    except SettingsError as invalid:
        yield error(
            name,
            str(invalid),
            f"{name} does not start with invalid settings.",
            "Correct the setting in .env or in the environment.",
        )
        return
    tables_ok = True
    if find_spec(f"backend.services.{name}.migrations") is not None:
        # Imported here: the import is slow, and not every service has tables.
        from backend.operations.doctor.database_checks import check_tables

        findings = list(_run_check(name, check_tables, name, settings.database_url))
        tables_ok = not any(finding.component == name for finding in findings)
        yield from findings
    if find_spec(f"backend.services.{name}.checkup") is not None:
        run_checks = import_module(f"backend.services.{name}.checkup").run_checks
        yield from _run_check(name, run_checks, settings, tables_ok=tables_ok, running=running)


def _run_check(name: str, check: Check, *arguments: Any, **options: Any) -> Iterator[Finding]:
    """Run a check and report an exception as a finding instead of failing."""
    try:
        yield from check(*arguments, **options)
    except Exception as failure:  # noqa: BLE001 - the other checks must still run
        reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
        yield warning(
            name,
            f"A check failed ({reason}).",
            "Problems that it would find are not reported.",
            f"python -m backend.operations.doctor {name}",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

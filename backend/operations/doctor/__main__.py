"""Check services and what they share, and print the findings as JSON lines."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
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
    """Print one JSON line `{name: findings}` for each name, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m backend.operations.doctor")
    names = (_SUITE, *(entry.name for entry in CATALOG))
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME")
    parser.add_argument(
        "--running", action="store_true", help="the services are running on this host"
    )
    options = parser.parse_args(arguments)
    load_env()
    env = ReadOnlyEnv(os.environ)
    # Modules are imported here: two threads that import the same package can block each other.
    checks = {name: _prepare_checks(name, env, running=options.running) for name in options.names}
    with ThreadPoolExecutor(len(checks)) as pool:
        futures = {pool.submit(list, findings): name for name, findings in checks.items()}
        for future in as_completed(futures):
            findings = [finding.to_dict() for finding in future.result()]
            sys.stdout.write(json.dumps({futures[future]: findings}) + "\n")
            sys.stdout.flush()
    return 0


def _prepare_checks(name: str, env: Env, *, running: bool) -> Iterable[Finding]:
    """Import what the checks of *name* need, and return an iterable that runs them."""
    if name == _SUITE:
        return _prepare_suite_checks(env)
    if find_spec(f"backend.services.{name}.settings") is None:
        return ()
    try:
        settings: Any = import_module(f"backend.services.{name}.settings").Settings.from_env(env)
    except SettingsError as invalid:
        return [
            error(
                name,
                problem,
                f"{name} does not start with invalid settings.",
                "Correct the setting.",
            )
            for problem in invalid.problems
        ]
    check_tables: Check | None = None
    if find_spec(f"backend.services.{name}.migrations") is not None:
        # The import is slow, and not every service has tables.
        check_tables = import_module("backend.operations.doctor.database_checks").check_tables
    run_checks: Check | None = None
    if find_spec(f"backend.services.{name}.checkup") is not None:
        run_checks = import_module(f"backend.services.{name}.checkup").run_checks
    return _check_service(name, settings, check_tables, run_checks, running=running)


def _prepare_suite_checks(env: Env) -> Iterator[Finding]:
    from backend.operations.doctor.grpc_checks import check_grpc
    from backend.operations.doctor.package_checks import check_packages
    from backend.operations.doctor.secret_checks import check_secrets
    from backend.operations.doctor.server_checks import check_event_broker, check_redis

    checks = (check_packages, check_secrets, check_redis, check_event_broker, check_grpc)
    return chain.from_iterable(_run_check(_SUITE, check, env) for check in checks)


def _check_service(
    name: str,
    settings: Any,
    check_tables: Check | None,
    run_checks: Check | None,
    *,
    running: bool,
) -> Iterator[Finding]:
    tables_ok = True
    if check_tables is not None:
        findings = list(_run_check(name, check_tables, name, settings.database_url))
        tables_ok = not any(finding.component == name for finding in findings)
        yield from findings
    if run_checks is not None:
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

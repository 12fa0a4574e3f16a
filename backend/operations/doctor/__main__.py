"""Look at one service, or at what all share, and write down what is found, as JSON."""

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

Findings = Callable[..., Iterable[Finding]]


class LookingEnv(Env):
    """Makes no secret that is not there yet: who looks must not change anything."""

    def secret(self, name: str) -> Secret:
        kept = self.path("DATA_DIR", "data") / "secrets" / name
        if self.production or self.optional(name) or kept.exists():
            return super().secret(name)
        return Secret("a secret that the first start will make")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.operations.doctor")
    parser.add_argument("name", choices=("suite", *(entry.name for entry in CATALOG)))
    parser.add_argument("--running", action="store_true", help="the suite runs on this host")
    asked = parser.parse_args(arguments)
    load_env()
    env = LookingEnv(os.environ)
    if asked.name == "suite":
        found = list(_suite(env))
    else:
        found = list(_service(asked.name, env, running=asked.running))
    sys.stdout.write(json.dumps([finding.told() for finding in found]))
    return 0


def _suite(env: Env) -> Iterator[Finding]:
    from backend.operations.doctor.package_checks import look_at_packages
    from backend.operations.doctor.server_checks import look_at_redis

    yield from _guarded("suite", look_at_packages, env)
    yield from _guarded("suite", look_at_redis, env)


def _service(name: str, env: Env, *, running: bool) -> Iterator[Finding]:
    if find_spec(f"backend.services.{name}.settings") is None:
        return
    try:
        settings: Any = import_module(f"backend.services.{name}.settings").Settings.from_env(env)
    except SettingsError as trouble:
        yield error(
            name,
            str(trouble),
            f"{name} refuses these settings, and does not start.",
            "Correct it in .env or in the environment.",
        )
        return
    in_order = True
    if find_spec(f"backend.services.{name}.migrations") is not None:
        # Not every service has tables, and what speaks to databases is slow to import.
        from backend.operations.doctor.database_checks import look_at_tables

        found = list(_guarded(name, look_at_tables, name, settings.database_url))
        in_order = not any(finding.about == name for finding in found)
        yield from found
    if find_spec(f"backend.services.{name}.checkup") is not None:
        own = import_module(f"backend.services.{name}.checkup").findings
        yield from _guarded(name, own, settings, tables=in_order, running=running)


def _guarded(name: str, look: Findings, *what: Any, **how: Any) -> Iterator[Finding]:
    """What *look* finds, and that it could not look where it can't."""
    try:
        yield from look(*what, **how)
    except Exception as trouble:  # noqa: BLE001 - whatever it is, the rest is still worth telling
        reason = f"{type(trouble).__name__}: {trouble}".splitlines()[0]
        yield warning(
            name,
            f"Something could not be looked at ({reason}).",
            "What is wrong there is not known.",
            f"python -m backend.operations.doctor {name}",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

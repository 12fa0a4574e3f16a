"""Commands of the gateway: `python -m backend.services.gateway`.

check        validate the route table and print it
metrics-key  print the key with which Prometheus reads `/metrics`
"""

import sys
from collections.abc import Sequence

from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.settings import SettingsError, load_env
from backend.services.gateway.domain.routing.route_table import RouteTable
from backend.services.gateway.settings import Settings

_USAGE = "usage: python -m backend.services.gateway check|metrics-key"


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit code: 0, 1 for invalid settings, 2 for invalid usage."""
    if list(arguments) not in (["check"], ["metrics-key"]):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    try:
        settings = Settings.from_env(load_env())
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    if arguments[0] == "metrics-key":
        sys.stdout.write(f"{MetricsKey(settings.common.secret_key.reveal()).text}\n")
    else:
        sys.stdout.write(_format_table(settings.table))
    return 0


def _format_table(table: RouteTable) -> str:
    rows = [("name", "prefix", "upstreams", "timeout", "max body", "limits")]
    rows += [
        (
            route.name,
            route.prefix,
            ", ".join(f"{url}{route.onto}" for url in route.upstreams),
            f"{route.timeout:g} s",
            f"{route.body_limit / 1024 / 1024:g} MB",
            ", ".join(f"{r.name} {r.rate.count}/{r.rate.period_seconds} s" for r in route.limits),
        )
        for route in table.routes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m backend.services.gateway`: what an operator asks of the gateway.

check        read the route table and say what it holds
metrics-key  print the key that Prometheus shows at `/metrics`
"""

import sys
from collections.abc import Sequence

from backend.chassis.settings import SettingsError, load_env
from backend.services.gateway.domain.metrics_key import MetricsKey
from backend.services.gateway.domain.table import Table
from backend.services.gateway.settings import Settings

_USAGE = "usage: python -m backend.services.gateway check|metrics-key"


def main(arguments: Sequence[str]) -> int:
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
        sys.stdout.write(_shown(settings.table))
    return 0


def _shown(table: Table) -> str:
    rows = [("name", "prefix", "upstreams", "answer within", "body", "limits")]
    rows += [
        (
            route.name,
            route.prefix,
            ", ".join(f"{url}{route.onto}" for url in route.upstreams),
            f"{route.timeout:g} s",
            f"{route.body_limit / 1024 / 1024:g} MB",
            ", ".join(f"{r.name} {r.rate.count}/{r.rate.period} s" for r in route.limits),
        )
        for route in table.routes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m backend.services.packages recompute`: compute the statistics of all tenants now."""

import argparse
import json
import sys
from collections.abc import Sequence

from backend.chassis.settings import load_env
from backend.services.packages.settings import Settings
from backend.services.packages.wiring import PackageComponents


def main(arguments: Sequence[str]) -> int:
    """Print a JSON object for each tenant: its id and the number of packages."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.packages recompute")
    parser.add_argument("--tenant", metavar="ID", help="only this tenant")
    options = parser.parse_args(arguments)
    components = PackageComponents.open(Settings.from_env(load_env()))
    statistics = components.statistics
    tenants = [options.tenant] if options.tenant else statistics.list_tenants(stale_only=False)
    for tenant in tenants:
        result = {"tenant_id": tenant, "packages": statistics.recompute(tenant)}
        sys.stdout.write(json.dumps(result) + "\n")
    components.close()
    return 0

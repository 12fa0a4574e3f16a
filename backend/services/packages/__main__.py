"""Commands of the packages service: `python -m backend.services.packages COMMAND`."""

import importlib
import json
import sys
from collections.abc import Sequence

# The module of each command, imported only for that command. It has `main(arguments) -> int`.
_COMMANDS = {
    "evaluate": "backend.services.packages.jobs.evaluate",
    "identify": "backend.services.packages.jobs.identify",
    "replay": "backend.services.packages.jobs.replay",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command in *arguments*. Returns its exit status, 2 for an unknown command."""
    name, *rest = arguments or [""]
    if name == "recompute":
        return _recompute(rest)
    module = _COMMANDS.get(name)
    if module is None:
        commands = ", ".join(sorted((*_COMMANDS, "recompute")))
        sys.stderr.write(f"usage: python -m backend.services.packages COMMAND …\n\n{commands}\n")
        return 2
    return int(importlib.import_module(module).main(rest))


def _recompute(tenants: Sequence[str]) -> int:
    """Compute the statistics of *tenants* now, of all without any, and print their sizes."""
    # Imported late, because the other commands need no database.
    settings = importlib.import_module("backend.chassis.settings")
    wiring = importlib.import_module("backend.services.packages.wiring")
    own_settings = importlib.import_module("backend.services.packages.settings")
    components = wiring.PackageComponents.open(own_settings.Settings.from_env(settings.load_env()))
    statistics = components.statistics
    for tenant in tenants or statistics.list_tenants(stale_only=False):
        result = {"tenant_id": tenant, "packages": statistics.recompute(tenant)}
        sys.stdout.write(json.dumps(result) + "\n")
    components.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

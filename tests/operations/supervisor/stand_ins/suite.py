"""The real supervisor over stand-in services: `python suite.py WORD`, set up by variables."""

import os
import sys
from pathlib import Path

from backend.chassis.console import CannotRun
from backend.chassis.service_description import Companion, Service
from backend.operations.supervisor.commands import Suite
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import Plan, Wishes, make_plan

CATALOG = (Service("alpha", 1), Service("beta", 2), Service("gateway", 3))
SERVICE = Path(__file__).with_name("service.py")
HELPER = Companion(
    "helper",
    "alpha",
    (str(SERVICE), "{port}"),
    is_needed=lambda get, _: get("HELPER_PORT") is not None,
    port=4,
    port_variable="HELPER_PORT",
    probe_path="/health",
)


def plan() -> Plan:
    variables = Variables(dict(os.environ))

    def command(service: Service, _: Wishes) -> tuple[str, ...]:
        manner = variables.get(f"{service.name.upper()}_MANNER") or "well"
        return (sys.executable, str(SERVICE), os.environ[service.port_variable], manner)

    return make_plan(Path.cwd(), variables, Wishes(), CATALOG, (HELPER,), command)


def main(word: str) -> int:
    suite = Suite(plan())
    try:
        match word:
            case "start":
                suite.start()
            case "detach":
                suite.start_detached([sys.executable, __file__])
            case "--behind":
                suite.start(quietly=True)
            case "stop":
                suite.stop()
            case "status":
                return suite.status()
    except CannotRun as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

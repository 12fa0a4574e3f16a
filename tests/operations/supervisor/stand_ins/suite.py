"""Run the supervisor with stand-in services: `python suite.py COMMAND`.

Environment variables set folders and ports. ALPHA_MODE and similar set the mode of a service. With
FORKED the services are forked by the fork server.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from backend.chassis.console import CommandError
from backend.chassis.service_description import Companion, Service
from backend.operations.supervisor.commands import SuiteCommands
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import Plan, StartOptions, make_plan

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

# Needed once a client connects, if IDLER_PORT is set.
IDLER = Companion(
    "idler",
    "alpha",
    ("-m", "tests.operations.supervisor.stand_ins.on_demand", "{port}"),
    is_needed=lambda get, _: get("IDLER_PORT") is not None,
    port=5,
    port_variable="IDLER_PORT",
    probe_path="/health/live",
    probe_port_offset=1,
    on_demand=True,
)


def create_plan() -> Plan:
    variables = EnvironmentVariables(dict(os.environ))

    def build_command(service: Service, _: StartOptions) -> tuple[str, ...]:
        mode = variables.get(f"{service.name.upper()}_MODE") or "normal"
        if "FORKED" in os.environ:
            module = "tests.operations.supervisor.stand_ins.service"
            return (sys.executable, "-m", module, os.environ[service.port_variable], mode)
        return (sys.executable, str(SERVICE), os.environ[service.port_variable], mode)

    plan = make_plan(Path.cwd(), variables, StartOptions(), CATALOG, (HELPER, IDLER), build_command)
    imports = ("http.server",) if "FORKED" in os.environ else ()
    programs = tuple(replace(program, imports=imports) for program in plan.programs)
    return replace(plan, programs=programs)


def main(command: str) -> int:
    suite = SuiteCommands(create_plan())
    try:
        match command:
            case "start":
                suite.start()
            case "detach":
                suite.start_detached([sys.executable, __file__])
            case "--behind":
                suite.start(quiet=True)
            case "stop":
                suite.stop()
            case "status":
                return suite.status()
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

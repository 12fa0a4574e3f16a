"""Import the modules of all programs once: python -m backend.operations.byte_code.

Python then writes their byte code. Otherwise the first start would do this in one process, while
the other processors of the host have nothing to do.
"""

from backend.operations.command_line import ROOT
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.processes.fork_server import import_modules


def main() -> None:
    plan = make_plan(ROOT, EnvironmentVariables({}))
    import_modules([name for program in plan.programs for name in program.imports])


if __name__ == "__main__":
    main()

"""Check before a start that the ports of a plan can be opened."""

from collections.abc import Collection

from backend.chassis.console import CommandError
from backend.operations.supervisor.plan import Plan, Program, find_shared_ports
from backend.operations.supervisor.processes import ports


def check_ports(plan: Plan, own_ports: Collection[int] = ()) -> None:
    """Raise CommandError if a program of *plan* cannot open its port.

    Args:
        own_ports: ports of running programs that are stopped before the start.
    """
    for port, names in find_shared_ports(plan).items():
        raise CommandError(
            f"{' and '.join(names)} are set to the same port, {port}. Change one of them."
        )
    for program in plan.programs:
        if program.port is None or program.port in own_ports:
            continue
        if problem := ports.explain_unavailable(program.host, program.port):
            advice = advise_on_port(program, problem)
            raise CommandError(f"Port {program.port} of {program.name} {problem}. {advice}")


def advise_on_port(program: Program, problem: str) -> str:
    """Return what to do about *problem*, a result of `explain_unavailable`."""
    if "no address" in problem:
        example = "127.0.0.1" if ":" in program.host else "::1"
        return (
            "Set HOST and GATEWAY_HOST to an address that it has, such as "
            f"HOST={example} GATEWAY_HOST={example}."
        )
    if "in use" in problem:
        return (
            f"Stop that process, set {program.port_variable}, or move all ports with --port-offset."
        )
    return f"Correct the host name or set {program.port_variable} to another port."

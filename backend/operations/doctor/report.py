"""Report of `doctor`: problems with their fixes, then every setting with its origin."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from backend.chassis.catalog import CATALOG
from backend.chassis.console import format_table, print_line
from backend.chassis.diagnostics import Finding, Level, warning
from backend.chassis.documented_settings import hide_secrets, list_documented_settings
from backend.chassis.observability.ecs_log_format import parse_log_line
from backend.operations import installer
from backend.operations.doctor.host_checks import check_host
from backend.operations.supervisor import state
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import Plan

_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bHOST\b|\bLLM\b")
_CHECK_TIMEOUT_SECONDS = 120
# Argument of `backend.operations.doctor` for the checks of what all services share.
_SUITE = "suite"


def print_report(
    root: Path,
    plan: Plan,
    variables: EnvironmentVariables,
    *,
    as_json: bool = False,
    findings_only: bool = False,
) -> int:
    """Print findings and settings and return the exit code: 1 if a finding is an error."""
    findings = find_problems(root, plan, variables)
    settings = [] if findings_only else list(_list_settings(root, variables))
    if as_json:
        keys = ("name", "value", "from")
        report = {
            "settings": [dict(zip(keys, row, strict=True)) for row in settings],
            "findings": [finding.to_dict() for finding in findings],
        }
        print_line(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print_line("\n".join(map(_format_finding, findings)) or "No problems found.")
        if settings:
            print_line("\nSettings\n" + format_table(("name", "value", "from"), settings))
    return int(any(finding.level == "error" for finding in findings))


def print_errors(root: Path, plan: Plan, variables: EnvironmentVariables) -> None:
    """Print the findings that are errors, after a start that succeeded in spite of them."""
    errors = [f for f in find_problems(root, plan, variables) if f.level == "error"]
    if errors:
        print_line("\nThe services run, but not everything works:\n")
        print_line("\n".join(map(_format_finding, errors)))


def find_problems(root: Path, plan: Plan, variables: EnvironmentVariables) -> list[Finding]:
    """Return each problem once, with the origin of the setting that causes it; errors first."""
    known = [name for name, _ in list_documented_settings(root)]
    findings = [*check_host(root, plan, variables, known), *_check_services(root, plan, variables)]
    merged = [_merge_findings(group) for group in _group_by_problem(findings)]
    located = [_add_origin(finding, variables) for finding in merged]
    return sorted(located, key=lambda finding: finding.level)


def _group_by_problem(findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """Group equal findings: each service that reads a wrong shared setting reports it."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.level, finding.problem), []).append(finding)
    return groups.values()


def _merge_findings(group: Sequence[Finding]) -> Finding:
    if len(group) == 1:
        return group[0]
    components = dict.fromkeys(finding.component for finding in group)
    texts = (
        re.sub(rf"\b{re.escape(finding.component)}\b", "each of them", finding.consequence)
        for finding in group
    )
    consequences = dict.fromkeys(text[:1].upper() + text[1:] for text in texts)
    return replace(group[0], component=", ".join(components), consequence=" ".join(consequences))


def _add_origin(finding: Finding, variables: EnvironmentVariables) -> Finding:
    """Add the origin of the first set variable that the finding names, unless it has an origin."""
    names = _VARIABLE.findall(f"{finding.problem} {finding.fix} {finding.component}")
    name = next((name for name in names if variables.get(name)), None)
    if finding.origin or name is None:
        return finding
    return replace(finding, origin=f"{name}: {variables.location(name)}")


def _list_settings(root: Path, variables: EnvironmentVariables) -> Iterator[tuple[str, str, str]]:
    for name, default in list_documented_settings(root):
        value = variables.get(name)
        shown = default or "-" if value is None else hide_secrets(name, value)
        yield name, shown, variables.origin(name)


def _format_finding(finding: Finding) -> str:
    return (
        f"{finding.level}: {finding.component}: {finding.problem}\n"
        f"    consequence: {finding.consequence}\n"
        f"    fix:         {finding.fix}"
        + (f"\n    set in:      {finding.origin}" if finding.origin else "")
    )


def _check_services(root: Path, plan: Plan, variables: EnvironmentVariables) -> Iterator[Finding]:
    """Run the checks of the planned services in one process with a timeout.

    A process for each service would take three times as much CPU time.
    """
    python = _find_python(root)
    if python is None:
        return
    running = state.is_supervised(plan.run_folder)
    offline = variables.merged() | {"DATA_DIR": str(plan.data)}
    environment = plan.environment if running else offline
    options = ("--running",) if running else ()
    planned = {program.name for program in plan.programs}
    names = (_SUITE, *(entry.name for entry in CATALOG if entry.full_name in planned))
    output, failure = _run_checks(python, root, environment, (*names, *options))
    findings = _parse_findings(output)
    for name in names:
        yield from findings.get(name, ())
    if missing := [name for name in names if name not in findings]:
        yield warning(
            ", ".join(missing),
            f"The checks failed: {failure}",
            "Problems of these services are not reported, and they may not start.",
            f"{python} -m backend.operations.doctor {' '.join(missing)}",
        )


def _run_checks(
    python: Path, root: Path, environment: Mapping[str, str], arguments: Sequence[str]
) -> tuple[str, str]:
    """Return the output of the checks, and why it may be incomplete."""
    try:
        process = subprocess.run(  # noqa: S603 - names of the catalog
            [python, "-m", "backend.operations.doctor", *arguments],
            cwd=root,
            env={"PATH": os.defpath, **environment},
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as timeout:
        # subprocess returns bytes here, even in text mode.
        output = timeout.stdout if isinstance(timeout.stdout, bytes) else b""
        return output.decode(
            "utf-8", "replace"
        ), f"they took longer than {_CHECK_TIMEOUT_SECONDS} s."
    last_line = (process.stderr.strip().splitlines() or ["no output."])[-1]
    # An exception is logged as a JSON line.
    return process.stdout, str(parse_log_line(last_line).get("message", last_line))


def _parse_findings(output: str) -> Mapping[str, Sequence[Finding]]:
    """Return the findings by service from JSON lines; an incomplete line is ignored."""
    findings: dict[str, Sequence[Finding]] = {}
    for line in output.splitlines():
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            for name, entries in json.loads(line).items():
                findings[name] = [_parse_finding(fields) for fields in entries]
    return findings


def _parse_finding(fields: Mapping[str, str]) -> Finding:
    """Convert the result of `Finding.to_dict` to a finding without an origin."""
    level: Level = "error" if fields["level"] == "error" else "warning"
    component, problem = fields["about"], fields["what"]
    consequence, fix = fields["why"], fields["mend"]
    return Finding(level, component, problem, consequence, fix)


def _find_python(root: Path) -> Path | None:
    """Return the interpreter of the services, or None while packages are not installed."""
    environment = installer.runtime_environment(root)
    if installer.is_current(environment):
        return environment.python
    from importlib.util import find_spec

    return Path(sys.executable) if find_spec("sqlalchemy") is not None else None

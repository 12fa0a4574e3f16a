"""Report of `doctor`: every setting with its origin, and problems with their fixes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend.chassis.catalog import CATALOG
from backend.chassis.console import format_table, print_line
from backend.chassis.diagnostics import Finding, Level, error, warning
from backend.operations import installer
from backend.operations.doctor.host_checks import check_host
from backend.operations.supervisor import state
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import Plan

_SETTING = re.compile(r"^#?\s?([A-Z][A-Z0-9_]+)=(.*?)(?:\s+#.*)?$")
_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^@/]*(?=@)")
_CHECK_TIMEOUT_SECONDS = 120
# Argument of `backend.operations.doctor` for the checks of what all services share.
_SUITE = "suite"


def print_report(
    root: Path, plan: Plan, variables: EnvironmentVariables, *, as_json: bool = False
) -> int:
    """Print settings and findings and return the exit code: 1 if a finding is an error."""
    settings = list(_list_settings(root, variables))
    known = [name for name, _ in list_settings(root)]
    findings = [*check_host(root, plan, variables, known), *_check_services(root, plan, variables)]
    findings.sort(key=lambda finding: finding.level)
    if as_json:
        keys = ("name", "value", "from")
        report = {
            "settings": [dict(zip(keys, row, strict=True)) for row in settings],
            "findings": [finding.to_dict() for finding in findings],
        }
        print_line(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print_line("Settings\n" + format_table(("name", "value", "from"), settings) + "\n")
        print_line("\n".join(map(_format_finding, findings)) or "No problems found.")
    return int(any(finding.level == "error" for finding in findings))


def list_settings(root: Path) -> list[tuple[str, str]]:
    """Return every variable in `.env.example` with its default."""
    lines = (root / ".env.example").read_text("utf-8").splitlines()
    return [(match[1], match[2]) for match in map(_SETTING.match, lines) if match]


def _list_settings(root: Path, variables: EnvironmentVariables) -> Iterator[tuple[str, str, str]]:
    for name, default in list_settings(root):
        value = variables.get(name)
        shown = default or "-" if value is None else _hide_secrets(name, value)
        yield name, shown, variables.origin(name)


def _hide_secrets(name: str, value: str) -> str:
    return "(set)" if _SECRET.search(name) else _PASSWORD_IN_URL.sub("…", value)


def _format_finding(finding: Finding) -> str:
    return (
        f"{finding.level}: {finding.component}: {finding.problem}\n"
        f"    consequence: {finding.consequence}\n"
        f"    fix:         {finding.fix}"
    )


def _check_services(root: Path, plan: Plan, variables: EnvironmentVariables) -> Iterator[Finding]:
    """Run the checks of all services in parallel, each in its own process with a timeout."""
    python = _find_python(root)
    if python is None:
        return
    running = state.is_supervised(plan.run_folder)
    offline = variables.merged() | {"DATA_DIR": str(plan.data)}
    environment = plan.environment if running else offline
    options = ("--running",) if running else ()
    names = (_SUITE, *(entry.name for entry in CATALOG))
    with ThreadPoolExecutor(len(names)) as pool:
        for findings in pool.map(
            lambda name: _run_checks(python, root, environment, (name, *options)), names
        ):
            yield from findings


def _run_checks(
    python: Path, root: Path, environment: Mapping[str, str], arguments: Sequence[str]
) -> list[Finding]:
    name = arguments[0]
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
        return [_parse_finding(fields) for fields in json.loads(process.stdout)]
    except subprocess.TimeoutExpired:
        return [
            warning(
                name,
                f"Its checks took longer than {_CHECK_TIMEOUT_SECONDS} s.",
                "A server may not respond, or there is much data. Problems are not reported.",
                f"{python} -m backend.operations.doctor {name}",
            )
        ]
    except (ValueError, TypeError, KeyError):
        last_line = process.stderr.strip().splitlines()[-1:] or ["no output"]
        return [
            error(
                name,
                f"Its checks failed: {last_line[0]}",
                "The service would probably not start either.",
                "./start_microservices.sh install",
            )
        ]


def _parse_finding(fields: Mapping[str, str]) -> Finding:
    """Return the finding that `Finding.to_dict` wrote."""
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

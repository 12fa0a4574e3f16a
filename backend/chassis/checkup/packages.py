"""Whether what is installed is what is locked, and what settings need besides."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from backend.chassis.settings import Env
from backend.chassis.supervisor.findings import Finding, error, warning

_ROOT = Path(__file__).resolve().parents[3]
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)(?: ; ([^\\]*))?", re.MULTILINE)
_SHOWN = 5


def look_at_packages(env: Env) -> Iterator[Finding]:
    """Versions other than those of requirements.lock, and extras that are missing."""
    there = {_plain(each.metadata["Name"]): each.version for each in distributions()}
    locked = _PINNED.findall((_ROOT / "requirements.lock").read_text("utf-8"))
    wrong = [
        f"{name} {there[_plain(name)]} (locked: {version})"
        for name, version, _ in locked
        if there.get(_plain(name), version) != version
    ]
    # With a condition it may be for another platform.
    wrong += [
        f"no {name}" for name, _, only in locked if _plain(name) not in there and not only.strip()
    ]
    if wrong and Path(sys.prefix).name == ".venv":
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield warning(
            "packages",
            f"What is installed is not what is locked: {', '.join(wrong[:_SHOWN])}{more}.",
            "Nothing was tested with these.",
            "rm .venv/.installed && ./start_microservices.sh install",
        )
    if env.optional("OTEL_EXPORTER_OTLP_ENDPOINT") and find_spec("opentelemetry") is None:
        yield error(
            "traces",
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the extra otel is not installed.",
            "No service makes spans.",
            "./start_microservices.sh install --extra otel",
        )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""Whether what is installed is what is locked, and what settings need besides."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from backend.chassis.diagnostics import Finding, error, warning
from backend.chassis.settings import Env

_ROOT = Path(__file__).resolve().parents[3]
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)(?: ; ([^\\]*))?", re.MULTILINE)
_SHOWN = 5


def look_at_packages(env: Env) -> Iterator[Finding]:
    """Versions other than those of requirements.lock, and extras that are missing."""
    there = {_plain(each.metadata["Name"]): each.version for each in distributions()}
    wrong = [
        f"{name} {there.get(name, 'missing')} (locked: {' or '.join(filter(None, versions))})"
        for name, versions in _locked().items()
        if there.get(name, "" if "" in versions else "missing") not in versions
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


def _locked() -> Mapping[str, Sequence[str]]:
    """The versions that each package may have; an empty one where it may also be missing.

    One lock is for all platforms and Pythons: what it says under a condition is for some.
    """
    found: dict[str, list[str]] = {}
    for name, version, only in _PINNED.findall((_ROOT / "requirements.lock").read_text("utf-8")):
        found.setdefault(_plain(name), []).extend([version, ""] if only.strip() else [version])
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

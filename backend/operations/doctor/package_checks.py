"""Checks of installed packages: locked versions, and extras that settings require."""

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
_MAX_PACKAGES_SHOWN = 5


def check_packages(env: Env) -> Iterator[Finding]:
    """Yield versions that differ from requirements.lock, and missing extras."""
    installed = {
        _normalize(distribution.metadata["Name"]): distribution.version
        for distribution in distributions()
    }
    different = [
        f"{name} {installed.get(name, 'missing')} (locked: {' or '.join(filter(None, versions))})"
        for name, versions in _read_locked_versions().items()
        if installed.get(name, "" if "" in versions else "missing") not in versions
    ]
    if different and Path(sys.prefix).name == ".venv":
        hidden = len(different) - _MAX_PACKAGES_SHOWN
        shown = ", ".join(different[:_MAX_PACKAGES_SHOWN])
        yield warning(
            "packages",
            "Installed packages differ from the locked versions: "
            f"{shown}{f' and {hidden} more' if hidden > 0 else ''}.",
            "These versions are not tested.",
            "rm .venv/.installed && ./start_microservices.sh install",
        )
    if env.optional("OTEL_EXPORTER_OTLP_ENDPOINT") and find_spec("opentelemetry") is None:
        yield error(
            "traces",
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra otel is not installed.",
            "No service exports spans.",
            "./start_microservices.sh install --extra otel",
        )


def _read_locked_versions() -> Mapping[str, Sequence[str]]:
    """Return the locked versions of each package, with "" if it may also be missing.

    One lock covers all platforms and Python versions. A line with an environment marker applies to
    some of them only.
    """
    versions: dict[str, list[str]] = {}
    for name, version, marker in _PINNED.findall((_ROOT / "requirements.lock").read_text("utf-8")):
        allowed = [version, ""] if marker.strip() else [version]
        versions.setdefault(_normalize(name), []).extend(allowed)
    return versions


def _normalize(name: str) -> str:
    """Return the normalized name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()

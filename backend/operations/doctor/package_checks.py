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
_NO_VECTORS = "Vector search fails, and uploaded documents wait to be embedded."


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
    yield from _check_extras(env)


def _check_extras(env: Env) -> Iterator[Finding]:
    """Yield the extras that settings require and that are not installed."""
    store = env.optional("VECTOR_STORE")
    local_embedding = env.optional("EMBEDDING_MODEL") and not env.optional("EMBEDDING_BASE_URL")
    local_reranking = env.optional("RERANK_MODEL") and not env.optional("RERANK_BASE_URL")
    requirements = (
        (
            env.optional("OTEL_EXPORTER_OTLP_ENDPOINT") is not None,
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "otel",
            "opentelemetry.exporter.otlp.proto.http",
            "No service exports spans.",
        ),
        (store == "pgvector", "VECTOR_STORE", "pgvector", "psycopg", _NO_VECTORS),
        (store == "qdrant", "VECTOR_STORE", "qdrant", "langchain_qdrant", _NO_VECTORS),
        (local_embedding, "EMBEDDING_MODEL", "torch", "sentence_transformers", _NO_VECTORS),
        (
            local_reranking,
            "RERANK_MODEL",
            "torch",
            "sentence_transformers",
            "Search results are not reranked.",
        ),
        (
            env.optional("MCP_SERVERS") is not None,
            "MCP_SERVERS",
            "mcp",
            "langchain_mcp_adapters",
            "The agent has no tools of MCP servers.",
        ),
    )
    for is_required, variable, extra, module, consequence in requirements:
        if is_required and not _is_installed(module):
            yield error(
                "packages",
                f"{variable} is set, but the extra {extra} is not installed.",
                consequence,
                f"./start_microservices.sh install --extra {extra}",
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


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

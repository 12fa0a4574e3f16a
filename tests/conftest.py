"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.identities import Identities


@pytest.fixture
def identities() -> Identities:
    return Identities()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[servers.Valkey]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    with servers.valkey(folder) as server:
        yield server

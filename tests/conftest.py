"""What all tests share."""

import pytest

from tests.identities import Identities


@pytest.fixture
def identities() -> Identities:
    return Identities()

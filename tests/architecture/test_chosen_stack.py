"""The libraries of the chosen stack are used by code of the product."""

import re
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[2] / "backend"
_IMPORTED = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
CHOSEN = {
    "flask", "flask_cors", "flask_limiter", "flask_jwt_extended", "redis", "requests",
    "langchain", "chromadb", "pypdf", "gunicorn",
    "sentence_transformers",  # of the extra `torch`
}  # fmt: skip


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Names of the packages that modules below `backend/` import."""
    return {name for file in BACKEND.rglob("*.py") for name in _IMPORTED.findall(file.read_text())}


@pytest.mark.parametrize("package", sorted(CHOSEN))
def test_package_of_the_chosen_stack_is_imported(imported: set[str], package: str) -> None:
    assert package in imported

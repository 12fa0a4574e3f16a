"""The libraries of the chosen stack are used by code of the product."""

import ast
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[2] / "backend"
CHOSEN = {
    "flask", "flask_cors", "flask_limiter", "flask_jwt_extended", "redis", "requests",
    "langchain", "chromadb", "pypdf", "gunicorn",
    "sentence_transformers",  # of the extra `torch`
}  # fmt: skip


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Names of the packages that modules below `backend/` import."""
    names: set[str] = set()
    for file in BACKEND.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(CHOSEN))
def test_package_of_the_chosen_stack_is_imported(imported: set[str], package: str) -> None:
    assert package in imported

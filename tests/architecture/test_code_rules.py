"""Rules for classes and error handlers of all packages."""

import ast
from collections.abc import Iterator

from tests.architecture.test_language import ROOT, sources


def iterate_backend() -> Iterator[tuple[str, ast.AST]]:
    """Yield (path, syntax node) of the code that is not generated."""
    for path, nodes in sources():
        if path.startswith("backend/") and not path.startswith("backend/rpc_schema/"):
            for node in nodes:
                yield path, node


def is_template(function: ast.AST) -> bool:
    """Return whether the body of *function* only raises NotImplementedError without a reason."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    last = function.body[-1]
    return (
        isinstance(last, ast.Raise)
        and isinstance(last.exc, ast.Name)
        and last.exc.id == "NotImplementedError"
    )


def test_methods_that_subclasses_define_are_abstract():
    found = [
        f"{path}:{method.lineno} {node.name}.{method.name}"
        for path, node in iterate_backend()
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if is_template(method)
    ]

    assert found == []


def test_handlers_of_all_exceptions_state_a_reason():
    found = []
    for path, node in iterate_backend():
        if not isinstance(node, ast.ExceptHandler) or not isinstance(node.type, ast.Name):
            continue
        line = (ROOT / path).read_text("utf-8").splitlines()[node.lineno - 1]
        if node.type.id == "Exception" and "#" not in line:
            found.append(f"{path}:{node.lineno}")

    assert found == []

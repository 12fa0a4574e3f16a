"""Child processes inherit no variables, and run the code of the suite."""

import pytest

from backend.chassis.child_processes import build_environment, start_module


def test_environment_contains_no_variable_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")

    environment = build_environment({"MALLOC_ARENA_MAX": "1"})

    assert "secret" not in environment.values()
    assert environment["MALLOC_ARENA_MAX"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"


def test_process_reads_and_writes_pipes_without_variables_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    # The console of the standard library evaluates the lines of its input.
    process = start_module("code", ["-q"])

    output, _ = process.communicate(
        b"import os, backend\nprint(sorted(os.environ), os.getsid(0) == os.getpid())\n", 30
    )

    assert process.returncode == 0
    assert b"'PYTHONPATH'" in output
    assert b"SECRET_KEY" not in output
    assert b"True" in output

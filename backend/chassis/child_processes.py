"""Processes that run a module of the suite without the secrets of this process."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import backend

CODE_ROOT: Final = Path(backend.__file__).resolve().parents[1]
"""The folder from which `python -m backend…` runs."""


def start_module(
    module: str, arguments: Sequence[str], variables: Mapping[str, str] = {}
) -> "subprocess.Popen[bytes]":
    """Start `python -m module` in a session of its own, with pipes for input and output.

    Args:
        variables: variables for its environment; see `build_environment`.

    Raises:
        OSError: the process cannot be started.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CODE_ROOT,
        env=build_environment(variables),
        start_new_session=True,
    )


def build_environment(variables: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the environment of a process, with *variables*.

    Nothing is inherited: the environment of this process contains secrets. Libraries get one
    thread, because each one reserves address space, which would exhaust the memory limit.
    """
    return {
        "PYTHONPATH": str(CODE_ROOT),
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **variables,
    }

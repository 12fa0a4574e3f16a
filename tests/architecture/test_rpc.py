"""The gRPC interface: generated code, guards of all methods, and compatibility."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from backend.chassis.catalog import COMPANIONS
from backend.chassis.rpc.services import list_methods

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
SCHEMA = ROOT / "backend" / "rpc_schema"
RPC_SERVICES = [entry.service for entry in COMPANIONS if entry.name.endswith("-rpc")]


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="grpcio-tools generates the code")
def test_generated_code_matches_the_interface_files(tmp_path):
    subprocess.run([sys.executable, PROTO / "generate.py", tmp_path], check=True, timeout=60)

    assert read_files(tmp_path) == read_files(SCHEMA)


def read_files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in (folder / "suite").rglob("*")
        if file.suffix in (".py", ".pyi")
    }


@pytest.mark.parametrize("service", RPC_SERVICES)
def test_every_method_has_a_handler_with_a_guard(service):
    services = import_module(f"backend.services.{service}.rpc.services").SERVICES

    methods = [method for entry in services for method in list_methods(entry)]

    assert methods
    assert not [method.path for method in methods if method.guard.public]


def test_every_service_of_the_interface_is_served():
    declared = {
        f"{re.search(r'^package (.+);', text, re.MULTILINE)[1]}.{name}"
        for text in (file.read_text() for file in PROTO.rglob("*.proto"))
        for name in re.findall(r"^service (\w+)", text, re.MULTILINE)
    }
    served = {
        entry.name
        for service in RPC_SERVICES
        for entry in import_module(f"backend.services.{service}.rpc.services").SERVICES
    }

    assert served == declared


def test_services_import_grpc_only_in_their_rpc_processes():
    code = (
        "import sys; import backend.services.auth.app, backend.services.agent.app; "
        "sys.exit(any(name.split('.')[0] in ('grpc', 'google') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0

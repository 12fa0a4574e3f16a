"""Detection of the program that a container serves."""

import pytest

from backend.chassis.console import CommandError
from backend.operations.supervisor.entrypoint import (
    find_served_program,
    read_command_variables,
)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param("python -m backend.operations serve auth", "auth", id="service"),
        pytest.param(
            "/sbin/docker-init -- python -m backend.operations serve rag", "rag", id="init"
        ),
        pytest.param("python -m backend.operations serve", "chat", id="default"),
        pytest.param("python -m backend.operations serve api-gateway", "gateway", id="old name"),
        pytest.param("python -m backend.operations serve auth-service", "auth", id="full name"),
        pytest.param(
            "/app/.venv/bin/python -m backend.services.rag.worker", "rag-worker", id="companion"
        ),
    ],
)
def test_served_program_is_found_in_the_command_of_process_1(tmp_path, command, name):
    cmdline = tmp_path / "cmdline"
    cmdline.write_text(command.replace(" ", "\0") + "\0")

    assert find_served_program("chat", cmdline).name == name


@pytest.mark.parametrize(
    "command", ["/sbin/init", "python -m backend.operations serve unknown", ""]
)
def test_other_commands_of_process_1_raise_an_error(tmp_path, command):
    cmdline = tmp_path / "cmdline"
    cmdline.write_text(command.replace(" ", "\0"))

    with pytest.raises(CommandError, match="Name a service"):
        find_served_program("chat", cmdline)
    with pytest.raises(CommandError, match="Name a service"):
        find_served_program("chat", tmp_path / "none")


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        pytest.param(
            "/sbin/docker-init -- env GATEWAY_HOST=::1 GATEWAY_PORT=5000 python -m "
            "backend.operations serve gateway",
            {"GATEWAY_HOST": "::1", "GATEWAY_PORT": "5000"},
            id="env",
        ),
        pytest.param("python -m backend.operations serve rag", {}, id="no env"),
        pytest.param("/sbin/docker-init -- env python -m x A=b", {}, id="argument"),
    ],
)
def test_variables_of_the_command_of_process_1_are_found(tmp_path, command, variables):
    cmdline = tmp_path / "cmdline"
    cmdline.write_text(command.replace(" ", "\0") + "\0")

    assert read_command_variables(cmdline) == variables
    assert read_command_variables(tmp_path / "none") == {}

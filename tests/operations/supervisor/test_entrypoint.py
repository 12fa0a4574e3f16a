"""What a container serves, told from its first process."""

import pytest

from backend.chassis.console import CannotRun
from backend.operations.supervisor.entrypoint import served_here


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param("python -m backend.chassis serve auth", "auth", id="service"),
        pytest.param("/sbin/docker-init -- python -m backend.chassis serve rag", "rag", id="init"),
        pytest.param(
            "/app/.venv/bin/python -m backend.services.rag.worker", "rag-worker", id="companion"
        ),
    ],
)
def test_the_first_process_says_what_is_served(tmp_path, command, name):
    told = tmp_path / "cmdline"
    told.write_text(command.replace(" ", "\0") + "\0")

    assert served_here(told).name == name


@pytest.mark.parametrize("command", ["/sbin/init", "python -m backend.chassis serve", ""])
def test_another_first_process_serves_nothing(tmp_path, command):
    told = tmp_path / "cmdline"
    told.write_text(command.replace(" ", "\0"))

    with pytest.raises(CannotRun, match="Name a service"):
        served_here(told)
    with pytest.raises(CannotRun, match="Name a service"):
        served_here(tmp_path / "none")

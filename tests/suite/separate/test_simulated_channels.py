"""The command `simulate` against a running suite: gateway, chat and its worker are real."""

import subprocess
import sys

import pytest

from backend.services.chat.jobs.simulation.providers import SIMULATORS
from tests.servers import free_port
from tests.suite.conftest import ROOT, running_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]


@pytest.mark.timeout(600)
def test_every_outcome_at_the_simulated_providers_is_as_expected(tmp_path):
    first = free_port()
    hosts = ",".join(f"127.0.0.1:{first + number}" for number in range(len(SIMULATORS)))
    with running_suite(tmp_path, CHAT_PRIVATE_HOSTS=hosts) as suite:
        command = [sys.executable, "-m", "backend.services.chat", "simulate", "--port", str(first)]
        finished = subprocess.run(
            command, cwd=ROOT, env=suite.environment, capture_output=True, text=True, timeout=400
        )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.splitlines()[-1].endswith("outcomes are as expected.")

"""A machine does at random what two people of one tenant and one of another may do."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.stages import STAGES

AT_LENGTH = pytest.param(25, marks=[pytest.mark.slow, pytest.mark.timeout(3600)], id="at length")


@pytest.fixture(params=[pytest.param(1, id="quick"), AT_LENGTH])
def run(request, tmp_path, database_url):
    """Run a machine, made of a stage of the service, so many times; at length, many more."""
    opened = []

    def run_machine(service, machine, examples, steps):
        manager = STAGES[service](tmp_path, database_url)
        opened.append(manager)
        stage = manager.__enter__()
        run_state_machine_as_test(
            lambda: machine(stage),
            settings=settings(
                max_examples=examples * request.param,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )

    yield run_machine
    for manager in opened:
        manager.__exit__(None, None, None)

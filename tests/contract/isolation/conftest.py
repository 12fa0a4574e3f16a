"""Random operations by two users of one tenant and one user of another (state machines)."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.stages import STAGES

MANY_EXAMPLES = pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)], id="many")


@pytest.fixture(params=[pytest.param(1, id="quick"), MANY_EXAMPLES])
def run(request, tmp_path, database_url):
    """Return a function that runs a state machine on a service under test."""
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

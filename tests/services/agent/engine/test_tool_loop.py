"""The tool loop executes each call of a model exactly once, tested with public BFCL cases."""

from collections import Counter
from json import dumps
from pathlib import Path

import pytest

from backend.services.agent.model import RunLimits
from tests.services.agent.engine.bfcl_cases import read_sample_cases
from tests.services.agent.engine.tool_loop import ScriptedCaller, ToolLoop
from tests.services.agent.fakes import run_server

CASES = read_sample_cases(Path(__file__).parents[3] / "data" / "bfcl.jsonl")


@pytest.fixture(scope="module")
def loop(import_graph):
    with run_server(ScriptedCaller()) as model:
        yield ToolLoop(model, RunLimits(max_tool_calls=64))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_tool_loop_executes_each_call_once_with_its_arguments(loop, case):
    executed, succeeded = loop.run_case(case)

    assert Counter(map(dumps, executed)) == Counter(map(dumps, case.calls))
    assert Counter(map(dumps, succeeded)) == Counter(map(dumps, case.calls))


def test_sample_cases_cover_all_categories():
    categories = {case.id.rpartition("_")[0] for case in CASES}

    assert {"simple_python", "multiple", "parallel", "parallel_multiple"} <= categories
    assert any(len(case.calls) > 2 for case in CASES)

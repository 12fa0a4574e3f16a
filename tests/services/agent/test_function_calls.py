"""Calls are made as emitted, each once, never more: on public function-calling cases."""

from collections import Counter
from json import dumps
from pathlib import Path

import pytest

from backend.services.agent.clients.runs import Limits
from tests.services.agent.bfcl import sample
from tests.services.agent.function_calls import Loop, ScriptedCaller
from tests.services.agent.stand_ins import serving

CASES = sample(Path(__file__).parents[2] / "data" / "bfcl.jsonl")


@pytest.fixture(scope="module")
def loop(imported):
    with serving(ScriptedCaller()) as model:
        yield Loop(model, Limits(tool_calls=64))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_call_is_made_once_with_the_models_arguments(loop, case):
    made, done = loop.answer(case)

    assert Counter(map(dumps, made)) == Counter(map(dumps, case.calls))
    assert Counter(map(dumps, done)) == Counter(map(dumps, case.calls))


def test_the_cases_are_of_every_kind():
    kinds = {case.id.rpartition("_")[0] for case in CASES}

    assert {"simple_python", "multiple", "parallel", "parallel_multiple"} <= kinds
    assert any(len(case.calls) > 2 for case in CASES)

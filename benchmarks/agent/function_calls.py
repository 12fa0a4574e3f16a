"""Check that the agent's tool loop executes each tool call of a model exactly once.

    pip download --no-deps bfcl-eval && unzip bfcl_eval-*.whl
    python -m benchmarks.agent.function_calls bfcl_eval/data

Runs every case of the Python categories of the Berkeley Function-Calling Leaderboard. The functions
of a case become tools, and a scripted model behind a real HTTP server emits the calls that the
leaderboard accepts. A case is correct if exactly these calls reached the tools, with exactly these
arguments. Some accepted calls violate the schema of their own case; the loop must refuse them.
"""

import logging
import sys
from collections import Counter
from json import dumps
from pathlib import Path

from backend.services.agent.model import RunLimits
from tests.services.agent.engine.bfcl_cases import CATEGORIES, read_downloaded_cases
from tests.services.agent.engine.tool_loop import ScriptedCaller, ToolLoop
from tests.services.agent.fakes import run_server


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    total_correct = total_cases = 0
    with run_server(ScriptedCaller()) as model:
        loop = ToolLoop(model, RunLimits(max_tool_calls=64, max_tokens=1_000_000))
        for category in CATEGORIES:
            cases = list(read_downloaded_cases(folder, category))
            correct = call_count = invalid_cases = 0
            for case in cases:
                executed, _ = loop.run_case(case)
                expected = [call for call in case.calls if loop.accepts(call)]
                invalid_cases += expected != case.calls
                call_count += len(executed)
                correct += Counter(map(dumps, executed)) == Counter(map(dumps, expected))
            print(
                f"{category:24} {correct:5} of {len(cases)} correct; {call_count} calls executed; "
                f"{invalid_cases} cases violate their own schema"
            )
            total_correct += correct
            total_cases += len(cases)
    print(f"{'all':24} {total_correct:5} of {total_cases}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

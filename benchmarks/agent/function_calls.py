"""Whether the agent's tool loop makes a model's calls as emitted, each once, never more.

    pip download --no-deps bfcl-eval && unzip bfcl_eval-*.whl
    python -m benchmarks.agent.function_calls bfcl_eval/data

Every case of the Python categories of the Berkeley Function-Calling Leaderboard: its functions
become tools, and a scripted model behind a real HTTP server emits the calls that the leaderboard
accepts. A case counts if exactly these calls reached the tools, with exactly these arguments. Some
of the accepted calls break the schema that their own case gives; of those the loop must make none.
"""

import logging
import sys
from collections import Counter
from json import dumps
from pathlib import Path

from backend.services.agent.clients.runs import Limits
from tests.services.agent.bfcl import CATEGORIES, downloaded
from tests.services.agent.function_calls import Loop, ScriptedCaller
from tests.services.agent.stand_ins import serving


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    all_right = all_cases = 0
    with serving(ScriptedCaller()) as model:
        loop = Loop(model, Limits(tool_calls=64, tokens=1_000_000))
        for category in CATEGORIES:
            cases = list(downloaded(folder, category))
            right = made_calls = broken = 0
            for case in cases:
                made, _ = loop.answer(case)
                wanted = [call for call in case.calls if loop.accepts(call)]
                broken += wanted != case.calls
                made_calls += len(made)
                right += Counter(map(dumps, made)) == Counter(map(dumps, wanted))
            print(
                f"{category:24} {right:5} of {len(cases)} as emitted; {made_calls} calls made; "
                f"{broken} cases break their own schema"
            )
            all_right, all_cases = all_right + right, all_cases + len(cases)
    print(f"{'all':24} {all_right:5} of {all_cases}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Measure how often the built-in models choose the expected tool.

    python -m benchmarks.agent.tool_choice [URL [EVERY]]

Each line of requests.tsv contains the expected tool (talk: none) and a request. The rules were
developed with these requests. The rule-based model is always measured. With URL, the local model
served there is measured too (python -m backend.ai.local_model, with the same SECRET_KEY), with
every EVERYth request.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_core.messages import HumanMessage

from backend.ai.chat_models import ModelAddress, ModelSettings, open_chat_model
from backend.ai.embedding import BuiltInEmbedder
from backend.services.agent.domain.rule_based.model_planner import SmallModelPlanner
from backend.services.agent.engine.chat_models.local_chat_model import LocalChatModel
from backend.services.agent.engine.chat_models.planner import OfferedTool, PlannedToolCall
from backend.services.agent.tools.factory import create_tools

NO_TOOL = "talk"
ChooseTool = Callable[[str], str]


def main(url: str | None, every: int) -> None:
    lines = (Path(__file__).parent / "requests.tsv").read_text("utf-8").splitlines()
    cases = [(tool, request) for tool, _, request in (line.partition("\t") for line in lines)]
    tools = [
        OfferedTool(tool.name, tool.description, tool.arguments.json_schema, tool.examples)
        for tool in create_tools(rag=None, now=None, page_fetcher=None)
    ]
    planner = SmallModelPlanner(BuiltInEmbedder(threads=1))
    _report("lite", cases, lambda request: _choose_by_rules(planner, tools, request))
    if url is not None:
        address = ModelAddress.for_local_model(url, os.environ["SECRET_KEY"])
        model = LocalChatModel(inner=open_chat_model(address, ModelSettings()), planner=planner)
        loop = asyncio.new_event_loop()
        _report(
            "local",
            cases[::every],
            lambda request: loop.run_until_complete(_choose_by_model(model, tools, request)),
        )


def _report(model_name: str, cases: Sequence[tuple[str, str]], choose_tool: ChooseTool) -> None:
    correct: Counter[str] = Counter()
    started = time.perf_counter()
    for expected, request in cases:
        tool = choose_tool(request)
        correct[expected] += tool == expected
        if tool != expected:
            print(f"  {model_name}: chose {tool} instead of {expected} for {request!r}")
    seconds = (time.perf_counter() - started) / len(cases)
    totals = Counter(expected for expected, _ in cases)
    by_tool = ", ".join(f"{tool} {correct[tool]}/{totals[tool]}" for tool in totals)
    print(f"{model_name}: {correct.total() / len(cases):.3f} of {len(cases)} correct ({by_tool})")
    print(f"{model_name}: {seconds * 1000:.0f} ms per choice")


def _choose_by_rules(planner: SmallModelPlanner, tools: Sequence[OfferedTool], request: str) -> str:
    return _get_tool_name(planner.choose_tool_calls(request, tools))


async def _choose_by_model(
    model: LocalChatModel, tools: Sequence[OfferedTool], request: str
) -> str:
    calls, _ = await model.choose_tool_calls(
        [HumanMessage(request)], request, tools, required=False
    )
    return _get_tool_name(calls)


def _get_tool_name(calls: Sequence[PlannedToolCall]) -> str:
    return calls[0].tool if calls else NO_TOOL


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 1)

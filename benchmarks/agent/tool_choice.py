"""How often the embedded tiers choose the tool that a person would.

    python -m benchmarks.agent.tool_choice [URL [EVERY]]

Asks each line of requests.tsv, whose first word is the right tool (talk: none); rules were written
with these in view. The lite tier is always asked; with URL, also the fetched model that is served
there (python -m backend.ai.local_model, under the same SECRET_KEY), which gets every EVERYth.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_core.messages import HumanMessage

from backend.ai.chat_models import Address, ModelSettings, open_chat_model
from backend.ai.embedding import Embedder
from backend.services.agent.clients.local import LocalChatModel
from backend.services.agent.clients.mind import Chosen, Offered
from backend.services.agent.domain.lite import LiteMind
from backend.services.agent.domain.tools import tools

TALK = "talk"
Choose = Callable[[str], str]


def main(url: str | None, every: int) -> None:
    lines = (Path(__file__).parent / "requests.tsv").read_text("utf-8").splitlines()
    asked = [(right, request) for right, _, request in (line.partition("\t") for line in lines)]
    offered = [
        Offered(each.name, each.description, each.arguments.schema, each.examples)
        for each in tools(library=None, now=None, web=None)
    ]
    mind = LiteMind(Embedder(Path(".cache"), threads=1))
    _report("lite", asked, lambda request: _by_lite(mind, offered, request))
    if url is not None:
        address = Address.local(url, os.environ["SECRET_KEY"])
        model = LocalChatModel(inner=open_chat_model(address, ModelSettings()), mind=mind)
        loop = asyncio.new_event_loop()
        _report(
            "local", asked[::every], lambda r: loop.run_until_complete(_by_model(model, offered, r))
        )


def _report(tier: str, asked: Sequence[tuple[str, str]], choose: Choose) -> None:
    right: Counter[str] = Counter()
    begun = time.perf_counter()
    for wanted, request in asked:
        chosen = choose(request)
        right[wanted] += chosen == wanted
        if chosen != wanted:
            print(f"  {tier}: {request!r} went to {chosen}, not to {wanted}")
    took = (time.perf_counter() - begun) / len(asked)
    every = Counter(wanted for wanted, _ in asked)
    told = ", ".join(f"{tool} {right[tool]}/{every[tool]}" for tool in every)
    print(f"{tier}: {right.total() / len(asked):.3f} of {len(asked)} right ({told})")
    print(f"{tier}: {took * 1000:.0f} ms a choice")


def _by_lite(mind: LiteMind, offered: Sequence[Offered], request: str) -> str:
    return _named(mind.choose(request, offered))


async def _by_model(model: LocalChatModel, offered: Sequence[Offered], request: str) -> str:
    chosen, _ = await model.chosen([HumanMessage(request)], request, offered, required=False)
    return _named(chosen)


def _named(chosen: Sequence[Chosen]) -> str:
    return chosen[0].tool if chosen else TALK


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 1)

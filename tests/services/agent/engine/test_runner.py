"""Events of a run between the event loop and the thread that reads them."""

import asyncio

import pytest

from backend.services.agent.engine import runner
from backend.services.agent.engine.runner import AgentRunner
from backend.services.agent.model import HistoryMessage, RunRequest, ToolContext


def test_run_that_a_library_cancels_ends_with_an_error(monkeypatch):
    async def cancel(*_) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(AgentRunner, "_run", cancel)
    monkeypatch.setattr(runner, "DirectAnswerRunner", lambda *_, **__: None)
    agent = AgentRunner(None, None, None, None, traces_to_langsmith=True)
    request = RunRequest("scripted", [HistoryMessage("user", "Hello")], ToolContext(None, None))

    with pytest.raises(RuntimeError, match="cancelled"):
        list(agent.stream_run(request))

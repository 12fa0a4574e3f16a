"""New runs have precedence over started answers while the event loop is overloaded."""

import asyncio
import time

import pytest

from backend.services.agent.engine import first_token_priority
from backend.services.agent.engine.first_token_priority import FirstTokenPriority


async def occupy_loop():
    """Keep the loop busy in steps of 30 ms."""
    while True:
        time.sleep(0.03)  # noqa: ASYNC251 - the load of the loop
        await asyncio.sleep(0)


@pytest.fixture
def priority():
    return FirstTokenPriority()


def run_with_load(scenario):
    async def run():
        load = asyncio.create_task(occupy_loop())
        try:
            await scenario()
        finally:
            load.cancel()

    asyncio.run(run())


def test_tokens_wait_for_a_new_run_while_the_loop_is_overloaded(priority):
    async def scenario():
        run = object()
        priority.add_waiting_run(run)
        token = None
        while token is None or token.done():
            token = asyncio.create_task(priority.wait_for_new_runs())
            await asyncio.sleep(0)
        priority.remove_waiting_run(run)
        await token

    run_with_load(scenario)


def test_tokens_wait_while_runs_are_queued():
    queued = [object()]
    priority = FirstTokenPriority(lambda: bool(queued))

    async def scenario():
        run = object()
        priority.add_waiting_run(run)
        priority.remove_waiting_run(run)
        token = None
        while token is None or token.done():
            token = asyncio.create_task(priority.wait_for_new_runs())
            await asyncio.sleep(0)
        queued.clear()
        await token

    asyncio.run(scenario())


def test_tokens_do_not_wait_without_new_runs(priority):
    async def scenario():
        for _ in range(10):
            await priority.wait_for_new_runs()

    run_with_load(scenario)


def test_tokens_continue_if_the_new_run_gets_no_token(priority):
    async def scenario():
        priority.add_waiting_run(object())
        for _ in range(10):
            await priority.wait_for_new_runs()

    run_with_load(scenario)


def test_tokens_do_not_wait_for_a_run_whose_model_is_slow(priority, monkeypatch):
    monkeypatch.setattr(first_token_priority, "_MAX_MODEL_SECONDS", 0.0)
    monkeypatch.setattr(first_token_priority, "_MAX_TOKEN_DELAY_SECONDS", 600.0)

    async def scenario():
        run = object()
        priority.add_waiting_run(run)
        priority.limit_waiting_run(run)
        async with asyncio.timeout(60):
            for _ in range(10):
                await priority.wait_for_new_runs()
                await asyncio.sleep(0)

    run_with_load(scenario)

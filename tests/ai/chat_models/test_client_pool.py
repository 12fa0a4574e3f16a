"""Many requests are distributed over several HTTP clients."""

import asyncio
from contextlib import ExitStack

import httpx
import pytest

from backend.ai.chat_models.client_pool import ClientPool


def run_with_pool(scenario, **options):
    async def run():
        pool = ClientPool(httpx.AsyncClient, **options)
        try:
            await scenario(pool)
        finally:
            await pool.aclose()

    asyncio.run(run())


def test_few_requests_use_the_same_client():
    async def scenario(pool):
        with pool.use_client() as first, pool.use_client() as second:
            assert first is second
        with pool.use_client() as third:
            assert third is first

    run_with_pool(scenario)


def test_many_requests_use_several_clients():
    async def scenario(pool):
        with ExitStack() as stack:
            clients = [stack.enter_context(pool.use_client()) for _ in range(50)]
        assert max(map(clients.count, clients)) <= 8

    run_with_pool(scenario)


def test_idle_clients_are_closed_except_the_first_one():
    async def scenario(pool):
        with ExitStack() as stack:
            first, *others = [stack.enter_context(pool.use_client()) for _ in range(50)]
        async with asyncio.timeout(60):
            while len(pool) > 1 or not others[-1].is_closed:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
        assert not first.is_closed

    run_with_pool(scenario, idle_seconds=0.0)


def test_client_is_released_after_a_failed_request():
    async def scenario(pool):
        for _ in range(50):
            with pytest.raises(RuntimeError), pool.use_client():
                raise RuntimeError
        assert len(pool) == 1

    run_with_pool(scenario)

"""Measure the time to the first token and the memory of concurrent agent streams.

    python -m benchmarks.agent.streams [STREAMS]

The agent has one worker process. A scripted model on the same host sends its first word at once and
then one word every 20 ms. Each number of streams is measured three times.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import servers
from tests.identities import Identities
from tests.services.agent.agent_processes import AgentProcess, run_agents
from tests.services.agent.fakes import Reply, ScriptedModel, run_server

WORD_COUNT = 100


def main(max_streams: int) -> None:
    identities = Identities()
    with tempfile.TemporaryDirectory() as name, run_server(ScriptedModel()) as model:
        folder = Path(name)
        model.default_reply = Reply(text="word " * WORD_COUNT, pause_seconds=0.02)
        with (
            servers.valkey(folder) as valkey,
            run_agents(folder, identities, model, valkey.url) as (agent,),
        ):
            _measure_stream(agent, identities.bearer())
            print("streams  first token p50  p95     total p50   memory")
            for stream_count in (1, max_streams):
                _measure_streams(agent, identities, stream_count)


def _measure_streams(agent: AgentProcess, identities: Identities, stream_count: int) -> None:
    bearers = [identities.bearer(f"user-{number}") for number in range(stream_count)]
    with ThreadPoolExecutor(stream_count) as pool:
        timings = [
            timing
            for _ in range(3)
            for timing in pool.map(lambda bearer: _measure_stream(agent, bearer), bearers)
        ]
    first_token_seconds = sorted(first_token for first_token, _ in timings)
    total_seconds = statistics.median(total for _, total in timings)
    p50 = statistics.median(first_token_seconds)
    p95 = first_token_seconds[int(len(first_token_seconds) * 0.95)]
    print(
        f"{stream_count:7}  {p50 * 1000:11.0f} ms  {p95 * 1000:4.0f} ms"
        f"  {total_seconds:7.2f} s  {agent.get_memory_megabytes():6.0f} MB"
    )


def _measure_stream(agent: AgentProcess, bearer: dict[str, str]) -> tuple[float, float]:
    """Return the seconds until the first token and until the end of one stream."""
    started, first_token_seconds, text = time.perf_counter(), None, ""
    body = {"user_request": "Talk.", "stream": True}
    with agent.post("/query", body, bearer, stream=True) as response:
        for chunk in response.iter_content(None, decode_unicode=True):
            text += chunk
            if first_token_seconds is None and "event: token" in text:
                first_token_seconds = time.perf_counter() - started
    if first_token_seconds is None or "event: done" not in text:
        raise RuntimeError(f"A stream is incomplete: {text[-500:]}")
    return first_token_seconds, time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)

"""How soon an agent's streams begin to speak when many are asked for at once, and what they cost.

    python -m benchmarks.agent.streams [STREAMS]

One worker process, thinking with a scripted model on the same host that says its first word at
once and a word every 20 ms after that. Each number of streams is asked for three times.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import servers
from tests.identities import Identities
from tests.services.agent.stand_ins import Reply, ScriptedModel, serving
from tests.services.agent.workers import Worker, workers

WORDS = 100


def main(most: int) -> None:
    people = Identities()
    with tempfile.TemporaryDirectory() as name, serving(ScriptedModel()) as model:
        folder = Path(name)
        model.otherwise = Reply(text="word " * WORDS, pause=0.02)
        with (
            servers.valkey(folder) as valkey,
            workers(folder, people, model, valkey.url) as (worker,),
        ):
            _first_word(worker, people.bearer())
            print("streams  first word p50  p95     whole p50   memory")
            for streams in (1, most):
                _measure(worker, people, streams)


def _measure(worker: Worker, people: Identities, streams: int) -> None:
    bearers = [people.bearer(f"user-{number}") for number in range(streams)]
    with ThreadPoolExecutor(streams) as pool:
        found = [
            each
            for _ in range(3)
            for each in pool.map(lambda bearer: _first_word(worker, bearer), bearers)
        ]
    first = sorted(each[0] for each in found)
    whole = statistics.median(each[1] for each in found)
    p95 = first[int(len(first) * 0.95)]
    print(
        f"{streams:7}  {statistics.median(first) * 1000:10.0f} ms  {p95 * 1000:4.0f} ms"
        f"  {whole:7.2f} s  {worker.megabytes():6.0f} MB"
    )


def _first_word(worker: Worker, bearer: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first word, and until the end."""
    begun, first, text = time.perf_counter(), None, ""
    body = {"user_request": "Talk.", "stream": True}
    with worker.post("/query", body, bearer, stream=True) as response:
        for piece in response.iter_content(None, decode_unicode=True):
            text += piece
            if first is None and "event: token" in text:
                first = time.perf_counter() - begun
    if first is None or "event: done" not in text:
        raise RuntimeError(f"A stream did not end well: {text[-500:]}")
    return first, time.perf_counter() - begun


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)

"""Measure the time to the first token, the CPU time and the memory of concurrent agent streams.

    python -m benchmarks.agent.streams [STREAMS [CHECKOUT …]]

The agent has one worker process. The model and the clients are processes of their own. The model
sends its first word at once and then one word every 20 ms. Each number of streams is measured three
times, with answers of 100 words; the CPU time of a stream is that of an answer of one word, and the
CPU time of a token the rest of that of 100 words. Both are printed for the agent, the model and the
clients.
"""

import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.agent.stream_clients import StreamTimes, read_streams
from tests import servers
from tests.identities import Identities
from tests.services.agent.agent_processes import ROOT, AgentProcess, run_agents

WORD_COUNT = 100
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class WordModel:
    """A running model server."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """CPU time of all streams of a measurement by process."""

    agent: float
    model: float
    clients: float


class _Measurement:
    """Sends streams to one agent and reads the CPU time of the processes."""

    def __init__(
        self, agent: AgentProcess, model: WordModel, pool: ProcessPoolExecutor, bearers: Identities
    ) -> None:
        self._agent = agent
        self._model = model
        self._pool = pool
        self._identities = bearers

    def run(self, stream_count: int, word_count: int) -> tuple[list[StreamTimes], CpuSeconds]:
        bearers = [self._identities.bearer(f"user-{number}") for number in range(stream_count)]
        times: list[StreamTimes] = []
        agent_before, model_before = _read_cpu(self._agent.pid), _read_cpu(self._model.pid)
        clients = 0.0
        for _ in range(_ROUNDS):
            more, cpu = self._pool.submit(
                read_streams, self._agent.url, bearers, word_count
            ).result()
            times += more
            clients += cpu
        agent = _read_cpu(self._agent.pid) - agent_before
        return times, CpuSeconds(agent, _read_cpu(self._model.pid) - model_before, clients)

    def print_row(self, stream_count: int) -> None:
        self.run(stream_count, 1)  # opens connections to the model and to the database
        _, short = self.run(stream_count, 1)
        times, long = self.run(stream_count, WORD_COUNT)
        first = sorted(item.first_token for item in times)
        row = [
            str(stream_count),
            f"{statistics.median(first) * 1000:.0f}",
            f"{first[int(len(first) * 0.95)] * 1000:.0f}",
            f"{statistics.median(item.total for item in times):.2f}",
            *_format_costs(short, long, len(times)),
            f"{self._agent.get_memory_megabytes():.0f}",
        ]
        print(f"| {' | '.join(row)} |", flush=True)


def main(max_streams: int, checkouts: list[Path]) -> None:
    for root in checkouts:
        print(f"\n{root.name}, load average {os.getloadavg()[0]:.1f}\n")
        print(
            "| streams | first token p50, ms | p95, ms | total p50, s | CPU of a stream, ms "
            "(agent / model / client) | CPU of a token, µs (agent / model / client) | memory, MB |"
        )
        print("|---|---|---|---|---|---|---|")
        _measure_checkout(root, max_streams)


def _measure_checkout(root: Path, max_streams: int) -> None:
    identities = Identities()
    with (
        tempfile.TemporaryDirectory() as name,
        _run_word_model(Path(name)) as model,
        servers.valkey(Path(name)) as valkey,
        run_agents(Path(name), identities, model, valkey.url, root=root) as (agent,),
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        measurement = _Measurement(agent, model, pool, identities)
        measurement.run(1, 1)
        for stream_count in (1, max_streams):
            measurement.print_row(stream_count)


@contextmanager
def _run_word_model(folder: Path) -> Iterator[WordModel]:
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.agent.word_model", str(port)]
    with servers.process(command, folder / "model.log", cwd=ROOT, env=dict(os.environ)) as child:
        servers.wait_until(lambda: _is_open(port))
        yield WordModel(f"http://127.0.0.1:{port}", child.pid)


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _format_costs(short: CpuSeconds, long: CpuSeconds, streams: int) -> tuple[str, str]:
    """Return the CPU time of a stream in ms and of a token in µs."""
    pairs = [
        (short.agent, long.agent),
        (short.model, long.model),
        (short.clients, long.clients),
    ]
    tokens = streams * (WORD_COUNT - 1)
    return (
        " / ".join(f"{before / streams * 1e3:.1f}" for before, _ in pairs),
        " / ".join(f"{(after - before) / tokens * 1e6:.0f}" for before, after in pairs),
    )


def _read_cpu(pid: int) -> float:
    """Return the CPU seconds of the process and its descendants."""
    ticks = 0
    for tree_pid in [pid, *map(int, _list_children(pid))]:
        fields = Path(f"/proc/{tree_pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _list_children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 50,
        [*(Path(text).resolve() for text in sys.argv[2:]), ROOT],
    )

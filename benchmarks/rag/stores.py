"""Print speed and recall of each vector store as a Markdown table.

    python -m benchmarks.rag.stores DATA [SIZE ...]

DATA is the folder of question sets that `retrieval` reads. Its sentences are embedded. If there are
fewer than SIZE (by default 10000 and 100000), further vectors are interpolated between two of them.
Each store has one partition of SIZE vectors. The best 100 hits of 200 sentences that are not in it
are searched, first by one client, then by eight concurrently. Recall is the share of the true best
100 hits. For the smallest SIZE, different search efforts of Chroma are compared.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedding import BuiltInEmbedder
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.chroma import _HNSW
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from benchmarks.rag.question_sets import read_question_set
from tests import servers

SENTENCES = 12_000
QUERIES = 200
BEST = 100
CLIENTS = 8
PER_DOCUMENT = 250
Rows = NDArray[np.float32]


def main() -> None:
    sizes = [int(value) for value in sys.argv[2:]] or [10_000, 100_000]
    vectors = _embed_sentences(Path(sys.argv[1]))
    queries, vectors = vectors[:QUERIES], vectors[QUERIES:]
    print("| store | vectors | insert, s | p50, ms | p99, ms | p50 of 8 clients | recall |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        rows = _build_rows(vectors, size)
        true_best = [set(np.argsort(-(rows @ query))[:BEST]) for query in queries]
        _print_exact(rows, queries)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
            for name, settings in _open_servers(Path(folder), running):
                with _fill_store(settings, rows) as (store, seconds):
                    _print_measured(name, size, seconds, store, queries, true_best)
            if size == min(sizes):
                _print_search_efforts(Path(folder), rows, queries, true_best)


def _open_servers(folder: Path, running: ExitStack) -> Iterator[tuple[str, VectorStoreSettings]]:
    for name in ("chroma", "server", "postgres"):
        (folder / name).mkdir()
    chroma = running.enter_context(servers.chroma(folder / "server"))
    yield "chroma server", VectorStoreSettings("chroma", folder, url=chroma.url)
    yield "chroma embedded", VectorStoreSettings("chroma", folder / "chroma" / "vectors")
    postgres = running.enter_context(servers.postgres(folder / "postgres"))
    yield "pgvector", VectorStoreSettings("pgvector", folder, url=postgres.database(vectors=True))


@contextmanager
def _fill_store(settings: VectorStoreSettings, rows: Rows) -> Iterator[tuple[VectorStore, float]]:
    store = open_vector_store(settings)
    started_at = time.monotonic()
    for start in range(0, len(rows), PER_DOCUMENT):
        part = rows[start : start + PER_DOCUMENT]
        ids = [f"chk_{start}.1.{n}" for n in range(start, start + len(part))]
        store.add_vectors("bench", f"doc_{start}", 1, ids, part)
    yield store, time.monotonic() - started_at
    store.drop_partition("bench")
    store.close()


def _print_measured(
    name: str,
    size: int,
    seconds: float,
    store: VectorStore,
    queries: Rows,
    true_best: list[set[int]],
) -> None:
    store.search_nearest("bench", queries[0], BEST)
    latencies, recall = [], []
    for query, expected in zip(queries, true_best, strict=True):
        started_at = time.perf_counter()
        hits = store.search_nearest("bench", query, BEST)
        latencies.append(time.perf_counter() - started_at)
        recall.append(len(expected & {int(key.rpartition(".")[2]) for key in hits}) / BEST)

    def measure_search(query: Rows) -> float:
        started_at = time.perf_counter()
        store.search_nearest("bench", query, BEST)
        return time.perf_counter() - started_at

    with ThreadPoolExecutor(CLIENTS) as pool:
        concurrent_latencies = list(pool.map(measure_search, queries))
    p50, p99, eight = (
        np.percentile(latencies, 50),
        np.percentile(latencies, 99),
        np.percentile(concurrent_latencies, 50),
    )
    print(
        f"| {name} | {size:,} | {seconds:.0f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | "
        f"{eight * 1e3:.1f} | {np.mean(recall):.3f} |",
        flush=True,
    )


def _print_search_efforts(
    folder: Path, rows: Rows, queries: Rows, true_best: list[set[int]]
) -> None:
    defaults = dict(_HNSW)
    with servers.chroma(folder) as chroma:
        for effort in (100, 200, 800):
            _HNSW["ef_search"] = effort
            with _fill_store(VectorStoreSettings("chroma", folder, url=chroma.url), rows) as (
                store,
                seconds,
            ):
                name = f"chroma server, ef_search {effort}"
                _print_measured(name, len(rows), seconds, store, queries, true_best)
    _HNSW.update(defaults)


def _print_exact(rows: Rows, queries: Rows) -> None:
    latencies = []
    for query in queries:
        started_at = time.perf_counter()
        scores = rows @ query
        top = np.argpartition(-scores, BEST)[:BEST]
        top[np.argsort(-scores[top])]
        latencies.append(time.perf_counter() - started_at)
    p50, p99 = np.percentile(latencies, 50) * 1e3, np.percentile(latencies, 99) * 1e3
    print(f"| exact, numpy | {len(rows):,} | | {p50:.1f} | {p99:.1f} | | 1.000 |", flush=True)


def _embed_sentences(folder: Path) -> Rows:
    texts: dict[str, None] = {}
    for name in ("scifact", "cisi", "xquad"):
        for title, text in read_question_set(folder, name).documents.values():
            for sentence in re.split(r"(?<=[.?!])\s+", text):
                if len(sentence) > 40:
                    texts[f"{title}\n{sentence}"] = None
    chosen = np.random.default_rng(1).permutation(list(texts))[:SENTENCES]
    return BuiltInEmbedder(threads=2).encode([str(value) for value in chosen])


def _build_rows(vectors: Rows, size: int) -> Rows:
    if size <= len(vectors):
        return vectors[:size]
    random = np.random.default_rng(2)
    some, others = random.integers(0, len(vectors), (2, size - len(vectors)))
    share = random.uniform(0.2, 0.5, (len(some), 1)).astype(np.float32)
    between = (1 - share) * vectors[some] + share * vectors[others]
    rows = np.concatenate([vectors, between])
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main()

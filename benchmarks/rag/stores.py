"""Print how fast and how exact each vector store is, as a table in Markdown.

    python -m benchmarks.rag.stores DATA [SIZE ...]

DATA is the folder of question sets that `retrieval` reads. Its sentences are embedded, and where
there are fewer than SIZE (10000 and 100000 unless told), further vectors lie between two of theirs.
Each store holds one partition of SIZE vectors; 200 sentences that are not in it are searched for,
the best 100 of each, first by one client, then by eight at once. Recall is the share of the true
best hundred that is found. Of the smallest SIZE it is shown what asking Chroma for less or more
does.
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

from backend.ai.embedding import Embedder
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.chroma import _HNSW
from backend.services.rag.store.vectors.opening import Place, open_vectors
from benchmarks.rag.collections_of_questions import read
from tests import servers

CACHE = Path(".cache")
SENTENCES = 12_000
QUERIES = 200
BEST = 100
CLIENTS = 8
PER_DOCUMENT = 250
Rows = NDArray[np.float32]


def main() -> None:
    sizes = [int(each) for each in sys.argv[2:]] or [10_000, 100_000]
    known = _sentences(Path(sys.argv[1]))
    queries, known = known[:QUERIES], known[QUERIES:]
    print("| store | vectors | insert, s | p50, ms | p99, ms | p50 of 8 clients | recall |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        rows = _rows(known, size)
        best = [set(np.argsort(-(rows @ query))[:BEST]) for query in queries]
        _print_exact(rows, queries)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
            for name, place in _places(Path(folder), running):
                with _filled(place, rows) as (store, seconds):
                    _print_measured(name, size, seconds, store, queries, best)
            if size == min(sizes):
                _print_searched_less_and_more(Path(folder), rows, queries, best)


def _places(folder: Path, running: ExitStack) -> Iterator[tuple[str, Place]]:
    for name in ("chroma", "server", "postgres"):
        (folder / name).mkdir()
    chroma = running.enter_context(servers.chroma(folder / "server"))
    yield "chroma server", Place("chroma", folder, url=chroma.url)
    yield "chroma embedded", Place("chroma", folder / "chroma" / "vectors")
    postgres = running.enter_context(servers.postgres(folder / "postgres"))
    yield "pgvector", Place("pgvector", folder, url=postgres.database(vectors=True))


@contextmanager
def _filled(place: Place, rows: Rows) -> Iterator[tuple[VectorStore, float]]:
    store = open_vectors(place)
    began = time.monotonic()
    for start in range(0, len(rows), PER_DOCUMENT):
        part = rows[start : start + PER_DOCUMENT]
        ids = [f"chk_{start}.1.{n}" for n in range(start, start + len(part))]
        store.add("bench", f"doc_{start}", 1, ids, part)
    yield store, time.monotonic() - began
    store.drop("bench")
    store.close()


def _print_measured(
    name: str,
    size: int,
    seconds: float,
    store: VectorStore,
    queries: Rows,
    best: list[set[int]],
) -> None:
    store.nearest("bench", queries[0], BEST)
    took, recall = [], []
    for query, expected in zip(queries, best, strict=True):
        began = time.perf_counter()
        found = store.nearest("bench", query, BEST)
        took.append(time.perf_counter() - began)
        recall.append(len(expected & {int(key.rpartition(".")[2]) for key in found}) / BEST)

    def timed(query: Rows) -> float:
        began = time.perf_counter()
        store.nearest("bench", query, BEST)
        return time.perf_counter() - began

    with ThreadPoolExecutor(CLIENTS) as pool:
        together = list(pool.map(timed, queries))
    p50, p99, eight = np.percentile(took, 50), np.percentile(took, 99), np.percentile(together, 50)
    print(
        f"| {name} | {size:,} | {seconds:.0f} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | "
        f"{eight * 1e3:.1f} | {np.mean(recall):.3f} |",
        flush=True,
    )


def _print_searched_less_and_more(
    folder: Path, rows: Rows, queries: Rows, best: list[set[int]]
) -> None:
    usual = dict(_HNSW)
    with servers.chroma(folder) as chroma:
        for effort in (100, 200, 800):
            _HNSW["ef_search"] = effort
            with _filled(Place("chroma", folder, url=chroma.url), rows) as (store, seconds):
                name = f"chroma server, ef_search {effort}"
                _print_measured(name, len(rows), seconds, store, queries, best)
    _HNSW.update(usual)


def _print_exact(rows: Rows, queries: Rows) -> None:
    took = []
    for query in queries:
        began = time.perf_counter()
        scores = rows @ query
        top = np.argpartition(-scores, BEST)[:BEST]
        top[np.argsort(-scores[top])]
        took.append(time.perf_counter() - began)
    p50, p99 = np.percentile(took, 50) * 1e3, np.percentile(took, 99) * 1e3
    print(f"| exact, numpy | {len(rows):,} | | {p50:.1f} | {p99:.1f} | | 1.000 |", flush=True)


def _sentences(folder: Path) -> Rows:
    texts: dict[str, None] = {}
    for name in ("scifact", "cisi", "xquad"):
        for title, text in read(folder, name).documents.values():
            for sentence in re.split(r"(?<=[.?!])\s+", text):
                if len(sentence) > 40:
                    texts[f"{title}\n{sentence}"] = None
    chosen = np.random.default_rng(1).permutation(list(texts))[:SENTENCES]
    return Embedder(CACHE, threads=2).encode([str(each) for each in chosen])


def _rows(known: Rows, size: int) -> Rows:
    if size <= len(known):
        return known[:size]
    random = np.random.default_rng(2)
    some, others = random.integers(0, len(known), (2, size - len(known)))
    share = random.uniform(0.2, 0.5, (len(some), 1)).astype(np.float32)
    between = (1 - share) * known[some] + share * known[others]
    rows = np.concatenate([known, between])
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main()

"""Print nDCG@10 of each way to search, on whole documents as passages.

    python -m benchmarks.rag.retrieval DATA [WEIGHT ...]

DATA is a folder of question sets in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv in a
folder for each).

The keyword index, the embedder and the fusion are the service's own; fp32 is the same graph
before quantising. Further arguments are dense weights to try beside the service's. With passages
and a second look at them, as callers get them, `python -m backend.services.rag evaluate` measures.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import onnxruntime

from backend.ai.embedding import Embedder, Vectors
from backend.ai.embedding.engine import _batches, _padded
from backend.ai.embedding.graph import write_fp32
from backend.ai.embedding.weights import read_weights
from backend.services.rag.domain import fusion
from backend.services.rag.store.keywords import KeywordIndex
from backend.services.rag.store.postings import counted
from benchmarks.rag.collections_of_questions import Benchmark, ndcg, read

CACHE = Path(".cache")
Ranking = dict[str, float]


def main() -> None:
    folder = Path(sys.argv[1])
    weights = [float(each) for each in sys.argv[2:]]
    embedder = Embedder(CACHE, threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        plain = _fp32(Path(scratch) / "fp32.onnx", embedder)
        for name in ("xquad", "cisi", "scifact"):
            _measure(read(folder, name), embedder, plain, weights)


def _measure(
    benchmark: Benchmark,
    embedder: Embedder,
    plain: Callable[[list[str]], Vectors],
    weights: list[float],
) -> None:
    texts = [f"{title}\n{text}" for title, text in benchmark.documents.values()]
    asked = list(benchmark.questions.values())
    began = time.process_time()
    int8 = _nearest(benchmark, embedder.encode(texts), embedder.encode(asked))
    took = time.process_time() - began
    tokens = sum(len(embedder.tokens.encode(text).ids) for text in texts + asked)
    fp32 = _nearest(benchmark, plain(texts), plain(asked))
    keyword = _by_words(benchmark, texts)

    print(f"{benchmark.name}: {len(texts)} documents, {len(asked)} questions")
    print(f"  int8 embedding      {tokens / took:8,.0f} tokens a CPU-second")
    rows = {
        "BM25": keyword,
        "dense fp32": fp32,
        "dense int8": int8,
        "RRF k=60": {q: _reciprocal(int8[q], keyword[q]) for q in int8},
        f"convex {fusion.DENSE_WEIGHT}": {q: fusion.fused(int8[q], keyword[q]) for q in int8},
    }
    for weight in weights:
        fusion.DENSE_WEIGHT = weight
        rows[f"convex {weight}"] = {q: fusion.fused(int8[q], keyword[q]) for q in int8}
    fusion.DENSE_WEIGHT = 0.5
    for label, rankings in rows.items():
        score = fmean(ndcg(rankings[q], benchmark.grades[q]) for q in benchmark.questions)
        print(f"  {label:18} {score:.3f}", flush=True)


def _by_words(benchmark: Benchmark, texts: list[str]) -> dict[str, Ranking]:
    keys = list(benchmark.documents)
    index = KeywordIndex(counted(f"doc_{n}", 1, [text]) for n, text in enumerate(texts))
    rankings = {}
    for question, text in benchmark.questions.items():
        found = index.best(text, fusion.DEPTH)
        rankings[question] = {
            keys[int(each[4:].split(".")[0])]: score for each, score in found.items()
        }
    return rankings


def _nearest(benchmark: Benchmark, documents: Vectors, questions: Vectors) -> dict[str, Ranking]:
    keys = list(benchmark.documents)
    rankings = {}
    for question, vector in zip(benchmark.questions, questions, strict=True):
        cosines = documents @ vector
        best = np.argsort(-cosines)[: fusion.DEPTH]
        rankings[question] = {keys[row]: float(cosines[row]) for row in best}
    return rankings


def _reciprocal(*rankings: Ranking) -> Ranking:
    scores: Ranking = {}
    for ranking in rankings:
        for place, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (60 + place)
    return fusion.ranked(scores)


def _fp32(file: Path, embedder: Embedder) -> Callable[[list[str]], Vectors]:
    write_fp32(read_weights(), file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def encode(texts: list[str]) -> Vectors:
        encodings = [embedder.tokens.encode(text) for text in texts]
        rows = np.empty((len(texts), 384), np.float32)
        for batch in _batches(encodings):
            rows[batch] = session.run(None, _padded([encodings[index] for index in batch]))[0]
        return rows

    return encode


if __name__ == "__main__":
    main()

"""Print nDCG@10 of each search method and language, with complete documents as chunks.

    python -m benchmarks.rag.retrieval DATA [WEIGHT ...]

DATA is a folder of question sets in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv in a
folder per set): xquad, cisi and scifact, and in xquad-languages the set xquad in other languages,
with the same ids.

Keyword index, embedder and fusion are those of the service; fp32 is the same graph before
quantisation. Further arguments are dense weights to compare with the service's. To measure chunked
documents with reranking, use `python -m backend.services.rag evaluate`.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import onnxruntime

from backend.ai.embedding import BuiltInEmbedder, MultilingualEmbedder, Vectors
from backend.ai.embedding.onnx_encoder import batch_by_length, pad_batch
from backend.ai.embedding.onnx_graph import write_fp32_graph
from backend.ai.embedding.weights import read_weights
from backend.services.rag.domain.search import fusion
from benchmarks.rag.languages import measure_languages
from benchmarks.rag.question_sets import QuestionSet, compute_ndcg, read_question_set
from benchmarks.rag.rankings import Ranking, rank_by_keywords, rank_by_vectors


def main() -> None:
    folder = Path(sys.argv[1])
    weights = [float(value) for value in sys.argv[2:]]
    embedder = BuiltInEmbedder(threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        encode_fp32 = _open_fp32_model(Path(scratch) / "fp32.onnx", embedder)
        for name in ("xquad", "cisi", "scifact"):
            _measure(read_question_set(folder, name), embedder, encode_fp32, weights)
    measure_languages(folder, embedder, MultilingualEmbedder(threads=1))


def _measure(
    question_set: QuestionSet,
    embedder: BuiltInEmbedder,
    encode_fp32: Callable[[list[str]], Vectors],
    weights: list[float],
) -> None:
    texts = [f"{title}\n{text}" for title, text in question_set.documents.values()]
    questions = list(question_set.questions.values())
    started_at = time.process_time()
    int8 = rank_by_vectors(question_set, embedder.encode(texts), embedder.encode(questions))
    seconds = time.process_time() - started_at
    tokens = sum(len(embedder.tokenizer.encode(text)) for text in texts + questions)
    fp32 = rank_by_vectors(question_set, encode_fp32(texts), encode_fp32(questions))
    keyword = rank_by_keywords(question_set, texts)

    print(f"{question_set.name}: {len(texts)} documents, {len(questions)} questions")
    print(f"  int8 embedding      {tokens / seconds:8,.0f} tokens a CPU-second")
    rows = {
        "BM25": keyword,
        "dense fp32": fp32,
        "dense int8": int8,
        "RRF k=60": {q: _fuse_reciprocal_ranks(int8[q], keyword[q]) for q in int8},
    }
    for weight in [1 - fusion.KEYWORD_WEIGHT, *weights]:
        rows[f"convex {weight}"] = {
            q: fusion.fuse_rankings(int8[q], keyword[q], 1 - weight) for q in int8
        }
    for label, rankings in rows.items():
        score = fmean(
            compute_ndcg(rankings[q], question_set.grades[q]) for q in question_set.questions
        )
        print(f"  {label:18} {score:.3f}", flush=True)


def _fuse_reciprocal_ranks(*rankings: Ranking) -> Ranking:
    scores: Ranking = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (60 + rank)
    return fusion.sort_by_score(scores)


def _open_fp32_model(file: Path, embedder: BuiltInEmbedder) -> Callable[[list[str]], Vectors]:
    write_fp32_graph(read_weights(), file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def encode(texts: list[str]) -> Vectors:
        ids = [embedder.tokenizer.encode(text) for text in texts]
        rows = np.empty((len(texts), 384), np.float32)
        for batch in batch_by_length(ids):
            inputs = zip(("ids", "mask"), pad_batch([ids[i] for i in batch]), strict=True)
            rows[batch] = session.run(None, dict(inputs))[0]
        return rows

    return encode


if __name__ == "__main__":
    main()

"""Print nDCG@10 of hybrid search for weights of the most similar sentences.

    python -m benchmarks.rag.sentence_reranking DATASET

DATASET is a question set in BEIR's layout. It is indexed like by `evaluate`, in a temporary folder
and in chunks. Each row replaces the weight, and the shares of the best sentences, of the service.
"""

import sys
import tempfile
from pathlib import Path

from backend.chassis.settings import load_env
from backend.services.rag.__main__ import create_evaluation, open_temporary_components
from backend.services.rag.clients.datasets import read_dataset
from backend.services.rag.domain.embeddings import sentence_vectors
from backend.services.rag.domain.search import reranking
from backend.services.rag.domain.search.service import SearchQuery
from backend.services.rag.settings import Settings

# (weight, shares of the sentences, the most similar one first)
_VARIANTS = (
    (0.0, (1.0,)),
    *((weight, shares) for shares in ((1.0,), (0.5, 0.5)) for weight in (0.5, 0.8)),
    *((weight, (0.75, 0.25)) for weight in (0.3, 0.6, 0.9, 1.2)),
)
_CHUNKS = 100


def main() -> None:
    dataset = read_dataset(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        components = open_temporary_components(Settings.from_env(load_env()), Path(folder))
        try:
            evaluation = create_evaluation(components)
            evaluation.index_dataset(dataset, _print_progress)
            print(f"{dataset.name}\nweight  shares        nDCG@10")
            for weight, shares in _VARIANTS:
                reranking.SENTENCE_WEIGHT = weight
                sentence_vectors.SENTENCE_SHARES = shares
                scores = evaluation.run_queries(
                    dataset, SearchQuery("", k=_CHUNKS), lambda _line: None
                )
                print(f"{weight:6.1f}  {shares!s:12}  {scores.ndcg_10:.4f}", flush=True)
        finally:
            components.close()


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()

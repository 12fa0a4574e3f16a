"""What `benchmarks.rag.ingestion` measures ours against, each run in a process of its own.

    python -m benchmarks.rag.contenders ceiling TEXTS.json MODELS THREADS
    python -m benchmarks.rag.contenders int8|fp32|torch FOLDER MODELS THREADS

Prints one line of JSON. The pipeline is LangChain's as its documentation puts it together:
loader, RecursiveCharacterTextSplitter, embeddings, Chroma.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.ai.embedding import Embedder

# As long as ours: 256 tokens, an overlap of 64.
_CHUNK, _OVERLAP = 1000, 250


def main() -> None:
    os.nice(10)
    what, source, models, threads = sys.argv[1:]
    began, spent = time.perf_counter(), time.process_time()
    if what == "ceiling":
        outcome = _embed(json.loads(Path(source).read_text()), Path(models), int(threads))
    else:
        outcome = _pipeline(Path(source), _embeddings(what, Path(models), int(threads)))
    seconds = time.perf_counter() - began - outcome.pop("loading", 0.0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = time.process_time() - spent - outcome.pop("loading_cpu", 0.0)
    print(json.dumps(outcome | {"seconds": seconds, "cpu": cpu, "memory": usage.ru_maxrss / 1024}))


def _embed(texts: Sequence[str], models: Path, threads: int) -> dict[str, Any]:
    began, spent = time.perf_counter(), time.process_time()
    embedder = Embedder(models, threads=threads)
    embedder.check()
    loading = {
        "loading": time.perf_counter() - began,
        "loading_cpu": time.process_time() - spent,
    }
    embedder.encode(texts)
    return {"chunks": len(texts), **loading}


def _pipeline(folder: Path, embeddings: Any) -> dict[str, Any]:
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import PyPDFLoader, TextLoader
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=_CHUNK, chunk_overlap=_OVERLAP)
    with tempfile.TemporaryDirectory() as place:
        store = Chroma("bench", embeddings, persist_directory=place)
        began, spent = time.perf_counter(), time.process_time()
        embeddings.embed_documents(["warm"])
        loading = {
            "loading": time.perf_counter() - began,
            "loading_cpu": time.process_time() - spent,
        }
        count = 0
        for path in sorted(folder.iterdir()):
            loader = PyPDFLoader(str(path)) if path.suffix == ".pdf" else TextLoader(str(path))
            chunks = splitter.split_documents(loader.load())
            if chunks:
                store.add_documents(chunks)
            count += len(chunks)
    return {"chunks": count, **loading}


def _embeddings(kind: str, models: Path, threads: int) -> Any:
    if kind == "torch":
        from langchain_community.embeddings import HuggingFaceEmbeddings

        return HuggingFaceEmbeddings(model_name="sentence-transformers/all-MiniLM-L6-v2")
    embedder = Embedder(models, threads=threads)
    if kind == "fp32":
        embedder._session = _full_precision(models, threads)

    class Ours:
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedder.encode(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    return Ours()


def _full_precision(models: Path, threads: int) -> Any:
    """As sentence-transformers would have it: full precision, all threads to each batch."""
    import onnxruntime

    from backend.ai.embedding.graph import write_fp32
    from backend.ai.embedding.weights import read_weights

    graph = models / "minilm-fp32.onnx"
    if not graph.exists():
        write_fp32(read_weights(), graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()

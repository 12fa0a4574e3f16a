"""Baselines of `benchmarks.rag.ingestion`. Each runs in its own process.

    python -m benchmarks.rag.langchain_baseline ceiling TEXTS.json MODELS THREADS
    python -m benchmarks.rag.langchain_baseline int8|fp32|torch FOLDER MODELS THREADS

Prints one line of JSON. `ceiling` only embeds the texts. The others run LangChain's pipeline as in
its documentation: loader, RecursiveCharacterTextSplitter, embeddings, Chroma.
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

from backend.ai.embedding import BuiltInEmbedder

# In characters; about the chunk size of the service: 256 tokens with an overlap of 64.
_CHUNK, _OVERLAP = 1000, 250


def main() -> None:
    os.nice(10)
    configuration, source, models, threads = sys.argv[1:]
    started_at, cpu_start = time.perf_counter(), time.process_time()
    if configuration == "ceiling":
        result = _run_embedding(json.loads(Path(source).read_text()), int(threads))
    else:
        result = _run_pipeline(
            Path(source), _open_embeddings(configuration, Path(models), int(threads))
        )
    seconds = time.perf_counter() - started_at - result.pop("loading", 0.0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = time.process_time() - cpu_start - result.pop("loading_cpu", 0.0)
    print(json.dumps(result | {"seconds": seconds, "cpu": cpu, "memory": usage.ru_maxrss / 1024}))


def _run_embedding(texts: Sequence[str], threads: int) -> dict[str, Any]:
    started_at, cpu_start = time.perf_counter(), time.process_time()
    embedder = BuiltInEmbedder(threads=threads)
    embedder.load()
    loading = {
        "loading": time.perf_counter() - started_at,
        "loading_cpu": time.process_time() - cpu_start,
    }
    embedder.encode(texts)
    return {"chunks": len(texts), **loading}


def _run_pipeline(folder: Path, embeddings: Any) -> dict[str, Any]:
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import PyPDFLoader, TextLoader
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=_CHUNK, chunk_overlap=_OVERLAP)
    with tempfile.TemporaryDirectory() as store_folder:
        store = Chroma("bench", embeddings, persist_directory=store_folder)
        started_at, cpu_start = time.perf_counter(), time.process_time()
        embeddings.embed_documents(["warm"])
        loading = {
            "loading": time.perf_counter() - started_at,
            "loading_cpu": time.process_time() - cpu_start,
        }
        count = 0
        for path in sorted(folder.iterdir()):
            loader = PyPDFLoader(str(path)) if path.suffix == ".pdf" else TextLoader(str(path))
            chunks = splitter.split_documents(loader.load())
            if chunks:
                store.add_documents(chunks)
            count += len(chunks)
    return {"chunks": count, **loading}


def _open_embeddings(kind: str, models: Path, threads: int) -> Any:
    if kind == "torch":
        from langchain_community.embeddings import HuggingFaceEmbeddings

        return HuggingFaceEmbeddings(model_name="sentence-transformers/all-MiniLM-L6-v2")
    embedder = BuiltInEmbedder(threads=threads)
    if kind == "fp32":
        embedder._session = _open_fp32_session(models, threads)

    class BuiltInEmbeddings:
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedder.encode(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    return BuiltInEmbeddings()


def _open_fp32_session(models: Path, threads: int) -> Any:
    """Open the model like sentence-transformers: full precision, all threads for each batch."""
    import onnxruntime

    from backend.ai.embedding.onnx_graph import write_fp32_graph
    from backend.ai.embedding.weights import read_weights

    graph = models / "minilm-fp32.onnx"
    if not graph.exists():
        write_fp32_graph(read_weights(), graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()

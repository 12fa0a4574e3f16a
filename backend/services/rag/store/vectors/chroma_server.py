"""Chroma's server on a folder of vectors that is locked for it.

    python -m backend.services.rag.store.vectors.chroma_server FOLDER HOST PORT

The server is the program inside of chromadb's wheel; it reports to nobody. Who finds the
folder locked learns from the lock where to ask.
"""

import sys
from pathlib import Path

from backend.services.rag.store.vectors.folder import FolderLock


def main(folder: str, host: str, port: str) -> int:
    here = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - recognised, not bound
    if not FolderLock(Path(folder)).take(f"http://{here}:{port}"):
        sys.stderr.write(f"Another process works in {folder}. End it, then start this again.\n")
        return 1
    # The bindings alone: the whole of chromadb takes a second and sixty megabytes more.
    import chromadb_rust_bindings

    Path(folder).mkdir(parents=True, exist_ok=True)
    chromadb_rust_bindings.cli(["chroma", "run", "--path", folder, "--host", host, "--port", port])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

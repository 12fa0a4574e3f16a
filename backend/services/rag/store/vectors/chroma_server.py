"""Run the Chroma server on a locked folder.

    python -m backend.services.rag.store.vectors.chroma_server FOLDER HOST PORT

The server is the binary in chromadb's wheel; it sends no telemetry. Its URL is written to the lock,
so that processes that find the folder locked can connect to it.
"""

import sys
from pathlib import Path

from backend.services.rag.store.vectors.folder import FolderLock


def main(folder: str, host: str, port: str) -> int:
    reachable_host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    if ":" in reachable_host:
        reachable_host = f"[{reachable_host}]"
    if not FolderLock(Path(folder)).acquire(f"http://{reachable_host}:{port}"):
        sys.stderr.write(f"Another process uses {folder}. Stop it, then start this server again.\n")
        return 1
    # Import only the bindings: all of chromadb takes another second and 60 MB.
    import chromadb_rust_bindings

    Path(folder).mkdir(parents=True, exist_ok=True)
    chromadb_rust_bindings.cli(["chroma", "run", "--path", folder, "--host", host, "--port", port])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

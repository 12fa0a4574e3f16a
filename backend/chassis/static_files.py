"""Static files of a service: read once, compressed, and named by a version of their contents."""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_TEXT_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# A compressed body that is smaller than this saves no packet.
_MIN_COMPRESSED_BYTES = 256


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: its content, and the content with gzip if that is smaller."""

    content: bytes
    compressed: bytes | None
    content_type: str


def read_static_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the files below *folder* in a fixed order, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def hash_static_files(contents: Mapping[str, bytes]) -> str:
    """Return a version, which changes if the name or the content of any file changes."""
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def create_static_file(name: str, content: bytes) -> StaticFile:
    """Return the file *name* with its type, and compressed if that makes it smaller."""
    suffix = PurePosixPath(name).suffix
    text_type = _TEXT_TYPES.get(suffix)
    if text_type is None:
        guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return StaticFile(content, None, guessed)
    compressed = (
        gzip.compress(content, 9, mtime=0) if len(content) >= _MIN_COMPRESSED_BYTES else b""
    )
    is_smaller = 0 < len(compressed) < len(content)
    return StaticFile(content, compressed if is_smaller else None, f"{text_type}; charset=utf-8")

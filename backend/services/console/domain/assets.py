"""The static files of the interface: compressed once, at URLs that change with their content."""

import gzip
import hashlib
import json
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Self

ENTRY = "app.js"
ROOT_FILES = ("index.html", "service-worker.js", "manifest.webmanifest")
"""Files that are served outside of the versioned folder. Placeholders in them are replaced."""

_TEXT_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_STATIC_IMPORT = re.compile(
    r"""^[ \t]*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*["'](\.{1,2}/[^"']+)["']""", re.MULTILINE
)
_STYLESHEET = re.compile(r'href="\{\{assets\}\}/([^"]+\.css)"')
# A compressed body that is smaller than this saves no packet.
_MIN_COMPRESSED_BYTES = 256


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: its content, and the content with gzip if that is smaller."""

    content: bytes
    compressed: bytes | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of one version of the interface. The version is a hash over all of them.

    Attributes:
        version: changes if the name or the content of any file changes.
        files: files of the versioned folder by path.
        root_files: the files of ROOT_FILES that exist, with their placeholders replaced.
    """

    version: str
    files: Mapping[str, Asset]
    root_files: Mapping[str, Asset]

    @classmethod
    def load(cls, folder: Path, public_prefix: str) -> Self:
        """Read the files below *folder*, which browsers load below *public_prefix*."""
        contents = dict(_read_files(folder))
        version = _hash_files(contents)
        base = f"{public_prefix}/assets/{version}"
        preloads = [*_list_stylesheets(contents), *list_static_imports(contents, ENTRY)]
        placeholders = {
            "{{assets}}": base,
            "{{version}}": version,
            "{{modulepreload}}": "\n".join(
                f'<link rel="modulepreload" href="{base}/{name}">'
                for name in preloads
                if name.endswith(".js")
            ),
            # For the service worker: the files that the first screen needs.
            "{{preloads}}": json.dumps([f"{base}/{name}" for name in preloads]),
        }
        return cls(
            version=version,
            files={
                name: _create_asset(name, content)
                for name, content in contents.items()
                if name not in ROOT_FILES
            },
            root_files={
                name: _create_asset(name, _replace_all(contents[name], placeholders))
                for name in ROOT_FILES
                if name in contents
            },
        )


class AssetFolder:
    """Provides the assets of *folder*; with *reloads* it reads the folder again if it changed."""

    def __init__(self, folder: Path, public_prefix: str, *, reloads: bool) -> None:
        self._folder = folder
        self._public_prefix = public_prefix
        self._reloads = reloads
        self._assets = Assets.load(folder, public_prefix)
        self._state = self._read_state()

    def get_assets(self) -> Assets:
        if self._reloads:
            state = self._read_state()
            if state != self._state:
                self._assets = Assets.load(self._folder, self._public_prefix)
                self._state = state
        return self._assets

    def _read_state(self) -> frozenset[tuple[str, int, int]]:
        return frozenset(
            (str(path), stat.st_mtime_ns, stat.st_size)
            for path in self._folder.rglob("*")
            if path.is_file()
            for stat in (path.stat(),)
        )


def list_static_imports(contents: Mapping[str, bytes], entry: str) -> Iterator[str]:
    """Yield *entry* and all modules of *contents* that it imports statically, breadth first."""
    pending, seen = [entry], {entry}
    while pending:
        name = pending.pop(0)
        if name not in contents:
            continue
        yield name
        for target in _STATIC_IMPORT.findall(contents[name].decode()):
            module = normpath(str(PurePosixPath(name).parent / target))
            if module not in seen:
                seen.add(module)
                pending.append(module)


def _list_stylesheets(contents: Mapping[str, bytes]) -> list[str]:
    return _STYLESHEET.findall(contents.get("index.html", b"").decode())


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _hash_files(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _replace_all(content: bytes, replacements: Mapping[str, str]) -> bytes:
    text = content.decode()
    for placeholder, value in replacements.items():
        text = text.replace(placeholder, value)
    return text.encode()


def _create_asset(name: str, content: bytes) -> Asset:
    suffix = PurePosixPath(name).suffix
    text_type = _TEXT_TYPES.get(suffix)
    if text_type is None:
        guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Asset(content, None, guessed)
    compressed = (
        gzip.compress(content, 9, mtime=0) if len(content) >= _MIN_COMPRESSED_BYTES else b""
    )
    is_smaller = 0 < len(compressed) < len(content)
    return Asset(content, compressed if is_smaller else None, f"{text_type}; charset=utf-8")

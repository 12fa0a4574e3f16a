"""The static files of the interface: compressed once, at URLs that change with their content."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Self

from backend.chassis.static_files import (
    StaticFile,
    create_static_file,
    hash_static_files,
    read_static_files,
)

ENTRY = "app.js"
ROOT_FILES = ("index.html", "service-worker.js", "manifest.webmanifest")
"""Files that are served outside of the versioned folder. Placeholders in them are replaced."""

_STATIC_IMPORT = re.compile(
    r"""^[ \t]*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*["'](\.{1,2}/[^"']+)["']""", re.MULTILINE
)
_STYLESHEET = re.compile(r'href="\{\{assets\}\}/([^"]+\.css)"')


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of one version of the interface. The version is a hash over all of them.

    Attributes:
        version: changes if the name or the content of any file changes.
        files: files of the versioned folder by path.
        root_files: the files of ROOT_FILES that exist, with their placeholders replaced.
    """

    version: str
    files: Mapping[str, StaticFile]
    root_files: Mapping[str, StaticFile]

    @classmethod
    def load(cls, folder: Path, public_prefix: str) -> Self:
        """Read the files below *folder*, which browsers load below *public_prefix*."""
        contents = dict(read_static_files(folder))
        version = hash_static_files(contents)
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
                name: create_static_file(name, content)
                for name, content in contents.items()
                if name not in ROOT_FILES
            },
            root_files={
                name: create_static_file(name, _replace_all(contents[name], placeholders))
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


def _replace_all(content: bytes, replacements: Mapping[str, str]) -> bytes:
    text = content.decode()
    for placeholder, value in replacements.items():
        text = text.replace(placeholder, value)
    return text.encode()

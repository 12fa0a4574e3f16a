"""The static files of the interface: compressed once, at URLs that change with their content."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.static_files import (
    StaticFile,
    create_static_file,
    hash_static_files,
    read_static_files,
)
from backend.services.console.domain.joined_modules import join_modules

ENTRY = "app.js"
ROOT_FILES = ("index.html", "service-worker.js", "manifest.webmanifest")
"""Files that are served outside of the versioned folder. Placeholders in them are replaced."""

JOINED_STYLES = "joined.css"
# In the order in which they apply.
FIRST_STYLES = tuple(f"styles/{name}.css" for name in ("tokens", "base", "shell", "conversation"))
_REFERENCE = re.compile(r"\{\{assets\}\}/([\w./-]+)")


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of one version of the interface. The version is a hash over all of them.

    Attributes:
        version: changes if the name or the content of any file changes.
        files: files of the versioned folder by path. What the first screen needs is joined.
        root_files: the files of ROOT_FILES that exist, with their placeholders replaced.
    """

    version: str
    files: Mapping[str, StaticFile]
    root_files: Mapping[str, StaticFile]

    @classmethod
    def load(cls, folder: Path, public_prefix: str) -> Self:
        """Read the files below *folder*, which browsers load below *public_prefix*.

        Raises:
            UnsupportedModule: the modules of the first screen cannot be joined.
        """
        contents = dict(read_static_files(folder))
        root_files = {name: contents.pop(name) for name in ROOT_FILES if name in contents}
        contents = _join_files(contents)
        # Of what is served: another way to join the same sources needs other addresses too.
        version = hash_static_files(contents | root_files)
        base = f"{public_prefix}/assets/{version}"
        first_files = _REFERENCE.findall(root_files["index.html"].decode())
        placeholders = {
            "{{assets}}": base,
            "{{version}}": version,
            # For the service worker: the files that the page refers to.
            "{{preloads}}": json.dumps([f"{base}/{name}" for name in first_files]),
        }
        return cls(
            version=version,
            files={name: create_static_file(name, content) for name, content in contents.items()},
            root_files={
                name: create_static_file(name, _replace_all(content, placeholders))
                for name, content in root_files.items()
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


def _join_files(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files to serve: one script and one style contain those of the first screen."""
    scripts = {name: content.decode() for name, content in contents.items() if name.endswith(".js")}
    joined = {name: text.encode() for name, text in join_modules(scripts, ENTRY).items()}
    joined[JOINED_STYLES] = b"\n".join(contents[name] for name in FIRST_STYLES)
    replaced = {*scripts, *FIRST_STYLES}
    return joined | {name: text for name, text in contents.items() if name not in replaced}


def _replace_all(content: bytes, replacements: Mapping[str, str]) -> bytes:
    text = content.decode()
    for placeholder, value in replacements.items():
        text = text.replace(placeholder, value)
    return text.encode()

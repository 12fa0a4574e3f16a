"""The files of the widget: the script for sites, the frame page, and its modules and styles."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Self

from backend.chassis.static_files import (
    StaticFile,
    create_static_file,
    hash_static_files,
    read_static_files,
)

_SCRIPT = "widget.js"
_PAGE = "frame.html"
_FOLDER = "frame/"
_PLACEHOLDER = re.compile(r"\{\{(?:files|title|config)\}\}")


@dataclass(frozen=True, slots=True)
class WidgetFiles:
    """All files of one version of the widget.

    Attributes:
        version: changes if the content of any file changes.
        script: the script that sites load.
        page: template of the frame page.
        files: files that the frame page loads, by name.
    """

    version: str
    script: StaticFile
    page: str
    files: Mapping[str, StaticFile]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files below *folder*."""
        contents = dict(read_static_files(folder))
        return cls(
            version=hash_static_files(contents),
            script=create_static_file(_SCRIPT, contents[_SCRIPT]),
            page=contents[_PAGE].decode(),
            files={
                name.removeprefix(_FOLDER): create_static_file(name, content)
                for name, content in contents.items()
                if name.startswith(_FOLDER)
            },
        )

    def render_page(self, title: str, config: Mapping[str, Any]) -> str:
        """Return the frame page.

        Args:
            title: title of the chat, or "".
            config: what the script of the page needs, as JSON.
        """
        values = {
            "{{files}}": f"../widget/{self.version}",
            "{{title}}": escape(title or "Chat"),
            "{{config}}": escape(json.dumps(config, ensure_ascii=False)),
        }
        return _PLACEHOLDER.sub(lambda found: values[found[0]], self.page)

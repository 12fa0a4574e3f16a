"""One OpenAPI document out of every service's, each under its prefix."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backend.services.gateway.clients.services import ServiceQuestions
from backend.services.gateway.domain.table import Route, Table

Document = dict[str, Any]
_KEPT_SECONDS = 30.0
_SCHEMAS = "#/components/schemas/"
_SHARED = ("Problem",)


class Documents:
    """Asks every service for its document and keeps the whole for a while."""

    def __init__(self, table: Table, questions: ServiceQuestions) -> None:
        self._table = table
        self._questions = questions
        self._kept: tuple[float, Document] | None = None

    def whole(self, own: Document) -> Document:
        """*own* with every route of every service that answers just now."""
        now = time.monotonic()
        if self._kept is not None and now < self._kept[0]:
            return self._kept[1]
        parts = [(route, self._document(route)) for route in self._table.routes]
        document = merge(own, [(route, part) for route, part in parts if part is not None])
        if all(part is not None for _, part in parts):
            self._kept = (now + _KEPT_SECONDS, document)
        return document

    def _document(self, route: Route) -> Document | None:
        for origin in route.upstreams:
            try:
                return self._questions.ask_document(origin)
            except OSError:
                continue
        return None


def merge(own: Document, parts: Iterable[tuple[Route, Document]]) -> Document:
    """*own* and the documents of *parts*, paths under their prefixes, schemas under names."""
    paths: Document = dict(own.get("paths", {}))
    components: dict[str, Document] = {
        kind: dict(entries) for kind, entries in own.get("components", {}).items()
    }
    for route, part in parts:
        rename = _renaming(route.service)
        for path, operations in part.get("paths", {}).items():
            outer = _outer(route, path)
            if outer is not None:
                paths[outer] = {
                    method: _under(route, operation, rename)
                    for method, operation in operations.items()
                }
        for kind, entries in part.get("components", {}).items():
            target = components.setdefault(kind, {})
            for name, entry in entries.items():
                known = rename(name) if kind == "schemas" else name
                target.setdefault(known, _renamed(entry, rename))
    return {**own, "paths": paths, "components": components}


def _outer(route: Route, path: str) -> str | None:
    """The path as seen from outside, or None where this route does not lead to it."""
    if route.is_closed(path):
        return None
    if not route.onto:
        return route.prefix + path
    return route.prefix + path[len(route.onto) :] if path.startswith(route.onto + "/") else None


def _renaming(service: str) -> Callable[[str], str]:
    title = "".join(part.capitalize() for part in service.split("-"))
    return lambda name: name if name in _SHARED else f"{title}{name}"


def _under(route: Route, operation: Any, rename: Callable[[str], str]) -> Any:
    if not isinstance(operation, Mapping):
        return _renamed(operation, rename)
    written = dict(_renamed(operation, rename))
    written["tags"] = [route.name]
    if "operationId" in written:
        written["operationId"] = f"{route.name.replace('-', '_')}_{written['operationId']}"
    return written


def _renamed(node: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(node, list):
        return [_renamed(each, rename) for each in node]
    if not isinstance(node, Mapping):
        return node
    written = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str) and value.startswith(_SCHEMAS):
            written[key] = _SCHEMAS + rename(value.removeprefix(_SCHEMAS))
        else:
            written[key] = _renamed(value, rename)
    return written

"""Merge the OpenAPI documents of all services into one, with paths as clients see them."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backend.chassis.web.openapi import OPERATIONS_TAG, OPERATIONS_TAG_ENTRY
from backend.services.gateway.clients.service_probe import ServiceProbe
from backend.services.gateway.domain.api_description import (
    API_DESCRIPTION,
    FIRST_GROUPS,
    GROUP_DESCRIPTIONS,
)
from backend.services.gateway.domain.routing.route_table import Route, RouteTable

Document = dict[str, Any]
_CACHE_SECONDS = 30.0
_SCHEMA_REFERENCE = "#/components/schemas/"
_SHARED_SCHEMAS = ("Problem",)
_OWN_GROUP = "gateway"


class OpenApiMerger:
    """Fetches the documents of all services and caches the merged one for 30 seconds."""

    def __init__(self, table: RouteTable, probe: ServiceProbe) -> None:
        self._table = table
        self._probe = probe
        self._cached: tuple[float, Document] | None = None

    def get_merged_document(self, own: Document) -> Document:
        """Return *own* with the operations of every service that responds.

        Only a complete document is cached.
        """
        now = time.monotonic()
        if self._cached is not None and now < self._cached[0]:
            return self._cached[1]
        parts = [(route, self._fetch_document(route)) for route in self._table.routes]
        document = merge_openapi_documents(
            own, [(route, part) for route, part in parts if part is not None]
        )
        if all(part is not None for _, part in parts):
            self._cached = (now + _CACHE_SECONDS, document)
        return document

    def _fetch_document(self, route: Route) -> Document | None:
        for origin in route.upstreams:
            try:
                return self._probe.fetch_openapi_document(origin)
            except OSError:
                continue
        return None


def merge_openapi_documents(own: Document, parts: Iterable[tuple[Route, Document]]) -> Document:
    """Add the documents of services to *own*.

    Paths get the prefix of their route, and schema names the name of their service. Operations are
    grouped by route; the health, information and metrics routes of all services are the last group.
    """
    paths: Document = {
        path: {
            method: operation | {"tags": _get_tags(operation, _OWN_GROUP)}
            for method, operation in operations.items()
        }
        for path, operations in own.get("paths", {}).items()
    }
    components: dict[str, Document] = {
        kind: dict(entries) for kind, entries in own.get("components", {}).items()
    }
    groups: list[str] = []
    for route, part in parts:
        groups.append(route.name)
        rename = _schema_renamer(route.service)
        for path, operations in part.get("paths", {}).items():
            public_path = _to_public_path(route, path)
            if public_path is not None:
                paths[public_path] = {
                    method: _rewrite_operation(route, operation, rename)
                    for method, operation in operations.items()
                }
        for kind, entries in part.get("components", {}).items():
            target = components.setdefault(kind, {})
            for name, entry in entries.items():
                target_name = rename(name) if kind == "schemas" else name
                target.setdefault(target_name, _rewrite_references(entry, rename))
    return {
        **own,
        "info": {**own.get("info", {}), "description": API_DESCRIPTION},
        "tags": _list_tags(groups),
        "paths": paths,
        "components": components,
    }


def _list_tags(groups: Iterable[str]) -> list[Document]:
    """Return the tags of the document in the order in which the API page shows them."""
    names = list(dict.fromkeys(groups))
    first = [name for name in FIRST_GROUPS if name in names]
    others = [name for name in names if name not in FIRST_GROUPS]
    tags = [_describe_group(name) for name in (*first, *others, _OWN_GROUP)]
    return [*tags, OPERATIONS_TAG_ENTRY]


def _describe_group(name: str) -> Document:
    if name in GROUP_DESCRIPTIONS:
        return {"name": name, "description": GROUP_DESCRIPTIONS[name]}
    return {"name": name}


def _get_tags(operation: Mapping[str, Any], group: str) -> list[str]:
    return [OPERATIONS_TAG] if operation.get("tags") == [OPERATIONS_TAG] else [group]


def _to_public_path(route: Route, path: str) -> str | None:
    """Return the path that clients use, or None if *route* does not expose *path*."""
    # The second version of chat's paths reaches routes that are listed below `/chat`.
    if route.is_closed(path) or route.prefix.startswith("/api/v2/"):
        return None
    if not route.onto:
        return route.prefix + path
    is_below = path == route.onto or path.startswith(f"{route.onto}/")
    return route.prefix + path[len(route.onto) :] if is_below else None


def _schema_renamer(service: str) -> Callable[[str], str]:
    title = "".join(part.capitalize() for part in service.split("-"))
    return lambda name: name if name in _SHARED_SCHEMAS else f"{title}{name}"


def _rewrite_operation(route: Route, operation: Any, rename: Callable[[str], str]) -> Any:
    rewritten = _rewrite_references(operation, rename)
    if not isinstance(operation, Mapping):
        return rewritten
    rewritten["tags"] = _get_tags(operation, route.name)
    if "operationId" in rewritten:
        rewritten["operationId"] = f"{route.name.replace('-', '_')}_{rewritten['operationId']}"
    return rewritten


def _rewrite_references(node: Any, rename: Callable[[str], str]) -> Any:
    """Copy *node* with renamed schemas in its `$ref` members."""
    if isinstance(node, list):
        return [_rewrite_references(item, rename) for item in node]
    if not isinstance(node, Mapping):
        return node
    rewritten = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str) and value.startswith(_SCHEMA_REFERENCE):
            rewritten[key] = _SCHEMA_REFERENCE + rename(value.removeprefix(_SCHEMA_REFERENCE))
        else:
            rewritten[key] = _rewrite_references(value, rename)
    return rewritten

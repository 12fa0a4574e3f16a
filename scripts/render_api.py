"""Write API.md, the list of all operations, from the OpenAPI documents of the services: `make api`.

The documents come from apps in this process, in a temporary data folder; no service has to run.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backend.chassis.catalog import CATALOG  # noqa: E402
from backend.chassis.settings import Env  # noqa: E402
from backend.chassis.web.openapi import OPERATIONS_TAG  # noqa: E402
from backend.services.gateway.domain.openapi_merge import merge_openapi_documents  # noqa: E402
from backend.services.gateway.settings import load_routes  # noqa: E402

Document = Mapping[str, Any]
FILE = ROOT / "API.md"
_METHODS = ("get", "post", "put", "patch", "delete")
# Nothing listens on this port: the gateway's document must not depend on what runs here.
_CLOSED_URL = "http://127.0.0.1:9"
_INTRODUCTION = """\
<!-- Written by `make api` from the OpenAPI documents. Do not edit. -->
# API

All requests go to the gateway, `http://127.0.0.1:5000` by default. Paths that begin with the name
of a service also work below `/api/v1`. `/docs` shows the same operations with schemas, examples and
errors; `/openapi.json` is the document. Errors are problem documents (`application/problem+json`)
with a `code`.

**Permission**: `public` needs no credentials, `signed in` any access token or API key; otherwise
the permission that the caller needs in the selected tenant. **Fields**: those of the JSON body or
form; required ones are bold, and parameters of the query string begin with `?`.
"""


def build_documents() -> dict[str, Document]:
    """Return the OpenAPI document of each service by name."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "DATABASE_URL"):
            os.environ.pop(name, None)
        os.environ |= {"DATA_DIR": folder, "LOG_LEVEL": "error"}
        os.environ.update({entry.url_variable: _CLOSED_URL for entry in CATALOG})
        os.chdir(folder)  # no .env is read
        try:
            return {entry.name: _build_document(entry.name) for entry in CATALOG}
        finally:
            os.chdir(ROOT)


def _build_document(service: str) -> Document:
    app = importlib.import_module(f"backend.services.{service}.app").create_app()
    document: Document = app.test_client().get("/openapi.json").get_json()
    return document


def render(documents: Mapping[str, Document]) -> str:
    """Return the text of API.md for the documents of all services."""
    routes = load_routes(Env({})).routes
    document = merge_openapi_documents(
        dict(documents["gateway"]), [(route, dict(documents[route.service])) for route in routes]
    )
    return _INTRODUCTION + "".join(
        _render_group(document, tag) for tag in document["tags"] if list(_list_rows(document, tag))
    )


def _render_group(document: Document, tag: Mapping[str, str]) -> str:
    description = tag.get("description", "")
    return "\n".join(
        (
            f"\n## {tag['name']}",
            *(("", description) if description else ()),
            "",
            "| operation | permission | summary | fields |",
            "|---|---|---|---|",
            *_list_rows(document, tag),
            "",
        )
    )


def _list_rows(document: Document, tag: Mapping[str, str]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method in _METHODS:
            operation = operations.get(method)
            if operation and operation["tags"] == [tag["name"]] and _is_listed(path, tag):
                yield (
                    f"| `{method.upper()} {path}` | {_get_permission(operation)} "
                    f"| {_escape(operation['summary'])} | {_list_fields(document, operation)} |"
                )


def _is_listed(path: str, tag: Mapping[str, str]) -> bool:
    """Return False for the health routes of the services behind the gateway, which are the same."""
    return tag["name"] != OPERATIONS_TAG or path.startswith(("/health", "/info", "/metrics"))


def _get_permission(operation: Mapping[str, Any]) -> str:
    if "x-permission" in operation:
        return f"`{operation['x-permission']}`"
    return "signed in" if "security" in operation else "public"


def _list_fields(document: Document, operation: Mapping[str, Any]) -> str:
    query = [
        f"?{parameter['name']}"
        for parameter in operation["parameters"]
        if parameter["in"] == "query"
    ]
    content = operation.get("requestBody", {}).get("content", {})
    fields: dict[str, bool] = {}
    for media_type, body in content.items():
        fields |= dict(_list_properties(document, body["schema"]))
        if not fields:
            fields[media_type] = True
    names = [f"**{name}**" if required else name for name, required in fields.items()]
    return _escape(", ".join((*names, *query)))


def _list_properties(document: Document, schema: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the name of each field of the body, and whether it is required."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _list_properties(document, document["components"]["schemas"][name])
        return
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        for name, _ in _list_properties(document, part):
            yield name, False
    for name in schema.get("properties", ()):
        yield name, name in schema.get("required", ())


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    FILE.write_text(render(build_documents()))

"""Summaries and examples in the OpenAPI document of every service, and API.md."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask

from backend.chassis.catalog import CATALOG
from backend.chassis.web.openapi import OPERATIONS_TAG

ROOT = Path(__file__).parents[2]
SERVICES = [entry.name for entry in CATALOG]
# First words of summaries. A new verb in the imperative may be added.
VERBS = {
    *(
        "Accept",
        "Activate",
        "Add",
        "Answer",
        "Append",
        "Approve",
        "Cancel",
        "Change",
        "Check",
        "Complete",
        "Confirm",
    ),
    *(
        "Compare",
        "Compute",
        "Convert",
        "Explain",
        "Find",
        "Import",
        "Predict",
        "Process",
        "Record",
        "Split",
        "Transcribe",
    ),
    *(
        "Create",
        "Deactivate",
        "Delete",
        "Download",
        "Edit",
        "End",
        "Erase",
        "Evaluate",
        "Exchange",
        "Get",
        "Give",
    ),
    *(
        "Index",
        "Invite",
        "Issue",
        "Link",
        "List",
        "Mark",
        "Merge",
        "Post",
        "Process",
        "React",
        "Redirect",
        "Register",
        "Remove",
        "Replace",
        "Request",
        "Reset",
        "Revoke",
    ),
    *("Search", "Send", "Set", "Show", "Sign", "Store", "Stream", "Submit", "Update", "Upload"),
    "Withdraw",
}
MAX_SUMMARY_CHARACTERS = 100


_documents: dict[str, dict[str, Any]] = {}


def get_document(build: Callable[[str], Flask], name: str) -> dict[str, Any]:
    """Return the document of a service. No test changes it, so it is built once."""
    if name not in _documents:
        _documents[name] = build(name).test_client().get("/openapi.json").json
    return _documents[name]


@pytest.fixture(params=SERVICES)
def document(build, request) -> dict[str, Any]:
    return get_document(build, request.param)


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def test_document_describes_the_service_and_how_to_get_a_token(document):
    assert "POST /auth/login" in document["info"]["description"]
    assert len(document["info"]["description"].split("\n\n")) > 1


def test_every_summary_is_one_short_sentence_in_the_imperative(document):
    summaries = {label: operation["summary"] for label, operation in list_operations(document)}

    assert {
        label: summary
        for label, summary in summaries.items()
        if summary.split()[0] not in VERBS
        or not summary.endswith(".")
        or len(summary) > MAX_SUMMARY_CHARACTERS
    } == {}


def test_every_request_body_has_an_example_that_matches_its_schema(document):
    for label, operation in list_operations(document):
        for media_type in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in media_type, label
            schema = media_type["schema"] | {"components": document["components"]}
            jsonschema.validate(media_type["example"], schema, cls=jsonschema.Draft202012Validator)


def test_every_required_parameter_has_an_example(document):
    missing = [
        f"{label} {parameter['name']}"
        for label, operation in list_operations(document)
        for parameter in operation["parameters"]
        if parameter["required"] and "example" not in parameter
    ]

    assert missing == []


def test_operations_tag_is_last_and_contains_health_info_and_metrics(document):
    tagged = {
        label.split()[1]
        for label, operation in list_operations(document)
        if operation["tags"] == [OPERATIONS_TAG]
    }

    assert document["tags"][-1]["name"] == OPERATIONS_TAG
    assert tagged >= {"/health", "/health/live", "/health/ready", "/health/detailed", "/info"}
    assert all(path.startswith(("/health", "/info", "/metrics")) for path in tagged)


def test_every_tag_is_described(document):
    used = {tag for _, operation in list_operations(document) for tag in operation["tags"]}

    assert used == {tag["name"] for tag in document["tags"]}
    # The gateway's own groups are described in its merged document.
    assert all(tag.get("description") for tag in document["tags"])


def test_api_md_lists_the_operations_of_all_services(build):
    spec = importlib.util.spec_from_file_location("api", ROOT / "scripts" / "render_api.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    text = script.render({name: get_document(build, name) for name in SERVICES})

    assert (ROOT / "API.md").read_text() == text, "run: make api"
    assert "| `POST /auth/login` | public |" in text
    assert "| `GET /admin/users` | `users:read` |" in text

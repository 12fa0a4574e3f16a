"""Every response conforms to the OpenAPI document, for anonymous callers, viewers and admins."""

import re
from contextlib import closing
from itertools import islice

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from backend.security.validation import has_visible_character
from tests.contract.stages import STAGES

# Threads of the agent use `random` while Hypothesis checks whether a strategy does.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SEEDS = (3, 1729, 65537)
ROLES = ("anonymous", "viewer", "admin")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# Valid by its schema and still rejected, because a schema cannot express the rule: an id must
# exist, a password must be strong, a role must exist, a time must be in the future.
BEYOND_SCHEMA = re.compile(
    "|".join(
        (
            "GET .* #/cursor",
            "POST /(register|users) #/(username|password)",
            "(POST|PATCH|PUT) /(users|tenants|invitations)[^ ]* #/roles/.*",
            "POST /api-keys #/expires_at",
            "POST /service-accounts #/permissions/.*",
            "POST /mfa/totp/confirm #/code",
            "POST /password/reset invalid_reset_token",
            "POST /email/confirm invalid_email_token",
            "POST /setup (invalid_setup_token|#/password)",
            "POST /invitations/accept (invalid_invitation|#/(username|password))",
            "POST /password/(reset|change) #/new_password",
            "POST /refresh #/refresh_token",
            "(PATCH /me|POST /users) #/email",
            "POST /(query|search) #/(user_request|query)",  # only white space
            "POST /(query|search) #/filter/.*",  # operators and values of a condition
            "PATCH /documents/.* #/title",  # only white space
            "POST /documents (#/file|#/metadata|unreadable_document|unsupported_document)",
            "POST /(query|sessions/.*/(edit|regenerate)) unknown_(model|persona)",
            "POST /sessions/.*/edit (#/user_request|not_your_request)",
            "POST /sessions/.*/feedback not_an_answer",
            r"POST /mcp -32\d+",  # errors of the protocol's methods
            r"POST /agents/optimize/tour #/package_ids/\d+",
            r"(POST|PUT) /packages(/\{package_id\})? #/(tracking_number|carrier)",
            r"(POST|PUT|PATCH) /packages(/\{package_id\})? #/(shipped|promised)_at",  # from 2000 on
            r"POST /packages/\{package_id\}/events #/events/\d+/occurred_at",
            "POST /packages/epcis #.*",  # EPCIS has its own schema
            "POST /packages/import invalid_file",
            "GET /packages(/export)? #/q",  # no letter or digit
            "(POST|PATCH) /packages/webhook-accounts.* #/secret",  # of the source `standard`
            "(POST|PATCH) /accounts.* #/(settings|credentials)/.*",  # those of the channel
            "POST /conversations/.*/attachments (empty_file|file_type_not_supported)",
            "GET .*/messages #/before_seq",  # with after_seq
            # Only colleagues send files, which must exist.
            r"POST /conversations/.*/messages #/content/(type|attachments/\d+/id)",
            # No request, a tool's message without tool_call_id, a refusal of another role.
            r"POST /v1/chat/completions messages(\.\d+)?",
            "POST /v1/chat/completions response_format",  # of models that support it
            r"POST /v1/chat/completions tool_choice\.function\.name",  # one of the tools
            r"POST /v1/chat/completions messages\.\d+\.content",  # needed except for tool calls
            r"POST /v1/chat/completions messages\.\d+\.tool_calls\.\d+\.function\.arguments",
        )
    ),
    re.DOTALL,  # unknown fields may have line breaks in their names
)

# JSON-RPC has its own error format and its own tests.
JSON_RPC = "/mcp"


@pytest.fixture(scope="module", params=STAGES)
def stage(request, tmp_path_factory):
    with STAGES[request.param](tmp_path_factory.mktemp(request.param)) as stage:
        yield stage


@pytest.fixture(scope="module")
def document(stage):
    config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
    return schemathesis.openapi.from_wsgi("/openapi.json", read_responses(stage.app), config=config)


def read_responses(app):
    """Wrap *app* so that response bodies are read and closed, which the client does not do.

    Only the first part of an event stream is read: some streams end with their session. The client
    accepts gzip, but decodes nothing.
    """

    def read(environ, start_response):
        environ["HTTP_ACCEPT_ENCODING"] = "identity"
        content_types = []

        def start(status, headers, *rest):
            content_types.append(dict(headers).get("Content-Type", ""))
            return start_response(status, headers, *rest)

        with closing(app(environ, start)) as body:
            parts = iter(body)
            first = list(islice(parts, 1))
            is_stream = content_types[-1].startswith("text/event-stream")
            return first if is_stream else first + list(parts)

    return read


@pytest.mark.slow
def test_responses_conform_to_the_document(subtests, stage, document):
    check_all_operations(subtests, stage, document, "admin", SEEDS[0], examples=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("role", ROLES)
def test_many_responses_conform_to_the_document(subtests, stage, document, role, number):
    check_all_operations(subtests, stage, document, role, number, examples=50)


@pytest.mark.parametrize("stage", ["rag"], indirect=True)
def test_upload_responses_conform_to_the_document(stage, document):
    upload = document["/documents"]["POST"]
    files = {"file": [b"A passage to be documented."]}
    statuses = []
    for wait, body in ((0, files), (0, files), (30, {"file": [b"Another passage."]})):
        case = upload.Case(query={"wait": wait}, body=body, media_type="multipart/form-data")
        response = case.call(headers=stage.headers("admin"))
        case.validate_response(response, checks=CHECKS[:-1])
        statuses.append(response.status_code)

    assert statuses == [202, 200, 201]


@pytest.mark.parametrize("stage", ["packages"], indirect=True)
def test_import_responses_conform_to_the_document(stage, document):
    operation = document["/packages/import"]["POST"]
    statuses = []
    for media_type, body in (
        ("text/csv", "tracking_number,carrier\nIMPORT0001,own\n"),
        ("text/csv", "number\nIMPORT0001\n"),
        ("text/plain", "IMPORT0001"),
    ):
        case = operation.Case(body=body, media_type="text/csv")
        response = case.call(headers=stage.headers("admin") | {"Content-Type": media_type})
        case.validate_response(response, checks=CHECKS[:-1])
        statuses.append(response.status_code)

    assert statuses == [200, 422, 415]


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("agent", "/sessions/{session_id}/events"),
        ("chat", "/conversations/{conversation_id}/events"),
    ],
    indirect=["stage"],
)
def test_response_to_invalid_last_event_id_conforms_to_the_document(stage, document, path):
    operation = document[path]["GET"]
    values = stage.create_resources(stage, stage.headers("admin"))
    names = [parameter.name for parameter in operation.path_parameters]
    case = operation.Case(path_parameters={name: values[name] for name in names})

    response = case.call(headers=stage.headers("admin") | {"Last-Event-ID": "the last"})

    case.validate_response(response, checks=CHECKS[:-1])
    assert response.status_code == 400


def check_all_operations(subtests, stage, document, role, number, examples):
    for operation in (result.ok() for result in document.get_all_operations()):
        if operation.path == JSON_RPC:
            continue
        for mode in GenerationMode:
            with subtests.test(operation=operation.label, mode=mode.name):
                check_operation(stage, operation, mode, role, number, examples)


def check_operation(stage, operation, mode, role, number, examples):
    if mode.is_negative and not accepts_input(operation):
        return
    path_values = {}
    if operation.path_parameters and role == "admin":
        path_values = stage.create_resources(stage, stage.headers("admin"))

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check_case(case):
        if mode.is_positive:
            case.path_parameters.update(
                {name: path_values[name] for name in case.path_parameters if name in path_values}
            )
        response = case.call(headers=stage.headers(role))
        is_sent_otherwise = (
            is_padded(case.body) or is_changed_by_form(case) or has_unsent_parameter(case)
        )
        case.validate_response(response, checks=CHECKS[:-1] if is_sent_otherwise else CHECKS)
        if mode.is_positive and response.status_code in (400, 413, 415, 422):
            for location in error_locations(response.json()):
                assert (
                    BEYOND_SCHEMA.fullmatch(f"{operation.label} {location}")
                    or is_invisible_text(case.body, location)
                    or is_invisible_text(case.query, location)
                ), (location, case.body, case.query)
        if operation.path in ("/logout", "/logout/all") or "/me/sessions/" in operation.path:
            stage.credentials.clear()

    check_case()


def is_padded(body):
    """Return whether the service will strip white space, so that a too long text may fit."""
    texts = body.values() if isinstance(body, dict) else ()
    return any(text != text.strip() for text in texts if isinstance(text, str))


def is_changed_by_form(case):
    """Return whether a form sends valid texts for invalid values, such as "null" for null.

    An empty field counts as absent, because browsers send all fields.
    """
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return False
    fields = (value for name, value in case.body.items() if name != "file")
    return any(not isinstance(value, str) or not value for value in fields)


def has_unsent_parameter(case):
    """Return whether a query parameter is null or empty, which a URL cannot express."""
    return any(value is None or value in ([], {}) for value in (case.query or {}).values())


def is_invisible_text(value, location):
    """Return whether *location* points to text in *value* that has no visible character."""
    for name in location.removeprefix("#/").split("/"):
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return False
    return isinstance(value, str) and bool(value) and not has_visible_character(value)


def error_locations(problem):
    """Return the pointers of the invalid fields, or the error code."""
    if "jsonrpc" in problem:
        return [problem["error"]["code"]]
    if "error" in problem:  # OpenAI's error format
        return [problem["error"]["param"] or problem["error"]["code"]]
    return [error["pointer"] for error in problem.get("errors", ())] or [problem["code"]]


def accepts_input(operation):
    """Return whether there can be invalid input; every path value is valid text."""
    return bool(operation.body or operation.query)

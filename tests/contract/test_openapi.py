"""Each service keeps to its OpenAPI document, whatever it is asked, by nobody, viewer and admin."""

import re
from contextlib import closing

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

from tests.contract.stages import STAGES

# Threads of the agent use `random` while Hypothesis looks whether a strategy does.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SEEDS = (3, 1729, 65537)
# One that takes seconds, and more for who has minutes.
SOME_SEEDS = [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]
ASKERS = ("nobody", "viewer", "admin")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# Good by its schema and refused all the same, because no schema can say it: was this made
# here, is it easy to guess, is there such a role, has the time passed?
BEYOND_SCHEMA = re.compile(
    "|".join(
        (
            "GET .* #/cursor",
            "POST /(register|users) #/(username|password)",
            "(POST|PATCH|PUT) /(users|tenants)[^ ]* #/roles/.*",
            "POST /api-keys #/expires_at",
            "POST /mfa/totp/confirm #/code",
            "POST /password/reset invalid_reset_token",
            "POST /password/(reset|change) #/new_password",
            "POST /refresh #/refresh_token",
            "(PATCH /me|POST /users) #/email",
            "POST /(query|search) #/(user_request|query)",  # nothing but blanks
            "PATCH /documents/.* #/title",  # the same
            "POST /documents (#/file|#/metadata|unreadable_document|unsupported_document)",
            "POST /(query|sessions/.*/(edit|regenerate)) unknown_(model|persona)",
            "POST /sessions/.*/edit (#/user_request|not_your_request)",
            "POST /sessions/.*/feedback not_an_answer",
            r"POST /mcp -32\d+",  # what the protocol asks of its methods
            r"POST /v1/chat/completions messages\.\d+\.tool_calls\.\d+\.function\.arguments",
        )
    )
)

# Another protocol inside HTTP, with words of its own for what is wrong; it is tested for itself.
JSON_RPC = "/mcp"


@pytest.fixture(scope="module", params=STAGES)
def stage(request, tmp_path_factory):
    with STAGES[request.param](tmp_path_factory.mktemp(request.param)) as stage:
        yield stage


@pytest.fixture(scope="module")
def document(stage):
    config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
    return schemathesis.openapi.from_wsgi("/openapi.json", to_the_end(stage.app), config=config)


def to_the_end(app):
    """*app*, whose answers are read and closed for a caller who does neither."""

    def read(environ, start_response):
        with closing(app(environ, start_response)) as body:
            return list(body)

    return read


@pytest.mark.parametrize("number", SOME_SEEDS)
@pytest.mark.parametrize("who", ASKERS)
def test_every_answer_is_in_the_document(subtests, stage, document, who, number):
    ask_all(subtests, stage, document, who, number, examples=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("who", ASKERS)
def test_every_answer_is_in_the_document_at_length(subtests, stage, document, who, number):
    ask_all(subtests, stage, document, who, number, examples=50)


@pytest.mark.parametrize("stage", ["rag"], indirect=True)
def test_an_upload_is_answered_as_documented_however_it_goes(stage, document):
    upload = document["/documents"]["POST"]
    files = {"file": [b"A passage to be documented."]}
    heard = []
    for wait, body in ((0, files), (0, files), (30, {"file": [b"Another passage."]})):
        case = upload.Case(query={"wait": wait}, body=body, media_type="multipart/form-data")
        response = case.call(headers=stage.headers("admin"))
        case.validate_response(response, checks=CHECKS[:-1])
        heard.append(response.status_code)

    assert heard == [202, 200, 201]


def ask_all(subtests, stage, document, who, number, examples):
    for operation in (result.ok() for result in document.get_all_operations()):
        if operation.path == JSON_RPC:
            continue
        for mode in GenerationMode:
            with subtests.test(operation=operation.label, mode=mode.name):
                ask(stage, operation, mode, who, number, examples)


def ask(stage, operation, mode, who, number, examples):
    if mode.is_negative and not takes_anything(operation):
        return
    things = {}
    if operation.path_parameters and who == "admin":
        things = stage.things(stage, stage.headers("admin"))

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        if mode.is_positive:
            case.path_parameters.update(
                {name: things[name] for name in case.path_parameters if name in things}
            )
        response = case.call(headers=stage.headers(who))
        case.validate_response(response, checks=CHECKS[:-1] if is_padded(case.body) else CHECKS)
        if mode.is_positive and response.status_code in (400, 413, 415, 422):
            for fault in faults(response.json()):
                assert BEYOND_SCHEMA.fullmatch(f"{operation.label} {fault}"), (fault, case.body)
        if operation.path in ("/logout", "/logout/all") or "/me/sessions/" in operation.path:
            stage.signed_in.clear()

    one()


def is_padded(body):
    """Whether blanks are going to be cut off, after which what was too long may fit."""
    texts = body.values() if isinstance(body, dict) else ()
    return any(text != text.strip() for text in texts if isinstance(text, str))


def faults(problem):
    """Where the fault lies, or what it is called."""
    if "jsonrpc" in problem:
        return [problem["error"]["code"]]
    if "error" in problem:  # as OpenAI writes it
        return [problem["error"]["param"] or problem["error"]["code"]]
    return [each["pointer"] for each in problem.get("errors", ())] or [problem["code"]]


def takes_anything(operation):
    """Whether there is something to get wrong; in a path all is text."""
    return bool(operation.body or operation.query)

"""Statements of investigations in the language of the request."""

import string

import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.packages.domain.german_texts import GERMAN_NAMES, GERMAN_TEMPLATES
from backend.services.packages.domain.statements import (
    ENGLISH_TEMPLATES,
    create_statement,
    translate_statement,
)
from backend.services.packages.model import EventCode, Reason, Statement, Status
from backend.services.packages.store.tables import InvestigationRow
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import event
from tests.services.packages.test_investigations import create_slow, history  # noqa: F401

GERMAN = {"Accept-Language": "de-DE,de;q=0.9,en;q=0.8"}


def list_fields(template: str) -> set[tuple[str | None, str | None]]:
    """Return the names and formats of the values in *template*."""
    return {(name, spec) for _, name, spec, _ in string.Formatter().parse(template) if name}


def test_every_template_has_a_german_one_with_the_same_values():
    assert GERMAN_TEMPLATES.keys() == ENGLISH_TEMPLATES.keys()
    for name, template in ENGLISH_TEMPLATES.items():
        assert list_fields(GERMAN_TEMPLATES[name]) == list_fields(template), name


@pytest.mark.parametrize(
    ("kind", "codes"), [("event", EventCode), ("reason", Reason), ("status", Status)]
)
def test_every_code_has_a_german_name(kind, codes):
    assert GERMAN_NAMES[kind].keys() == {str(code) for code in codes}


def test_values_have_the_format_of_the_language():
    stalled = create_statement("stalled", waited=80.4, code="departed", usual=5.25, p95=30.0)
    late = create_statement("late_probability", late=0.834)
    promised = create_statement("not_late", promised="2026-06-01T08:05:00Z")

    assert translate_statement(stalled, "en") == (
        "Nothing was reported for 3.4 days after departed; usual are 5.2 h, and 95 % wait at most "
        "30.0 h."
    )
    assert translate_statement(stalled, "de") == (
        "3,4 Tage lang wurde nach „Abgegangen“ nichts gemeldet; üblich sind 5,2 h, und 95 % warten "
        "höchstens 30,0 h."
    )
    assert translate_statement(late, "en") == "The probability to be late is 83%."
    assert translate_statement(late, "de").endswith("beträgt 83 %.")
    assert translate_statement(promised, "en").endswith("promised was 2026-06-01T08:05:00Z.")
    assert translate_statement(promised, "de").endswith("zugesagt ist 01.06.2026 08:05 UTC.")


def test_braces_in_a_value_are_no_fields():
    statement = create_statement("unknown_lane", origin="{destination}", destination="{0.x}")

    assert statement.text == "No earlier package went from {destination} to {0.x}."
    assert translate_statement(statement, "de").endswith("von {destination} nach {0.x}.")


def test_text_without_template_stays_as_it_is():
    assert translate_statement(Statement("Written by a model."), "de") == "Written by a model."
    assert translate_statement(Statement("Newer.", "unknown"), "de") == "Newer."


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "kind", ["investigate/anomaly", "investigate/delay", "predict", "optimize/route"]
)
def test_investigation_is_in_the_language_of_the_request(api, kind):
    package = create_slow(api)
    api.add_events(package, event("customs_held", "2026-06-09T08:00:00Z", reason="customs_duties"))

    german = api.post(f"/agents/{kind}/{package['id']}", headers=GERMAN).json
    path = f"/agents/investigations/{package['id']}"
    (english,) = api.get(path).json["items"]
    (listed,) = api.get(path, headers=GERMAN).json["items"]
    (other,) = api.get(path, headers={"Accept-Language": "fr"}).json["items"]

    assert listed == german
    assert other == english
    assert german["text"][0]["text"].startswith("Das Paket SLOW000001 (ups) hat den Status")
    assert english["text"][0]["text"].startswith("Package SLOW000001 (ups) has the status")
    for first, second in zip(english["text"], german["text"], strict=True):
        assert first["text"] != second["text"]
        assert first["event_ids"] == second["event_ids"]
    for first, second in zip(english["findings"], german["findings"], strict=True):
        assert first["statement"] != second["statement"]
        assert first | {"statement": ""} == second | {"statement": ""}


def test_investigation_of_an_earlier_version_is_read_in_english(app, api):
    package = api.create()
    api.post(f"/agents/investigate/delay/{package['id']}")
    with get_component(app, PackageComponents).database.across_tenants().write() as session:
        for row in session.query(InvestigationRow).all():
            row.text = [{"text": each["text"], "event_ids": []} for each in row.text]

    (found,) = api.get(f"/agents/investigations/{package['id']}", headers=GERMAN).json["items"]

    assert "no events" in found["text"][0]["text"]

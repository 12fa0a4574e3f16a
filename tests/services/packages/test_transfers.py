"""Export, import, EPCIS documents and statistics."""

import csv
import gzip
import io
import itertools
import json
import zipfile

import pytest

from tests.services.packages.conftest import event

CSV = {"Content-Type": "text/csv"}
JSONL = {"Content-Type": "application/x-ndjson"}


def read_csv(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_export_has_the_filtered_packages_and_no_formulas(api):
    api.create(reference='=HYPERLINK("x")', tags=["a", "b"], origin={"lat": -33.9, "lon": 18.4})
    api.create("LOCAL0001", carrier="local")

    response = api.get("/packages/export?format=csv&carrier=ups")

    assert response.headers["Content-Disposition"] == 'attachment; filename="packages.csv"'
    (row,) = read_csv(response.text)
    assert row["reference"] == '\'=HYPERLINK("x")'
    assert (row["tags"], row["origin_lat"], row["late"]) == ("a;b", "-33.9", "false")


def test_jsonl_export_has_the_packages_as_the_list_shows_them(api):
    api.create()
    api.create("LOCAL0001", carrier="local")

    lines = api.get("/packages/export?format=jsonl&sort=created_at").text.splitlines()

    assert [json.loads(line) for line in lines] == api.get("/packages?sort=created_at").json[
        "items"
    ]


def test_xlsx_export_contains_text_and_no_formula(api):
    api.create(reference="=1+1", service="http://example.org")

    response = api.get("/packages/export?format=xlsx")

    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "=1+1" in sheet
    assert "<f>" not in sheet


@pytest.mark.slow
def test_xlsx_export_with_too_many_rows_is_rejected(api):
    lines = "".join(f'{{"tracking_number": "L{n:05}", "carrier": "x"}}\n' for n in range(101))
    assert api.post("/packages/import", data=lines, headers=JSONL).json["created"] == 101

    response = api.get("/packages/export?format=xlsx")

    assert (response.status_code, response.json["code"]) == (422, "export_too_large")
    assert len(read_csv(api.get("/packages/export").text)) == 101


def test_import_reports_bad_lines_with_their_numbers_and_imports_the_others(api):
    text = (
        "tracking_number,carrier,weight_g,promised_at,event_code,event_occurred_at\n"
        "1Z5R89390357567127,,500,2026-07-01T00:00:00Z,picked_up,2026-06-10T08:00:00Z\n"
        "1Z5R89390357567127,,,,departed,2026-06-10T09:00:00Z\n"
        "\n"
        "287809468872,,,,,\n"
        "LOCAL0001,local,heavy,,,\n"
        "LOCAL0002,local\n"
        '"LOCAL\n0003",local,,2026-13-01T00:00:00Z,,\n'
        "LOCAL0004,local,,,arrived,2030-01-01T00:00:00Z\n"
        "LOCAL0005,local,,,,\n"
    )

    result = api.post("/packages/import", data=text, headers=CSV).json

    assert (result["lines"], result["created"], result["existing"]) == (8, 2, 1)
    assert (result["events"], result["failed"]) == (2, 5)
    assert [(error["line"], error["code"]) for error in result["errors"]] == [
        (5, "carrier_unknown"),
        (6, "validation_failed"),
        (7, "malformed_csv"),
        (8, "validation_failed"),
        (10, "validation_failed"),
    ]
    assert result["errors"][1]["pointer"] == "#/weight_g"
    numbers = {each["tracking_number"] for each in api.get("/packages").json["items"]}
    assert numbers == {"1Z5R89390357567127", "LOCAL0005"}


def _import_csv(api, text):
    """Import *text*. Return the tracking numbers of all packages, and the errors."""
    result = api.post("/packages/import", data=text, headers=CSV).json
    return {each["tracking_number"] for each in api.get("/packages").json["items"]}, result[
        "errors"
    ]


@pytest.mark.parametrize("length", [65_535, 65_536, 131_072, 200_000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_import_reports_a_long_line_once_and_does_not_import_its_rest(api, length, newline):
    lines = [
        "tracking_number,carrier",
        "x" * length + "287809468872,fedex",
        "LOCAL0001,local",
        "bad",
    ]

    numbers, errors = _import_csv(api, newline.join(lines))

    assert numbers == {"LOCAL0001"}
    assert [error["line"] for error in errors] == [2, 4]
    assert "more than 65536 characters" in errors[0]["detail"]


@pytest.mark.parametrize(
    "metadata",
    ['"' + "x" * 65_535 + '""\n287809468872,fedex,\n"', '"' + "x\n" * 40_000 + '"'],
)
def test_csv_import_skips_all_lines_of_a_long_record(api, metadata):
    text = f"tracking_number,carrier,metadata\nLOCAL0001,local,{metadata}\nLOCAL0002,local,\n"

    numbers, errors = _import_csv(api, text)

    assert numbers == {"LOCAL0002"}
    assert [error["line"] for error in errors] == [2]


def test_csv_import_reports_the_first_line_of_a_record_with_line_breaks(api):
    text = (
        "tracking_number,carrier,metadata\n"
        'LOCAL0001,local,"{\n""a"": 1\n}"\n'
        'LOCAL0002,local,"{\n""a"":\n"\n'
        "LOCAL0003\n"
    )

    numbers, errors = _import_csv(api, text)

    assert numbers == {"LOCAL0001"}
    assert [error["line"] for error in errors] == [5, 8]


def test_csv_import_reports_the_line_of_a_quotation_mark_that_is_not_closed(api):
    text = "tracking_number,reference,carrier\nLOCAL0001,a,local\n" + 'LOCAL0002,"12 inch,local\n'
    text += "".join(f"LOCAL000{each},a,local\n" for each in range(3, 8))

    numbers, errors = _import_csv(api, text)

    assert numbers == {"LOCAL0001"}
    assert [(error["line"], error["code"]) for error in errors] == [(3, "malformed_csv")]
    assert "opens a field in this line and is not closed" in errors[0]["detail"]


def test_csv_import_reports_the_line_of_a_quotation_mark_that_a_later_one_closes(api):
    text = (
        "tracking_number,reference,carrier\n"
        'LOCAL0001,"12 inch,local\n'
        "LOCAL0002,a,local\n"
        'LOCAL0003,"b",local\n'
        'LOCAL0004,12" pipe,local\n'
    )

    numbers, errors = _import_csv(api, text)

    assert numbers == {"LOCAL0004"}
    assert [error["line"] for error in errors] == [2]
    assert "lines from 2 to 4 were not imported" in errors[0]["detail"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_import_detects_the_separator_in_the_header(api, separator):
    rows = [
        ("\ufefftracking_number", "carrier", "reference", "tags"),
        ("LOCAL0001", "local", '"1,2;3\t4 ""x"""', '"a;b"'),
    ]

    numbers, errors = _import_csv(api, "".join(separator.join(row) + "\r\n" for row in rows))

    assert (numbers, errors) == ({"LOCAL0001"}, [])
    (package,) = api.get("/packages").json["items"]
    assert package["reference"].split() == ["1,2;3", "4", '"x"']
    assert package["tags"] == ["a", "b"]


def test_csv_import_names_the_separators_if_the_header_has_another(api):
    response = api.post("/packages/import", data="tracking_number|carrier\n1|x", headers=CSV)

    assert response.status_code == 422
    assert "separated by commas, semicolons or tabs" in response.json["detail"]


def test_jsonl_import_accepts_gzip_and_reports_bad_lines(api):
    lines = [
        json.dumps(
            {"tracking_number": "LOCAL0001", "carrier": "x", "events": [event("delivered")]}
        ),
        "{",
        "[]",
        '{"tracking_number": "LOCAL0002", "carrier": "x", "colour": "red"}',
        '{"tracking_number": "' + "1" * 70_000 + '"}',
        "\xff",
    ]
    data = gzip.compress("\n".join(lines).encode("latin-1"))

    result = api.post(
        "/packages/import", data=data, headers=JSONL | {"Content-Encoding": "gzip"}
    ).json

    assert (result["created"], result["events"]) == (1, 1)
    assert [error["line"] for error in result["errors"]] == [2, 3, 4, 5, 6]


HOSTILE_JSON_VALUES = {
    "integer of 5,000 digits": "9" * 5_000,
    "not a number": "NaN",
    "infinity": "-Infinity",
    "larger than a float": "1e999",
    "lone surrogate": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "NUL in a key": '{"\\u0000": 1}',
    "900 nested objects": '{"a":' * 900 + "1" + "}" * 900,
    "30,000 open brackets": "[" * 30_000,
}


@pytest.mark.parametrize("value", HOSTILE_JSON_VALUES.values(), ids=HOSTILE_JSON_VALUES.keys())
def test_value_that_no_response_can_contain_is_not_imported(api, value):
    metadata = f'{{"a": {value}}}'
    json_lines = [
        f'{{"tracking_number": "LOCAL1", "carrier": "x", "metadata": {metadata}}}',
        f'{{"tracking_number": "LOCAL2", "carrier": "x", "weight_g": {value}}}',
        f'{{"tracking_number": "LOCAL3", "carrier": "x", "reference": {value}}}',
        '{"tracking_number": "LOCAL4", "carrier": "x"}',
    ]
    table = io.StringIO()
    rows = [("LOCAL5", "x", metadata), ("LOCAL6", "x", "{}")]
    csv.writer(table).writerows([("tracking_number", "carrier", "metadata"), *rows])

    results = [
        api.post("/packages/import", data="\n".join(json_lines), headers=JSONL).json,
        api.post("/packages/import", data=table.getvalue(), headers=CSV).json,
    ]

    assert [(result["created"], result["failed"]) for result in results] == [(1, 3), (1, 1)]
    numbers = [package["tracking_number"] for package in api.get("/packages").json["items"]]
    assert sorted(numbers) == ["LOCAL4", "LOCAL6"]


def test_csv_import_rejects_nul_in_a_cell(api):
    text = "tracking_number,carrier,service,origin_name\nLOCAL1,x,a\0b,\nLOCAL2,x,,a\0b\n"

    result = api.post("/packages/import", data=text, headers=CSV).json

    assert [error["pointer"] for error in result["errors"]] == ["#/service", "#/origin/name"]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ('{"weight_g": ' + "9" * 5_000 + "}", "The line has a number of more than 4300 digits."),
        ("[" * 300, "The line has values nested deeper than 200 levels."),
        ('{"a": 1', "The line is not JSON: EOF while parsing an object at column 7."),
        ("{'a': 1}", "The line is not JSON: key must be a string at column 2."),
        ("[]", "The line is not a JSON object."),
    ],
)
def test_jsonl_import_states_why_a_line_is_not_json(api, line, detail):
    data = f'{{"tracking_number": "LOCAL1", "carrier": "x"}}\n{line}\n'

    result = api.post("/packages/import", data=data, headers=JSONL).json

    assert [(error["line"], error["detail"]) for error in result["errors"]] == [(2, detail)]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [("1500", 1500), ("500.0", 500), ("1.000", None), ("1,5", None), ("1.5", None), ("1_0", None)],
)
def test_csv_import_accepts_weights_in_whole_grams_only(api, weight, expected):
    text = f"tracking_number;carrier;weight_g\nLOCAL1;x;{weight}\n"

    result = api.post("/packages/import", data=text, headers=CSV).json

    assert [each["weight_g"] for each in api.get("/packages").json["items"]] == (
        [expected] if expected else []
    )
    assert [error["pointer"] for error in result["errors"]] == ([] if expected else ["#/weight_g"])


def test_csv_import_asks_for_a_decimal_point_in_coordinates(api):
    text = "tracking_number;carrier;origin_lat;origin_lon\nLOCAL1;x;50,1;8\nLOCAL2;x;1e-05;8\n"

    result = api.post("/packages/import", data=text, headers=CSV).json

    (error,) = result["errors"]
    assert (error["line"], error["pointer"]) == (2, "#/origin_lat")
    assert "decimal point" in error["detail"]
    origin = api.get("/packages").json["items"][0]["origin"]
    assert (origin["lat"], origin["lon"]) == (1e-05, 8.0)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ("tracking_number,carrier,Carrier\n", "has the column carrier more than once"),
        ("tracking_number,carrier,\n", "has no name for column 3"),
        (
            "tracking_number," + ",".join(map(str, range(100))),
            "0, 1, 10, 11, 12, 13, 14, 15, 16, 17",
        ),
        ("tracking_number," + ",".join(map(str, range(100))), " and 90 more."),
        ("tracking_number,carrier\n".encode("utf-16"), "not UTF-8"),
        ("tracking_number,carrier\n".encode("utf-16-le"), "perhaps UTF-16"),
    ],
)
def test_unusable_header_is_rejected_with_the_reason(api, data, detail):
    response = api.post("/packages/import", data=data, headers=CSV)

    assert (response.status_code, response.json["code"]) == (422, "invalid_file")
    assert detail in response.json["detail"]


def test_csv_import_ignores_empty_lines_before_the_header(api):
    text = "\n \n\ntracking_number;carrier\n;\n\nLOCAL1;x\nbad\n"

    numbers, errors = _import_csv(api, text)

    assert numbers == {"LOCAL1"}
    assert [error["line"] for error in errors] == [8]


def test_csv_import_reports_where_a_file_is_not_utf_8_any_more(api):
    """The lines before are imported, and the error is reported after many others."""
    rows = ["LOCAL1,x", *["bad"] * 3_000, "Köln,x", "LOCAL2,x"]
    text = "\n".join(["tracking_number,carrier", *rows]).encode("latin-1")

    response = api.post("/packages/import", data=text, headers=CSV)

    assert (response.status_code, response.json["created"]) == (200, 1)
    last = response.json["errors"][-1]
    assert (len(response.json["errors"]), last["code"]) == (1000, "invalid_file")
    assert "not UTF-8" in last["detail"]
    assert 1_000 < last["line"] <= 3_003


@pytest.mark.parametrize(("kind", "headers"), [("csv", CSV), ("jsonl", JSONL)])
def test_export_can_be_imported_by_another_tenant(api, sign_in, kind, headers):
    package = api.create(
        reference="+49 1",
        tags=["a"],
        weight_g=500,
        origin={"code": "DEFRA", "lat": 50.1},
        metadata={"customer": "Müller"},
        promised_at="2026-07-01T00:00:00Z",
    )
    other = sign_in("ten_other")

    exported = api.get(f"/packages/export?format={kind}").data
    result = other.post("/packages/import", data=exported, headers=headers).json

    assert (result["created"], result["errors"]) == (1, [])
    (copy,) = other.get("/packages").json["items"]
    same = ("tracking_number", "reference", "tags", "weight_g", "origin", "metadata", "promised_at")
    assert {name: copy[name] for name in same} == {name: package[name] for name in same}


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (b"number\n1", CSV, 422),
        (b"tracking_number,colour\n1,2", CSV, 422),
        (b"", CSV, 422),
        (b"\xff\xfe", CSV, 422),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"x" * (10 * 1024 * 1024 + 1), CSV, 413),
    ],
)
def test_unusable_file_is_rejected(api, data, headers, status):
    assert api.post("/packages/import", data=data, headers=headers).status_code == status


def test_epcis_document_can_be_recorded_and_read_again(api, sign_in):
    package = api.create()
    api.add_events(
        package,
        event("departed", "2026-06-10T08:00:00+02:00", location={"code": "FRA", "country": "DE"}),
        event("exception", "2026-06-10T10:00:00Z", reason="damaged", external_id="scan-2"),
        event("delivered", "2026-06-11T08:00:00Z", external_id="urn:uuid:1"),
    )
    document = api.get(f"/packages/{package['id']}/epcis").json
    other = sign_in("ten_other")

    first = other.post("/packages/epcis", json=document)
    second = other.post("/packages/epcis", json=document)

    assert (first.json["added"], first.json["created"]) == (3, 1)
    assert (second.json["added"], second.json["duplicates"]) == (0, 3)
    (copy,) = other.get("/packages").json["items"]
    assert (copy["tracking_number"], copy["carrier"]) == (package["tracking_number"], "ups")
    assert (copy["status"], copy["delivered_at"]) == ("delivered", "2026-06-11T08:00:00Z")
    steps = [each.get("bizStep") for each in document["epcisBody"]["eventList"]]
    assert steps == ["departing", "holding", "receiving"]
    assert document["epcisBody"]["eventList"][0]["eventTimeZoneOffset"] == "+02:00"
    assert document["epcisBody"]["eventList"][2]["eventID"] == "urn:uuid:1"


def test_epcis_names_of_steps_and_packages_are_read(api):
    events = [
        {
            "type": "ObjectEvent",
            "eventID": f"urn:uuid:{index}",
            "eventTime": f"2026-06-10T0{index}:00:00Z",
            "bizStep": step,
            "epcList": ["https://id.example.org/00/1Z5R89390357567127"],
        }
        for index, step in enumerate(
            (
                "https://ref.gs1.org/cbv/BizStep-shipping",
                "urn:epcglobal:cbv:bizstep:arriving",
                "inspecting",
                "receiving",
            )
        )
    ]
    wrong = events[3] | {"errorDeclaration": {"declarationTime": "2026-06-11T00:00:00Z"}}
    body = {"type": "EPCISDocument", "epcisBody": {"eventList": events}}

    result = api.post("/packages/epcis", json=body).json
    delivered = api.get(f"/packages/{result['package_ids'][0]}").json
    api.post("/packages/epcis", json=wrong)
    corrected = api.get(f"/packages/{result['package_ids'][0]}").json

    assert (delivered["status"], corrected["status"]) == ("delivered", "in_transit")
    items = api.get(f"/packages/{delivered['id']}/events").json["items"]
    assert [item["code"] for item in items if item["code"] != "note"] == [
        "departed",
        "arrived",
        "delivered",
    ]


@pytest.mark.parametrize(
    "epc", ["urn:epc:id:sscc:0614141.1234567890", "https://id.gs1.org/00/106141412345678908"]
)
def test_epcis_creates_package_for_sscc_of_no_known_carrier(api, epc):
    event = {"type": "ObjectEvent", "eventTime": "2026-06-10T00:00:00Z", "bizStep": "departing"}

    api.post("/packages/epcis", json=event | {"epcList": [epc]})

    (package,) = api.get("/packages").json["items"]
    document = api.get(f"/packages/{package['id']}/epcis").json
    assert (package["tracking_number"], package["carrier"]) == ("106141412345678908", "sscc")
    assert document["epcisBody"]["eventList"][0]["epcList"] == [
        "https://id.gs1.org/00/106141412345678908"
    ]


def test_epcis_keeps_carrier_of_a_package_with_an_sscc(api):
    package = api.create("106141412345678908", carrier="dhl")
    event = {"type": "ObjectEvent", "eventTime": "2026-06-10T00:00:00Z", "bizStep": "departing"}
    epc = "urn:epc:id:sscc:0614141.1234567890"

    api.post("/packages/epcis", json=event | {"epcList": [epc]})

    assert [each["carrier"] for each in api.get("/packages").json["items"]] == ["dhl"]
    document = api.get(f"/packages/{package['id']}/epcis").json
    assert document["epcisBody"]["eventList"][0]["epcList"] == [
        "urn:ai-agent-system:packages:dhl:106141412345678908"
    ]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"eventTime": None}, "#/epcisBody/eventList/1/eventTime"),
        ({"eventTime": "2030-01-01T00:00:00Z"}, "#/epcisBody/eventList/1/eventTime"),
        ({"epcList": []}, "#/epcisBody/eventList/1/epcList"),
        ({"epcList": ["urn:epc:id:sscc:1.2"]}, "#/epcisBody/eventList/1/epcList/0"),
        ({"type": "PersonEvent"}, "#/epcisBody/eventList/1/type"),
        *(
            (
                {"epcList": [f"urn:ai-agent-system:packages:{carrier}:LOCAL0001"]},
                "#/epcisBody/eventList/1/epcList/0",
            )
            for carrier in ("a%00b", "a%0Ab", "%FF", "%E2%80%AE", "a/b", "A", "a" * 41)
        ),
    ],
)
def test_epcis_document_with_a_bad_event_is_rejected_as_a_whole(api, change, pointer):
    good = {
        "type": "ObjectEvent",
        "eventTime": "2026-06-10T00:00:00Z",
        "bizStep": "departing",
        "epcList": ["urn:ai-agent-system:packages:ups:1Z5R89390357567127"],
    }
    body = {"type": "EPCISDocument", "epcisBody": {"eventList": [good, good | change]}}

    response = api.post("/packages/epcis", json=body)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]
    assert api.get("/packages").json["items"] == []


EPCIS_EVENT = {
    "type": "ObjectEvent",
    "eventID": "urn:uuid:1",
    "action": "OBSERVE",
    "eventTime": "2026-06-10T00:00:00Z",
    "eventTimeZoneOffset": "+02:00",
    "recordTime": "2026-06-10T00:00:00Z",
    "bizStep": "departing",
    "disposition": "in_transit",
    "epcList": ["urn:ai-agent-system:packages:ups:1Z5R89390357567127"],
    "readPoint": {"id": "urn:x"},
    "bizLocation": {"id": "urn:x"},
    "pkg:location": {"name": "Hub", "lat": 1.5, "lon": 2},
}
EPCIS_TEXTS = ("type", "eventID", "action", "eventTime", "eventTimeZoneOffset", "recordTime")
EPCIS_TEXTS += ("bizStep", "disposition", "parentID")
EPCIS_TEXTS += tuple(f"pkg:{name}" for name in ("code", "reason", "detail", "rawCode", "corrects"))
EPCIS_OBJECTS = ("readPoint", "bizLocation", "errorDeclaration", "pkg:location")


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (EPCIS_TEXTS, ([], ["departing"], {}, {"a": [1]}, 7, -1.5, True, False, "")),
        (EPCIS_OBJECTS, ([], [{"id": "urn:x"}], "urn:x", 7, True, False, "")),
        (("epcList", "childEPCs"), ({}, "urn:x:LOCAL0001", 7, True, False, "")),
    ],
    ids=["texts", "objects", "lists"],
)
def test_epcis_value_of_another_type_is_rejected_with_its_pointer(api, names, values):
    for name, value in itertools.product(names, values):
        response = api.post("/packages/epcis", json=EPCIS_EVENT | {name: value})

        assert response.status_code == 422, (name, value)
        assert [error["pointer"] for error in response.json["errors"]] == [f"#/{name}"]
    assert api.get("/packages").json["items"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"readPoint": {}}, "#/readPoint/id"),
        ({"bizLocation": {"id": 7}}, "#/bizLocation/id"),
        ({"errorDeclaration": {"reason": 7}}, "#/errorDeclaration/reason"),
        ({"errorDeclaration": {"declarationTime": {}}}, "#/errorDeclaration/declarationTime"),
        ({"errorDeclaration": {}, "eventID": None}, "#/eventID"),
        ({"eventID": "x" * 201}, "#/eventID"),
        ({"action": "observe"}, "#/action"),
        ({"type": "TransformationEvent"}, "#/type"),
        ({"type": None}, "#/type"),
        ({"eventTime": "10.06.2026"}, "#/eventTime"),
        *(
            ({"eventTimeZoneOffset": offset}, "#/eventTimeZoneOffset")
            for offset in ("Z", "02:00", "+2:00", "+0200", "+15:00", "+14:30", "Europe/Berlin")
        ),
        ({"epcList": ["urn:x:LOCAL0001", 7]}, "#/epcList/1"),
        ({"epcList": [""]}, "#/epcList/0"),
        ({"epcList": ["https://id.gs1.org/00/106141412345678909"]}, "#/epcList/0"),
        ({"epcList": ["urn:epc:id:sgtin:0614141.107346.2017"]}, "#/epcList"),
        ({"epcList": ["https://id.gs1.org/01/09506000134352/21/12345"]}, "#/epcList"),
        ({"epcList": ["urn:x:1Z5R89390357567128"]}, "#/epcList/0"),
        ({"parentID": "urn:epc:id:sscc:1.2"}, "#/parentID"),
        ({"pkg:location": {"lat": 91}}, "#/pkg:location/lat"),
        ({"pkg:location": {"lon": "2"}}, "#/pkg:location/lon"),
        ({"pkg:location": {"country": "Germany"}}, "#/pkg:location/country"),
        ({"pkg:location": {"name": ["Hub"]}}, "#/pkg:location/name"),
        ({"pkg:code": "gone"}, "#/pkg:code"),
        ({"pkg:reason": "bad luck"}, "#/pkg:reason"),
        ({"pkg:sequence": True}, "#/pkg:sequence"),
        ({"pkg:sequence": -1}, "#/pkg:sequence"),
    ],
)
def test_epcis_invalid_value_is_rejected_with_its_pointer(api, change, pointer):
    response = api.post("/packages/epcis", json=EPCIS_EVENT | change)

    assert response.status_code == 422
    assert {error["pointer"] for error in response.json["errors"]} == {pointer}
    assert api.get("/packages").json["items"] == []


@pytest.mark.parametrize("value", ["x" * 300, "\u202e", "%00", None, "urn:epcglobal:cbv:disp:x"])
def test_epcis_unusual_text_is_recorded_or_rejected(api, value):
    events = [EPCIS_EVENT | {name: value} for name in (*EPCIS_TEXTS, *EPCIS_OBJECTS)]
    events += [EPCIS_EVENT | {name: {"id": value}} for name in ("readPoint", "bizLocation")]

    for body in events:
        response = api.post("/packages/epcis", json=body)
        assert response.status_code in (200, 422), (body, response.text)

    for package in api.get("/packages").json["items"]:
        document = api.get(f"/packages/{package['id']}/epcis").json
        assert api.post("/packages/epcis", json=document).json["added"] == 0


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("shipping", "departed"),
        ("departing", "departed"),
        ("arriving", "arrived"),
        ("receiving", "delivered"),
        ("commissioning", "announced"),
        ("collecting", "picked_up"),
        ("accepting", "accepted"),
        ("holding", "exception"),
        ("inspecting", "note"),
    ],
)
def test_epcis_step_is_a_word_or_a_uri_of_the_vocabulary(api, step, code):
    forms = (step, f"urn:epcglobal:cbv:bizstep:{step}", f"https://ref.gs1.org/cbv/BizStep-{step}")
    for index, form in enumerate(forms):
        event = {"eventID": f"urn:uuid:{index}", "bizStep": form}
        assert api.post("/packages/epcis", json=EPCIS_EVENT | event).status_code == 200

    (package,) = api.get("/packages").json["items"]
    events = api.get(f"/packages/{package['id']}/events").json["items"]
    assert [event["code"] for event in events] == [code] * 3


@pytest.mark.parametrize("kind", ["AggregationEvent", "AssociationEvent", "TransactionEvent"])
def test_epcis_event_of_a_parent_is_recorded_for_it_and_its_packages(api, kind):
    names = "epcList" if kind == "TransactionEvent" else "childEPCs"
    contents = [
        "urn:epc:id:sscc:0614141.1234567890",
        "urn:ai-agent-system:packages:local:LOCAL0001",
        "urn:epc:id:sgtin:0614141.107346.2017",
        "https://example.org/things/5",
    ]
    event = {"type": kind, "parentID": "https://id.gs1.org/00/306141410000000013"}

    response = api.post(
        "/packages/epcis", json=EPCIS_EVENT | event | {"epcList": None} | {names: contents}
    )

    assert response.json["created"] == 3
    numbers = {package["tracking_number"] for package in api.get("/packages").json["items"]}
    assert numbers == {"306141410000000013", "106141412345678908", "LOCAL0001"}


def test_epcis_packages_in_a_truck_get_its_events(api):
    event = {
        "type": "AggregationEvent",
        "parentID": "urn:epc:id:grai:0614141.12345.400",
        "childEPCs": EPCIS_EVENT["epcList"],
        "epcList": None,
    }

    api.post("/packages/epcis", json=EPCIS_EVENT | event)

    (package,) = api.get("/packages").json["items"]
    assert (package["carrier"], package["status"]) == ("ups", "in_transit")


@pytest.mark.parametrize("time", ["2026-06-10T10:00:00Z", "2026-06-10T12:00:00"])
def test_epcis_offset_of_the_place_is_kept(api, time):
    api.post("/packages/epcis", json=EPCIS_EVENT | {"eventTime": time})

    (package,) = api.get("/packages").json["items"]
    (event,) = api.get(f"/packages/{package['id']}/events").json["items"]
    assert event["occurred_at"] == "2026-06-10T10:00:00Z"
    assert event["local_time"] == "2026-06-10T12:00:00+02:00"
    assert event["time_basis"] == "offset"
    document = api.get(f"/packages/{package['id']}/epcis").json
    assert document["epcisBody"]["eventList"][0]["eventTimeZoneOffset"] == "+02:00"


def test_exported_epcis_document_adds_nothing_and_keeps_corrections_and_order(api, sign_in):
    package = api.create()
    time = "2026-06-10T08:00:00Z"
    api.add_events(
        package,
        event("arrived", time, sequence=2, detail="", corrects=""),
        event("out_for_delivery", time, sequence=1),
        event("delivered", "2026-06-11T08:00:00Z", external_id="scan 7"),
        event("note", "2026-06-12T08:00:00Z", corrects="scan 7"),
        event("X1", "2026-06-12T08:00:00Z"),
        event("X2", "2026-06-12T08:00:00Z"),
    )
    document = api.get(f"/packages/{package['id']}/epcis").json
    other = sign_in("ten_other")

    repeated = api.post("/packages/epcis", json=document)
    copied = other.post("/packages/epcis", json=document)

    assert (repeated.json["added"], copied.json["added"]) == (0, 6)
    (copy,) = other.get("/packages").json["items"]
    original = api.get(f"/packages/{package['id']}").json
    assert original["status"] == "in_transit"
    assert (copy["status"], copy["event_count"]) == (original["status"], original["event_count"])


def test_epcis_package_of_several_carriers_is_rejected_with_them(api):
    epcs = ["urn:x:1Z5R89390357567127", "urn:x:287809468872"]

    response = api.post("/packages/epcis", json=EPCIS_EVENT | {"epcList": epcs})

    assert (response.status_code, response.json["code"]) == (422, "carrier_unknown")
    assert "urn:ai-agent-system:packages:CARRIER:NUMBER" in response.json["detail"]
    assert {error["pointer"] for error in response.json["errors"]} == {"#/epcList/1"}
    assert {error["carrier"] for error in response.json["errors"]} == {"fedex", "purolator"}


def test_statistics_count_packages_and_deliveries(api):
    for index, day in enumerate((10, 10, 12)):
        package = api.create(
            f"LOCAL{index:04}",
            carrier="local",
            promised_at="2026-06-11T00:00:00Z",
            origin={"code": "DEFRA"},
            destination={"code": "USPDX"},
        )
        api.add_events(
            package,
            event("picked_up", "2026-06-09T08:00:00Z"),
            event("delivered", f"2026-06-{day}T08:00:00Z"),
        )
    api.create()

    stats = api.get("/packages/stats?days=30").json

    assert (stats["total"], stats["late"]) == (4, 1)
    assert stats["by_status"] == {"delivered": 3, "pre_transit": 1}
    assert stats["by_carrier"] == {"local": 3, "ups": 1}
    assert stats["carriers"] == [
        {"carrier": "local", "packages": 3, "late": 1},
        {"carrier": "ups", "packages": 1, "late": 0},
    ]
    assert stats["lanes"] == [
        {"origin": "code:DEFRA", "destination": "code:USPDX", "packages": 3, "late": 1}
    ]
    assert stats["prediction"] is None
    assert stats["on_time_rate"] == pytest.approx(2 / 3)
    assert [(day["date"], day["transit_p50_hours"]) for day in stats["days"]] == [
        ("2026-06-10", 24.0),
        ("2026-06-12", 72.0),
    ]


@pytest.mark.parametrize("tags", [[], ["fragile", "=1+1", 'ärger \u2028 "quoted"']])
def test_exported_line_is_the_package_that_the_api_returns(api, tags):
    package = api.create(
        reference='say "ä\\" \t',
        tags=tags,
        metadata={"note": "ü", "nested": {"list": [1, None, 2.5]}},
        origin={"name": "Köln", "country": "DE", "lat": -1.5, "lon": 2},
        weight_g=5,
        promised_at="2026-07-01T10:00:00.123456+02:00",
        shipped_at="2026-06-01T10:00:00Z",
    )
    api.add_events(package, event("exception", reason="damaged", detail="Straße"))
    known = api.get(f"/packages/{package['id']}").json
    line = api.get("/packages/export?format=jsonl").data
    exported = json.loads(line)
    for name in ("origin", "destination", "last_event"):
        known[name] = known[name] and {
            key: value for key, value in known[name].items() if value is not None
        }
        exported[name] = exported[name] and {
            key: value for key, value in exported[name].items() if value is not None
        }
    assert exported == known

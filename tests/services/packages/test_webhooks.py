"""Webhooks of tracking providers: signatures, storage before processing, repetitions, replay."""

import base64
import hmac
import json
from datetime import timedelta

import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.packages.domain.event_input import EventContext, build_event
from backend.services.packages.domain.event_recording import EventService
from backend.services.packages.domain.status import compute_state
from backend.services.packages.domain.webhooks.payloads import InvalidPayload, read_payload
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import NOW

SECRET = "sécret of the provider"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
NUMBER = "1Z5R89390357567127"
EASYPOST = {
    "id": "evt_1",
    "object": "Event",
    "description": "tracker.updated",
    "result": {
        "object": "Tracker",
        "tracking_code": NUMBER,
        "carrier": "UPS",
        "tracking_details": [
            {
                "object": "TrackingDetail",
                "message": "Arrived",
                "status": "in_transit",
                "status_detail": "arrived_at_facility",
                "datetime": "2026-06-10T08:00:00Z",
                "tracking_location": {"city": "CHARLESTON", "country": "US", "zip": "29401"},
            },
            {
                "status": "delivered",
                "status_detail": "arrived_at_destination",
                "datetime": "2026-06-11T08:00:00Z",
            },
        ],
    },
}
AFTERSHIP = {
    "event": "tracking_update",
    "msg": {
        "tracking_number": NUMBER,
        "slug": "ups",
        "tag": "Exception",
        "checkpoints": [
            {
                "checkpoint_time": "2026-06-10T08:00:00",
                "tag": "InTransit",
                "subtag": "InTransit_003",
                "city": "Tokyo",
                "country_iso2": "JP",
            },
            {
                "checkpoint_time": "2026-06-10T09:00:00+00:00",
                "tag": "Exception",
                "subtag": "Exception_011",
            },
        ],
    },
}
STANDARD = {
    "type": "package.scanned",
    "data": {
        "tracking_number": NUMBER,
        "events": [{"code": "O", "occurred_at": "2026-06-10T08:00:00Z", "external_id": "7"}],
    },
}


def sign(source: str, body: bytes, secret: str = SECRET, time=NOW, message_id="msg_1") -> dict:
    """Return the headers of a webhook."""
    if source == "easypost":
        # The decomposed form of the secret.
        key = secret.replace("é", "e\u0301").encode()
        return {"X-Hmac-Signature": f"hmac-sha256-hex={hmac.digest(key, body, 'sha256').hex()}"}
    if source == "aftership":
        digest = hmac.digest(secret.encode(), body, "sha256")
        return {"aftership-hmac-sha256": base64.b64encode(digest).decode()}
    timestamp = str(int(time.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(b"k" * 24, content, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{'A' * 43}= v1,{base64.b64encode(digest).decode()}",
    }


@pytest.fixture
def create_account(api):
    def create(source: str) -> dict:
        secret = STANDARD_SECRET if source == "standard" else SECRET
        body = {"source": source, "name": "Shop", "secret": secret}
        response = api.post("/packages/webhook-accounts", json=body)
        assert response.status_code == 201, response.json
        return response.json

    return create


def send(client, account: dict, content, headers=None, **options):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = headers if headers is not None else sign(account["source"], body, **options)
    return client.post(account["path"], data=body, headers=headers)


def list_deliveries(api, account: dict, query: str = "") -> list[dict]:
    return api.get(f"/packages/webhook-accounts/{account['id']}/deliveries{query}").json["items"]


@pytest.mark.parametrize(
    ("source", "content", "status", "events"),
    [
        ("easypost", EASYPOST, "delivered", 2),
        ("aftership", AFTERSHIP, "returned", 2),
        ("standard", STANDARD, "out_for_delivery", 1),
    ],
)
def test_signed_webhook_creates_the_package_with_its_events(
    api, client, create_account, source, content, status, events
):
    account = create_account(source)

    response = send(client, account, content)

    assert response.status_code == 200
    (package,) = api.get("/packages").json["items"]
    assert (package["status"], package["event_count"], package["carrier"]) == (
        status,
        events,
        "ups",
    )
    (delivery,) = list_deliveries(api, account)
    assert (delivery["state"], delivery["result"]["added"]) == ("done", events)


def test_times_without_offset_get_the_zone_of_the_country(api, client, create_account):
    send(client, create_account("aftership"), AFTERSHIP)

    (package,) = api.get("/packages").json["items"]
    first = api.get(f"/packages/{package['id']}/events").json["items"][0]
    assert (first["occurred_at"], first["time_basis"]) == ("2026-06-09T23:00:00Z", "place")
    assert (first["code"], first["raw_code"]) == ("arrived", "InTransit_003")


@pytest.mark.parametrize("source", ["easypost", "aftership", "standard"])
def test_forged_webhooks_are_rejected_and_not_stored(api, client, create_account, source):
    account = create_account(source)
    body = json.dumps(EASYPOST).encode()
    signed = sign(source, body)
    forged = [
        client.post(account["path"], data=body),
        client.post(account["path"], data=body + b" ", headers=signed),
        client.post(account["path"] + "x", data=body, headers=signed),
        client.post(account["path"].replace(source, "other"), data=body, headers=signed),
        client.post(account["path"], data=body, headers=dict.fromkeys(signed, "ü")),
    ]

    assert [response.status_code for response in forged] == [401] * 5
    assert list_deliveries(api, account) == []
    assert api.get("/packages").json["items"] == []


def test_old_standard_webhook_is_rejected(client, create_account, clock):
    account = create_account("standard")

    old = send(client, account, STANDARD, time=clock.time - timedelta(minutes=6))

    assert old.status_code == 401


def test_repeated_webhook_is_counted_and_processed_once(api, client, create_account):
    account = create_account("easypost")

    responses = [send(client, account, EASYPOST) for _ in range(3)]

    assert [response.status_code for response in responses] == [200] * 3
    (delivery,) = list_deliveries(api, account)
    assert (delivery["repeats"], delivery["attempts"]) == (2, 1)
    assert api.get("/packages").json["items"][0]["event_count"] == 2


def test_unreadable_webhook_is_stored_as_failed_and_can_be_replayed(api, client, create_account):
    account = create_account("standard")
    unknown = {"data": STANDARD["data"] | {"tracking_number": "LOCAL0001"}}

    responses = [
        send(client, account, b"{", message_id="a"),
        send(client, account, b'{"data": {"tracking_number": "\\u0000123"}}', message_id="b"),
        send(client, account, unknown, message_id="c"),
    ]

    assert [response.status_code for response in responses] == [200] * 3
    failed = list_deliveries(api, account, "?state=failed")
    assert len(failed) == 3
    assert all(delivery["error"] for delivery in failed)
    api.create("LOCAL0001", carrier="local")
    path = f"/packages/webhook-accounts/{account['id']}/deliveries"
    replayed = api.post(f"{path}/{failed[0]['id']}/replay")
    assert (replayed.json["state"], replayed.json["result"]["added"]) == ("done", 1)
    assert api.post(f"{path}/{failed[0]['id']}/replay").json["attempts"] == 2


def build_easypost(*details: dict, **changes) -> dict:
    """Return a webhook of EasyPost with the tracking details, whose times are hours apart."""
    times = [{"datetime": f"2026-06-10T{hour:02}:00:00Z"} for hour in range(len(details))]
    listed = [time | detail for time, detail in zip(times, details, strict=True)]
    return EASYPOST | {"result": EASYPOST["result"] | {"tracking_details": listed} | changes}


def build_aftership(*checkpoints: dict, **changes) -> dict:
    """Return a webhook of AfterShip with the checkpoints, whose times are hours apart."""
    times = [
        {"checkpoint_time": f"2026-06-10T{hour:02}:00:00Z"} for hour in range(len(checkpoints))
    ]
    listed = [time | checkpoint for time, checkpoint in zip(times, checkpoints, strict=True)]
    return {"msg": AFTERSHIP["msg"] | {"checkpoints": listed} | changes}


EASYPOST_DETAILS = (
    *("unknown", "status_update", "arrived_at_destination", "arrived_at_facility", "delayed"),
    *("departed_facility", "in_transit", "out_for_delivery", "cancelled", "failure", None),
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pre_transit", "pre_transit"),
        ("out_for_delivery", "out_for_delivery"),
        ("delivered", "delivered"),
        ("available_for_pickup", "available_for_pickup"),
        ("return_to_sender", "returning"),
        ("failure", "exception"),
        ("error", "exception"),
        ("cancelled", "cancelled"),
    ],
)
def test_easypost_status_decides_whatever_its_detail_says(status, expected):
    for detail in EASYPOST_DETAILS:
        body = build_easypost({"status": status, "status_detail": detail})
        report = read_payload("easypost", json.dumps(body).encode())
        assert compute_reported_state(report).status == expected, detail


@pytest.mark.parametrize(
    ("status", "detail", "code", "reason"),
    [
        ("in_transit", "departed_facility", "departed", None),
        ("in_transit", "received_at_origin_facility", "accepted", None),
        ("in_transit", "weather_delay", "delayed", "weather"),
        ("in_transit", "damaged", "exception", "damaged"),
        ("in_transit", "unknown", "arrived", None),
        ("failure", "refused", "exception", "refused"),
        ("error", "lost", "lost", None),
        ("unknown", "unknown", "note", None),
    ],
)
def test_easypost_detail_refines_the_status(status, detail, code, reason):
    body = build_easypost({"status": status, "status_detail": detail})

    (event,) = read_payload("easypost", json.dumps(body).encode()).events

    assert (event.translated.code, event.translated.reason) == (code, reason)


@pytest.mark.parametrize(
    ("subtag", "status", "sub_status"),
    [
        ("Pending_001", "pre_transit", "announced"),
        ("InfoReceived_001", "pre_transit", "announced"),
        *((f"InTransit_00{number}", "in_transit", ...) for number in range(1, 10)),
        *((f"OutForDelivery_00{number}", "out_for_delivery", None) for number in (1, 3, 4)),
        ("AttemptFail_001", "attempted", "delivery_attempted"),
        ("AttemptFail_002", "attempted", "absent"),
        ("AttemptFail_003", "attempted", "closed"),
        ("AvailableForPickup_001", "available_for_pickup", None),
        *((f"Delivered_00{number}", "delivered", None) for number in (1, 2, 3, 4)),
        ("Exception_001", "exception", None),
        ("Exception_002", "exception", "address"),
        ("Exception_003", "exception", "refused"),
        ("Exception_004", "exception", "customs_documents"),
        ("Exception_005", "exception", "other"),
        ("Exception_006", "exception", "customs_duties"),
        ("Exception_007", "exception", "address"),
        ("Exception_008", "exception", "absent"),
        ("Exception_009", "exception", "other"),
        ("Exception_010", "returning", "return_started"),
        ("Exception_011", "returned", None),
        ("Exception_012", "exception", "damaged"),
        ("Exception_013", "exception", "lost"),
        ("Expired_001", "expired", None),
    ],
)
def test_aftership_sub_status_gives_the_status(subtag, status, sub_status):
    body = build_aftership({"tag": subtag.partition("_")[0], "subtag": subtag})

    state = compute_reported_state(read_payload("aftership", json.dumps(body).encode()))

    assert state.status == status
    assert sub_status in (state.sub_status, ...)


def compute_reported_state(report):
    context = EventContext("pkg_1", "ups", report.number, "webhook", None)
    return compute_state([build_event(each, context)[0] for each in report.events])


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("easypost", build_easypost({"status": "delivered"}, {"datetime": None}, {"status": None})),
        ("easypost", build_easypost({"status": "delivered"}, {"datetime": "now"}, {})),
        ("aftership", build_aftership({"tag": "Delivered"}, {"checkpoint_time": ""}, {})),
        (
            "aftership",
            build_aftership({"tag": "Delivered"}, {"checkpoint_time": None}, {"tag": None}),
        ),
    ],
)
def test_event_without_time_or_status_does_not_hide_the_others(
    api, client, create_account, source, content
):
    account = create_account(source)

    send(client, account, content)

    (delivery,) = list_deliveries(api, account)
    assert (delivery["state"], delivery["error"]) == ("done", None)
    assert (delivery["result"]["added"], len(delivery["result"]["skipped"])) == (2, 1)
    assert api.get("/packages").json["items"][0]["status"] == "delivered"


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("easypost", build_easypost(tracking_details=None)),
        ("aftership", build_aftership(checkpoints=None)),
        (
            "easypost",
            build_easypost(
                {"status": "x" * 300, "message": "x" * 5_000, "status_detail": "y" * 300}
            ),
        ),
        (
            "aftership",
            build_aftership({"tag": "x" * 300, "message": "x" * 5_000, "city": "y" * 300}),
        ),
    ],
)
def test_empty_lists_and_long_texts_are_processed(api, client, create_account, source, content):
    account = create_account(source)

    send(client, account, content)

    (delivery,) = list_deliveries(api, account)
    assert (delivery["state"], delivery["error"]) == ("done", None)
    (package,) = api.get("/packages").json["items"]
    for event in api.get(f"/packages/{package['id']}/events").json["items"]:
        assert (event["code"], len(event["raw_code"]), len(event["detail"])) == ("note", 64, 2000)


def test_aftership_date_is_the_beginning_of_the_day_at_the_place(api, client, create_account):
    checkpoint = {"checkpoint_time": "2026-06-10", "tag": "InTransit", "country_iso2": "JP"}

    send(client, create_account("aftership"), build_aftership(checkpoint))

    (package,) = api.get("/packages").json["items"]
    (event,) = api.get(f"/packages/{package['id']}/events").json["items"]
    assert (event["occurred_at"], event["time_basis"]) == ("2026-06-09T15:00:00Z", "place")


@pytest.mark.parametrize(
    "country",
    [
        {"country_iso2": "JP"},
        {"country_iso3": "JPN"},
        {"country_iso2": None, "country_region": "jpn"},
        {"country_iso3": "XXX", "country_region": "Japan"},
    ],
)
def test_aftership_country_has_two_or_three_letters(country):
    checkpoint = {"checkpoint_time": "2026-06-10T09:00:00", "tag": "InTransit", "city": "Tokyo"}
    body = json.dumps(build_aftership(checkpoint | country)).encode()

    (event,) = read_payload("aftership", body).events

    known = "XXX" not in country.values()
    assert event.location.country == ("JP" if known else None)


@pytest.mark.parametrize("number", ["1" * 65, "123", "1Z/5R", "päckchen"])
def test_webhook_with_an_unusable_number_fails_with_the_reason(api, client, create_account, number):
    account = create_account("easypost")

    send(client, account, build_easypost(tracking_code=number))

    (delivery,) = list_deliveries(api, account)
    assert delivery["state"] == "failed"
    assert delivery["error"].startswith("The tracking number has not 4 to 64 letters")


def test_error_of_an_easypost_tracker_names_the_field():
    with pytest.raises(InvalidPayload, match=r"^result\.tracking_code: "):
        read_payload("easypost", json.dumps(build_easypost(tracking_code=7)).encode())


@pytest.mark.parametrize("source", ["easypost", "aftership", "standard"])
def test_error_of_a_body_that_is_no_object_names_the_body(source):
    with pytest.raises(InvalidPayload, match=r"^the body: Input should be an object"):
        read_payload(source, b"[]")


def test_event_with_unusable_time_is_skipped_and_reported(api, client, create_account):
    account = create_account("standard")
    bad = {"code": "arrived", "occurred_at": "2027-06-10T08:00:00Z"}
    content = {"data": STANDARD["data"] | {"events": [*STANDARD["data"]["events"], bad]}}

    send(client, account, content)

    (delivery,) = list_deliveries(api, account)
    assert delivery["result"]["added"] == 1
    assert delivery["result"]["skipped"][0]["occurred_at"] == "2027-06-10T08:00:00Z"


def test_webhook_that_was_only_stored_is_processed_later(
    app, api, client, create_account, clock, monkeypatch
):
    """The process ends between the two transactions."""
    account = create_account("easypost")
    with monkeypatch.context() as patch:

        def fail(*_arguments):
            raise SystemExit

        patch.setattr(EventService, "record_by_number", fail)
        with pytest.raises(SystemExit):
            send(client, account, EASYPOST)
    assert list_deliveries(api, account)[0]["state"] == "received"
    clock.time += timedelta(minutes=1)

    get_component(app, PackageComponents).webhooks.process_waiting()

    assert list_deliveries(api, account)[0]["state"] == "done"
    assert api.get("/packages").json["items"][0]["event_count"] == 2


def test_accounts_of_another_tenant_are_invisible(api, client, create_account, sign_in):
    account = create_account("easypost")
    send(client, account, EASYPOST)
    delivery = list_deliveries(api, account)[0]
    other = sign_in("ten_other")
    path = f"/packages/webhook-accounts/{account['id']}"

    assert other.get("/packages/webhook-accounts").json["items"] == []
    assert other.get(f"{path}/deliveries").status_code == 404
    assert other.post(f"{path}/deliveries/{delivery['id']}/replay").status_code == 404
    assert other("PATCH", path, json={"name": "Other"}).status_code == 404
    assert other("DELETE", path).status_code == 404
    assert "secret" not in api.get("/packages/webhook-accounts").text
    assert api("DELETE", path).status_code == 204
    assert send(client, account, EASYPOST).status_code == 401


def test_secret_of_standard_webhooks_must_be_base64(api):
    body = {"source": "standard", "name": "Shop", "secret": "whsec_" + "!" * 20}

    assert api.post("/packages/webhook-accounts", json=body).status_code == 422


def test_new_secret_replaces_the_present_one(api, client, create_account):
    account = create_account("easypost")
    path = f"/packages/webhook-accounts/{account['id']}"

    response = api("PATCH", path, json={"secret": "another secret of the shop"})

    assert response.json == account
    assert send(client, account, EASYPOST).status_code == 401
    assert api("PATCH", path, json={"secret": SECRET}).status_code == 200
    assert send(client, account, EASYPOST).status_code == 200
    renamed = api("PATCH", path, json={"name": "Second shop"}).json
    assert renamed == account | {"name": "Second shop"}
    assert send(client, account, EASYPOST).status_code == 200


def test_new_secret_must_have_the_format_of_the_source(api, create_account):
    account = create_account("standard")
    path = f"/packages/webhook-accounts/{account['id']}"

    response = api("PATCH", path, json={"secret": "whsec_" + "!" * 20})

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/secret"

"""The requests that clients send to providers, and the hosts that they call."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image

from backend.security.outbound import AllowedHost
from backend.services.chat.clients.outcomes import ChannelAccount, SendJob
from backend.services.chat.clients.parts import ChoiceOption, MediaFile, OutboundPart
from backend.services.chat.clients.provider_http import OutcomeUnknown, ProviderHttp, RequestNotSent
from backend.services.chat.clients.registry import create_channel_clients
from backend.services.chat.jobs.simulation.providers import SIMULATORS
from backend.services.chat.jobs.simulation.server import SimulatedResponse
from tests.services.chat.sending.harness import KEYS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OPTIONS = (ChoiceOption("y", "Yes"), ChoiceOption("n", "No", "Not now"))


class Sender:
    """Sends parts with the client of a channel to its simulator."""

    def __init__(self, channel):
        self.simulator = SIMULATORS[channel]()
        self.content = b"content"

    def __enter__(self):
        self.simulator.__enter__()
        self.http = ProviderHttp([AllowedHost.parse(self.simulator.host)], timeout_seconds=5)
        self.client = create_channel_clients(self.http)[self.simulator.channel]
        return self

    def __exit__(self, *details):
        self.http.close()
        self.simulator.__exit__(*details)

    def send(self, part, key=None, **fields):
        simulator = self.simulator
        settings = simulator.get_settings() | fields.pop("settings", {})
        account = ChannelAccount("a1", simulator.channel, settings, simulator.get_credentials())
        details = {"service_url": simulator.url} if simulator.channel == "teams" else {}
        job = SendJob(
            "ref_1",
            account,
            key or KEYS[simulator.channel],
            part,
            NOW,
            NOW,
            details=details,
            load_file=lambda media: self.content,
            **fields,
        )
        outcome = self.client.send(job)
        return outcome, simulator.requests[-1]


@pytest.fixture
def sender(request):
    with Sender(request.param) as sender:
        yield sender


def of(channel):
    return pytest.mark.parametrize("sender", [channel], indirect=True)


@of("whatsapp")
def test_whatsapp_text_has_our_reference_and_replies_to_a_message(sender):
    _, request = sender.send(OutboundPart("text", "Hi *you*", target="wamid.1"))

    assert request.fields == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "15550001",
        "biz_opaque_callback_data": "ref_1",
        "context": {"message_id": "wamid.1"},
        "type": "text",
        "text": {"body": "Hi *you*", "preview_url": False},
    }


@of("whatsapp")
@pytest.mark.parametrize(
    ("key", "identities", "expected"),
    [
        ("user:US.13491208655302741918", {}, {"recipient": "US.13491208655302741918"}),
        ("user:US.1349", {"wa_id": "15551"}, {"to": "15551"}),
        ("user:15552", {"bsuid": "US.2"}, {"to": "15552"}),
        ("group:120@g.us", {}, {"to": "120@g.us"}),
    ],
)
def test_whatsapp_receiver_is_a_number_a_user_id_or_a_group(sender, key, identities, expected):
    _, request = sender.send(OutboundPart("text", "Hi"), key, identities=identities)

    fields = {name: request.fields.get(name) for name in ("to", "recipient")}
    assert {name: value for name, value in fields.items() if value} == expected
    assert request.fields["recipient_type"] == (
        "group" if key.startswith("group") else "individual"
    )


@of("whatsapp")
def test_whatsapp_choice_is_an_interactive_list_or_buttons(sender):
    _, listed = sender.send(
        OutboundPart("choice", "Which?", options=OPTIONS, as_list=True, list_label="Options")
    )
    _, buttons = sender.send(OutboundPart("choice", "Which?", options=OPTIONS))

    rows = listed.fields["interactive"]["action"]["sections"][0]["rows"]
    assert rows[1] == {"id": "n", "title": "No", "description": "Not now"}
    assert buttons.fields["interactive"]["action"]["buttons"][0] == {
        "type": "reply",
        "reply": {"id": "y", "title": "Yes"},
    }


@of("whatsapp")
def test_whatsapp_template_has_parameters_by_position_or_name(sender):
    details = {"name": "order", "language": "de", "parameters": {"1": "Ada", "day": "Monday"}}
    _, request = sender.send(OutboundPart("template", details=details))

    template = request.fields["template"]
    assert template["language"] == {"code": "de"}
    assert template["components"][0]["parameters"] == [
        {"type": "text", "text": "Ada"},
        {"type": "text", "text": "Monday", "parameter_name": "day"},
    ]


@of("whatsapp")
def test_file_is_uploaded_and_sent_by_its_id(sender):
    sender.content = b"x" * 22_000_000
    media = MediaFile("att_1", "file", "application/pdf", "a.pdf")
    outcome, request = sender.send(OutboundPart("media", "Look", media=media))

    upload = sender.simulator.requests[0]
    assert upload.path.endswith("/media")
    assert upload.fields["file"] == "file:a.pdf:22000000"
    assert request.fields["document"] == {
        "id": "media-1",
        "filename": "a.pdf",
        "caption": "Look",
    }
    assert "http" not in json.dumps(request.fields)
    assert outcome.state == "sent"


@of("whatsapp")
def test_upload_is_not_repeated_after_a_failed_message(sender):
    media = MediaFile("att_1", "image", "image/png", "a.png")
    sender.simulator.plan("unavailable")
    failed, _ = sender.send(OutboundPart("media", media=media))

    _, request = sender.send(OutboundPart("media", media=media), progress=failed.progress)

    assert failed.state == "retry"
    assert [item.path.rpartition("/")[2] for item in sender.simulator.requests] == [
        "media",
        "messages",
        "messages",
    ]
    assert request.fields["image"] == {"id": "media-1"}


@of("whatsapp")
def test_webp_image_is_converted_for_whatsapp(sender):
    buffer = BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(buffer, "WEBP")
    sender.content = buffer.getvalue()
    media = MediaFile("att_1", "image", "image/webp", "a.webp", convert_to="image/png")

    outcome, _ = sender.send(OutboundPart("media", media=media))

    body = sender.simulator.requests[0].body
    assert b"image/png" in body
    assert b"\x89PNG" in body
    assert outcome.state == "sent"


@of("whatsapp")
@pytest.mark.parametrize("content", [b"", b"no image", b"RIFF\x00\x00\x00\x00WEBPVP8 "])
def test_image_that_cannot_be_converted_fails_the_delivery(sender, content):
    sender.content = content
    media = MediaFile("att_1", "image", "image/webp", "a.webp", convert_to="image/png")
    account = ChannelAccount(
        "a1", "whatsapp", sender.simulator.get_settings(), sender.simulator.get_credentials()
    )
    job = SendJob(
        "ref_1",
        account,
        KEYS["whatsapp"],
        OutboundPart("media", media=media),
        NOW,
        NOW,
        load_file=lambda _media: content,
    )

    assert sender.client.send(job).state == "failed"
    assert sender.simulator.requests == []


@of("messenger")
def test_messenger_message_has_quick_replies_and_our_reference(sender):
    _, request = sender.send(OutboundPart("choice", "Which?", options=OPTIONS))

    assert request.fields["messaging_type"] == "RESPONSE"
    assert request.fields["message"] == {
        "metadata": "ref_1",
        "text": "Which?",
        "quick_replies": [
            {"content_type": "text", "title": "Yes", "payload": "y"},
            {"content_type": "text", "title": "No", "payload": "n"},
        ],
    }


@of("messenger")
def test_person_on_messenger_answers_with_the_tag_if_the_account_allows_it(sender):
    _, request = sender.send(
        OutboundPart("text", "Hi"), settings={"human_agent": True}, from_person=True
    )

    assert (request.fields["messaging_type"], request.fields["tag"]) == (
        "MESSAGE_TAG",
        "HUMAN_AGENT",
    )


@of("slack")
def test_slack_message_is_in_its_thread_with_metadata_and_buttons(sender):
    _, request = sender.send(OutboundPart("choice", "*Which?*", "Which?", options=OPTIONS))

    fields = request.fields
    assert (fields["channel"], fields["thread_ts"], fields["text"]) == ("C1", "1.2", "Which?")
    assert fields["metadata"] == {
        "event_type": "suite_delivery",
        "event_payload": {"ref": "ref_1"},
    }
    assert fields["blocks"][0]["text"] == {"type": "mrkdwn", "text": "*Which?*"}
    assert fields["blocks"][1]["elements"][0]["value"] == "y"


@of("slack")
def test_slack_file_is_shared_only_after_its_upload(sender):
    media = MediaFile("att_1", "file", "application/pdf", "a.pdf")
    outcome, request = sender.send(OutboundPart("media", "Look", media=media))

    assert [item.path.rpartition("/")[2] for item in sender.simulator.requests] == [
        "files.getUploadURLExternal",
        "1",
        "files.completeUploadExternal",
    ]
    assert request.fields["thread_ts"] == "1.2"
    assert request.fields["initial_comment"] == "Look"
    assert outcome.progress["file_id"] == outcome.external_id


@of("telegram")
def test_telegram_message_is_html_in_its_topic_with_a_keyboard(sender):
    part = OutboundPart("choice", "<b>Which?</b>", options=OPTIONS, target="5")
    _, request = sender.send(part, "chat:77:9")

    assert request.fields == {
        "chat_id": "77",
        "message_thread_id": 9,
        "reply_parameters": {"message_id": 5, "allow_sending_without_reply": True},
        "text": "<b>Which?</b>",
        "parse_mode": "HTML",
        "reply_markup": {
            "inline_keyboard": [
                [{"text": "Yes", "callback_data": "y"}],
                [{"text": "No", "callback_data": "n"}],
            ]
        },
    }


@of("telegram")
@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("business:bc:chat:77", {"business_connection_id": "bc"}),
        ("chat:77:direct-9", {"direct_messages_topic_id": 9}),
    ],
)
def test_telegram_message_is_sent_to_the_kind_of_chat(sender, key, fields):
    _, request = sender.send(OutboundPart("text", "Hi"), key)

    assert request.fields == {"chat_id": "77", **fields, "text": "Hi", "parse_mode": "HTML"}


@of("telegram")
@pytest.mark.parametrize(
    ("kind", "method", "field"),
    [
        ("image", "sendPhoto", "photo"),
        ("audio", "sendAudio", "audio"),
        ("video", "sendVideo", "video"),
        ("file", "sendDocument", "document"),
        ("sticker", "sendSticker", "sticker"),
    ],
)
def test_telegram_file_is_sent_by_the_method_of_its_type(sender, kind, method, field):
    media = MediaFile("att_1", kind, "application/octet-stream", "a.bin")
    _, request = sender.send(OutboundPart("media", media=media))

    assert request.path.endswith(f"/{method}")
    assert request.fields[field] == "file:a.bin:7"


@of("teams")
def test_teams_activity_is_xml_with_a_card_of_choices(sender):
    _, request = sender.send(OutboundPart("choice", "<p>Which?</p>", options=OPTIONS))

    assert request.path == "/v3/conversations/a%3A1/activities"
    assert (request.fields["textFormat"], request.fields["text"]) == ("xml", "<p>Which?</p>")
    card = request.fields["attachments"][0]["content"]
    assert card["actions"][0]["data"] == {"type": "choice", "choice": "y", "title": "Yes"}


@of("teams")
def test_teams_token_is_used_again_until_it_is_refused(sender):
    sender.send(OutboundPart("text", "one"))
    sender.send(OutboundPart("text", "two"))

    logins = [item for item in sender.simulator.requests if item.path.startswith("/login/")]
    assert len(logins) == 1


@of("teams")
def test_teams_service_url_at_another_host_is_not_called(sender):
    account = ChannelAccount(
        "a1", "teams", sender.simulator.get_settings(), sender.simulator.get_credentials()
    )
    job = SendJob(
        "ref_1",
        account,
        "conversation:a",
        OutboundPart("text", "Hi"),
        NOW,
        NOW,
        details={"service_url": "https://attacker.example/"},
    )

    outcome = sender.client.send(job)

    assert (outcome.state, outcome.code) == ("failed", "address_blocked")


@of("twilio")
def test_twilio_form_has_sender_media_link_and_template(sender):
    media = MediaFile("att_1", "image", "image/png", "a.png", link="https://x.example/a")
    _, request = sender.send(OutboundPart("media", "Look", media=media), "user:whatsapp:+1555")
    _, template = sender.send(
        OutboundPart("template", details={"content_sid": "HX1", "parameters": {"1": "Ada"}})
    )

    assert request.fields == {
        "To": "whatsapp:+1555",
        "From": "whatsapp:+15550100005",
        "Body": "Look",
        "MediaUrl": "https://x.example/a",
    }
    assert template.fields["ContentSid"] == "HX1"
    assert template.fields["ContentVariables"] == '{"1": "Ada"}'


@of("twilio")
def test_twilio_look_up_ignores_messages_of_other_deliveries_and_earlier_ones(sender):
    outcome, _ = sender.send(OutboundPart("text", "Hi"))
    account = ChannelAccount(
        "a1", "twilio", sender.simulator.get_settings(), sender.simulator.get_credentials()
    )

    def look_up(text="Hi", at=None, known=frozenset()):
        job = SendJob(
            "ref_2",
            account,
            KEYS["twilio"],
            OutboundPart("text", text),
            at or datetime.now(UTC),
            NOW,
            known_ids=known,
        )
        return sender.client.look_up(job)

    assert look_up().external_id == outcome.external_id
    assert look_up(known=frozenset({outcome.external_id})).state == "retry"
    assert look_up("Other").state == "retry"
    assert look_up(at=datetime.now(UTC) + timedelta(minutes=5)).state == "retry"


@pytest.mark.parametrize("sender", sorted(SIMULATORS), indirect=True)
def test_check_tells_whether_the_token_is_valid(sender):
    simulator = sender.simulator
    account = ChannelAccount(
        "a1", simulator.channel, simulator.get_settings(), simulator.get_credentials()
    )

    assert sender.client.check(account).state == "sent"
    if simulator.channel != "generic":
        simulator.is_revoked = True
        assert sender.client.check(account).state == "revoked"
        assert simulator.messages == []


def test_private_address_is_called_only_if_the_operator_allows_it():
    http = ProviderHttp(resolve=lambda _host, _port: ["10.0.0.1"])

    for url in ("http://127.0.0.1:9/", "https://127.0.0.1/", "https://graph.facebook.com/"):
        with pytest.raises(RequestNotSent) as error:
            http.send("GET", url, ["*"])
        assert error.value.is_blocked


def test_public_url_must_be_https():
    http = ProviderHttp(resolve=lambda _host, _port: ["93.184.216.34"])

    with pytest.raises(RequestNotSent) as error:
        http.send("GET", "http://hooks.example/", ["*"])

    assert error.value.is_blocked


def test_refused_connection_has_sent_nothing_and_slow_response_may_have():
    with SIMULATORS["generic"]() as simulator:
        host = simulator.host
        http = ProviderHttp([AllowedHost.parse(host)], timeout_seconds=0.3)
        simulator.latency_seconds = 3
        with pytest.raises(OutcomeUnknown):
            http.send("POST", f"http://{host}/hook", ["*"], headers={"webhook-signature": "x"})
    with pytest.raises(RequestNotSent) as error:
        http.send("POST", f"http://{host}/hook", ["*"])
    assert not error.value.is_blocked
    http.close()


def test_redirect_is_not_followed():
    with SIMULATORS["generic"]() as simulator:
        location = {"Location": f"{simulator.url}/elsewhere"}
        simulator.respond = lambda _request: SimulatedResponse(302, None, location)
        http = ProviderHttp([AllowedHost.parse(simulator.host)])

        response = http.send("GET", f"{simulator.url}/x", ["*"], headers={"webhook-signature": "x"})

        assert response.status == 302
        assert len(simulator.requests) == 1
        http.close()

"""Teams: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from tests.services.chat.domain.channels.normalising import normalise, normalise_one, teams

CHANNEL = {"id": "19:c@thread.tacv2;messageid=1", "conversationType": "channel", "isGroup": True}
MENTION = {"type": "mention", "text": "<at>Helper</at>", "mentioned": {"id": "28:bot"}}


def test_mention_of_the_bot_is_removed_from_the_text() -> None:
    payload = teams(text="<at>Helper</at> hello\n", entities=[MENTION], conversation=CHANNEL)

    (event,) = normalise("teams", payload)

    assert event.fields["content"] == {"type": "text", "text": "hello"}
    assert event.fields["group"] is True
    assert event.context["mentioned"] is True


def test_message_to_others_in_a_channel_is_no_mention() -> None:
    other = {**MENTION, "mentioned": {"id": "29:other"}}
    payload = teams(text="<at>Bob</at> hello", entities=[other], conversation=CHANNEL)

    (event,) = normalise("teams", payload)

    assert event.context["mentioned"] is False
    assert event.fields["content"] == {"type": "text", "text": "Bob hello"}


def test_uploaded_file_has_its_download_url() -> None:
    file = {
        "contentType": "application/vnd.microsoft.teams.file.download.info",
        "name": "plan.pdf",
        "content": {"downloadUrl": "https://x.sharepoint.com/d", "uniqueId": "u1"},
    }

    event = normalise_one("teams", teams(attachments=[file], text="see"))

    assert event["content"] == {
        "type": "file",
        "text": "see",
        "attachments": [
            {"media_id": "u1", "name": "plan.pdf", "url": "https://x.sharepoint.com/d"}
        ],
    }


def test_inline_image_is_an_image() -> None:
    image = {"contentType": "image/png", "contentUrl": "https://smba.trafficmanager.net/i"}
    html = {"contentType": "text/html", "content": "<p>look</p>"}

    event = normalise_one("teams", teams(attachments=[image, html]))

    assert event["content"]["type"] == "image"
    assert event["content"]["text"] == "look"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"choice": "a"}, {"type": "choice", "choice": {"id": "a"}}),
        ({"name": "Ann", "age": "4"}, {"type": "form", "values": {"name": "Ann", "age": "4"}}),
    ],
    ids=["choice", "form"],
)
def test_submitted_card(value: dict[str, Any], content: dict[str, Any]) -> None:
    assert normalise_one("teams", teams(value=value))["content"] == content


def test_action_of_an_adaptive_card_is_a_choice() -> None:
    payload = teams(
        type="invoke",
        name="adaptiveCard/action",
        value={"action": {"type": "Action.Execute", "verb": "yes", "title": "Yes"}},
    )

    assert normalise_one("teams", payload)["content"]["choice"] == {"id": "yes", "title": "Yes"}


def test_new_members_are_participants() -> None:
    payload = teams(
        type="conversationUpdate",
        membersAdded=[{"id": "28:bot"}, {"id": "29:x", "name": "Bob"}],
    )

    events = [event.to_json() for event in normalise("teams", payload)]

    assert [event["kind"] for event in events] == ["participants", "participants"]
    assert events[1]["action"] == "join"


def test_own_message_is_ignored() -> None:
    payload = teams(**{"from": {"id": "28:bot"}}, text="hi")

    assert normalise_one("teams", payload)["reason"] == "bot_message"


def test_deleted_message_is_a_deletion() -> None:
    payload = teams(type="messageDelete", channelData={"eventType": "softDeleteMessage"})

    assert normalise_one("teams", payload) == {
        "kind": "delete",
        "target": "1",
        "conversation_key": "conversation:a:1",
        "at": "2026-01-31T12:00:00Z",
    }


def test_typing_and_read_receipt() -> None:
    receipt = teams(
        type="event",
        name="application/vnd.microsoft.readReceipt",
        value={"lastReadMessageId": "1575"},
    )

    assert normalise_one("teams", teams(type="typing"))["kind"] == "typing"
    assert normalise_one("teams", receipt)["target"] == "1575"


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        ({"type": "event", "name": "meetingStart"}, "event:meetingStart"),
        ({"type": "endOfConversation"}, "activity:endOfConversation"),
        (
            {"type": "conversationUpdate", "channelData": {"eventType": "channelCreated"}},
            "conversationUpdate:channelCreated",
        ),
        ({"type": "invoke", "name": "task/fetch"}, "invoke:task/fetch"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_activities_are_ignored(activity: dict[str, Any], reason: str) -> None:
    assert normalise_one("teams", teams(**activity)) == {"kind": "ignored", "reason": reason}


def test_installation_is_a_state_of_the_account() -> None:
    payload = teams(type="installationUpdate", action="remove-upgrade")

    assert normalise_one("teams", payload)["state"] == "uninstalled"


def test_service_url_is_kept_for_answers() -> None:
    (event,) = normalise("teams", teams(text="hi"))

    assert event.context["service_url"] == "https://smba.trafficmanager.net/emea/"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<at>Helper</at>&nbsp;hello", "hello"),
        ("<at>Helper</at> is a<b and c>d, <at>Bob</at>?", "is a<b and c>d, Bob?"),
        ("<at>Helper</at>", ""),
    ],
)
def test_only_tags_of_mentions_are_removed_from_plain_text(text: str, expected: str) -> None:
    html = {"contentType": "text/html", "content": "<p>Helper</p>"}
    payload = teams(text=text, entities=[MENTION], conversation=CHANNEL, attachments=[html])

    assert normalise_one("teams", payload)["content"] == {"type": "text", "text": expected}


def test_mention_without_text_is_removed_by_the_name() -> None:
    mention = {"type": "mention", "mentioned": {"id": "28:bot", "name": "Helper"}}
    payload = teams(text="<at>Helper</at> hello", entities=[mention], conversation=CHANNEL)

    assert normalise_one("teams", payload)["content"]["text"] == "hello"


def test_text_in_xml_is_shown_without_tags() -> None:
    payload = teams(text="<p>a &amp; b</p><p>c</p>", textFormat="xml")

    assert normalise_one("teams", payload)["content"]["text"] == "a & b\nc"


QUOTE_HTML = (
    '<blockquote itemscope itemtype="http://schema.skype.com/Reply" itemid="1617">'
    '<strong itemid="28:bot">Helper</strong><p itemprop="preview">old</p></blockquote><p>new</p>'
)


@pytest.mark.parametrize(
    "activity",
    [
        {
            "text": '<quoted messageId="1617"/> new',
            "entities": [{"type": "quotedReply", "quotedReply": {"messageId": "1617"}}],
        },
        {"attachments": [{"contentType": "text/html", "content": QUOTE_HTML}]},
    ],
    ids=["entity", "html"],
)
def test_message_with_a_quote_replies_to_it(activity: dict[str, Any]) -> None:
    event = normalise_one("teams", teams(**activity))

    assert event["reply_to"] == "1617"
    assert event["content"] == {"type": "text", "text": "new"}


def test_card_with_other_inputs_is_a_form() -> None:
    value = {"action": "book", "name": "Ann"}

    assert normalise_one("teams", teams(value=value))["content"] == {
        "type": "form",
        "values": value,
    }


def test_action_of_an_adaptive_card_with_inputs_is_a_form() -> None:
    action = {"type": "Action.Execute", "verb": "book", "data": {"name": "Ann"}}
    payload = teams(type="invoke", name="adaptiveCard/action", value={"action": action})

    assert normalise_one("teams", payload)["content"] == {
        "type": "form",
        "form": "book",
        "values": {"name": "Ann"},
    }


def test_submitted_suggestion_is_an_answer() -> None:
    payload = teams(type="invoke", name="suggestedActions/submit", value={"choice": "a"})

    assert normalise_one("teams", payload)["content"]["choice"] == {"id": "a"}


@pytest.mark.parametrize(
    "activity",
    [
        {"type": "messageUpdate", "text": "new"},
        {"type": "messageReaction", "replyToId": "1", "reactionsAdded": [{"type": "like"}]},
    ],
    ids=["edit", "reaction"],
)
def test_own_change_is_ignored(activity: dict[str, Any]) -> None:
    payload = teams(**{"from": {"id": "28:bot"}}, **activity)

    assert normalise_one("teams", payload)["reason"] == "bot_message"


def test_file_of_any_type_with_an_address_is_kept() -> None:
    attachment = {"contentType": "application/pdf", "contentUrl": "https://x/1", "name": "a.pdf"}

    event = normalise_one("teams", teams(attachments=[attachment], text="see"))

    assert event["content"] == {
        "type": "file",
        "text": "see",
        "attachments": [{"mime": "application/pdf", "name": "a.pdf", "url": "https://x/1"}],
    }


def test_html_keeps_emojis_but_no_other_images() -> None:
    html = (
        '<p>hi <emoji id="smile" alt="🙂" title="Smile"></emoji>'
        '<img itemtype="http://schema.skype.com/Emoji" alt="🎉" src="x">'
        '<img alt="image" src="y"></p>'
    )
    payload = teams(attachments=[{"contentType": "text/html", "content": html}])

    assert normalise_one("teams", payload)["content"] == {"type": "text", "text": "hi 🙂🎉"}

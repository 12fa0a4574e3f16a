"""Slack: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from backend.services.chat.domain.channels.registry import build_dedup_key
from tests.services.chat.domain.channels.normalising import (
    normalise,
    normalise_one,
    slack,
    slack_message,
)


def test_app_mention_and_message_of_one_post_have_one_key() -> None:
    (message,) = normalise("slack", slack_message(text="<@UBOT> hi"))
    (mention,) = normalise("slack", slack_message(type="app_mention", text="<@UBOT> hi"))

    assert build_dedup_key(message) == build_dedup_key(mention)
    assert message.context["mentioned"] is mention.context["mentioned"] is True


def test_event_that_is_sent_again_has_the_same_key() -> None:
    keys = {build_dedup_key(normalise("slack", slack_message(text="hi"))[0]) for _ in range(3)}

    assert len(keys) == 1


def test_posts_with_one_ts_in_two_channels_have_two_keys() -> None:
    keys = {
        build_dedup_key(normalise("slack", slack_message(text="hi", channel=channel))[0])
        for channel in ("C1", "C2")
    }

    assert len(keys) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"attachments": [{"title": "preview"}]},
        {"reply_count": 1},
        {"metadata": {"event_type": "x"}},
    ],
)
def test_edit_with_unchanged_text_is_ignored(changes: dict[str, Any]) -> None:
    before = {"type": "message", "user": "U1", "ts": "1.2", "text": "same"}
    payload = slack_message(
        subtype="message_changed", hidden=True, message=before | changes, previous_message=before
    )

    assert normalise_one("slack", payload) == {"kind": "ignored", "reason": "unchanged_edit"}


@pytest.mark.parametrize(
    "event",
    [
        {"subtype": "message_replied", "hidden": True},
        {"hidden": True, "text": "secret"},
        {"bot_id": "B1", "text": "from a bot"},
        {"user": "UBOT", "text": "from ourselves"},
        {"subtype": "channel_topic", "text": "topic"},
    ],
    ids=lambda event: str(sorted(event)),
)
def test_message_that_no_person_wrote_is_ignored(event: dict[str, Any]) -> None:
    assert normalise_one("slack", slack_message(**event))["kind"] == "ignored"


def test_reply_in_a_thread_belongs_to_the_thread() -> None:
    event = normalise_one("slack", slack_message(text="hi", thread_ts="1600000000.000100"))

    assert event["conversation_key"] == "channel:C1:1600000000.000100"
    assert event["reply_to"] == "1600000000.000100"


def test_direct_messages_are_one_conversation() -> None:
    keys = {
        normalise_one("slack", slack_message(channel="D1", channel_type="im", ts=ts, text="hi"))[
            "conversation_key"
        ]
        for ts in ("1.1", "1.2")
    }

    assert keys == {"channel:D1"}


def test_direct_message_is_not_of_a_group() -> None:
    (event,) = normalise("slack", slack_message(channel="D1", channel_type="im", text="hi"))

    assert event.context["group"] is False


def test_reaction_names_message_and_emoji() -> None:
    payload = slack(
        type="reaction_removed",
        user="U1",
        reaction="thumbsup",
        item={"type": "message", "channel": "C1", "ts": "1.2"},
        event_ts="1610262363.1",
    )

    assert normalise_one("slack", payload) == {
        "kind": "reaction",
        "sender": {"id": "U1"},
        "target": "1.2",
        "action": "remove",
        "emoji": "thumbsup",
        "at": "2021-01-10T07:06:03Z",
    }


def test_deletion_of_a_reply_has_the_key_of_its_thread() -> None:
    payload = slack_message(
        subtype="message_deleted",
        deleted_ts="1.5",
        previous_message={"ts": "1.5", "thread_ts": "1.1", "user": "U1"},
        event_ts="2",
    )

    event = normalise_one("slack", payload)

    assert (event["target"], event["conversation_key"]) == ("1.5", "channel:C1:1.1")


@pytest.mark.parametrize(
    ("action", "chosen"),
    [
        ({"type": "datepicker", "selected_date": "2026-01-31"}, "2026-01-31"),
        ({"type": "users_select", "selected_user": "U9"}, "U9"),
        ({"type": "multi_users_select", "selected_users": ["U8", "U9"]}, "U8,U9"),
        (
            {
                "type": "checkboxes",
                "selected_options": [
                    {"value": "a", "text": {"text": "A"}},
                    {"value": "b", "text": {"text": "B"}},
                ],
            },
            "a,b",
        ),
        ({"type": "button"}, "pick"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_chosen_value_of_each_element(action: dict[str, Any], chosen: str) -> None:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "trigger_id": "t",
        "container": {"type": "message", "channel_id": "C1", "message_ts": "1.1"},
        "actions": [{"action_id": "pick", **action}],
    }

    assert normalise_one("slack", payload)["content"]["choice"]["id"] == chosen


def test_revoked_token_is_a_state_of_the_account() -> None:
    payload = slack(type="tokens_revoked", tokens={"bot": ["UBOT"]})

    assert normalise_one("slack", payload) == {"kind": "account", "state": "tokens_revoked"}


def test_event_of_another_team_is_ignored() -> None:
    event = normalise_one("slack", slack_message(text="hi"), {"team_id": "T2"})

    assert event["reason"] == "other_account"


def test_forwarded_message_has_its_text() -> None:
    shared = {"is_share": True, "author_id": "U9", "text": "the original", "fallback": "x"}

    event = normalise_one("slack", slack_message(text="", attachments=[shared]))

    assert event["content"] == {"type": "text", "text": "the original"}


def test_message_without_text_has_that_of_its_blocks() -> None:
    section = {
        "type": "rich_text_section",
        "elements": [
            {"type": "user", "user_id": "U9"},
            {"type": "text", "text": " look at "},
            {"type": "link", "url": "https://example.org"},
        ],
    }
    items = [{"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}]}]
    blocks = [
        {"type": "rich_text", "elements": [section, {"type": "rich_text_list", "elements": items}]},
        {"type": "section", "text": {"type": "mrkdwn", "text": "b"}},
        {"type": "divider"},
    ]

    event = normalise_one("slack", slack_message(text="", blocks=blocks))

    assert event["content"]["text"] == "<@U9> look at https://example.org\na\nb"


def test_edit_without_ts_is_of_the_message_before_it() -> None:
    payload = slack_message(
        subtype="message_changed",
        message={"user": "U1", "text": "new"},
        previous_message={"user": "U1", "text": "old", "ts": "1.2"},
    )

    event = normalise_one("slack", payload)

    assert (event["target"], event["conversation_key"]) == ("1.2", "channel:C1:1.2")


def test_button_in_a_direct_message_is_an_answer_in_its_conversation() -> None:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "trigger_id": "t",
        "container": {"type": "message", "channel_id": "D1", "message_ts": "1.1"},
        "actions": [{"type": "button", "action_id": "pick", "value": "a"}],
    }

    assert normalise_one("slack", payload)["conversation_key"] == "channel:D1"


def test_text_of_a_rich_text_input_is_the_choice() -> None:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": "Hey"}]}
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "container": {"type": "message", "channel_id": "C1", "message_ts": "1.1"},
        "actions": [
            {
                "type": "rich_text_input",
                "action_id": "pick",
                "rich_text_value": {"type": "rich_text", "elements": [section]},
            }
        ],
    }

    assert normalise_one("slack", payload)["content"]["choice"]["id"] == "Hey"


def test_revoked_tokens_of_users_are_ignored() -> None:
    payload = slack(type="tokens_revoked", tokens={"oauth": ["U1"], "bot": []})

    assert normalise_one("slack", payload)["reason"] == "unhandled:tokens_revoked"


def test_member_that_joins_again_is_another_event() -> None:
    join = slack(type="member_joined_channel", user="U1", channel="C1")
    keys = [
        build_dedup_key(normalise("slack", {**join, "event_id": event_id})[0])
        for event_id in ("Ev1", "Ev1", "Ev2")
    ]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "teams",
    [
        {"authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_bot": True}]},
        {"context_team_id": "T1"},
    ],
    ids=["authorization", "context"],
)
def test_message_of_a_partner_in_a_shared_channel_is_of_our_team(teams: dict[str, Any]) -> None:
    payload = {**slack_message(text="hi"), "team_id": "T9", **teams}

    assert normalise_one("slack", payload, {"team_id": "T1"})["kind"] == "message"


@pytest.mark.parametrize(
    "event",
    [
        {"text": "<@UBOT|helper> hi"},
        {
            "text": "",
            "blocks": [{"type": "rich_text", "elements": [{"type": "user", "user_id": "UBOT"}]}],
        },
    ],
    ids=["label", "blocks"],
)
def test_every_form_of_a_mention_is_for_us(event: dict[str, Any]) -> None:
    assert normalise("slack", slack_message(**event))[0].context["mentioned"] is True


def test_message_of_slackbot_is_ignored() -> None:
    payload = slack_message(user="USLACKBOT", channel="D1", channel_type="im", text="Reminder")

    assert normalise_one("slack", payload)["reason"] == "bot_message"


@pytest.mark.parametrize("mode", ["tombstone", "hidden_by_limit"])
def test_file_that_is_gone_is_left_out(mode: str) -> None:
    event = normalise_one("slack", slack_message(text="see", files=[{"id": "F1", "mode": mode}]))

    assert event["content"] == {"type": "text", "text": "see"}


def test_comment_on_a_forwarded_message_keeps_both_texts() -> None:
    attachments = [{"is_share": True, "text": "the original"}, {"text": "preview of a link"}]

    event = normalise_one("slack", slack_message(text="Look:", attachments=attachments))

    assert event["content"]["text"] == "Look:\nthe original"


def test_blocks_keep_links_dates_and_markdown() -> None:
    elements = [
        {"type": "link", "url": "https://example.org", "text": "the page"},
        {"type": "text", "text": " of "},
        {"type": "date", "timestamp": 1720710212, "format": "{date}", "fallback": "11 July"},
    ]
    section = {"type": "rich_text_section", "elements": elements}
    blocks = [{"type": "rich_text", "elements": [section]}, {"type": "markdown", "text": "**b**"}]

    event = normalise_one("slack", slack_message(text="", blocks=blocks))

    assert event["content"]["text"] == "<https://example.org|the page> of 11 July\n**b**"


def test_shortcut_on_a_message_of_blocks_has_their_text() -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "status"}}]
    payload = {
        "type": "message_action",
        "callback_id": "translate",
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
        "message_ts": "1.1",
        "message": {"ts": "1.1", "text": "", "blocks": blocks},
    }

    assert normalise_one("slack", payload)["content"]["text"] == "status"


def test_rate_limit_of_another_minute_is_another_event() -> None:
    keys = {
        build_dedup_key(
            normalise("slack", {"type": "app_rate_limited", "minute_rate_limited": minute})[0]
        )
        for minute in (1518467820, 1518467820, 1518467880)
    }

    assert len(keys) == 2

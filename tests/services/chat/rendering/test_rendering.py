"""Texts, choices and other contents as each channel shows them."""

import pytest

from backend.services.chat.domain.rendering.contents import render_content
from backend.services.chat.domain.rendering.dialects import PLAIN, SLACK, TEAMS, TELEGRAM, WHATSAPP
from backend.services.chat.domain.rendering.markdown import parse_markdown
from backend.services.chat.domain.rendering.sms import measure_sms
from backend.services.chat.domain.rendering.splitting import split_blocks

DIALECTS = {
    "plain": PLAIN,
    "whatsapp": WHATSAPP,
    "slack": SLACK,
    "telegram": TELEGRAM,
    "teams": TEAMS,
}
_LINK = '<a href="https://a.example/?a=1&amp;b=2">'
_TEAMS = f"<p>Hello <strong>you</strong> and <code>code</code>, {_LINK}<strike>old</strike></a></p>"


def write(text, dialect, limit=4000):
    return split_blocks(parse_markdown(text).blocks, DIALECTS[dialect], limit, 40).texts


def render(content, channel, transport="", **arguments):
    return render_content(content, channel, transport, **arguments)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("plain", "Hello you and code, old (https://a.example/?a=1&b=2)"),
        ("whatsapp", "Hello *you* and `code`, old (https://a.example/?a=1&b=2)"),
        ("slack", "Hello *you* and `code`, ~<https://a.example/?a=1&amp;b=2|old>~"),
        ("telegram", f"Hello <b>you</b> and <code>code</code>, {_LINK}<s>old</s></a>"),
        (
            "teams",
            _TEAMS,
        ),
    ],
)
def test_styles_and_links_are_written_in_the_dialect(dialect, expected):
    text = "Hello **you** and `code`, [~~old~~](https://a.example/?a=1&b=2)"
    (written,) = write(text, dialect)
    assert written == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_table_becomes_one_line_a_row_with_the_names_of_the_columns(dialect):
    document = parse_markdown("| Name | Age |\n|---|---|\n| Ada | 36 |\n| Bob | |")

    (written,) = split_blocks(document.blocks, DIALECTS[dialect], 4000, 40).texts

    lines = [line.replace("<p>", "").replace("</p>", "") for line in written.split("\n")]
    assert lines == ["• Name: Ada · Age: 36", "• Name: Bob"]
    assert document.degradations == ("table_as_lines",)


def test_lists_keep_numbers_and_nesting():
    (written,) = write("3. three\n4. four\n   - nested\n\nEnd", "whatsapp")

    assert written == "3. three\n4. four\n  • nested\n\nEnd"


@pytest.mark.parametrize(
    ("dialect", "source", "expected"),
    [
        ("slack", "<!channel> <@U1> a < b & c", "&lt;!channel&gt; &lt;@U1&gt; a &lt; b &amp; c"),
        ("slack", "&lt;!here&gt;", "&lt;!here&gt;"),
        ("telegram", "<b>x</b><a href='tg://user?id=1'>y</a>", "&lt;b&gt;x&lt;/b&gt;"),
        ("teams", "<at>Everyone</at><img src=x onerror=y>", "&lt;at&gt;Everyone&lt;/at&gt;"),
    ],
)
def test_markup_in_text_has_no_effect(dialect, source, expected):
    assert expected in write(source, dialect)[0]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "tg://user?id=1", "data:text/html,x", "vbscript:x", "file:///etc/x"],
)
def test_only_web_mail_and_phone_addresses_become_links(dialect, url):
    (written,) = write(f"[label]({url})", dialect)

    assert "href" not in written
    assert f"<{url}" not in written
    assert "label" in written


@pytest.mark.parametrize("dialect", ["slack", "telegram", "teams"])
@pytest.mark.parametrize(
    "label",
    ["https://bank.example", "bank.example/login", "https://bank.example.", "a@bank.example"],
)
def test_link_whose_text_looks_like_another_address_shows_its_own(dialect, label):
    (written,) = write(f"[{label}](https://bank.example.evil.example/)", dialect)

    assert "|" not in written
    assert "href" not in written
    assert "evil.example" in written


def test_link_with_its_own_address_as_text_is_no_deception():
    assert write("[bank.example](https://bank.example/login)", "slack") == (
        "<https://bank.example/login|bank.example>",
    )


def test_control_characters_and_direction_overrides_are_removed():
    assert write("a\x00b\u202ec\x1b[31md\ud800", "plain") == ("abc[31md",)


def test_marks_within_words_are_left_out_where_they_would_be_shown():
    assert write("foo**bar**baz", "whatsapp") == ("foobarbaz",)
    assert write("foo**bar**baz", "telegram") == ("foo<b>bar</b>baz",)


def test_quotations_and_code_are_marked():
    written = write("> quoted\n> twice\n\n```py\nif a < b:\n```", "slack")[0]

    assert written == "> quoted\n> twice\n\n```\nif a &lt; b:\n```"


def test_deep_nesting_loses_no_text():
    (written,) = write("> " * 300 + "deep", "plain", limit=10_000)

    assert "deep" in written


def test_parts_end_at_paragraphs_then_sentences_then_words():
    paragraphs = write("First one.\n\nSecond one.\n\nThird one.", "plain", limit=26)
    sentences = write("One sentence here. Another one there. Third.", "plain", limit=40)
    words = write("alpha beta gamma delta", "plain", limit=12)

    assert paragraphs == ("First one.\n\nSecond one.", "Third one.")
    assert sentences == ("One sentence here. Another one there. ", "Third.")
    assert words == ("alpha beta ", "gamma delta")


def test_joined_emoji_and_combined_letters_are_not_cut():
    family = "👨‍👩‍👧‍👦"
    texts = write(family * 20, "plain", limit=30)

    assert all(set(text.split(family)) == {""} for text in texts)
    assert "".join(texts) == family * 20


def test_code_block_is_moved_to_the_next_part_and_not_cut():
    code = "```\n" + "\n".join(f"line {number}" for number in range(8)) + "\n```"
    texts = write("word " * 10 + "\n\n" + code, "whatsapp", limit=90)

    assert len(texts) == 2
    assert texts[1].startswith("```\nline 0")
    assert texts[1].endswith("line 7\n```")


def test_code_block_that_fits_nowhere_is_cut_at_lines_and_noted():
    code = "```\n" + "\n".join(f"line {number}" for number in range(50)) + "\n```"
    parts = split_blocks(parse_markdown(code).blocks, WHATSAPP, 100, 40)

    assert parts.is_code_cut
    assert all(text.startswith("```\n") and text.endswith("\n```") for text in parts.texts)
    lines = [line for text in parts.texts for line in text.split("\n") if line.startswith("line")]
    assert lines == [f"line {number}" for number in range(50)]


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("a" * 160, "gsm7", 160, 1),
        ("a" * 161, "gsm7", 161, 2),
        ("€" * 80, "gsm7", 160, 1),
        ("a" * 152 + "€" + "a" * 10, "gsm7", 164, 2),
        ("a" * 306, "gsm7", 306, 2),
        ("a" * 307, "gsm7", 307, 3),
        ("ç" * 70, "ucs2", 70, 1),
        ("ç" * 71, "ucs2", 71, 2),
        ("😀" * 35, "ucs2", 70, 1),
        ("😀" * 36, "ucs2", 72, 2),
        ("x" * 66 + "😀" + "ç" * 10, "ucs2", 78, 2),
        ("", "gsm7", 0, 1),
    ],
)
def test_sms_segments_are_counted_without_dividing_characters(text, encoding, units, segments):
    size = measure_sms(text)

    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)


def options(count, title="Option {}"):
    return [{"id": f"o{number}", "title": title.format(number)} for number in range(count)]


@pytest.mark.parametrize(
    ("channel", "count", "title", "form"),
    [
        ("whatsapp", 3, "Option {}", "buttons"),
        ("whatsapp", 4, "Option {}", "list"),
        ("whatsapp", 3, "An option of 22 chars{}", "list"),
        ("whatsapp", 11, "Option {}", "text"),
        ("whatsapp", 3, "A title that is too long for a list {}", "text"),
        ("messenger", 13, "Option {}", "buttons"),
        ("messenger", 14, "Option {}", "text"),
        ("slack", 25, "Option {}", "buttons"),
        ("slack", 26, "Option {}", "list"),
        ("teams", 6, "Option {}", "buttons"),
        ("teams", 7, "Option {}", "list"),
        ("telegram", 50, "Option {}", "buttons"),
        ("twilio", 2, "Option {}", "text"),
    ],
)
def test_choice_is_shown_as_buttons_then_a_list_then_numbered_text(channel, count, title, form):
    content = {"type": "choice", "text": "Which?", "options": options(count, title)}

    rendering = render(content, channel)

    part = rendering.parts[-1]
    if form == "text":
        assert "1. " in part.text
        assert "choice_as_text" in rendering.degradations
    else:
        assert part.kind == "choice"
        assert part.as_list == (form == "list")
        assert len(part.options) == count


def test_telegram_choice_with_a_long_id_becomes_text():
    content = {"type": "choice", "text": "?", "options": [{"id": "x" * 65, "title": "A"}]}

    assert render(content, "telegram").parts[0].kind == "text"


def test_choice_with_a_long_question_has_its_options_at_the_last_part():
    content = {"type": "choice", "text": "word " * 500, "options": options(2)}

    parts = render(content, "whatsapp").parts

    assert [part.kind for part in parts[:-1]] == ["text"] * (len(parts) - 1)
    assert parts[-1].kind == "choice"
    assert all(len(part.text) <= 1024 for part in parts)


@pytest.mark.parametrize(
    ("channel", "transport", "kind", "size", "mime", "expected"),
    [
        ("whatsapp", "", "file", 22_000_000, "application/pdf", "file"),
        ("whatsapp", "", "image", 100_000, "image/webp", "converted"),
        ("whatsapp", "", "image", 6_000_000, "image/jpeg", "file"),
        ("whatsapp", "", "audio", 1_000, "audio/wav", "file"),
        ("whatsapp", "", "file", 101_000_000, "application/pdf", "link"),
        ("telegram", "", "image", 11_000_000, "image/png", "file"),
        ("telegram", "", "video", 51_000_000, "video/mp4", "link"),
        ("twilio", "", "image", 5_000_000, "image/jpeg", "media link"),
        ("twilio", "", "image", 10_000_000, "image/jpeg", "link"),
        ("twilio", "whatsapp", "image", 10_000_000, "image/jpeg", "media link"),
        ("twilio", "whatsapp", "image", 17_000_000, "image/jpeg", "link"),
        ("teams", "", "image", 1_000, "image/png", "link"),
        ("slack", "", "video", 200_000_000, "video/mp4", "video"),
    ],
)
def test_file_is_sent_as_the_channel_accepts_it(channel, transport, kind, size, mime, expected):
    attachment = {"id": "att_1", "mime": mime, "size": size, "name": "a.bin"}
    content = {"type": kind, "attachments": [attachment]}

    rendering = render(content, channel, transport, sign_link=lambda name: f"https://x/{name}")

    (part,) = rendering.parts
    if expected == "link":
        assert part.media is None
        assert "https://x/att_1" in part.text
        assert "media_as_link" in rendering.degradations
    elif expected == "media link":
        assert part.media.link == "https://x/att_1"
    elif expected == "converted":
        assert (part.media.type, part.media.convert_to) == ("image", "image/png")
    else:
        assert part.media.type == expected
        assert part.media.link is None


def test_location_form_carousel_and_contacts_become_text_where_needed():
    place = {"type": "location", "latitude": 1.5, "longitude": -2.0, "name": "Office"}
    form = {
        "type": "form",
        "title": "Order",
        "fields": [
            {"id": "n", "title": "Your name?"},
            {"id": "s", "title": "Size?", "options": ["S"]},
        ],
    }
    cards = {"type": "carousel", "cards": [{"title": "A", "text": "a"}, {"title": "B*"}]}
    contacts = {"type": "contacts", "contacts": [{"name": "Ada", "phones": ["+4912"]}]}

    assert "mlat=1.500000&mlon=-2.000000" in render(place, "messenger").parts[0].text
    assert render(place, "telegram").parts[0].kind == "location"
    assert render(form, "messenger").parts[0].text == "Order\n\n1. Your name?\n2. Size? (S)"
    assert [part.text for part in render(cards, "whatsapp").parts] == ["*A*\n\na", "B*"]
    assert render(contacts, "twilio").parts[0].text == "Ada, +4912"
    assert render(contacts, "whatsapp").parts[0].kind == "contacts"


def test_message_of_ten_thousand_parts_is_shortened():
    rendering = render({"type": "text", "text": "word " * 2_000 * 10_000}, "twilio")

    assert len(rendering.parts) == 40
    assert rendering.parts[-1].text == "[…]"
    assert rendering.degradations == ("shortened",)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "choice", "options": None},
        {"type": "choice", "text": "?", "options": [1, None, {"title": None}]},
        {"type": "carousel", "cards": [None, {"image": 3}]},
        {"type": "image", "attachments": [None, 7]},
        {"type": "contacts", "contacts": [{"name": 1, "phones": 2}]},
        {"type": "form", "fields": "x"},
        {"type": "location", "latitude": "north"},
        {"type": "something new", "text": "shown"},
    ],
)
def test_incomplete_content_does_not_raise(content):
    for channel in ("whatsapp", "slack", "twilio", "telegram", "teams", "messenger", "generic"):
        render(content, channel)

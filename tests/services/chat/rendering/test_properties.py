"""Properties of every rendered text: nothing is lost, no part is too long, markup is valid."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.services.chat.domain.rendering.contents import render_content
from backend.services.chat.domain.rendering.dialects import PLAIN, SLACK, TEAMS, TELEGRAM, WHATSAPP
from backend.services.chat.domain.rendering.markdown import parse_markdown
from backend.services.chat.domain.rendering.splitting import split_blocks

DIALECTS = {
    "plain": PLAIN,
    "whatsapp": WHATSAPP,
    "slack": SLACK,
    "telegram": TELEGRAM,
    "teams": TEAMS,
}
_SYNTAX = [
    *("**", "*", "_", "~~", "`", "```", "```py\n", "\n", "\n\n", "> ", "- ", "1. ", "# ", "---"),
    *(
        "| a | b |\n|---|---|\n",
        " | ",
        "[",
        "](https://x.example/)",
        "](javascript:x)",
        "![",
        "<b>",
    ),
    *("<!channel>", "<@U1>", "&lt;", "&", "<", ">", "\\", "    ", "👨‍👩‍👧‍👦", "🇩🇪", "é", "\u202e"),
    *("\x00", "。", " ", "https://bank.example", "|", "*bold*", "\t"),
]
words = st.text("abcXYZ0189äß漢字", min_size=1, max_size=12)
markdown = st.lists(st.one_of(words, st.sampled_from(_SYNTAX)), max_size=60).map("".join)
slower = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


class _StrictParser(HTMLParser):
    """Reads the text and checks that tags are closed in order."""

    def __init__(self, allowed):
        super().__init__(convert_charrefs=True)
        self.allowed, self.open, self.text = allowed, [], ""

    def handle_starttag(self, tag, attrs):
        assert tag in self.allowed
        assert all(name in {"href", "class"} for name, _ in attrs)
        for name, value in attrs:
            assert name != "href" or value.startswith(("http://", "https://"))
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


TAGS = {
    "telegram": {"b", "i", "s", "code", "pre", "a", "blockquote"},
    "teams": {"p", "strong", "em", "strike", "code", "pre", "a", "br", "blockquote"},
}


def read_text(dialect, text):
    """Return the characters that a reader sees, and check the markup."""
    if dialect in TAGS:
        parser = _StrictParser(TAGS[dialect])
        parser.feed(text)
        parser.close()
        assert parser.open == []
        return parser.text
    if dialect == "slack":
        for link in re.findall(r"<([^>]*)>", text):
            assert link.startswith(("http://", "https://", "mailto:", "tel:"))
        text = re.sub(r"<[^>|]*\|([^>]*)>", r"\1", text)
        return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text


def letters(text):
    """Return the letters and digits in their order, without URLs, which dialects place freely."""
    text = re.sub(r"https://x\.example/?", "", text)
    return [character for character in text if character.isalnum()]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(source=markdown, limit=st.integers(60, 400))
@slower
def test_no_part_is_too_long_and_no_letter_is_lost(dialect, source, limit):
    blocks = parse_markdown(source).blocks
    writer = DIALECTS[dialect]
    whole = split_blocks(blocks, writer, 10**9, 10**9)
    parts = split_blocks(blocks, writer, limit, 10**9)

    assert all(writer.measure(text) <= limit for text in parts.texts)
    expected = letters("".join(run.text for block in blocks for run in block.runs))
    read = [letters(read_text(dialect, text)) for text in parts.texts]
    numbers = letters("".join(block.prefix for block in blocks))
    assert len([c for text in read for c in text]) >= len(expected) + len(numbers)
    _assert_subsequence(expected, [c for text in read for c in text])
    _assert_subsequence(
        expected, [c for text in whole.texts for c in letters(read_text(dialect, text))]
    )


def _assert_subsequence(expected, found):
    remaining = iter(found)
    assert all(any(item == candidate for candidate in remaining) for item in expected)


@given(source=markdown)
@slower
def test_every_letter_of_the_source_is_in_the_blocks(source):
    # Language names of code blocks and titles of links are not shown.
    source = re.sub(r"```py", "```", source)
    shown = letters(
        "".join(
            run.text + (run.url or "")
            for block in parse_markdown(source).blocks
            for run in block.runs
        )
    )
    plain = re.sub(r"\((?:https://x\.example/|javascript:x)\)|&lt;|&", "", source)
    plain = re.sub(r"(?m)^[\s>*+-]*\d+[.)]", "", plain)
    lost = set(letters(plain)) - set(shown) - set("0123456789")
    assert "```" in source or "|" in source or not lost


@pytest.mark.parametrize(
    "channel", ["whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"]
)
@given(source=st.one_of(markdown, st.text(max_size=300)))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_renders_within_the_limits_of_the_channel(channel, source):
    from backend.services.chat.domain.rendering.limits import get_limits

    limits = get_limits(channel)
    content = {"type": "choice", "text": source, "options": [{"id": "a", "title": source or "x"}]}
    for part in render_content(content, channel).parts:
        assert limits.dialect.measure(part.text) <= limits.text
        part.text.encode()

"""Parsers of text formats and chunking take linear time on any text."""

import json
from contextlib import suppress

import pytest

from backend.ai.embedding import EmbeddingTokenizer
from backend.services.rag.domain.ingestion.chunking import join_hyphenated_words, split_into_chunks
from backend.services.rag.extraction.content import Page, UnreadableFile, clean_page
from backend.services.rag.extraction.text.html import parse_html
from backend.services.rag.extraction.text.icalendar import parse_icalendar
from backend.services.rag.extraction.text.json_records import parse_json, parse_json_lines
from backend.services.rag.extraction.text.mail import parse_email
from backend.services.rag.extraction.text.plain import parse_csv, parse_markdown
from tests.hostile_texts import find_slow_texts, is_linear

pytestmark = pytest.mark.slow
FIND_TOKEN_SPANS = EmbeddingTokenizer().find_token_spans
TEXTS = {
    "markdown": (parse_markdown, "{}"),
    "csv": (parse_csv, "{}"),
    "html": (parse_html, "<html><p>{}"),
    "json": (parse_json, "{}"),
    "json_lines": (parse_json_lines, "{}"),
    "email_body": (parse_email, "Subject: a\nFrom: b@c\n\n{}"),
    "email_subject": (parse_email, "Subject: {}\nFrom: b@c\n\na"),
    "email_encoded_subject": (parse_email, "Subject: =?utf-8?q?{}?=\nFrom: b@c\n\na"),
    "email_media_type": (parse_email, "Subject: a\nContent-Type: a/b; {}\n\na"),
    "email_boundary": (
        parse_email,
        'Subject: a\nContent-Type: multipart/mixed; boundary="b"\n\n--b{}\n\na',
    ),
    "email_flowed": (parse_email, "Content-Type: text/plain; format=flowed\n\n{}"),
    "icalendar": (parse_icalendar, "BEGIN:VEVENT\nSUMMARY;A={}\nDESCRIPTION:{}\n"),
    "email_sender": (parse_email, "Subject: a\nFrom: {}\n\na"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_parsing_takes_linear_time(name, tmp_path):
    parse, frame = TEXTS[name]

    def parse_text(text):
        file = tmp_path / "file"
        file.write_text(frame.replace("{}", text), "utf-8", "replace", newline="")
        with suppress(UnreadableFile):
            for page in parse(file).pages:
                clean_page(page)

    parse_text("a")
    assert find_slow_texts(parse_text) == []


def test_parsing_a_json_text_takes_linear_time(tmp_path):
    def parse_text(text):
        file = tmp_path / "file"
        file.write_text(json.dumps({"text": text, text: [text]}))
        for page in parse_json(file).pages:
            clean_page(page)

    assert find_slow_texts(parse_text) == []


def test_markdown_headings_between_code_blocks_take_linear_time(tmp_path):
    def parse_text(text):
        file = tmp_path / "file"
        file.write_text(text)
        parse_markdown(file)

    assert is_linear(parse_text, "```\na\n```\n# a\n")


def test_cleaning_and_chunking_take_linear_time():
    def chunk(text):
        cleaned = clean_page(Page(text)).text
        split_into_chunks(join_hyphenated_words(cleaned), FIND_TOKEN_SPANS)

    chunk("a")
    assert find_slow_texts(chunk) == []

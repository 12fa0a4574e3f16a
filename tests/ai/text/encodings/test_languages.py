"""Text without a declared encoding, in many languages and encodings."""

import unicodedata

import pytest

from backend.ai.text.encodings import decode_text
from tests.ai.text.encodings.encoded_texts import SENTENCES, iterate_encoded_texts

PARAGRAPHS = [0]
OTHER_SENTENCES = [1, 2, 3, 4, 5]


def normalize(text):
    # The encodings of Romanian have s and t with cedilla or with comma below.
    text = text.translate(str.maketrans("şţŞŢ", "șțȘȚ"))
    return unicodedata.normalize("NFC", text)


def find_misread_texts(indexes):
    misread = [
        (language, encoding)
        for language, encoding, text, content in iterate_encoded_texts(indexes)
        if normalize(decode_text(content)) != normalize(text)
    ]
    return misread, sum(1 for _ in iterate_encoded_texts(indexes))


def test_paragraph_of_each_language_and_encoding_is_read():
    misread, _ = find_misread_texts(PARAGRAPHS)

    assert misread == []


def test_most_short_texts_are_read():
    misread, count = find_misread_texts(OTHER_SENTENCES)

    assert len(misread) <= 0.05 * count


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_byte_order_mark_is_read(language, encoding):
    text = "\n".join(SENTENCES[language])

    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("language", ["de", "pl", "lt", "ru", "el", "th", "ja", "zh", "ko"])
def test_non_ascii_text_far_behind_the_start_is_read(language):
    encoding = {"ja": "cp932", "zh": "gb18030", "ko": "cp949", "th": "cp874"}.get(language)
    encoding = encoding or {"de": "cp1252", "pl": "cp1250", "lt": "cp1257", "ru": "koi8-r"}.get(
        language, "cp1253"
    )
    text = "row,1,2,3\r" * 30_000 + SENTENCES[language][0]

    assert decode_text(text.encode(encoding, "replace")).endswith(text[-10:])
    dense = (SENTENCES[language][0] + "\n") * 3000
    assert decode_text(dense.encode(encoding, "replace"))[-11:-1] == dense[-11:-1]

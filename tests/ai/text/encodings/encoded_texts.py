"""Sentences of many languages, and the encodings in which such text is stored.

They were written for this project: a paragraph, a sentence and a heading a language, then others
that were added after the first rules were written. Some rules were adjusted to both.
"""
# ruff: noqa: RUF001 - non-Latin letters are intended

import json
import unicodedata
from pathlib import Path

SENTENCES = json.loads((Path(__file__).parent / "sentences.json").read_text("utf-8"))

_WESTERN = "cp1252 iso8859-15 mac-roman cp850"
_CENTRAL = "cp1250 iso8859-2 cp852 mac-latin2"
_BALTIC = "cp1257 iso8859-13 iso8859-4 cp775"
_CYRILLIC = "cp1251 iso8859-5 mac-cyrillic"
ENCODINGS = {
    **dict.fromkeys(
        ["de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "sq"], _WESTERN
    ),
    **dict.fromkeys(["pl", "cs", "sk", "hu", "hr", "sl", "ro"], _CENTRAL),
    **dict.fromkeys(["lt", "lv", "et"], _BALTIC),
    **dict.fromkeys(["sr", "be"], _CYRILLIC),
    **dict.fromkeys(["ru", "bg"], f"{_CYRILLIC} koi8-r cp866"),
    "uk": f"{_CYRILLIC} koi8-u",
    "tr": "cp1254 iso8859-9 cp857 mac-turkish",
    "el": "cp1253 iso8859-7 mac-greek cp737",
    "he": "cp1255 iso8859-8",
    "ar": "cp1256 iso8859-6",
    "vi": "cp1258",
    "th": "cp874 tis-620",
    "ja": "cp932 euc_jp iso2022_jp",
    "zh": "gb18030",
    "zh-t": "big5",
    "ko": "cp949 iso2022_kr",
}


def encode(text, encoding):
    """Encode *text*. windows-1258 has the tones of Vietnamese as combining characters only."""
    if encoding != "cp1258":
        return text.encode(encoding)
    tones = "\u0300\u0301\u0303\u0309\u0323"
    result = ""
    for char in text:
        letter, *marks = unicodedata.normalize("NFD", char)
        base = unicodedata.normalize("NFC", letter + "".join(m for m in marks if m not in tones))
        result += base + "".join(mark for mark in marks if mark in tones)
    return result.encode(encoding)


def iterate_encoded_texts(indexes):
    """Yield language, encoding, text and bytes of the sentences with these *indexes*.

    Text that the encoding lacks letters for is left out.
    """
    for language, sentences in SENTENCES.items():
        for encoding in ENCODINGS[language].split():
            for text in (sentences[index] for index in indexes if index < len(sentences)):
                plain = text.replace("’", "'")
                for candidate in (text, plain):
                    try:
                        content = encode(candidate, encoding)
                    except UnicodeEncodeError:
                        continue
                    yield language, encoding, candidate, content
                    break

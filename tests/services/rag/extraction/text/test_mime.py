"""MIME entities: boundaries, parameters, encoded words and transfer encodings."""

import pytest

from backend.services.rag.extraction.text.mime import decode_encoded_words, parse_entity


def parse(text):
    return parse_entity(memoryview(text if isinstance(text, bytes) else text.encode()))


@pytest.mark.parametrize(
    "boundary",
    [
        "----=_NextPart_000_0031_01DA2F7C.8B1E4400",
        "=_alternative/0035(x)?:,",
        "Apple-Mail=_A1B2",
        "a b'c",
        '"quoted=boundary"',
        "'single'",
    ],
)
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_parts_between_any_boundary_are_found(boundary, line_end):
    value = boundary.strip('"')
    lines = [
        f"Content-Type: multipart/mixed; boundary={boundary}; x=y",
        "",
        "preamble",
        f"--{value}",
        "Content-Type: text/plain",
        "",
        "one",
        f"--{value}x is text",
        f"--{value}  ",
        "",
        "two",
        f"--{value}--",
        "epilogue",
    ]

    parts = list(parse(line_end.join(lines)).iterate_parts())

    assert [each.decode_body() for each in parts] == [
        f"one{line_end}--{value}x is text".encode(),
        b"two",
    ]


def test_part_without_content_is_empty():
    parts = parse(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\nx\n--b--"
    ).iterate_parts()

    assert [each.decode_body() for each in parts] == [b"", b"x"]


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('attachment; filename="Plan für A.pdf"', "Plan für A.pdf"),
        ("attachment; filename*=utf-8''Pl%C3%A4ne.pdf", "Pläne.pdf"),
        ("attachment; filename=x.pdf; filename*=utf-8'de'Pl%C3%A4ne.pdf", "Pläne.pdf"),
        ("attachment; filename*=iso-8859-1''na%EFve.txt", "naïve.txt"),
        ("attachment; filename*0*=utf-8''%D0%9E; filename*1*=%D1%82; filename*2=.doc", "От.doc"),
        ('attachment; filename*0="a very long "; filename*1="name.doc"', "a very long name.doc"),
        ('attachment; filename="=?utf-8?B?5aCx5ZGK?= =?utf-8?Q?=2Exlsx?="', "報告.xlsx"),
        ('attachment;\r\n filename="folded\r\n name.txt"', "folded name.txt"),
        (r'attachment; filename="C:\\mail\\list.csv"', "list.csv"),
        ("attachment; filename=../../etc/passwd", "passwd"),
        ("attachment; filename=two words.txt; size=3", "two words.txt"),
        ("attachment; filename*=none''%41.txt", "A.txt"),
        ("attachment", ""),
    ],
)
def test_file_name_is_decoded(header, filename):
    assert parse(f"Content-Disposition: {header}\r\n\r\n").filename == filename


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus?= =?UTF-8?q?_K=C3=B6ln?=", "Grüße aus Köln"),
        ("=?utf-8?B?5aA=?= =?utf-8?B?seWRig==?=", "報告"),
        ("=?iso-8859-2?Q?=B3=F3d=BC?= (x)", "łódź (x)"),
        ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
        ("=?utf-8*de?Q?=C3=A4?=", "ä"),
        ("Re: =?utf-8?Q?caf=C3=A9?=: order", "Re: café: order"),
        ("=?utf-8?Q?two words?=", "two words"),
        ("=?no-charset?Q?plain?=", "plain"),
        ("=?utf-8?X?no?= =? ?=", "=?utf-8?X?no?= =? ?="),
    ],
)
def test_encoded_words_are_decoded(encoded, text):
    assert decode_encoded_words(encoded) == text


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        ("base64", b"cHVt\r\ncA==\r\n", b"pump"),
        ("base64", b"cHVtcA", b"pump"),
        ("base64", b"cH!!Vt cA==\r\n-- \r\nlist footer", b"pump"),
        ("base64", b"cHVtcAA\x00A", b"pump\x00\x00"),
        ("quoted-printable", b"p=C3=A9=\r\npump", b"p\xc3\xa9pump"),
        ("Quoted-Printable; x", b"100=% = off", b"100=% = off"),
        ("x-uuencode", b"begin 644 a.txt\n$<'5M<```\n`\nend\n", b"pump"),
        ("7bit", b"pump", b"pump"),
        ("unknown", b"pump", b"pump"),
    ],
)
def test_transfer_encoding_is_decoded(encoding, body, content):
    entity = parse(b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + body)

    assert entity.decode_body() == content

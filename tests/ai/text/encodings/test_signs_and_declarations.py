"""Signs without letters, declared encodings, damaged UTF-8."""
# ruff: noqa: RUF001 - quotation marks and signs are intended

import pytest

from backend.ai.text.encodings import decode_text

SIGNS = [
    "The hall is let for £250 a day.\nA deposit of £80 is kept.",
    "Room,Temperature\nCellar,11°C ±2\nAttic,24°C ±3",
    "Use ½ cup of water and a filter of 25 µm; 30×40 mm.",
    "© 2024 The Mill – all rights reserved.",
    "See § 4: 48 € “net”.",
    "It’s the tenant’s “right” – always…",
    "100 µg/m³, 20 m²",
    "Brand® and mark™",
    "• first item\n• second item",
    "the book—always the book—was closed",
    "naïve café at 20°",
    "¿Dónde? ¡Aquí!",
    "Price 5 £ and € 3",
]


@pytest.mark.parametrize("text", SIGNS)
def test_signs_of_windows_1252_are_read(text):
    assert decode_text(text.encode("cp1252")) == text


@pytest.mark.parametrize("text", [SIGNS[0], SIGNS[1], SIGNS[3], SIGNS[4], SIGNS[5], SIGNS[8]])
def test_signs_of_mac_roman_are_read(text):
    assert decode_text(text.encode("mac-roman")) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("mac_iceland", "Þetta er skýrsla um veðrið í dag. Það rigndi á Suðurlandi."),
        ("mac_romanian", "Raportul este în birou și ușa rămâne închisă până la șase."),
        ("mac_croatian", "Račun za uslugu plaćate do petka, inače se naplaćuje kašnjenje."),
    ],
)
def test_mac_encodings_of_single_languages_are_detected(encoding, text):
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "“a” – 85 €…"),
        ("US-ASCII", "cp1252", "“a” – 85 €…"),
        (" Latin1 ", "cp1252", "‘b’"),
        ("ISO_8859-9", "cp1254", "€ ışık"),
        ("tis-620", "cp874", "สวัสดี …"),
        ("gb2312", "gb18030", "镕基 €"),
        ("ks_c_5601-1987", "cp949", "똠방각하"),
        ("shift_jis", "cp932", "①髙"),
        ("x-mac-cyrillic", "mac-cyrillic", "Привет"),
        ("macintosh", "mac-roman", "Größe"),
        ("ibm850", "cp850", "Größe"),
        ('"koi8-r"', "koi8-r", "Да"),
    ],
)
def test_label_has_its_meaning_on_the_web(label, codec, text):
    assert decode_text(text.encode(codec), label) == text


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("utf-7", "utf-7"),
        ("UTF-7", "utf-7"),
        ("iso-2022-kr", "iso2022_kr"),
        ("iso-2022-jp", "iso2022_jp"),
        ("hz-gb-2312", "hz"),
    ],
)
def test_declared_seven_bit_encoding_is_decoded(label, codec):
    text = {"utf-7": "48 € + café", "iso2022_kr": "도서관 a", "iso2022_jp": "契約 a"}.get(
        codec, "合同 a"
    )

    assert decode_text(text.encode(codec), label) == text


@pytest.mark.parametrize("codec", ["iso2022_jp", "iso2022_kr", "iso2022_jp_ext"])
def test_escape_sequences_announce_iso_2022(codec):
    text = "plain line\n" * 2000 + ("도서관" if codec == "iso2022_kr" else "契約の解除")

    assert decode_text(text.encode(codec)) == text


@pytest.mark.parametrize(
    "label", ["replacement", "utf-16", "idna", "unicode_escape", "hex", "rot13", "\x00", "no-such"]
)
def test_label_that_is_no_encoding_of_text_is_ignored(label):
    assert decode_text("Größe und Fläche".encode("cp1252"), label) == "Größe und Fläche"


def test_plain_ascii_with_plus_signs_is_not_utf7():
    assert decode_text(b"a +IKw- b") == "a +IKw- b"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            "Die Größe der Fläche, für ".encode() + b"G\xe4ste",
            "Die Größe der Fläche, für G\ufffdste",
        ),
        ("Größe, Büro, Grü".encode() + b"\xc3", "Größe, Büro, Grü\ufffd"),
        ("cafè “Lumière” ".encode() + b"\xff\xfe ok", "cafè “Lumière” \ufffd\ufffd ok"),
        ("Привет, мир ".encode() + b"\xd0 \xf0\x9f\x98", "Привет, мир \ufffd \ufffd"),
        ("日本語の記録".encode() + b"\xe6\x97", "日本語の記録\ufffd"),
        (b"\x80" + "żółw łódź".encode(), "\ufffdżółw łódź"),
        (b"one caf" + b"\xc3\xa9 and one ol\xe9.", "one café and one ol\ufffd."),
        (b"\xef\xbf\xbd and " + "ü".encode(), "\ufffd and ü"),
    ],
)
def test_invalid_bytes_of_utf8_are_replaced_one_by_one(content, text):
    assert decode_text(content) == text
    assert decode_text(content, "utf-8") == text


def test_long_ascii_line_before_an_accent_is_decoded():
    assert decode_text(b"x" * 300_000 + b" caf\xe9").endswith(" café")

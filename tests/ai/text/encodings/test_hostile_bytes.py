"""Decoding takes linear time on any bytes."""

from time import process_time

import pytest

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.text import plain
from tests.hostile_texts import is_linear

UNITS = [
    b"\xe9", b"\xe9 ", b"a\xe9", b"\x81\x30", b"\x8f\xa1", b"\xff", b"\xc3", b"\xe2\x80",
    b"\xc3\xa9\xe9", b"a\x00", b"\x00a\xd8", b"\x0e\x01", b"\x1b$B", b"\x1b$)C\x0e", b"\x1b",
    b"\x93", b"\xa3", b"\x84\x84", bytes(range(0x80, 0x100)),
]  # fmt: skip
SEVEN_BIT_UNITS = [
    ("utf-7", b"+"),
    ("utf-7", b"+AOk-"),
    ("utf-7", b"+AOk"),
    ("hz", b"~{"),
    ("iso-2022-kr", b"\x0e\x0f"),
    ("iso-2022-jp", b"\x1b$B\x1b(B"),
    ("gb18030", b"\xff"),
    ("idna", b"\xe9."),
]


@pytest.mark.parametrize(
    ("declared", "unit"), [*((None, unit) for unit in UNITS), *SEVEN_BIT_UNITS]
)
def test_repeated_bytes_are_decoded_in_linear_time(declared, unit):
    decode_text(b"\xe9", declared)  # imports the detector

    def decode(text):
        decode_text(unit * (len(text) // len(unit)), declared)

    assert is_linear(decode, "x")


@pytest.mark.parametrize("end", [b"", b"\n\xe9", b"\xe2"])
def test_long_line_takes_less_than_a_cpu_second(tmp_path, end):
    file = tmp_path / "file.txt"
    file.write_bytes(b"barge iron fallow " * 10_000 + end)
    start = process_time()

    plain.parse_text(file)

    assert process_time() - start < 1


@pytest.mark.parametrize("unit", ["\x1b[", "\x1b]", "\x1b]0;", "\x9b", "\x1b[1", "a\x08", "\x08"])
def test_terminal_sequences_are_removed_in_linear_time(unit):
    assert is_linear(plain.remove_terminal_sequences, unit)

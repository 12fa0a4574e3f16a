"""Detection of text encodings."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.text.encodings import decode_text

GERMAN = "Die Kündigungsfrist beträgt drei Monate – größere Änderungen kosten 40 €."
FRENCH = "L'été dernier, les élèves ont étudié à l'école près de la forêt."
POLISH = "Zażółć gęślą jaźń. Proszę o szybką odpowiedź w sprawie umowy."
TURKISH = "Sözleşmenin feshi üç ay önceden yazılı olarak bildirilmelidir."
RUSSIAN = "Расторжение договора возможно с уведомлением за три месяца."
GREEK = "Η καταγγελία της σύμβασης πρέπει να γίνει γραπτώς."
HEBREW = "יש להודיע בכתב שלושה חודשים לפני סיום החוזה."
ARABIC = "يجب إخطار إنهاء العقد كتابيا قبل ثلاثة أشهر."
JAPANESE = "契約の解除は三か月前までに書面で通知しなければなりません。"
CHINESE = "合同的终止必须提前三个月以书面形式通知。"
TAIWANESE = "合約的終止必須提前三個月以書面形式通知。"
KOREAN = "계약의 해지는 3개월 전에 서면으로 통지해야 합니다."
ENGLISH = " The rest of this text is plain English without any letters of note." * 6


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße", "cp1252"),
        (GERMAN, "cp1252"),
        (FRENCH, "latin-1"),
        (POLISH, "cp1250"),
        (POLISH, "iso8859-2"),
        (TURKISH, "cp1254"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        ("Привет, мир", "koi8-r"),
        (RUSSIAN, "cp866"),
        (GREEK, "iso8859-7"),
        (HEBREW, "cp1255"),
        (ARABIC, "cp1256"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        ("合同终止", "gb18030"),
        (TAIWANESE, "big5"),
        (KOREAN, "euc_kr"),
        (JAPANESE, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (JAPANESE, "utf-16"),
        (RUSSIAN, "utf-32"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
    ],
)
def test_encoding_is_detected(text, encoding):
    assert decode_text(text.encode(encoding)) == text
    assert decode_text((text + ENGLISH).encode(encoding)) == text + ENGLISH


def test_declared_encoding_is_used_if_it_can_decode():
    assert decode_text("Grüße".encode("mac-roman"), "mac-roman") == "Grüße"
    assert decode_text("Grüße".encode(), "ascii") == "Grüße"
    assert decode_text("Grüße".encode("cp1252"), "no such encoding") == "Grüße"


def test_arbitrary_bytes_are_decoded():
    assert isinstance(decode_text(bytes(range(256)) * 40), str)

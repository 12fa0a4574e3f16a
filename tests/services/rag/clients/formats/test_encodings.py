"""Texts of many languages in what their writers' programs made of them."""
# ruff: noqa: RUF001 - the letters of other languages are meant

import pytest

from backend.services.rag.clients.formats.encodings import decoded

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
def test_a_text_is_read_in_the_encoding_it_was_written_in(text, encoding):
    assert decoded(text.encode(encoding)) == text
    assert decoded((text + ENGLISH).encode(encoding)) == text + ENGLISH


def test_a_declared_encoding_is_believed_where_it_can_be_true():
    assert decoded("Grüße".encode("mac-roman"), "mac-roman") == "Grüße"
    assert decoded("Grüße".encode(), "ascii") == "Grüße"
    assert decoded("Grüße".encode("cp1252"), "no such encoding") == "Grüße"


def test_any_bytes_become_some_text():
    assert isinstance(decoded(bytes(range(256)) * 40), str)

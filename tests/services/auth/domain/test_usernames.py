"""Validation of usernames and equality of look-alike names."""

# ruff: noqa: RUF001 - this module tests confusable characters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.auth.domain.usernames import MAX_USERNAME_CHARACTERS, parse_username
from backend.services.auth.errors import InvalidUsername


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("ada", "ADA", id="case"),
        pytest.param("ada", "аdа", id="Cyrillic"),
        pytest.param("coco", "сосо", id="only Cyrillic letters"),
        pytest.param("BOB", "ВОВ", id="uppercase Cyrillic"),
        pytest.param("Kate", "Κατε", id="Greek"),
        pytest.param("nina", "ΝΙΝΑ", id="uppercase Greek"),
        pytest.param("admin", "ａｄｍｉｎ", id="full-width"),
        pytest.param("admin", "admın", id="dotless i"),
        pytest.param("ibrahim", "İbrahim", id="dotted I"),
        pytest.param("İBRAHİM", "ibrahim", id="uppercase in Turkish"),
        pytest.param("ışık", "IŞIK", id="lowercase in Turkish"),
        pytest.param("ışık", "işik", id="with and without dot"),
        pytest.param("İstanbul", "I\u0307stanbul", id="decomposed dotted I"),
        pytest.param("weiß", "WEIẞ", id="capital sharp s"),
        pytest.param("İda", "İdа", id="dotted I and Cyrillic a"),
        pytest.param("strasse", "straße", id="sharp s"),
        pytest.param("rené", "rene\u0301", id="combining accent"),
        pytest.param("иван", "ИВАН", id="Cyrillic case"),
        pytest.param("file", "ﬁle", id="ligature"),
    ],
)
def test_look_alike_names_have_the_same_key(first, second):
    assert parse_username(first).key == parse_username(second).key


@pytest.mark.parametrize(
    ("first", "second"), [("ada", "adam"), ("rene", "rené"), ("a.b", "a-b"), ("user1", "userl")]
)
def test_different_names_have_different_keys(first, second):
    assert parse_username(first).key != parse_username(second).key


@pytest.mark.parametrize(
    "name",
    [
        *("testuser", "Ada", "a1", "007", "ada.lovelace", "x_y-z", "José", "Nguyễn", "иван"),
        *("İbrahim", "ışık", "Straße", "GROẞ", "Çağrı", "Ġorġ", "Łukasz", "Þór", "Nǚshū", "Юлия"),
        "a" * 64,
    ],
)
def test_valid_username_is_accepted_unchanged(name):
    assert parse_username(name).display == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a", id="one character"),
        pytest.param("a" * 65, id="too long"),
        pytest.param("ﷺ" * 5, id="too long after normalization"),
        pytest.param("ada lovelace", id="space"),
        pytest.param(" ada", id="leading space"),
        pytest.param("ada\n", id="line break"),
        pytest.param("ada@example.org", id="e-mail address"),
        pytest.param(".ada", id="leading dot"),
        pytest.param("ada-", id="trailing dash"),
        pytest.param("a..b", id="two dots"),
        pytest.param("a/b", id="slash"),
        pytest.param("adaи", id="Latin and Cyrillic"),
        pytest.param("σοφία", id="Greek"),
        pytest.param("山田", id="Han"),
        pytest.param("a\u200db", id="zero-width joiner"),
        pytest.param("\u202eada", id="direction override"),
        pytest.param("q\u0303q", id="accent without precomposed letter"),
        pytest.param("a\u0000b", id="NUL"),
        pytest.param("٣٤٥", id="Arabic digits"),
        pytest.param("ꭺda", id="Cherokee"),
    ],
)
def test_invalid_username_is_rejected(name):
    with pytest.raises(InvalidUsername):
        parse_username(name)


@pytest.mark.parametrize(
    ("written", "displayed"),
    [
        pytest.param("Ｉşık", "Işık", id="full-width"),
        pytest.param("admın", "admın", id="dotless i"),
        pytest.param("Kаte", "Kate", id="Cyrillic a in a Latin name"),
        pytest.param("ΝΙΝΑ", "NINA", id="Greek letters that look Latin"),
        pytest.param("rene\u0301", "rené", id="combining accent"),
        pytest.param("I\u0307pek", "İpek", id="combining dot"),
    ],
)
def test_username_is_displayed_as_written_in_one_script_and_normal_form(written, displayed):
    assert parse_username(written).display == displayed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("σοφία", "U+03C3", id="Greek"),
        pytest.param("山田", "U+5C71", id="Han"),
        pytest.param("Ɔkra", "U+0186", id="rare Latin letter"),
        pytest.param("ada lovelace", "U+0020", id="space"),
        pytest.param("adaи", "letters of one alphabet", id="two alphabets"),
        pytest.param("ada-", "between them", id="trailing dash"),
        pytest.param("İ\u0300", "2 to 64 characters", id="one letter with an accent"),
    ],
)
def test_rejection_names_the_true_reason(name, reason):
    with pytest.raises(InvalidUsername) as error:
        parse_username(name)

    assert reason in str(error.value)
    assert ("U+" in str(error.value)) == reason.startswith("U+")


LETTERS = "abilo1I0._-éßıİ\u0307ИванвАВСнκνΝηxхѕ\u0301\u200b"


@given(st.one_of(st.text(max_size=70), st.text(LETTERS, min_size=2, max_size=6)))
def test_parsing_a_parsed_username_is_idempotent(text):
    try:
        name = parse_username(text)
    except InvalidUsername:
        return
    assert parse_username(name.display) == name
    assert parse_username(name.key).key == name.key
    assert len(name.key) <= MAX_USERNAME_CHARACTERS

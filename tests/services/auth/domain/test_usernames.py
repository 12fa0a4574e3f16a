"""What a user name may be, and which names are the same name."""

# ruff: noqa: RUF001 - look-alikes are what this page is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.auth.domain.usernames import MAX_CHARACTERS, read_username
from backend.services.auth.errors import UnfitUsername


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("ada", "ADA", id="case"),
        pytest.param("ada", "аdа", id="Cyrillic"),
        pytest.param("coco", "сосо", id="wholly Cyrillic"),
        pytest.param("BOB", "ВОВ", id="large Cyrillic"),
        pytest.param("Kate", "Κατε", id="Greek"),
        pytest.param("nina", "ΝΙΝΑ", id="large Greek"),
        pytest.param("admin", "ａｄｍｉｎ", id="wide"),
        pytest.param("admin", "admın", id="dotless i"),
        pytest.param("strasse", "straße", id="sharp s"),
        pytest.param("rené", "rene\u0301", id="accent apart"),
        pytest.param("иван", "ИВАН", id="Cyrillic case"),
        pytest.param("file", "ﬁle", id="ligature"),
    ],
)
def test_names_that_look_the_same_have_one_key(one, other):
    assert read_username(one).key == read_username(other).key


@pytest.mark.parametrize(
    ("one", "other"), [("ada", "adam"), ("rene", "rené"), ("a.b", "a-b"), ("user1", "userl")]
)
def test_other_names_have_other_keys(one, other):
    assert read_username(one).key != read_username(other).key


@pytest.mark.parametrize(
    "name",
    ["testuser", "Ada", "a1", "007", "ada.lovelace", "x_y-z", "José", "Nguyễn", "иван", "a" * 64],
)
def test_these_are_names(name):
    assert read_username(name).shown == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("a", id="one character"),
        pytest.param("a" * 65, id="long"),
        pytest.param("ﷺ" * 5, id="long once written out"),
        pytest.param("ada lovelace", id="space"),
        pytest.param(" ada", id="space before"),
        pytest.param("ada\n", id="line break"),
        pytest.param("ada@example.org", id="address"),
        pytest.param(".ada", id="point first"),
        pytest.param("ada-", id="dash last"),
        pytest.param("a..b", id="two points"),
        pytest.param("a/b", id="slash"),
        pytest.param("adaи", id="Latin and Cyrillic"),
        pytest.param("σοφία", id="Greek"),
        pytest.param("山田", id="Han"),
        pytest.param("a\u200db", id="joiner"),
        pytest.param("\u202eada", id="direction"),
        pytest.param("q\u0303q", id="accent that belongs to no letter"),
        pytest.param("a\u0000b", id="NUL"),
        pytest.param("٣٤٥", id="other digits"),
        pytest.param("ꭺda", id="Cherokee"),
    ],
)
def test_these_are_none(name):
    with pytest.raises(UnfitUsername):
        read_username(name)


LETTERS = "abilo1I0._-éßıИванвАВСнκνΝηxхѕ\u0301\u200b"


@given(st.one_of(st.text(max_size=70), st.text(LETTERS, min_size=2, max_size=6)))
def test_reading_a_name_again_changes_nothing(text):
    try:
        name = read_username(text)
    except UnfitUsername:
        return
    assert read_username(name.shown) == name
    assert read_username(name.key).key == name.key
    assert len(name.key) <= MAX_CHARACTERS

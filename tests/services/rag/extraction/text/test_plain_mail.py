"""Plain text of e-mail: flowed lines."""

import pytest

from backend.services.rag.extraction.text.plain_mail import join_flowed_lines


@pytest.mark.parametrize(
    ("text", "deletes_space", "joined"),
    [
        ("one \ntwo\nthree", False, "one two\nthree"),
        ("会議は \n三時です。", True, "会議は三時です。"),
        (" From here\n >no quote", False, "From here\n>no quote"),
        ("> a \n> b\nc \nd", False, "> a b\nc d"),
        (">> a \n> b", False, ">> a \n> b"),
        ("text \n-- \nAda", False, "text \n-- \nAda"),
        ("end ", False, "end "),
    ],
)
def test_flowed_lines_are_joined(text, deletes_space, joined):
    assert join_flowed_lines(text, deletes_space=deletes_space) == joined

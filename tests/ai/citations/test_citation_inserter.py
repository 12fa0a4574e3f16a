"""Citation markers in streamed text are independent of how the stream is split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.citations import CitationInserter


def insert_markers(cite_sentence, *pieces):
    inserter = CitationInserter(cite_sentence)
    return "".join([inserter.feed(piece) for piece in pieces]) + inserter.finish()


def cite_sentences_with_one(sentence):
    return 1 if "One" in sentence else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is so. Two is not.", "One is so. [1] Two is not."),
        ("One is so", "One is so [1]"),
        ("One is so.\n\nTwo.", "One is so. [1]\n\nTwo."),
        ("- One is so\n- Two", "- One is so [1]\n- Two"),
        ("One is 3.5 high. Two.", "One is 3.5 high. [1] Two."),
        ("Dr. One is so. Two.", "Dr. One is so. [1] Two."),
        ("One is so [7]. Two [1, 2].", "One is so. [1] Two."),
        ('"One is so." Two.', '"One is so." [1] Two.'),
        ("Two.\n```\nOne is so. x[1]\n```\n", "Two.\n```\nOne is so. x[1]\n```\n"),
        ("Wait... One is so!", "Wait... One is so! [1]"),
        ("One am 1. April und 31. März. Two.", "One am 1. April und 31. März. [1] Two."),
        ("One ca. drei, Abs. 2, im 3. Quartal.", "One ca. drei, Abs. 2, im 3. Quartal. [1]"),
        ("One hat 5. Two ging.", "One hat 5. [1] Two ging."),
        ("One hat 5. M", "One hat 5. [1] M"),
        ("1. One is so. 2. Two.", "1. One is so. [1] 2. Two."),
        ("", ""),
    ],
)
def test_marker_follows_its_sentence(text, expected):
    assert insert_markers(cite_sentences_with_one, text) == expected
    assert insert_markers(cite_sentences_with_one, *text) == expected


@given(st.lists(st.text('ab .!?[1]\n`"', max_size=8) | st.sampled_from(["1. ", "Mai", "Abs."])))
def test_result_is_the_same_however_the_text_is_split(pieces):
    def cite_sentence(sentence):
        return len(sentence) % 3 or None

    assert insert_markers(cite_sentence, *pieces) == insert_markers(cite_sentence, "".join(pieces))


@given(st.text('ab .!?\n"', max_size=60))
def test_text_is_unchanged_without_citations(text):
    assert insert_markers(lambda _: None, text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"One reads \[12\] now. Two.", r"One reads \[12\] now. [1] Two."),
        ("One reads [12] now [3].", r"One reads \[12\] now. [1]"),
        ("One 位于成都。Two 年假。", "One 位于成都。 [1]Two 年假。"),
        ("One पुणे में है। Two है।", "One पुणे में है। [1] Two है।"),
        ("**One is so.** Two.", "**One is so.** [1] Two."),
    ],
)
def test_brackets_of_the_documents_stay_and_sentences_end_in_any_script(text, expected):
    def insert(*pieces):
        inserter = CitationInserter(
            cite_sentences_with_one, lambda context: context.endswith("reads [12]")
        )
        return "".join([inserter.feed(piece) for piece in pieces]) + inserter.finish()

    assert insert(text) == expected
    assert insert(*text) == expected


def test_long_run_of_full_stops_is_not_held_back():
    inserter = CitationInserter(cite_sentences_with_one)

    sent = "".join(inserter.feed("....") for _ in range(250))

    assert len(sent) > 900
    assert len(sent + inserter.finish()) == 1_000

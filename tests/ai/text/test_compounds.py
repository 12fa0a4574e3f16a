"""Parts of compound words are found without a dictionary."""

import pytest

from backend.ai.text.compounds import contains_part, cover_compound, find_compounds, find_parts
from backend.ai.text.terms import extract_words


@pytest.mark.parametrize(
    ("compound", "part"),
    [
        ("Krankenhausverwaltungsgebühren", "Krankenhaus"),
        ("Krankenhausverwaltungsgebühren", "Verwaltung"),
        ("Krankenhausverwaltungsgebühren", "Gebühr"),
        ("Donaudampfschifffahrtsgesellschaftskapitäne", "Kapitän"),
        ("Wohnungseigentümerversammlung", "Eigentümer"),
        ("Kinderbetreuungseinrichtung", "Kinder"),
        ("ziekenhuisadministratie", "administratie"),
        ("sjukhusförvaltning", "sjukhus"),
    ],
)
def test_part_is_found_at_the_start_in_the_middle_and_at_the_end(compound, part):
    (compound,), (part,) = extract_words(compound), extract_words(part)

    assert contains_part(compound, part)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("internationale", "nation"),
        ("transportation", "port"),
        ("misunderstanding", "under"),
        ("verwaltung", "walt"),
        ("entwicklungen", "entwicklung"),
        ("straight", "right"),
    ],
)
def test_text_that_occurs_in_a_word_by_chance_is_no_part(word, text):
    assert not contains_part(word, text)


def test_compound_is_divided_into_known_words():
    known = {"krankenhaus", "verwaltung", "waltung", "haus", "gebuhren"}

    assert find_parts("krankenhausverwaltungsgebuhren", known.__contains__) == [
        "krankenhaus",
        "verwaltung",
        "gebuhren",
    ]
    assert find_parts("krankenhausverwaltungsgebuhren", lambda _: False) == []
    assert cover_compound("krankenhausgebuhren", known) == 1.0
    assert cover_compound("krankenhausgebuhren", {"garten"}) == 0.0


def test_compounds_are_found_in_a_vocabulary():
    vocabulary = "\ngartenbauamt\nhausverwaltung\nverwaltungsrat\n"

    assert list(find_compounds(vocabulary, "verwaltung", 9)) == ["hausverwaltung", "verwaltungsrat"]
    assert len(list(find_compounds(vocabulary, "verwaltung", 1))) == 1
    assert list(find_compounds("\n\n", "verwaltung", 9)) == []

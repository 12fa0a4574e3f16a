"""Selection of sentences by score and support."""

from dataclasses import replace

import numpy as np
import pytest

from backend.ai.answer_options import ExtractionOptions
from backend.ai.answer_types import match_answer_type
from backend.ai.extractive_answers import extract_answer, select_sentences
from backend.ai.sentence_ranking import rank_sentences
from backend.ai.sentence_similarities import EmbeddedSimilarities
from tests.ai.stand_ins import StoredChunk, WordEmbedder

LEASE = StoredChunk(
    "Lease of the flat\n"
    "The notice period of the lease is three months. The rent of the flat is 900 euros a month. "
    "Mr. Miller owns the flat. Bananas ripen.",
    start=10,
)
OPTIONS = ExtractionOptions(
    min_support=0.2, max_sentences=2, shared_terms_weight=0.5, answer_type_weight=0.1
)


class DissimilarEmbedder:
    """No two texts are similar."""

    def encode(self, texts):
        return np.zeros((len(texts), 1), np.float32)


def extract_quotes(question, *chunks, **options):
    sentences = extract_answer(
        question, chunks, EmbeddedSimilarities(WordEmbedder()), replace(OPTIONS, **options)
    )
    return [sentence.quote for sentence in sentences]


def test_best_sentence_is_first_and_has_its_position_in_the_document():
    (best, *_) = extract_answer(
        "How long is the notice period?", [LEASE], EmbeddedSimilarities(WordEmbedder()), OPTIONS
    )

    assert best.quote == "The notice period of the lease is three months."
    assert LEASE.text[best.start - 10 : best.end - 10] == best.quote
    assert best.chunk is LEASE


def test_no_sentence_is_returned_below_the_minimum_support():
    assert extract_quotes("How long is the notice period?", LEASE, min_support=2.0) == []


@pytest.mark.parametrize(
    "limits", [{"max_sentences": 1}, {"max_score_gap": 0.0}, {"min_score_ratio": 1.0}]
)
def test_further_sentences_are_limited(limits):
    question = "How long is the notice period of the lease of the flat?"

    assert len(extract_quotes(question, LEASE)) == 2
    assert len(extract_quotes(question, LEASE, **limits)) == 1


def test_short_sentence_is_an_answer():
    assert extract_quotes("Do bananas ripen?", LEASE) == ["Bananas ripen."]


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("What is the price of a nut?", ["Nut\t0.75\tOslo"]),
        ("Which price has the part from Bern?", ["Bolt\t1.20\tBern", "Clip\t2.10\tBern"]),
    ],
)
def test_only_the_rows_with_the_same_terms_of_the_question_are_an_answer(question, rows):
    table = StoredChunk(
        "Part\tPrice\tPlace\nNut\t0.75\tOslo\nBolt\t1.20\tBern\nRing\t0.15\tOslo\nClip\t2.10\tBern"
    )

    assert sorted(extract_quotes(question, table, max_sentences=5)) == rows


@pytest.mark.parametrize(
    ("table", "question", "row"),
    [
        ("City\tManager\nKiel\tMia\nUlm\tOtto", "Who is the manager in Ulm?", "Ulm\tOtto"),
        ("Stadt\tLeiter\nKiel\tMoll\nUlm\tDorn", "Wer ist der Leiter in Ulm?", "Ulm\tDorn"),
        ("国家\t首都\n法国\t巴黎\n秘鲁\t利马", "秘鲁的首都是哪里", "秘鲁\t利马"),
        ("Pays\tMonnaie\nPérou\tSol\nInde\tRoupie", "Monnaie du Pérou ?", "Pérou\tSol"),
        ("Boss\tMia\nCity\tOslo", "Who is the boss?", "Boss\tMia"),
        ("Boss\tMia\nCity\tOslo", "Who is the boss of the city?", "Boss\tMia"),
    ],
)
def test_header_is_no_answer_about_a_row_that_the_question_names(table, question, row):
    assert extract_quotes(question, StoredChunk(table))[0] == row


@pytest.mark.parametrize(
    ("question", "is_supported"),
    [
        ("What is the language of Kenya?", True),
        ("Which country has the capital Lima?", True),
        ("What is the currency of Kenya?", False),
        ("What is a language?", False),
    ],
)
def test_row_has_support_if_its_cell_and_another_column_are_named(question, is_supported):
    table = StoredChunk("Country\tCapital\tLanguage\nPeru\tLima\tSpanish\nKenya\tNairobi\tSwahili")

    answer = extract_answer(question, [table], EmbeddedSimilarities(DissimilarEmbedder()), OPTIONS)

    assert bool(answer) is is_supported


@pytest.mark.parametrize(
    ("question", "text", "is_supported"),
    [
        ("Wie hoch ist die Kaution?", "Kaution: zwei Mieten.", True),
        ("Quelle est la couleur du ressort ?", "Ressort, couleur bleue.", True),
        ("什么时候闭馆", "周一闭馆。", True),
        ("Was kostet eine Feder?", "Feder zu 3,40.", True),
        ("Was kostet eine Feder?", "Feder aus Stahl.", False),
        ("Quel est le poids du ressort ?", "Le ressort est du bleu.", False),
    ],
)
def test_chunk_need_not_contain_the_form_of_the_question(question, text, is_supported):
    options = replace(OPTIONS, min_support=0.7, coverage_weight=1.0)

    answer = extract_answer(
        question, [StoredChunk(text)], EmbeddedSimilarities(DissimilarEmbedder()), options
    )

    assert bool(answer) is is_supported


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Wie hoch ist die Kaution?", "Die Kaution beträgt zwei Mieten."),
        ("Combien de clés ?", "Il y a trois clés."),
        ("¿Cuántas llaves hay?", "Hay cuatro llaves."),
        ("Quante chiavi ci sono?", "Ci sono sette chiavi."),
    ],
)
def test_number_word_is_a_number(question, sentence):
    assert match_answer_type(question, sentence) == 1.0


def test_row_is_compared_with_the_header_of_the_table_that_its_chunk_continues():
    chunk = StoredChunk("Nut\t0.75\nBolt\t1.20", table_header="Part\tPrice in euros")

    (best, *_) = rank_sentences(
        "Which price in euros has the bolt?", [chunk], EmbeddedSimilarities(WordEmbedder()), OPTIONS
    )

    assert best.statement.description == "Part: Bolt; Price in euros: 1.20"
    assert best.quote == "Bolt\t1.20"


@pytest.mark.parametrize(
    "known",
    [
        {"title": "Rent policy 2026"},
        {"section": "Rent policy 2026"},
        {"headings": ("Rent policy 2026",)},
    ],
)
def test_known_heading_with_a_number_is_not_an_answer(known):
    chunk = StoredChunk("Rent policy 2026\n\nThe rent is paid in advance.", **known)

    assert extract_quotes("What is the rent policy 2026?", chunk) == [
        "The rent is paid in advance."
    ]


def test_line_with_a_number_is_an_answer_unless_the_sentence_below_has_terms_of_the_question():
    room = StoredChunk("Room 117\n\nThe office opens every working day at nine.")
    policy = StoredChunk("Hotel policy 2026\n\nThe allowance for a stay is 145 euros a night.")

    assert "Room 117" in extract_quotes("Which room is it?", room)
    assert extract_quotes("What is the hotel policy 2026 for a stay?", policy) == [
        "The allowance for a stay is 145 euros a night."
    ]


def test_heading_is_not_an_answer_but_counts_for_the_sentences_below_it():
    chunk = StoredChunk("Opening hours\nFrom nine in the morning until noon, except on Sundays.")

    assert extract_quotes("What are the opening hours?", chunk) == [
        "From nine in the morning until noon, except on Sundays."
    ]


def test_sentence_of_two_overlapping_chunks_is_returned_once():
    overlap = LEASE.text.index("The notice")
    overlapping = StoredChunk(LEASE.text[overlap:], start=10 + overlap)

    quotes = extract_quotes("How long is the notice period?", LEASE, overlapping)

    assert len(quotes) == len(set(quotes))


@pytest.mark.parametrize(
    ("question", "text", "quote"),
    [
        ("How large is it?", "It is a large garden. It covers 900 yards.", "It covers 900 yards."),
        ("Who founded it?", "It was founded long ago. Ada Miller did it.", "Ada Miller did it."),
    ],
)
def test_sentence_with_the_requested_number_or_name_is_preferred(question, text, quote):
    options = replace(OPTIONS, answer_type_weight=5.0)

    ranked = rank_sentences(
        question, [StoredChunk(text)], EmbeddedSimilarities(WordEmbedder()), options
    )

    assert ranked[0].quote == quote


def test_label_in_the_question_supports_its_value():
    chunk = StoredChunk("Pumpe: X-200\nTelefon: 0221 4455\n\nWir beraten gern.")
    ranked = rank_sentences(
        "Wie lautet die Telefonnummer?", [chunk], EmbeddedSimilarities(WordEmbedder()), OPTIONS
    )
    support = {sentence.quote: sentence.support for sentence in ranked}

    assert support["Telefon: 0221 4455"] >= support["Pumpe: X-200"] + 0.2


def test_terms_of_most_sentences_count_little():
    text = StoredChunk("Die Uhr ist rot. Die Tür ist neu. Die Wand ist alt.")

    assert extract_quotes("Wie ist die Tür?", text, max_score_gap=0.2) == ["Die Tür ist neu."]


def test_coverage_counts_the_whole_chunk_its_context_and_rare_terms_most():
    options = ExtractionOptions(min_support=0.0, coverage_weight=1.0)

    def support(title="", **arguments):
        chunk = StoredChunk("It opens at nine in the morning.", title=title)
        (sentence,) = rank_sentences(
            "When does the museum open?",
            [chunk],
            EmbeddedSimilarities(WordEmbedder()),
            options,
            **arguments,
        )
        return sentence.support

    assert support(title="The museum") > support()
    assert support(term_weights={"museum": 9.0}) < support()


def test_first_chunk_is_preferred_with_a_chunk_rank_weight():
    first, second = StoredChunk("The rent is low."), StoredChunk("The rent is low.", "doc_2")

    ranked = rank_sentences(
        "Rent?",
        [first, second],
        EmbeddedSimilarities(WordEmbedder()),
        replace(OPTIONS, chunk_rank_weight=0.3),
    )

    assert [sentence.chunk for sentence in ranked] == [first, second]


def test_no_chunks_give_no_answer():
    assert extract_quotes("Anything?") == []
    assert select_sentences([], OPTIONS) == []


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many flats does the house have?", ["The house has 12 flats."]),
        ("How many tenants does the house have?", []),
        ("Who designed the house?", ["The house was designed by Ada Berg."]),
        ("Who sold the house?", []),
        ("Why was the house painted?", []),
        ("How much is the key of the house?", []),
    ],
)
def test_sentence_about_the_subject_without_the_requested_fact_is_no_answer(question, expected):
    house = StoredChunk(
        "The house has 12 flats. The house was designed by Ada Berg. The tenants of the house"
        " pay 9 euros. The house was painted green."
    )
    options = replace(OPTIONS, requires_answer_type=True, max_missing_entity_share=0.35)
    options = replace(options, min_entity_similarity=1.0, max_sentences=1)

    sentences = extract_answer(question, [house], EmbeddedSimilarities(WordEmbedder()), options)

    assert [sentence.quote for sentence in sentences] == expected


CODES = StoredChunk("Codes\n- E11: no paper. Open tray 2.\n- E27: no toner. Replace it.")


@pytest.mark.parametrize(
    ("question", "expected"),
    [("What does error E27 mean?", ["- E27: no toner."]), ("What does error E99 mean?", [])],
)
def test_statements_about_other_codes_than_that_of_the_question_are_no_answer(question, expected):
    assert extract_quotes(question, CODES) == expected


def test_code_in_the_title_of_a_document_allows_statements_about_others():
    chunk = StoredChunk("It replaces the B-30 and weighs 5 kg.", title="Manual of the B-40")

    assert extract_quotes("How heavy is the B-40 in kg?", chunk) == [chunk.text]


CONTRACT = StoredChunk(
    "§ 4 Deposit\nThe deposit is three rents.\n\n§ 5 Keys\nThe tenant gets twelve keys.\n\n"
    "§ 6 Animals\nDogs need a permission."
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does § 5 say about keys?", ["The tenant gets twelve keys."]),
        ("How many keys does the tenant get?", ["The tenant gets twelve keys."]),
        ("What does § 9 say?", []),
    ],
)
def test_section_of_a_contract_is_answered_without_headings_of_others(question, expected):
    assert extract_quotes(question, CONTRACT) == expected

"""The whole way: a file comes in, is found, answers, and is gone again."""

from tests.services.rag.conftest import PDF

QUESTION = "Who patented the typewriter in 1868?"


def text_of(person, document):
    pages = person("GET", f"/documents/{document['id']}/text").json["pages"]
    return "".join(page["text"] for page in pages)


def test_a_pdf_answers_with_a_citation_that_stands_in_it(ada):
    document = ada.upload(PDF)

    answer = ada.ask(QUESTION)

    assert "Sholes" in answer["answer"]
    assert "[1]" in answer["answer"]
    assert answer["model"] == "extractive"
    first = answer["citations"][0]
    assert (first["marker"], first["document_id"], first["filename"], first["page"]) == (
        1, document["id"], "multi_page.pdf", 1,
    )  # fmt: skip
    text = text_of(ada, document)
    for citation in answer["citations"]:
        assert text[citation["start"] : citation["end"]] == citation["quote"]

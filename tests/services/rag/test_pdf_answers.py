"""Upload a PDF and ask a question about it."""

from tests.services.rag.conftest import PDF

QUESTION = "Who patented the typewriter in 1868?"


def get_text(user, document):
    pages = user("GET", f"/documents/{document['id']}/text").json["pages"]
    return "".join(page["text"] for page in pages)


def test_answer_from_pdf_cites_exact_quotes(ada):
    document = ada.upload(PDF)

    answer = ada.ask(QUESTION)

    assert "Sholes" in answer["answer"]
    assert "[1]" in answer["answer"]
    assert answer["model"] == "extractive"
    first = answer["citations"][0]
    assert (first["marker"], first["document_id"], first["filename"], first["page"]) == (
        1, document["id"], "multi_page.pdf", 1,
    )  # fmt: skip
    text = get_text(ada, document)
    for citation in answer["citations"]:
        assert text[citation["start"] : citation["end"]] == citation["quote"]

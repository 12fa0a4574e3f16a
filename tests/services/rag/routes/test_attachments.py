"""Attachments of e-mail as documents of their own."""

from email.message import EmailMessage

import pytest

from backend.services.rag.domain.ingestion import pipeline
from tests.databases import database_in, execute
from tests.documents import TextLine, docx, pdf
from tests.services.rag.jobs.test_ingestion import wait_for

PLAN = pdf([TextLine(72, 700, "The boiler stands in room 14 behind the pantry.")])
PRICES = b"article;price\nchisel;7.25\nrasp;9.80\n"


def message(*files, subject="Site visit", body="Please find the files attached."):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ada@example.org", "bob@example.org", subject
    mail.set_content(body)
    for filename, media_type, content in files:
        maintype, _, subtype = media_type.partition("/")
        mail.add_attachment(content, maintype=maintype, subtype=subtype, filename=filename)
    return mail.as_bytes()


def plan(name="plan.pdf"):
    return name, "application/pdf", PLAN


def prices(name="prices.csv"):
    return name, "application/octet-stream", PRICES


def get(person, document_id):
    response = person("GET", f"/documents/{document_id}")
    return response.json if response.status_code == 200 else None


def upload(person, *files, name="visit.eml", **options):
    """Upload a message with *files*. Returns it and its attachments when all are processed."""
    fields = options.pop("fields", {})
    document = person.upload(message(*files, **options), name, **fields)
    return document, wait_for_attachments(person, document)


def wait_for_attachments(person, document):
    ids = [each["document_id"] for each in document["attachments"] if each["document_id"]]

    def are_processed():
        documents = [get(person, key) for key in ids]
        return all(each["status"] in ("ready", "failed") for each in documents) and [documents]

    return wait_for(are_processed)[0]


def list_documents(person):
    return person("GET", "/documents").json["items"]


def list_blobs(tmp_path):
    return list((tmp_path / "rag" / "blobs").iterdir())


def test_attachments_are_documents_that_name_the_message(ada):
    mail, (first, second) = upload(ada, plan(), prices(), fields={"metadata": '{"site": 4}'})

    assert [(each["filename"], each["content_type"]) for each in mail["attachments"]] == [
        ("plan.pdf", "application/pdf"),
        ("prices.csv", "text/csv"),
    ]
    assert first["attachment_of"] == second["attachment_of"] == mail["id"]
    assert first["title"] == "plan.pdf (attachment of Site visit)"
    assert first["metadata"] == {"site": 4}
    assert first["status"] == second["status"] == "ready"
    assert mail["attachment_of"] is None
    hit = ada.search("Where does the boiler stand?")[0]
    assert (hit["document_id"], hit["title"]) == (first["id"], first["title"])


def test_attachments_that_are_not_read_are_listed_with_the_reason(ada):
    mail, (failed,) = upload(
        ada,
        ("empty.docx", "application/octet-stream", docx("")),
        ("tool.exe", "application/octet-stream", b"MZ\x90\x00\x03" + bytes(99)),
        ("broken.pdf", "application/pdf", b"no PDF at all"),
        ("empty.txt", "application/octet-stream", b""),
    )

    assert failed["error"]["code"] == "no_text"
    assert [each["error"]["code"] for each in mail["attachments"][1:]] == [
        "unsupported_document",
        "unreadable_document",
        "validation_failed",
    ]
    assert mail["status"] == "ready"


@pytest.mark.slow
def test_deleting_the_message_deletes_its_attachments(ada, tmp_path):
    mail, _ = upload(ada, plan(), prices())

    assert ada("DELETE", f"/documents/{mail['id']}").status_code == 204

    assert list_documents(ada) == []
    wait_for(lambda: not list_blobs(tmp_path))


@pytest.mark.slow
def test_ingestion_that_fails_before_the_commit_is_repeated_without_duplicates(
    ada, monkeypatch, tmp_path
):
    store, calls = pipeline.store_attachments, []

    def fail_after_storing(*args):
        blobs = store(*args)
        calls.append(blobs)
        if len(calls) == 1:
            raise RuntimeError("interrupted before the commit")
        return blobs

    monkeypatch.setattr(pipeline, "store_attachments", fail_after_storing)
    _, documents = upload(ada, plan(), prices())

    assert calls[0] != calls[1]
    assert [each["status"] for each in documents] == ["ready", "ready"]
    assert len(list_documents(ada)) == 3
    assert len(list_blobs(tmp_path)) == 3


@pytest.mark.slow
def test_ingestion_interrupted_after_the_commit_resumes_without_duplicates(ada, monkeypatch):
    load, calls = pipeline.IngestionPipeline._load_index_texts, []

    def fail_once(self, *args):
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("interrupted after the commit")
        return load(self, *args)

    monkeypatch.setattr(pipeline.IngestionPipeline, "_load_index_texts", fail_once)
    _, documents = upload(ada, plan())

    assert len(documents) == 1
    assert len(list_documents(ada)) == 2


@pytest.mark.slow
def test_failed_message_that_is_read_again_creates_no_duplicates(ada, tmp_path):
    mail, (document,) = upload(ada, plan())
    # As after a failure of the first ingestion that followed the storage of the attachments.
    statement = "UPDATE documents SET generation = 0, status = 'failed' WHERE id = "
    execute(database_in(tmp_path, "rag"), "rag", f"{statement} '{mail['id']}'")

    ada("POST", f"/documents/{mail['id']}/reindex")

    wait_for(lambda: get(ada, mail["id"])["status"] == "ready")
    assert [each["id"] for each in list_documents(ada)] == [document["id"], mail["id"]]

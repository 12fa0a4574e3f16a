"""Documents of attachments: shared by messages, moved, renamed and deleted with them."""

import io

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.rag.domain.attachments import (
    MAX_DEPTH,
    AttachmentReceiver,
    store_attachments,
)
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.collections import CollectionService
from backend.services.rag.domain.documents import DocumentService
from backend.services.rag.domain.maintenance.transfer import export_library, import_library
from backend.services.rag.errors import DocumentNotFound, DuplicateDocument
from backend.services.rag.model import Viewer
from backend.services.rag.store.documents import DocumentRow
from tests.databases import database_in
from tests.documents import TextLine, pdf

ADA = Viewer("tenant", "user-ada")
PLAN = "plan.pdf", pdf([TextLine(72, 700, "The boiler stands in room 14.")])
PRICES = "prices.csv", b"article;price\nchisel;7.25\n"


class Library:
    """Documents of one user, without the thread that ingests them."""

    def __init__(self, folder):
        self.database = open_database(database_in(folder, "rag"), "rag")
        self.database.migrate("rag")
        self.audit = AuditOutbox("rag", self.database)
        self.blobs = BlobStorage(folder / "blobs")
        encryptor = Encryptor("a secret of the tests, long enough", "passwords")
        self.service = DocumentService(
            self.database, self.blobs, lambda: None, encryptor, self.audit, max_queued_documents=99
        )
        self.collections = CollectionService(self.database, lambda: None, self.audit)

    def upload(self, filename, content, **options):
        with self.blobs.receive_files(10**7, ADA.tenant_id) as receiver:
            file = receiver.create_file()
            file.write(content)
            upload = file.validate_upload(filename, "")
            options = {"collection": None, "title": None, "metadata": {}} | options
            documents, _ = self.service.add_documents(ADA, receiver, [upload], **options)
        return documents[0].id

    def add_message(self, name, *files, **options):
        """Upload a message and store its attachments as its ingestion does. Returns its id."""
        key = self.upload(f"{name}.eml", f"From: a@b.c\nSubject: {name}\n\n".encode(), **options)
        self.ingest(key, *files)
        return key

    def ingest(self, message_id, *files):
        with self.blobs.receive_files(10**7, ADA.tenant_id) as receiver:
            attachments = AttachmentReceiver(receiver)
            for filename, content in files:
                attachments.start_attachment(filename, "", len(content), None)
                for part in iter(io.BytesIO(content).read, b""):
                    attachments.write(part)
            received = attachments.finish()
            with self.database.write(ADA.tenant_id) as session:
                message = session.get(DocumentRow, message_id)
                for blob in store_attachments(session, self.audit, message, received):
                    receiver.keep_file(blob)

    def get(self, document_id):
        return self.service.get_document(ADA, document_id)

    def get_attached(self, message_id, number=1):
        return self.get(self.get(message_id).attachments[number - 1].document_id)

    def list_ids(self):
        documents, _ = self.service.list_documents(
            ADA, collection=None, status=None, text_filter=None, before=None, limit=99
        )
        return sorted(each.id for each in documents)

    def change(self, document_id, **changes):
        values = {"title": None, "metadata": None, "collection": None} | changes
        return self.service.update_document(ADA, document_id, **values)

    def read(self, document_id):
        return self.service.get_original(ADA, document_id)[1].path.read_bytes()


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path)
    yield library
    library.database.engine.dispose()


def test_attachment_belongs_to_its_message(library):
    message = library.add_message("Visit", PLAN, metadata={"site": 4}, collection="sites")

    plan = library.get_attached(message)

    assert plan.attachment_of == message
    assert plan.title == "plan.pdf (attachment of Visit)"
    assert (plan.collection, plan.owner_id, plan.metadata) == ("sites", "user-ada", {"site": 4})
    assert library.read(plan.id) == PLAN[1]


def test_repeated_ingestion_creates_no_duplicates_and_removes_others(library):
    message = library.add_message("Visit", PLAN, PRICES)
    plan = library.get_attached(message)

    library.ingest(message, PLAN)

    assert library.get_attached(message).id == plan.id
    assert library.list_ids() == sorted([message, plan.id])


def test_same_file_twice_in_a_message_is_one_document(library):
    message = library.add_message("Visit", PLAN, ("copy.pdf", PLAN[1]))

    assert library.get_attached(message, 1).id == library.get_attached(message, 2).id


def test_deleted_attachment_stays_listed_without_document(library):
    message = library.add_message("Visit", PLAN)

    library.service.delete_document(ADA, library.get_attached(message).id)

    (listed,) = library.get(message).attachments
    assert (listed.filename, listed.document_id, listed.error) == ("plan.pdf", None, None)


def test_messages_share_a_document_until_the_last_is_deleted(library):
    first = library.add_message("Visit", PLAN)
    second = library.add_message("Reply", ("other.pdf", PLAN[1]))
    plan = library.get_attached(first)
    assert library.get_attached(second).id == plan.id

    library.service.delete_document(ADA, first)

    kept = library.get_attached(second)
    assert (kept.id, kept.attachment_of) == (plan.id, second)
    assert kept.title == "plan.pdf (attachment of Reply)"
    library.service.delete_document(ADA, second)
    assert library.list_ids() == []


@pytest.mark.parametrize("is_uploaded_first", [True, False])
def test_uploaded_file_is_not_deleted_with_a_message(library, is_uploaded_first):
    if is_uploaded_first:
        library.upload("boiler.pdf", PLAN[1])
    message = library.add_message("Visit", PLAN)
    document = library.upload("boiler.pdf", PLAN[1])
    assert library.get_attached(message).id == document

    library.service.delete_document(ADA, message)

    kept = library.get(document)
    assert (kept.attachment_of, kept.filename, kept.title) == (None, "boiler.pdf", "boiler")


def test_upload_does_not_replace_an_attachment_of_its_name(library):
    library.add_message("Visit", PRICES)

    document = library.upload("prices.csv", b"article;price\nsaw;1\n", replace=True)

    assert library.get(document).replaces == []


def test_moved_message_takes_its_attachments_with_it(library):
    inner = "inner.eml", b"From: a@b.c\nSubject: inner\n\n"
    message = library.add_message("Visit", inner)
    nested = library.get_attached(message)
    library.ingest(nested.id, PLAN)
    library.collections.create_collection(ADA, "archive", "", "read")

    library.change(message, collection="archive")

    assert library.get_attached(message).id == nested.id
    plan = library.get_attached(nested.id)
    assert (plan.collection, plan.attachment_of) == ("archive", nested.id)


def test_moved_message_leaves_a_copy_to_other_messages(library):
    first, second = library.add_message("Visit", PLAN), library.add_message("Reply", PLAN)
    plan = library.get_attached(first)
    library.collections.create_collection(ADA, "archive", "", "none")

    library.change(first, collection="archive")

    copy = library.get_attached(first)
    assert (copy.collection, copy.attachment_of) == ("archive", first)
    assert library.get_attached(second).id == plan.id
    assert library.get(plan.id).attachment_of == second
    library.blobs.delete_blob(library.service.get_original(ADA, plan.id)[1].path.name)
    assert library.read(copy.id) == PLAN[1]


def test_moved_message_uses_the_same_file_of_its_new_collection(library):
    message = library.add_message("Visit", PLAN)
    document = library.upload("boiler.pdf", PLAN[1], collection="archive")

    library.change(message, collection="archive")

    assert library.get_attached(message).id == document
    assert library.list_ids() == sorted([message, document])


def test_message_that_cannot_be_moved_keeps_its_attachments(library):
    message = library.add_message("Visit", PLAN)
    library.add_message("Visit", collection="archive")

    with pytest.raises(DuplicateDocument):
        library.change(message, collection="archive")

    assert library.get_attached(message).collection == "default"


def test_attachment_that_is_moved_alone_becomes_independent(library):
    message = library.add_message("Visit", PLAN)
    plan = library.get_attached(message)
    library.collections.create_collection(ADA, "plans", "", "none")

    library.change(plan.id, collection="plans")
    library.service.delete_document(ADA, message)

    assert library.get(plan.id).attachment_of is None


def test_new_title_of_a_message_is_in_titles_of_its_attachments(library):
    message = library.add_message("Visit", PLAN)

    library.change(message, title="Heating")

    assert library.get_attached(message).title == "plan.pdf (attachment of Heating)"


def test_messages_attached_as_files_are_read_up_to_the_depth_limit(library):
    message = library.add_message("0")
    for level in range(1, MAX_DEPTH + 1):
        content = f"From: a@b.c\nSubject: {level}\n\n".encode()
        library.ingest(message, ("inner.eml", content))
        message = library.get_attached(message).id
    library.ingest(message, PLAN)

    (listed,) = library.get(message).attachments
    assert listed.document_id is None
    assert listed.error is not None
    assert listed.error[0] == "nested_too_deeply"


def test_attachments_are_visible_to_readers_of_the_collection_only(library):
    message = library.add_message("Visit", PLAN)
    plan = library.get_attached(message)
    bob = Viewer("tenant", "user-bob")
    with pytest.raises(DocumentNotFound):
        library.service.get_document(bob, plan.id)

    library.collections.grant_access(ADA, "default", "user-bob", "read")

    assert library.service.get_document(bob, plan.id).attachment_of == message
    with pytest.raises(DocumentNotFound):
        library.service.get_document(Viewer("other tenant", "user-ada"), plan.id)


def test_deleted_collection_leaves_no_attachments(library):
    library.add_message("Visit", PLAN, PRICES)

    library.collections.delete_collection(ADA, "default")

    assert library.list_ids() == []


def test_export_and_import_keep_attachments(library, tmp_path):
    message = library.add_message("Visit", PLAN, ("tool.exe", b"MZ\x90\x00" + bytes(99)))
    plan = library.get_attached(message)
    file = tmp_path / "library.tar"
    export_library(library.database.across_tenants(), library.blobs, file, lambda *_: None)
    (tmp_path / "other").mkdir()
    other = Library(tmp_path / "other")

    for _ in range(2):  # an import can be repeated
        database = other.database.across_tenants()
        import_library(database, other.blobs, file, lambda *_: None)

    assert other.get(message).attachments == library.get(message).attachments
    assert other.get(plan.id).attachment_of == message
    assert other.read(plan.id) == PLAN[1]
    other.database.engine.dispose()

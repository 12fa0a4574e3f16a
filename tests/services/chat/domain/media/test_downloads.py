"""Files of received messages are stored by a job."""

from functools import partial
from pathlib import Path

import pytest

from backend.services.chat.clients.media_downloads import MediaReference, MediaUnavailable
from backend.services.chat.clients.outcomes import ChannelAccount
from backend.services.chat.domain.media.downloads import MAX_ATTEMPTS, AttachmentDownloads
from backend.services.chat.domain.views import load_message_view
from backend.services.chat.domain.webhooks.verification import open_secrets
from backend.services.chat.routes.schemas import MessageResponse
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import Attachment, Conversation, Message
from tests.services.chat.domain.channels.normalising import telegram
from tests.services.chat.webhook_senders import SECRET, WebhookSenders

PNG = b"\x89PNG\r\n\x1a\n..."


class StubDownloader:
    """Returns *result*, or raises it."""

    def __init__(self, result: bytes | MediaUnavailable) -> None:
        self.result = result
        self.calls: list[tuple[ChannelAccount, MediaReference]] = []

    def download(self, account: ChannelAccount, reference: MediaReference) -> bytes:
        self.calls.append((account, reference))
        if isinstance(self.result, MediaUnavailable):
            raise self.result
        return self.result


@pytest.fixture
def senders(tmp_path: Path) -> WebhookSenders:
    senders = WebhookSenders(tmp_path)
    senders.add_account("telegram")
    senders.send("telegram", telegram(document={"file_id": "f1", "mime_type": "text/html"}))
    return senders


@pytest.fixture
def files(tmp_path: Path) -> AttachmentFiles:
    return AttachmentFiles(tmp_path / "attachments")


def build_downloads(
    senders: WebhookSenders, files: AttachmentFiles, downloader: StubDownloader
) -> AttachmentDownloads:
    return AttachmentDownloads(
        senders.database,
        files,
        downloader,
        partial(open_secrets, senders.encryptor),
        senders.log,
        senders.clock,
    )


def get_attachment(senders: WebhookSenders) -> Attachment:
    (attachment,) = senders.list_rows(Attachment)
    assert isinstance(attachment, Attachment)
    return attachment


def test_file_is_stored_with_the_type_of_its_bytes(
    senders: WebhookSenders, files: AttachmentFiles
) -> None:
    downloader = StubDownloader(PNG)
    before = senders.list_conversations()[0].change_seq

    assert build_downloads(senders, files, downloader).download_next()

    attachment = get_attachment(senders)
    assert (attachment.state, attachment.mime) == ("stored", "image/png")
    assert files.read(attachment.blob or "") == PNG
    assert downloader.calls[0][0].credentials["webhook_secret"] == SECRET
    assert senders.list_conversations()[0].change_seq == before + 1
    assert not build_downloads(senders, files, downloader).download_next()


def test_download_is_tried_again_later(senders: WebhookSenders, files: AttachmentFiles) -> None:
    downloader = StubDownloader(MediaUnavailable("http_503", is_final=False))
    downloads = build_downloads(senders, files, downloader)

    assert downloads.download_next()
    assert not downloads.download_next()
    for _ in range(MAX_ATTEMPTS):
        senders.clock.move(hours=1)
        downloads.download_next()

    assert len(downloader.calls) == MAX_ATTEMPTS
    assert get_attachment(senders).state == "failed"
    assert downloads.get_next_due_time() is None


@pytest.mark.parametrize(("code", "state"), [("expired", "expired"), ("too_large", "failed")])
def test_file_that_never_comes_is_given_up(
    senders: WebhookSenders,
    files: AttachmentFiles,
    caplog: pytest.LogCaptureFixture,
    code: str,
    state: str,
) -> None:
    error = MediaUnavailable(code, is_final=True)

    build_downloads(senders, files, StubDownloader(error)).download_next()

    attachment = get_attachment(senders)
    assert (attachment.state, attachment.error) == (state, {"code": code})
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"file {attachment.id} of the telegram account ")
    assert line.endswith(f": {code}")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("host_not_allowed", "add the host to the setting media_hosts, as host:port"),
        ("http_403", "status 403"),
        ("future", "could not be downloaded"),
    ],
)
def test_failed_download_is_explained_to_readers_of_the_message(
    senders: WebhookSenders, files: AttachmentFiles, code: str, words: str
) -> None:
    downloader = StubDownloader(MediaUnavailable(code, is_final=True))
    build_downloads(senders, files, downloader).download_next()

    (message,) = senders.list_rows(Message)
    assert isinstance(message, Message)
    with senders.database.read(message.tenant_id) as session:
        view = MessageResponse.from_view(load_message_view(session, message))

    (attachment,) = view.attachments
    assert attachment.error is not None
    assert attachment.error.code == code
    assert words in attachment.error.detail


def test_file_of_a_dead_worker_is_downloaded_by_another_one(
    senders: WebhookSenders, files: AttachmentFiles
) -> None:
    downloads = build_downloads(senders, files, StubDownloader(PNG))
    assert downloads._claim() is not None  # its worker ends here

    assert not downloads.download_next()
    senders.clock.move(seconds=91)
    assert downloads.download_next()
    assert get_attachment(senders).state == "stored"


def leave_orphan(senders: WebhookSenders, files: AttachmentFiles) -> AttachmentDownloads:
    """Store a file whose conversation is deleted, and wait until it may be deleted too."""
    downloads = build_downloads(senders, files, StubDownloader(PNG))
    downloads.download_next()
    with senders.database.write("t1") as session:
        session.delete(session.query(Conversation).one())
    senders.clock.move(days=10_000)
    return downloads


def test_file_of_a_deleted_conversation_is_deleted(
    senders: WebhookSenders, files: AttachmentFiles, tmp_path: Path
) -> None:
    downloads = leave_orphan(senders, files)

    assert downloads.delete_orphans() == 1
    assert list((tmp_path / "attachments").iterdir()) == []


def test_files_are_kept_while_a_backup_is_taken(
    senders: WebhookSenders, files: AttachmentFiles, tmp_path: Path
) -> None:
    downloads = leave_orphan(senders, files)

    with files.block_deletion():
        assert downloads.delete_orphans() == 0
        assert len(list((tmp_path / "attachments").iterdir())) == 1

    assert downloads.delete_orphans() == 1


def test_name_of_a_file_cannot_leave_the_folder(files: AttachmentFiles) -> None:
    with pytest.raises(FileNotFoundError):
        files.read("../secret.key")

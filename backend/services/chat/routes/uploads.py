"""Route that receives the files of colleagues."""

from typing import Final

from flask import Blueprint, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import accepts_form, request_example, responds_with
from backend.security import HttpError, Permission, invalid_field, require_permission
from backend.services.chat.domain.media.uploads import MAX_UPLOAD_BYTES, UploadService
from backend.services.chat.errors import (
    ConversationNotFound,
    EmptyFile,
    FileTooLarge,
    FileTypeNotSupported,
    TooManyUploads,
)
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import UploadResponse

uploads = Blueprint("uploads", __name__)

# Size of the form besides the file.
_FORM_BYTES: Final = 64 * 1024


@uploads.post("/conversations/<conversation_id>/attachments")
@require_permission(Permission.CHAT_REPLY)
@accepts_form(
    file={
        "type": "string",
        "format": "binary",
        "description": "The file, of at most 25 MB. The type is detected from the content.",
        "x-required": True,
    }
)
@responds_with(
    UploadResponse,
    201,
    errors=(
        ConversationNotFound,
        EmptyFile,
        FileTooLarge,
        FileTypeNotSupported,
        TooManyUploads,
    ),
)
@request_example({"file": "Your parcel arrives on Tuesday."})
def add_attachment(conversation_id: str) -> UploadResponse:
    """Upload a file for a message of the conversation.

    The channel limits size and type. To send the file, post a message with the returned `type` and
    `{"id"}` in `attachments` within 24 hours; later the file is deleted.
    """
    service, caller = use(UploadService), get_caller()
    # Before the file is read.
    service.check_conversation(caller, conversation_id)
    file = _receive_file()
    with file.stream as stream:
        content = stream.read(MAX_UPLOAD_BYTES + 1)
    if len(content) > MAX_UPLOAD_BYTES:
        raise FileTooLarge(MAX_UPLOAD_BYTES)
    added = service.add_file(caller, conversation_id, content, file.filename or "", file.mimetype)
    return UploadResponse.from_file(added)


def _receive_file() -> FileStorage:
    """Return the file of the form. Large ones are in a temporary file."""
    if request.mimetype != "multipart/form-data":
        raise HttpError(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send the file as multipart/form-data, in a part named file.",
        )
    request.max_content_length = MAX_UPLOAD_BYTES + _FORM_BYTES
    try:
        form, files = request.form, request.files
    except RequestEntityTooLarge as error:
        raise FileTooLarge(MAX_UPLOAD_BYTES) from error
    unknown = next((name for name in [*form, *files] if name != "file"), None)
    if unknown is not None:
        raise invalid_field(f"#/{unknown[:60]}", "Unknown field.")
    found = files.getlist("file")
    if len(found) != 1 or form:
        raise invalid_field("#/file", "Send one file in a part named file.")
    return found[0]

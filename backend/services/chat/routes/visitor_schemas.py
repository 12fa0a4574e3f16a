"""Request and response schemas of the routes of visitors."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from backend.security import Input, VisibleText
from backend.services.chat.domain.visitors.views import VisitorMessage, VisitorState
from backend.services.chat.routes.schemas import ClientId

VisitorText = Annotated[str, StringConstraints(min_length=1, max_length=4000), VisibleText]


class SessionOpen(Input):
    """The ticket of the frame page. Requests of pages of a listed site need none."""

    ticket: Annotated[str, Field(min_length=1, max_length=2000)] | None = None


class SessionResponse(BaseModel):
    """A token for the header `Authorization: Bearer`. It is valid for seven days at most."""

    token: str
    expires_at: datetime


class VisitorPost(Input):
    """A message of a visitor. A repeated `client_id` returns the first message."""

    content: VisitorText
    client_id: ClientId | None = None


class OptionResponse(BaseModel):
    title: str
    url: str | None


class FileResponse(BaseModel):
    """A file of a message. `url` is valid for three days, or null while the file is not stored."""

    name: str
    mime: str
    size_bytes: int | None
    url: str | None


class VisitorMessageResponse(BaseModel):
    """A message. `text` is CommonMark. `author` is visitor, assistant or colleague."""

    id: str
    seq: int
    author: Literal["visitor", "assistant", "colleague"]
    text: str
    options: Sequence[OptionResponse]
    files: Sequence[FileResponse]
    client_id: str | None
    sent_at: datetime
    is_edited: bool
    is_deleted: bool

    @classmethod
    def from_view(cls, view: VisitorMessage) -> Self:
        return cls.model_validate(view, from_attributes=True)


class VisitorStateResponse(BaseModel):
    """State of the conversation. `has_failed` is True if the agent gives no answer at present."""

    status: str
    mode: str
    has_failed: bool

    @classmethod
    def from_view(cls, view: VisitorState) -> Self:
        return cls.model_validate(view, from_attributes=True)


class VisitorPage(BaseModel):
    """Messages in the order of arrival.

    `state` is null before the first message. `change_seq` is the number of the last change: the
    `Last-Event-ID` with which an event stream misses nothing.
    """

    items: Sequence[VisitorMessageResponse]
    has_more: bool
    state: VisitorStateResponse | None
    change_seq: int

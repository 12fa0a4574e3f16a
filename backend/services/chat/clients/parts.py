"""The content of one delivery, independent of the channel: JSON in the delivery's payload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

PartKind = Literal[
    "text",
    "choice",
    "media",
    "location",
    "contacts",
    "template",
    "edit",
    "delete",
    "reaction",
    "event",
]


class FileUnavailable(Exception):
    """The file of a message cannot be read any more."""


@dataclass(frozen=True, slots=True)
class ChoiceOption:
    """An answer that can be chosen. *id* is returned when it is."""

    id: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A stored file that is sent.

    *type* is image, audio, video, file or sticker. *link* is a signed URL of the file if the
    provider fetches it. *convert_to* is the MIME type into which an image is converted first.
    """

    attachment_id: str
    type: str
    mime: str
    name: str
    size: int = 0
    link: str | None = None
    convert_to: str | None = None


@dataclass(frozen=True, slots=True)
class OutboundPart:
    """One message, edit, deletion or reaction as the channel shows it.

    Attributes:
        text: text in the channel's dialect.
        plain_text: the same without marks, for notifications and channels that want both.
        options: the choices; *as_list* if they are shown as a list and not as buttons.
        target: external id of the message that is edited, deleted, reacted to or replied to.
        details: fields of the kind, such as latitude and longitude.
    """

    kind: PartKind
    text: str = ""
    plain_text: str = ""
    options: tuple[ChoiceOption, ...] = ()
    as_list: bool = False
    list_label: str = ""
    media: MediaFile | None = None
    target: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_payload(self) -> dict[str, Any]:
        """Return the part as JSON without empty fields."""
        payload: dict[str, Any] = {
            "kind": self.kind,
            "text": self.text,
            "plain_text": self.plain_text,
            "options": [_to_json(option) for option in self.options],
            "as_list": self.as_list,
            "list_label": self.list_label,
            "media": _to_json(self.media) if self.media is not None else None,
            "target": self.target,
            "details": dict(self.details),
        }
        return {key: value for key, value in payload.items() if value}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Return the part that `to_payload` has written."""
        media = payload.get("media")
        return cls(
            kind=payload["kind"],
            text=payload.get("text", ""),
            plain_text=payload.get("plain_text", ""),
            options=tuple(ChoiceOption(**option) for option in payload.get("options", ())),
            as_list=payload.get("as_list", False),
            list_label=payload.get("list_label", ""),
            media=MediaFile(**media) if media else None,
            target=payload.get("target"),
            details=payload.get("details", {}),
        )


def _to_json(value: ChoiceOption | MediaFile) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in type(value).__slots__}
    return {name: item for name, item in fields.items() if item not in (None, "")} | (
        {"mime": value.mime, "name": value.name} if isinstance(value, MediaFile) else {}
    )

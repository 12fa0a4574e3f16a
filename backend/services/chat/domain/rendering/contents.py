"""Render the content of a message as the parts that a channel accepts.

What a channel does not support becomes something that it does: choices become numbered text, cards
become messages, a location becomes a link. Each such change is noted as a degradation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backend.services.chat.clients.parts import MediaFile, OutboundPart
from backend.services.chat.domain.rendering.choices import (
    list_options_as_text,
    read_options,
    select_choice_form,
)
from backend.services.chat.domain.rendering.dialects import PLAIN
from backend.services.chat.domain.rendering.limits import (
    MAX_PARTS,
    ChannelLimits,
    get_limits,
    get_max_linked_bytes,
)
from backend.services.chat.domain.rendering.markdown import (
    Run,
    TextBlock,
    clean_text,
    parse_markdown,
)
from backend.services.chat.domain.rendering.sms import measure_sms
from backend.services.chat.domain.rendering.splitting import split_blocks

# Longer texts are cut before they are parsed. No channel shows more than this in MAX_PARTS parts,
# except those whose limit for one part is larger.
_MAX_CHARACTERS: Final = 200_000
_SHORTENED: Final = "[…]"
_MEDIA_TYPES: Final = frozenset({"image", "audio", "video", "file", "sticker"})
_CONVERTIBLE: Final = frozenset({"image/webp", "image/gif", "image/bmp", "image/tiff"})
_LIST_LABEL: Final = "Options"

SignLink = Callable[[str], str | None]
"""Return a public URL of the attachment with this id, or None if the service has no public URL."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The parts of a message in their order, and what the channel shows differently."""

    parts: tuple[OutboundPart, ...]
    degradations: tuple[str, ...] = ()


def render_content(
    content: Mapping[str, Any],
    channel: str,
    transport: str = "",
    *,
    sign_link: SignLink = lambda _attachment_id: None,
) -> Rendering:
    """Return *content* as parts for *channel*.

    Args:
        content: content of a message, such as {"type": "text", "text": "Hello *you*"}.
        transport: Twilio's transport: sms, whatsapp or voice.
        sign_link: makes the links to files that a channel does not accept.
    """
    renderer = _Renderer(channel, transport, sign_link)
    parts = [part for part in renderer.render(content) if part.kind != "text" or part.text.strip()]
    if len(parts) > MAX_PARTS:
        renderer.degradations.add("shortened")
        parts = [*parts[: MAX_PARTS - 1], OutboundPart("text", _SHORTENED, _SHORTENED)]
    if channel == "twilio" and not transport:
        parts = [_add_sms_size(part) for part in parts]
    return Rendering(tuple(parts), tuple(sorted(renderer.degradations)))


def _add_sms_size(part: OutboundPart) -> OutboundPart:
    size = measure_sms(part.text)
    return replace(
        part,
        details={**part.details, "encoding": size.encoding, "segments": size.segments},
    )


class _Renderer:
    def __init__(self, channel: str, transport: str, sign_link: SignLink) -> None:
        self._channel = channel
        self._limits: ChannelLimits = get_limits(channel, transport)
        self._max_linked_bytes = get_max_linked_bytes(channel, transport)
        self._sign_link = sign_link
        self.degradations: set[str] = set()

    def render(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        kind = content.get("type")
        if kind in _MEDIA_TYPES:
            yield from self._render_media(content)
        elif kind == "choice":
            yield from self._render_choice(_get_text(content), content.get("options") or ())
        elif kind == "carousel":
            yield from self._render_carousel(content)
        elif kind == "form":
            yield from self._render_form(content)
        elif kind == "location":
            yield from self._render_location(content)
        elif kind == "contacts":
            yield from self._render_contacts(content)
        elif kind == "template":
            yield from self._render_template(content)
        elif kind == "link":
            yield from self._render_link(content)
        else:
            yield from self._render_text(_get_text(content))

    def _render_text(self, text: str) -> Iterator[OutboundPart]:
        yield from self._write_blocks(self._parse(text), self._limits.text)

    def _parse(self, text: str) -> tuple[TextBlock, ...]:
        if len(text) > max(_MAX_CHARACTERS, self._limits.text):
            self.degradations.add("shortened")
            text = f"{text[:_MAX_CHARACTERS]}\n\n{_SHORTENED}"
        document = parse_markdown(text)
        self.degradations.update(document.degradations)
        runs = [run for block in document.blocks for run in block.runs]
        if not self._limits.dialect.has_styles and any(run.styles for run in runs):
            self.degradations.add("styles_left_out")
        return document.blocks

    def _write_blocks(self, blocks: Sequence[TextBlock], limit: int) -> Iterator[OutboundPart]:
        parts = split_blocks(blocks, self._limits.dialect, limit, MAX_PARTS + 1)
        if parts.is_code_cut:
            self.degradations.add("code_cut")
        if len(parts.texts) == 1:
            yield OutboundPart("text", parts.texts[0], self._write_plain(blocks))
            return
        for text in parts.texts:
            yield OutboundPart("text", text)

    def _write_plain(self, blocks: Sequence[TextBlock]) -> str:
        """Return the text without marks, for the notifications of channels with marks."""
        if self._limits.dialect is PLAIN:
            return ""
        texts = split_blocks(blocks, PLAIN, self._limits.text, 1).texts
        return texts[0] if texts else ""

    def _render_choice(self, text: str, values: Sequence[object]) -> Iterator[OutboundPart]:
        options = read_options(values)
        form = select_choice_form(options, self._limits)
        if form == "text":
            if options:
                self.degradations.add("choice_as_text")
            blocks = (*self._parse(text), *list_options_as_text(options))
            yield from self._write_blocks(blocks, self._limits.text)
            return
        parts = list(self._write_blocks(self._parse(text), self._limits.choice_text))
        *introduction, last = parts or [OutboundPart("text", "…", "…")]
        yield from introduction
        yield replace(
            last,
            kind="choice",
            options=options,
            as_list=form == "list",
            list_label=_LIST_LABEL if form == "list" else "",
        )

    def _render_carousel(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        self.degradations.add("carousel_as_messages")
        yield from self._render_text(_get_text(content))
        for card in _list_mappings(content.get("cards"))[:MAX_PARTS]:
            image = card.get("image")
            if isinstance(image, Mapping):
                yield from self._render_media({"type": "image", "attachments": [image]})
            title, url = _get_line(card, "title"), str(card.get("url") or "")
            text = "\n\n".join(
                filter(None, (f"**{_escape(title)}**" if title else "", _get_text(card), url))
            )
            yield from self._render_choice(text, card.get("options") or ())

    def _render_form(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        self.degradations.add("form_as_questions")
        title = _get_line(content, "title")
        blocks = [TextBlock("paragraph", (Run(title, frozenset({"bold"})),))] if title else []
        blocks += self._parse(_get_text(content))
        for number, field in enumerate(_list_mappings(content.get("fields")), 1):
            label = (
                _get_line(field, "title") or _get_line(field, "label") or _get_line(field, "name")
            )
            choices = ", ".join(option.title for option in read_options(field.get("options") or ()))
            question = f"{label} ({choices})" if choices else label
            blocks.append(
                TextBlock(
                    "item", (Run(question),), prefix=f"{number}. ", follows_closely=number > 1
                )
            )
        yield from self._write_blocks(blocks, self._limits.text)

    def _render_location(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        latitude, longitude = content.get("latitude"), content.get("longitude")
        name, address = _get_line(content, "name"), _get_line(content, "address")
        if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
            yield from self._render_text("\n".join((name, address)))
            return
        if self._limits.location:
            details: dict[str, Any] = {"latitude": latitude, "longitude": longitude}
            details |= {"name": name[:1000], "address": address[:1000]}
            yield OutboundPart("location", details=details)
            return
        self.degradations.add("location_as_link")
        place = f"{latitude:.6f},{longitude:.6f}"
        url = f"https://www.openstreetmap.org/?mlat={latitude:.6f}&mlon={longitude:.6f}"
        lines = [Run(text + "\n") for text in (name, address) if text]
        yield from self._write_blocks(
            [TextBlock("paragraph", (*lines, Run(place, url=url)))], self._limits.text
        )

    def _render_contacts(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        contacts = [_read_contact(value) for value in _list_mappings(content.get("contacts"))]
        if self._limits.contacts and contacts and all(contact["phones"] for contact in contacts):
            yield OutboundPart("contacts", details={"contacts": contacts})
            return
        self.degradations.add("contacts_as_text")
        blocks = [
            TextBlock("paragraph", (Run(", ".join([contact["name"], *contact["phones"]])),))
            for contact in contacts
        ]
        yield from self._write_blocks(blocks, self._limits.text)

    def _render_template(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        if self._limits.template:
            names = ("name", "language", "parameters", "components", "content_sid")
            details = {name: content[name] for name in names if content.get(name)}
            yield OutboundPart("template", _get_text(content), details=details)
            return
        self.degradations.add("template_as_text")
        yield from self._render_text(_get_text(content))

    def _render_link(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        url, title = str(content.get("url") or ""), _get_line(content, "title")
        link = Run(title or url, url=url) if url.startswith(("http://", "https://")) else Run(url)
        blocks = [TextBlock("paragraph", (link,)), *self._parse(_get_text(content))]
        yield from self._write_blocks(blocks, self._limits.text)

    def _render_media(self, content: Mapping[str, Any]) -> Iterator[OutboundPart]:
        attachments = _list_mappings(content.get("attachments"))
        caption = list(self._render_text(_get_text(content)))
        files = [self._select_file(str(content["type"]), value) for value in attachments]
        is_caption = (
            len(files) == len(caption) == 1
            and files[0] is not None
            and files[0].type not in {"audio", "sticker"}
            and self._limits.dialect.measure(caption[0].text) <= self._limits.caption
        )
        if not is_caption:
            yield from caption
        for value, file in zip(attachments, files, strict=True):
            if file is None:
                yield from self._link_file(value)
            else:
                part = caption[0] if is_caption else OutboundPart("text")
                yield replace(part, kind="media", media=file)

    def _select_file(self, kind: str, value: Mapping[str, Any]) -> MediaFile | None:
        """Return how the file is sent, or None if it becomes a link in a text."""
        mime = str(value.get("mime") or "application/octet-stream").partition(";")[0].strip()
        size = int(value.get("size") or 0)
        file = MediaFile(
            str(value.get("id") or ""), kind, mime, _get_line(value, "name")[:200] or kind, size
        )
        if self._max_linked_bytes:
            link = self._sign_link(file.attachment_id) if size <= self._max_linked_bytes else None
            return None if link is None else replace(file, link=link)
        accepted = self._limits.media_types.get(kind)
        if accepted is not None and mime not in accepted:
            if kind == "image" and mime in _CONVERTIBLE:
                self.degradations.add("image_converted")
                file = replace(file, convert_to="image/png")
            else:
                self.degradations.add("media_as_file")
                file = replace(file, type="file")
        if size > self._limits.media_bytes.get(file.type, 0) and "file" in self._limits.media_bytes:
            file = replace(file, type="file", convert_to=None)
        if size > self._limits.media_bytes.get(file.type, -1):
            return None
        if self._limits.media_links:
            link = self._sign_link(file.attachment_id)
            return None if link is None else replace(file, link=link)
        return file

    def _link_file(self, value: Mapping[str, Any]) -> Iterator[OutboundPart]:
        name = _get_line(value, "name") or "file"
        url = self._sign_link(str(value.get("id") or ""))
        self.degradations.add("media_as_link" if url else "media_left_out")
        blocks = [TextBlock("paragraph", (Run(name, url=url),))]
        yield from self._write_blocks(blocks, self._limits.text)


def _read_contact(value: Mapping[str, Any]) -> dict[str, Any]:
    phones = value.get("phones")
    numbers = phones if isinstance(phones, list) else []
    return {
        "name": _get_line(value, "name")[:200] or "-",
        "phones": [clean_text(str(number))[:40] for number in numbers[:10]],
    }


def _get_text(content: Mapping[str, Any]) -> str:
    text = content.get("text")
    return text if isinstance(text, str) else ""


def _get_line(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return " ".join(clean_text(value).split()) if isinstance(value, str) else ""


def _list_mappings(value: object) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list | tuple) else ()
    return [item for item in values if isinstance(item, Mapping)]


def _escape(text: str) -> str:
    """Return *text* so that CommonMark shows it as it is."""
    return "".join(f"\\{c}" if c.isascii() and not c.isalnum() and c != " " else c for c in text)

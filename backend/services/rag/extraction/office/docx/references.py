"""Notes, comments, objects and text boxes that the paragraphs of a DOCX file refer to."""

from backend.services.rag.extraction.office.docx.inline import InlineReader
from backend.services.rag.extraction.office.docx.notes import NoteNumbers, find_sections
from backend.services.rag.extraction.office.docx.styles import Styles, W
from backend.services.rag.extraction.office.ooxml import Element, Package
from backend.services.rag.extraction.office.run_text import RunText

_NOTE_KINDS = ("footnotes", "endnotes")


class DocumentReferences:
    """Collects the notes, comments, objects and text boxes to append after a paragraph or table."""

    def __init__(self, package: Package, main: str, document: Element, styles: Styles) -> None:
        self._package = package
        self._main = main
        self._reader = InlineReader(styles)
        body = document.find(f"{W}body")
        sections = find_sections(body) if body is not None else []
        settings = self._read_related("settings")
        self._numbers = {kind: NoteNumbers(kind, settings, sections) for kind in _NOTE_KINDS}
        self._texts = {kind: self._read_notes(kind) for kind in _NOTE_KINDS}
        self._comments = self._read_comments()
        self._pending_notes: list[str] = []
        self._pending_objects: list[Element] = []
        self._pending_boxes: list[Element] = []
        self.has_pending = False

    def add_note(self, kind: str, note_id: str, has_custom_mark: bool) -> str:
        """Return the marker of a note, or "" before a custom mark. Its text is added once."""
        if note_id not in self._texts[kind]:
            return ""
        note = self._texts[kind].pop(note_id)
        marker = "" if has_custom_mark else f"[{self._numbers[kind].next_number()}]"
        if note:
            self._pending_notes.append(f"{marker} {note}".lstrip())
            self.has_pending = True
        return marker

    def add_comment(self, comment_id: str) -> None:
        if comment := self._comments.pop(comment_id, ""):
            self._pending_notes.append(comment)
            self.has_pending = True

    def add_text_box(self, content: Element) -> None:
        self._pending_boxes.append(content)
        self.has_pending = True

    def add_object(self, node: Element) -> None:
        self._pending_objects.append(node)
        self.has_pending = True

    def start_page(self) -> None:
        for numbers in self._numbers.values():
            numbers.start_page()

    def start_section(self) -> None:
        for numbers in self._numbers.values():
            numbers.start_section()

    def take_pending(self) -> tuple[list[str], list[Element], list[Element]]:
        """Return and remove notes and comments, objects, and text boxes."""
        pending = self._pending_notes, self._pending_objects, self._pending_boxes
        self._pending_notes, self._pending_objects, self._pending_boxes = [], [], []
        self.has_pending = False
        return pending

    def remaining_comments(self) -> list[str]:
        """Return the comments that no paragraph refers to."""
        return [comment for comment in self._comments.values() if comment]

    def _read_notes(self, kind: str) -> dict[str, str]:
        """Return the texts of the footnotes or endnotes by their ids."""
        root = self._read_related(kind)
        return {
            note.get(f"{W}id", ""): self._read_text(note)
            for note in (root if root is not None else ())
        }

    def _read_comments(self) -> dict[str, str]:
        root = self._read_related("comments")
        comments = {}
        for comment in root if root is not None else ():
            author, text = comment.get(f"{W}author", ""), self._read_text(comment)
            label = f"Comment ({author})" if author else "Comment"
            comments[comment.get(f"{W}id", "")] = f"{label}: {text}" if text else ""
        return comments

    def _read_text(self, container: Element) -> str:
        lines = []
        for paragraph in container.iter(f"{W}p"):
            runs = RunText()
            self._reader.read_paragraph(paragraph, runs)
            lines.append(runs.to_text())
        return " ".join(" ".join(lines).split())

    def _read_related(self, kind: str) -> Element | None:
        for part in self._package.related_parts(self._main, kind).values():
            return self._package.read_optional_part(part)
        return None

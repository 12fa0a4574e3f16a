"""Builders of small test documents: PDF by page, Office files by part."""

import io
import zipfile
from dataclasses import dataclass

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


@dataclass(frozen=True)
class TextLine:
    """A line of Helvetica that starts at (x, y) points from the lower left corner of the page."""

    x: float
    y: float
    text: str
    size: float = 10
    # The text matrix without its translation; (0, 1, -1, 0) writes upwards.
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1)


@dataclass(frozen=True)
class Stroke:
    """A straight line between two points, or the frame of the rectangle between them."""

    x1: float
    y1: float
    x2: float
    y2: float


def pdf(*pages, rotate=0):
    """Return a PDF.

    A page is a list of `TextLine` and `Stroke`, or `bytes` of a JPEG that fills it.
    """
    kids, bodies = [], []
    for number, page in enumerate(pages):
        page_object = 4 + 3 * number
        kids.append(f"{page_object} 0 R")
        picture, content = b"", b""
        if isinstance(page, bytes):
            content = b"q 612 0 0 792 0 0 cm /Im Do Q"
            picture = page
        else:
            operators = (
                _stroke_operators(item) if isinstance(item, Stroke) else _text_operators(item)
                for item in page
            )
            content = "\n".join(operators).encode("cp1252")
        bodies += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Rotate {rotate}/Contents "
            f"{page_object + 1} 0 R/Resources<</Font<</F 3 0 R>>"
            f"/XObject<</Im {page_object + 2} 0 R>>>>>>".encode(),
            _stream(b"", content),
            _picture(picture) if picture else b"null",
        ]
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        *bodies,
    ]
    return _file(objects)


def _stroke_operators(stroke):
    if stroke.x1 == stroke.x2 or stroke.y1 == stroke.y2:
        return f"{stroke.x1} {stroke.y1} m {stroke.x2} {stroke.y2} l S"
    width, height = stroke.x2 - stroke.x1, stroke.y2 - stroke.y1
    return f"{stroke.x1} {stroke.y1} {width} {height} re S"


def _text_operators(line):
    text = line.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    matrix = " ".join(map(str, line.matrix))
    return f"BT /F {line.size} Tf {matrix} {line.x} {line.y} Tm ({text}) Tj ET"


def _picture(jpeg):
    from PIL import Image

    width, height = Image.open(io.BytesIO(jpeg)).size
    size = f"/Width {width}/Height {height}/ColorSpace/DeviceRGB/BitsPerComponent 8"
    return _stream(f"/Type/XObject/Subtype/Image{size}/Filter/DCTDecode".encode(), jpeg)


def _stream(entries, content):
    length = f"/Length {len(content)}".encode()
    return b"<<" + entries + length + b">>stream\n" + content + b"\nendstream"


def _file(objects):
    content, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += f"{number} 0 obj".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(content)}\n%%EOF"
    return content + (head + trailer).encode()


def encrypted(document, user="", owner="the owner's"):
    """Return the PDF *document* encrypted with 256-bit AES."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(io.BytesIO(document)))
    writer.encrypt(user, owner, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def picture(text, size=(1100, 420), points=30, turn=0, form="PNG"):
    """Return an image of *text*, rotated by *turn* quarter turns."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((40, 30), text, "black", ImageFont.load_default(points))
    out = io.BytesIO()
    page.rotate(90 * turn, expand=True).save(out, form)
    return out.getvalue()


def package(main, parts, relations=()):
    """Return an Office file with the main part *main*.

    *relations* are tuples (part, id, kind, target).
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, links in _by_part([("", "r1", "officeDocument", main), *relations]).items():
            folder, _, name = part.rpartition("/")
            archive.writestr(f"{folder}/_rels/{name}.rels".lstrip("/"), links)
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def _by_part(relations):
    links = {}
    for part, name, kind, target in relations:
        mode = ' TargetMode="External"' if "://" in target else ""
        links.setdefault(part, []).append(
            f'<Relationship Id="{name}" Type="{RELATIONS}/{kind}" Target="{target}"{mode}/>'
        )
    return {
        part: f'<Relationships xmlns="{PACKAGE}">{"".join(elements)}</Relationships>'
        for part, elements in links.items()
    }


def docx(body, parts=None, relations=()):
    """Return a DOCX; *body* is the content of w:body, or a complete document part."""
    if not body.lstrip().startswith(("<?xml", "<!DOCTYPE", "<w:document")):
        body = f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    main = "word/document.xml"
    links = [(main, *relation) for relation in relations]
    return package(main, {main: body, **(parts or {})}, links)


def paragraph(text, style="", extra_properties=""):
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{properties}{extra_properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"

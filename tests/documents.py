"""Small documents made for tests: PDF page by page, Office files part by part."""

import io
import zipfile
from dataclasses import dataclass

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


@dataclass(frozen=True)
class Words:
    """A line of Helvetica with its left end at (x, y) points from the page's lower left."""

    x: float
    y: float
    text: str
    size: float = 10
    # The text matrix without its place; (0, 1, -1, 0) writes upwards.
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1)


def pdf(*pages, rotate=0):
    """A PDF whose pages hold Words; `bytes` in place of a page are an image in JPEG."""
    kids, bodies = [], []
    for number, page in enumerate(pages):
        own = 4 + 3 * number
        kids.append(f"{own} 0 R")
        picture, content = b"", b""
        if isinstance(page, bytes):
            content = b"q 612 0 0 792 0 0 cm /Im Do Q"
            picture = page
        else:
            content = "\n".join(map(_shown, page)).encode("cp1252")
        bodies += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Rotate {rotate}/Contents {own + 1} "
            f"0 R/Resources<</Font<</F 3 0 R>>/XObject<</Im {own + 2} 0 R>>>>>>".encode(),
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


def _shown(words):
    text = words.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    matrix = " ".join(map(str, words.matrix))
    return f"BT /F {words.size} Tf {matrix} {words.x} {words.y} Tm ({text}) Tj ET"


def _picture(jpeg):
    from PIL import Image

    width, height = Image.open(io.BytesIO(jpeg)).size
    size = f"/Width {width}/Height {height}/ColorSpace/DeviceRGB/BitsPerComponent 8"
    return _stream(f"/Type/XObject/Subtype/Image{size}/Filter/DCTDecode".encode(), jpeg)


def _stream(entries, content):
    length = f"/Length {len(content)}".encode()
    return b"<<" + entries + length + b">>stream\n" + content + b"\nendstream"


def _file(objects):
    whole, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(whole))
        whole += f"{number} 0 obj".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(whole)}\n%%EOF"
    return whole + (head + trailer).encode()


def encrypted(document, user="", owner="the owner's"):
    """*document* locked in 256-bit AES."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(io.BytesIO(document)))
    writer.encrypt(user, owner, algorithm="AES-256")
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


def picture(text, size=(1100, 420), points=30, turn=0, form="PNG"):
    """*text* as a picture, turned by quarter turns."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((40, 30), text, "black", ImageFont.load_default(points))
    whole = io.BytesIO()
    page.rotate(90 * turn, expand=True).save(whole, form)
    return whole.getvalue()


def package(main, parts, relations=()):
    """An Office file: *main* names its first part; *relations* are (part, id, kind, target)."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, links in _by_part([("", "r1", "officeDocument", main), *relations]).items():
            folder, _, name = part.rpartition("/")
            archive.writestr(f"{folder}/_rels/{name}.rels".lstrip("/"), links)
        for name, content in parts.items():
            archive.writestr(name, content)
    return whole.getvalue()


def _by_part(relations):
    links = {}
    for part, name, kind, target in relations:
        mode = ' TargetMode="External"' if "://" in target else ""
        links.setdefault(part, []).append(
            f'<Relationship Id="{name}" Type="{RELATIONS}/{kind}" Target="{target}"{mode}/>'
        )
    return {
        part: f'<Relationships xmlns="{PACKAGE}">{"".join(found)}</Relationships>'
        for part, found in links.items()
    }


def docx(body, parts=None, relations=()):
    """A DOCX; *body* is what stands in its w:body, or a whole document if it says so."""
    if not body.lstrip().startswith(("<?xml", "<!DOCTYPE", "<w:document")):
        body = f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    main = "word/document.xml"
    links = [(main, *relation) for relation in relations]
    return package(main, {main: body, **(parts or {})}, links)


def paragraph(text, style="", more=""):
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{properties}{more}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"

"""Read the objects that drawings refer to in other parts: charts and diagrams (SmartArt)."""

from typing import Final

from backend.services.rag.extraction.content import TextBuilder
from backend.services.rag.extraction.office.drawing.charts import CX, C, IsShown, add_chart
from backend.services.rag.extraction.office.drawing.text import read_paragraphs
from backend.services.rag.extraction.office.ooxml import RELATIONSHIPS, Element, Package

_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
OBJECT_TAGS: Final = (f"{C}chart", f"{CX}chart", _DIAGRAM)


def add_object(
    package: Package,
    part: str,
    node: Element,
    text: TextBuilder,
    is_shown: IsShown = lambda _: False,
) -> None:
    """Append the text of the chart or diagram that *node* in *part* refers to.

    Args:
        node: an element with one of OBJECT_TAGS.
        is_shown: see `add_chart`.
    """
    name = "dm" if node.tag == _DIAGRAM else "id"
    target = package.find_related_part(part, node.get(f"{RELATIONSHIPS}{name}", ""))
    root = package.read_optional_part(target)
    if root is None:
        return
    if node.tag == _DIAGRAM:
        text.add_paragraph("\n".join(read_paragraphs(root)))
        return
    add_chart(root, text, is_shown)
    # Add the text boxes that are on the chart.
    for shapes in package.related_parts(target, "chartUserShapes").values():
        drawing = package.read_optional_part(shapes)
        text.add_paragraph("\n".join(read_paragraphs(drawing)) if drawing is not None else "")

"""Parser of PPTX: slides are pages."""

import io

import pytest
from pptx import Presentation
from pptx.util import Inches

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.office.pptx import parser as pptx


@pytest.fixture
def slides():
    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[5])
    table = first.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for index, text in enumerate(("Item", "Price", "Nut", "1.20")):
        table.cell(index // 2, index % 2).text = text
    first.shapes.title.text = "Prices"
    second = presentation.slides.add_slide(presentation.slide_layouts[1])
    second.shapes.title.text = "Next steps"
    second.placeholders[1].text = "Order\nPay"
    second.notes_slide.notes_text_frame.text = "Mention the discount."
    presentation.slides.add_slide(presentation.slide_layouts[6])
    content = io.BytesIO()
    presentation.save(content)
    return content.getvalue()


def test_slides_are_pages_with_titles_tables_and_notes(parse_with, slides):
    parsed = parse_with(pptx.parse_pptx, slides)

    assert parsed.pages == [
        "Prices\n\nItem\tPrice\nNut\t1.20",
        "Next steps\n\nOrder\nPay\n\nNotes: Mention the discount.",
        "",
    ]
    assert parsed.headings == parsed.text_at_headings == ["Prices", "Next steps"]
    assert (parsed.title, parsed.page_count) == ("Prices", 3)


def test_truncated_presentation_is_rejected(parse_with, slides):
    with pytest.raises(UnreadableFile, match="PPTX"):
        parse_with(pptx.parse_pptx, slides[: len(slides) // 2])

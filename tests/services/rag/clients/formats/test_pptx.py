"""PPTX: slides are pages."""

import io

import pytest
from pptx import Presentation
from pptx.util import Inches

from backend.services.rag.clients.formats import pptx
from backend.services.rag.clients.formats.page import Unreadable


@pytest.fixture
def slides():
    show = Presentation()
    first = show.slides.add_slide(show.slide_layouts[5])
    table = first.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for at, text in enumerate(("Item", "Price", "Nut", "1.20")):
        table.cell(at // 2, at % 2).text = text
    first.shapes.title.text = "Prices"
    second = show.slides.add_slide(show.slide_layouts[1])
    second.shapes.title.text = "Next steps"
    second.placeholders[1].text = "Order\nPay"
    second.notes_slide.notes_text_frame.text = "Mention the discount."
    show.slides.add_slide(show.slide_layouts[6])
    whole = io.BytesIO()
    show.save(whole)
    return whole.getvalue()


def test_slides_are_pages_with_their_titles_tables_and_notes(read_with, slides):
    read = read_with(pptx.read, slides)

    assert read.pages == [
        "Prices\n\nItem\tPrice\nNut\t1.20",
        "Next steps\n\nOrder\nPay\n\nNotes: Mention the discount.",
        "",
    ]
    assert read.headings == read.placed == ["Prices", "Next steps"]
    assert (read.title, read.total) == ("Prices", 3)


def test_a_cut_off_presentation_is_unreadable(read_with, slides):
    with pytest.raises(Unreadable, match="PPTX"):
        read_with(pptx.read, slides[: len(slides) // 2])

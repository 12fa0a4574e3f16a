"""Parser of XLSX: sheets are pages, numbers are formatted as displayed."""

import datetime
import io

import pytest
import xlsxwriter

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.office.xlsx import parser as xlsx
from tests.documents import package


@pytest.fixture
def workbook():
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    number_format = lambda code: book.add_format({"num_format": code})  # noqa: E731
    sheet = book.add_worksheet("Sales")
    sheet.write_row(0, 0, ["Region", "Since", "Share", "Sum"])
    sheet.write(1, 0, "North")
    sheet.write(1, 1, datetime.date(2024, 3, 15), number_format("dd/mm/yy"))
    sheet.write(1, 2, 0.125, number_format("0.0%"))
    sheet.write(1, 3, 1234.5, number_format('#,##0.00 "€"'))
    sheet.write(3, 1, 0.1 + 0.2)
    sheet.write_formula(3, 2, "=SUM(A1)", None, 7)
    sheet.write(3, 3, True)
    book.add_worksheet("Secret").hide()
    book.add_worksheet("Empty")
    book.close()
    return content.getvalue()


def test_sheets_are_pages_with_one_line_per_row(parse_with, workbook):
    parsed = parse_with(xlsx.parse_xlsx, workbook)

    assert parsed.pages == [
        "Sales\n\nRegion\tSince\tShare\tSum\nNorth\t2024-03-15\t12.5%\t1,234.50 €\n\t0.3\t7\tTRUE",
        "Empty",
    ]
    assert parsed.headings == ["Sales", "Empty"]
    assert parsed.page_count == 2


def test_truncated_workbook_is_rejected(parse_with, workbook):
    with pytest.raises(UnreadableFile, match="XLSX"):
        parse_with(xlsx.parse_xlsx, workbook[:-2000])


def test_gaps_between_distant_cells_are_shortened(parse_with):
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relationships = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>{n}</v></c></row>' for n in range(1, 5000))
    sheets = '<sheets><sheet name="s" r:id="r1"/></sheets>'
    main = f'<workbook xmlns="{namespace}" xmlns:r="{relationships}">{sheets}</workbook>'
    content = package(
        "xl/workbook.xml",
        {
            "xl/workbook.xml": main,
            "xl/s.xml": f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>',
        },
        [("xl/workbook.xml", "r1", "worksheet", "s.xml")],
    )

    assert len(parse_with(xlsx.parse_xlsx, content).text) < 200_000

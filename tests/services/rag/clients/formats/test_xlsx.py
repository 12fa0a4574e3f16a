"""XLSX: sheets are pages, numbers are shown as their readers see them."""

import datetime
import io

import pytest
import xlsxwriter

from backend.services.rag.clients.formats import xlsx
from backend.services.rag.clients.formats.numbers import Format, format_of
from backend.services.rag.clients.formats.page import Unreadable
from tests.documents import package


@pytest.fixture
def book():
    whole = io.BytesIO()
    made = xlsxwriter.Workbook(whole, {"in_memory": True})
    form = lambda code: made.add_format({"num_format": code})  # noqa: E731
    sheet = made.add_worksheet("Sales")
    sheet.write_row(0, 0, ["Region", "Since", "Share", "Sum"])
    sheet.write(1, 0, "North")
    sheet.write(1, 1, datetime.date(2024, 3, 15), form("dd/mm/yy"))
    sheet.write(1, 2, 0.125, form("0.0%"))
    sheet.write(1, 3, 1234.5, form('#,##0.00 "€"'))
    sheet.write(3, 1, 0.1 + 0.2)
    sheet.write_formula(3, 2, "=SUM(A1)", None, 7)
    sheet.write(3, 3, True)
    made.add_worksheet("Secret").hide()
    made.add_worksheet("Empty")
    made.close()
    return whole.getvalue()


def test_sheets_are_pages_with_a_line_for_each_row(read_with, book):
    read = read_with(xlsx.read, book)

    assert read.pages == [
        "Sales\n\nRegion\tSince\tShare\tSum\nNorth\t2024-03-15\t12.5%\t1,234.50 €\n\t0.3\t7\tTRUE",
        "Empty",
    ]
    assert read.headings == ["Sales", "Empty"]
    assert read.total == 2


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("", "1.0", "1"),
        ("", "0.30000000000000004", "0.3"),
        ("", "1e21", "1000000000000000000000"),
        ("", "0.0000025", "0.0000025"),
        ("0.00", "2.345", "2.35"),
        ("#,##0", "1234567.8", "1,234,568"),
        ("#,##0.00;[Red](#,##0.00)", "-5", "(5.00)"),
        ("0.##", "2.5", "2.5"),
        ("0", "-3", "-3"),
        ("0%", "0.4", "40%"),
        ("00000", "42", "00042"),
        ("0.0E+00", "12345", "1.2E+04"),
        ('"$"#,##0', "99", "$99"),
        ("[$€-407] #,##0.00", "3", "€ 3.00"),
        ('0.0,,"M"', "2500000", "2.5M"),
        ("yyyy-mm-dd hh:mm", "45366.5", "2024-03-15 12:00"),
        ("hh:mm:ss", "0.75", "18:00"),
        ("[h]:mm", "1.25", "30:00:00"),
        ("d. mmmm yyyy", "1", "1900-01-01"),
        ("yyyy-mm-dd", "-1", "-1"),
        ("0.00", "no number", "no number"),
        (";;;", "3", ""),
    ],
)
def test_a_number_is_shown_by_its_format(code, value, shown):
    assert Format(code).show(value) == shown


def test_built_in_formats_are_known_by_number():
    assert format_of("14", None).show("45366") == "2024-03-15"
    assert format_of("10", None).show("0.5") == "50.00%"
    assert format_of("0", None).show("5") == "5"


def test_a_clock_may_start_in_1904():
    assert Format("yyyy-mm-dd").show("43904", from_1904=True) == "2024-03-15"


def test_a_cut_off_sheet_is_unreadable(read_with, book):
    with pytest.raises(Unreadable, match="XLSX"):
        read_with(xlsx.read, book[:-2000])


def test_cells_far_apart_do_not_fill_the_memory(read_with):
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>{n}</v></c></row>' for n in range(1, 5000))
    sheets = '<sheets><sheet name="s" r:id="r1"/></sheets>'
    main = f'<workbook xmlns="{space}" xmlns:r="{links}">{sheets}</workbook>'
    made = package(
        "xl/workbook.xml",
        {
            "xl/workbook.xml": main,
            "xl/s.xml": f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>',
        },
        [("xl/workbook.xml", "r1", "worksheet", "s.xml")],
    )

    assert len(read_with(xlsx.read, made).text) < 200_000

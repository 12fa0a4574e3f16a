"""Charts: titles, and a table with one line a category and one column a series."""

from xml.etree import ElementTree

import pytest

from backend.services.rag.extraction.content import TextBuilder
from backend.services.rag.extraction.office.drawing.charts import add_chart
from tests.services.rag.extraction.office.documents import A, C, cache, chart, series, title

CX = "http://schemas.microsoft.com/office/drawing/2014/chartex"


def read(content, is_shown=lambda _: False):
    text = TextBuilder()
    add_chart(ElementTree.fromstring(content), text, is_shown)  # noqa: S314
    return text.to_page().text.strip("\n")


def axis(kind, text):
    return f"<c:{kind}>{title(text)}</c:{kind}>"


def test_titles_series_categories_and_values_are_read():
    bars = series("Boote", ["Frühling", "Sommer"], ["12", "38.5"])
    line = series("Räder", ["Frühling", "Sommer"], ["3", "7"])
    plot = f"<c:barChart>{bars}</c:barChart><c:lineChart>{line}</c:lineChart>"
    axes = axis("catAx", "Saison") + axis("valAx", "Anzahl")

    assert read(chart(plot + axes, title("Verleih"))) == (
        "Verleih\nSaison\nAnzahl\n\n\tBoote\tRäder\nFrühling\t12\t3\nSommer\t38.5\t7"
    )


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [("0%", "0.125", "13%"), ("#,##0", "2275", "2,275"), ("General", "0.1", "0.1"), ("", "5", "5")],
)
def test_values_are_formatted_as_displayed(code, value, expected):
    assert read(chart(f"<c:pieChart>{series('s', ['a'], [value], code)}</c:pieChart>")) == (
        f"\ts\na\t{expected}"
    )


def test_dates_of_categories_are_formatted():
    categories = cache(["45366"], numeric=True, code="m/d/yyyy")
    content = (
        f"<c:ser><c:cat>{categories}</c:cat><c:val>{cache(['5'], numeric=True)}</c:val></c:ser>"
    )

    assert read(chart(f"<c:lineChart>{content}</c:lineChart>")) == "2024-03-15\t5"


def test_points_of_scatter_and_bubble_charts_are_read():
    data = "".join(
        f"<c:{name}>{cache(values, numeric=True)}</c:{name}>"
        for name, values in [
            ("xVal", ["1", "2"]),
            ("yVal", ["10", "20"]),
            ("bubbleSize", ["7", "8"]),
        ]
    )

    assert read(chart(f"<c:bubbleChart><c:ser>{data}</c:ser></c:bubbleChart>")) == (
        "1\t10\t7\n2\t20\t8"
    )


def test_levels_of_categories_are_joined():
    levels = (
        '<c:lvl><c:pt idx="0"><c:v>Q1</c:v></c:pt><c:pt idx="1"><c:v>Q2</c:v></c:pt></c:lvl>'
        '<c:lvl><c:pt idx="0"><c:v>2024</c:v></c:pt></c:lvl>'
    )
    categories = (
        f"<c:multiLvlStrRef><c:multiLvlStrCache>{levels}</c:multiLvlStrCache></c:multiLvlStrRef>"
    )
    values = f"<c:val>{cache(['5', '6'], numeric=True)}</c:val>"
    content = f"<c:ser><c:cat>{categories}</c:cat>{values}</c:ser>"

    assert read(chart(f"<c:barChart>{content}</c:barChart>")) == "2024 Q1\t5\n2024 Q2\t6"


def test_missing_points_leave_their_place_empty():
    sparse = series("b", ["x", "y"], ["1", "2"]).replace('idx="0"><c:v>1', 'idx="1"><c:v>1', 1)
    content = series("a", ["x", "y"], ["3"]) + sparse

    assert read(chart(f"<c:barChart>{content}</c:barChart>")).startswith("\ta\tb\nx\t3\n")


def test_series_with_other_categories_have_their_own_table():
    content = series("a", ["x"], ["1"]) + series("b", ["y"], ["2"])

    assert read(chart(f"<c:pieChart>{content}</c:pieChart>")) == "\ta\nx\t1\n\n\tb\ny\t2"


def test_titles_from_cells_and_typed_labels_are_read():
    heading = f"<c:title><c:tx>{cache(['From_x0020_cell'])}</c:tx></c:title>"
    label = (
        "<c:dLbls><c:dLbl><c:tx><c:rich><a:p><a:r><a:t>Record!</a:t></a:r></a:p></c:rich></c:tx>"
        "</c:dLbl></c:dLbls>"
    )
    content = series("s", ["a"], ["1"]).replace("<c:cat>", f"{label}<c:cat>")

    assert read(chart(f"<c:barChart>{content}</c:barChart>", heading)) == (
        "From cell\n\n\ts\na\t1\n\nRecord!"
    )


def test_values_in_the_text_already_are_omitted():
    content = chart(f"<c:barChart>{series('s', ['a'], ['1'])}</c:barChart>", title("T"))

    assert read(content, lambda formula: formula == "Data!$B$2") == "T"


@pytest.mark.parametrize("name", ["Boote (Stück)", "5"])
def test_series_with_a_typed_name_is_not_omitted(name):
    cells = series("s", ["a"], ["1"])
    typed = cells.replace(cache(["s"]), f"<c:v>{name}</c:v>", 1)

    content = chart(f"<c:barChart>{typed}</c:barChart>")

    assert read(content, lambda _: True) == f"\t{name}\na\t1"


def test_series_with_typed_categories_is_not_omitted():
    cells = series("s", ["a"], ["1"])
    literal = '<c:strLit><c:pt idx="0"><c:v>Nord</c:v></c:pt></c:strLit>'
    typed = cells.replace(cache(["a"]), literal, 1)

    content = chart(f"<c:barChart>{typed}</c:barChart>")

    assert read(content, lambda _: True) == "\ts\nNord\t1"


def test_chart_of_a_newer_kind_is_read():
    content = (
        f'<cx:chartSpace xmlns:cx="{CX}" xmlns:a="{A}"><cx:chartData><cx:data id="0">'
        '<cx:strDim type="cat"><cx:lvl><cx:pt idx="0">Start</cx:pt><cx:pt idx="1">Verlust</cx:pt>'
        '</cx:lvl></cx:strDim><cx:numDim><cx:lvl formatCode="0.0"><cx:pt idx="0">5</cx:pt>'
        '<cx:pt idx="1">-2.25</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData><cx:chart>'
        "<cx:title><cx:tx><cx:rich><a:p><a:r><a:t>Bilanz</a:t></a:r></a:p></cx:rich></cx:tx>"
        "</cx:title>"
        "<cx:plotArea><cx:plotAreaRegion><cx:series><cx:tx><cx:txData><cx:v>Mio.</cx:v></cx:txData>"
        '</cx:tx><cx:dataId val="0"/></cx:series></cx:plotAreaRegion></cx:plotArea></cx:chart>'
        "</cx:chartSpace>"
    )

    assert read(content) == "Bilanz\n\n\tMio.\nStart\t5.0\nVerlust\t-2.3"


@pytest.mark.parametrize(
    "content",
    ["", "<c:barChart><c:ser/></c:barChart>", f"<c:ser>{cache(['1'])}</c:ser>"],
)
def test_chart_without_data_is_empty(content):
    assert read(chart(content)) == ""
    assert read(f'<c:chartSpace xmlns:c="{C}"/>') == ""


def test_many_series_take_bounded_time():
    content = "".join(
        series(str(number), [], ["1"]).replace(
            '<c:pt idx="0"><c:v>1', f'<c:pt idx="{number}"><c:v>1'
        )
        for number in range(400)
    )

    assert len(read(chart(f"<c:barChart>{content}</c:barChart>"))) < 1_000_000

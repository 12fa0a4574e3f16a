"""Statements are sentences and table rows, each with its heading and its columns."""

import pytest

from backend.ai.text.statements import find_statements


def describe(text, **arguments):
    return [statement.text_in_context for statement in find_statements(text, **arguments)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "# Travel 2026\nThe rate is 145 euros.",
            ["Travel 2026: The rate is 145 euros."],
            id="ATX heading",
        ),
        pytest.param(
            "Reisen 2026\n-----------\n\nDer Satz ist 145 Euro.",
            ["Reisen 2026: Der Satz ist 145 Euro."],
            id="Setext heading",
        ),
        pytest.param(
            "员工手册\n\n公司的总部位于成都。",
            ["员工手册: 公司的总部位于成都。"],
            id="Chinese heading",
        ),
        pytest.param(
            "服务器 Orion 使用 Postgres 数据库。\n\n好。",
            ["服务器 Orion 使用 Postgres 数据库。", "好。"],
            id="capitalised Latin words",
        ),
        pytest.param("", [], id="empty"),
        pytest.param("Milk\nBread", ["Milk", "Bread"], id="list of short lines"),
        pytest.param("-----\n\nIt is so.", ["It is so."], id="line without text"),
        pytest.param(
            "Part\tPrice\nNut\t0.75\n\nTeil\tPreis\nMutter\t0,75",
            ["Part: Nut; Price: 0.75", "Teil: Mutter; Preis: 0,75"],
            id="two tables",
        ),
        pytest.param(
            "Name\t2024\t2025\nOslo\t7\t8", ["Name: Oslo; 2024: 7; 2025: 8"], id="years as columns"
        ),
        pytest.param(
            "A\tB\tC\n\t\tz\nx\t\ty", ["C: z", "A: x; C: y"], id="empty cells keep the columns"
        ),
        pytest.param("Nut\t0.75\nBolt\t1.20", ["Nut; 0.75", "Bolt; 1.20"], id="no header"),
        pytest.param("Boss\tMia\nCity\tOslo", ["Boss; Mia", "City; Oslo"], id="labels and values"),
        pytest.param(
            "部品 | 価格\n--- | ---\nナット | 75円",
            ["部品: ナット; 価格: 75円"],
            id="Markdown table without outer pipes",
        ),
    ],
)
def test_statements_have_their_heading_and_columns(text, expected):
    assert describe(text) == expected


def test_rows_of_a_continued_table_have_its_columns():
    text = "Nut\t0.75\nBolt\t1.20\n\nInk\tBlue\tWide"

    assert describe(text, table_header="Part\tPrice") == [
        "Part: Nut; Price: 0.75",
        "Part: Bolt; Price: 1.20",
        "Ink; Blue; Wide",
    ]


def test_known_title_is_a_heading():
    text = "Tarif 2026\n\nDie Nacht kostet 90 Euro."

    assert describe(text) == ["Tarif 2026", "Tarif 2026: Die Nacht kostet 90 Euro."]
    assert describe(text, titles={"Tarif 2026"}) == ["Tarif 2026: Die Nacht kostet 90 Euro."]


@pytest.mark.parametrize(
    ("text", "titles", "expected"),
    [
        pytest.param(
            "# Emergency number\n\n112\n\n# Wifi password\n\n`plum-77`",
            (),
            ["Emergency number: 112", "Wifi password: `plum-77`"],
            id="ATX headings",
        ),
        pytest.param(
            "# Laden\n\n## Telefon\n0221 4455\n## Zeiten\nMontag bis Freitag",
            (),
            ["Telefon: 0221 4455", "Zeiten: Montag bis Freitag"],
            id="values without digits",
        ),
        pytest.param(
            "Responsable\n===========\n\nAnne Roux\n\nSalle\n-----\n\nB 12",
            (),
            ["Responsable: Anne Roux", "Salle: B 12"],
            id="Setext headings",
        ),
        pytest.param(
            "Phone number\n\n0221 4455\n\nParking\n\nFree of charge",
            ("Phone number", "Parking"),
            ["Phone number: 0221 4455", "Parking: Free of charge"],
            id="known titles",
        ),
        pytest.param(
            "# 联系方式\n\n我们很高兴。\n\n## 停车\n\n免费\n\n## 电话\n\n4455",
            (),
            ["联系方式: 我们很高兴。", "停车: 免费", "电话: 4455"],
            id="value in a document with sentences",
        ),
        pytest.param(
            "# Buy\n\n- Milk\n- Bread\n\n# Read\n\nNotes\n\nIt is long.",
            (),
            ["Buy: - Milk", "Buy: - Bread", "Notes: It is long."],
            id="list below a heading",
        ),
        pytest.param(
            "Telefon\n\n0221 4455\n\nFax\n\n0221 4456",
            (),
            ["Telefon: 0221 4455", "Fax: 0221 4456"],
            id="lines of names and numbers",
        ),
        pytest.param("# Only a heading", (), ["# Only a heading"], id="only a heading"),
    ],
)
def test_value_below_a_heading_is_the_statement(text, titles, expected):
    assert describe(text, titles=frozenset(titles)) == expected


def test_statement_has_its_exact_position():
    text = "Head\n\n  One is so.\n\tNut\t1\nEnd here."

    for statement in find_statements(text):
        assert text[statement.start : statement.end] == statement.text

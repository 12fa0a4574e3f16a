"""Page numbers and their labels are removed from headers and footers, other text is kept."""

# ruff: noqa: RUF001
import pytest

from backend.services.rag.extraction.office.docx.page_numbers import remove_page_numbers


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#", ""),
        ("Page #", ""),
        ("Page # of #", ""),
        ("- # -", ""),
        ("(#)", ""),
        ("# | P a g e", ""),
        ("Seite # von #", ""),
        ("S. #/#", ""),
        ("Página # de #", ""),
        ("Strona # z #", ""),
        ("Стр. # из #", ""),
        ("Σελίδα # από #", ""),
        ("第#页 共#页", ""),
        ("第 # 頁", ""),
        ("# ページ", ""),
        ("صفحة # من #", ""),
        ("# / #", ""),
        ("Oldal: #", ""),
        ("Ukurasa # ya #", ""),
        ("Abschnittsblatt # von #", ""),
        ("Agreement 2291-K, page # of #", "Agreement 2291-K"),
        ("Vertrag 7, Fassung 2 – Seite # von #", "Vertrag 7, Fassung 2"),
        ("Confidential #", "Confidential"),
        ("Internal\tPage #", "Internal\t"),
        ("# Chapter One", "Chapter One"),
        ("Rev. 3 | Page # | Draft", "Rev. 3 Draft"),
        ("内部资料 第#页", "内部资料"),
        ("Offer [#] for Mr. S", "Offer for Mr. S"),
        ("Version 4 (page #)", "Version 4"),
        ("Sivu # (#)", ""),
        ("Sivu #(#) Vuokrasopimus", "Vuokrasopimus"),
        ("P. #", ""),
        ("第 # 页，共 # 页  合同", "合同"),
        ("Página # — Contrato", "Contrato"),
        ("עמוד # מתוך #", ""),
        ("No number", "No number"),
    ],
)
def test_page_number_is_removed(line, expected):
    assert remove_page_numbers(line.replace("#", "\x00")) == expected

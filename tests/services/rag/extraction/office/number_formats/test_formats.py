"""Number formats: values are displayed as spreadsheets print them (ECMA-376 18.8.30, 18.8.31)."""

import pytest

from backend.services.rag.extraction.office.number_formats.formats import (
    NumberFormat,
    get_number_format,
)

ACCOUNTING = r'_("$"* #,##0.00_);_("$"* \(#,##0.00\);_("$"* "-"??_);_(@_)'
EURO_ACCOUNTING = r'_-* #,##0.00\ "€"_-;\-* #,##0.00\ "€"_-;_-* "-"??\ "€"_-;_-@_-'
SCALED = '[>=1000000]0.0,,"M";[>=1000]0.0,"K";0'


def check(code, value, expected):
    assert NumberFormat(code).format_value(value) == expected


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("", "1.0", "1"),
        ("", "0.30000000000000004", "0.3"),
        ("", "1e21", "1000000000000000000000"),
        ("", "0.0000025", "0.0000025"),
        ("", "-12.5", "-12.5"),
        ("General", "7", "7"),
        ('General" km"', "12.5", "12.5 km"),
        ('"Nr. "General', "-3", "-Nr. 3"),
        ("@", "5", "5"),
        ("0.00", "no number", "no number"),
        ("0", "NaN", "NaN"),
        ("0", "Infinity", "Infinity"),
    ],
)
def test_general_format_shows_up_to_15_digits(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("0", "0.5", "1"),
        ("0", "1.5", "2"),
        ("0", "2.5", "3"),
        ("0", "-2.5", "-3"),
        ("0", "0.49999999999999994", "1"),  # 15 digits: 0.500000000000000
        ("0.00", "43.625", "43.63"),
        ("0.00", "1.005", "1.01"),
        ("0.00", "2.675", "2.68"),
        ("0.00", "-8.345", "-8.35"),
        ("0.0", "0.25", "0.3"),
        ("0.000", "1.0005", "1.001"),
        ("0%", "0.125", "13%"),
        ("0.0%", "0.3125", "31.3%"),
        ("0.00%", "0.12345", "12.35%"),
        ("#,##0", "70412.5", "70,413"),
        ('0.0,"k"', "18250", "18.3k"),
        ("0,,", "2500000", "3"),
        ("0.00E+00", "112500", "1.13E+05"),
        ("0E+0", "25", "3E+1"),
        ("0.0E+0", "9.95", "1.0E+1"),
    ],
)
def test_numbers_are_rounded_half_away_from_zero(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("0.##", "2.5", "2.5"),
        ("0.##", "2", "2."),
        ("0.0#", "2", "2.0"),
        ("0.0?", "2.25", "2.25"),
        ("0.0?", "2.5", "2.5"),
        ("#.00", "0.5", ".50"),
        (".00", "12.5", "12.50"),
        ("#", "0", ""),
        ("##", "7", "7"),
        ("00000", "42", "00042"),
        ("0000.0", "1.25", "0001.3"),
        ("000,000", "1234", "001,234"),
        ("#,##0", "1234567.8", "1,234,568"),
        ("#,###", "0", ""),
        ("#,##0.00", "0.001", "0.00"),
        ("0.00", "-0.001", "-0.00"),
        ("0", "1e20", "100000000000000000000"),
        ("0.00", "1e-300", "0.00"),
        ("0%", "0.4", "40%"),
        ("%0", "0.4", "%40"),
        ("0%%", "0.5", "5000%%"),
        ("#,##0,", "1234567", "1,235"),
        ("#,##0.0,,", "1234567", "1.2"),
        ('0.0,," M"', "2500000", "2.5 M"),
        ("0.0.0", "1.25", "1.2.5"),
        ("0.0E+00", "12345", "1.2E+04"),
        ("##0.0E+0", "12345", "12.3E+3"),
        ("##0.0E+0", "999960", "1.0E+6"),
        ("0.00E-00", "0.00012", "1.20E-04"),
        ("0.00E-00", "12000", "1.20E04"),
        ("0.00E+00", "0", "0.00E+00"),
    ],
)
def test_digit_placeholders_are_filled(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("0", "-3", "-3"),
        ('"$"#,##0', "99", "$99"),
        ('"$"#,##0', "-99", "-$99"),
        ("[$€-407] #,##0.00", "3", "€ 3.00"),
        ("#,##0.00 [$kr.-406]", "3", "3.00 kr."),
        ("[$-409]0.0", "3", "3.0"),
        (r"\#0", "7", "#7"),
        ('#,##0 "Stück"', "1234", "1,234 Stück"),
        ("#,##0.00;[Red](#,##0.00)", "-5", "(5.00)"),
        ("#,##0.00;[Red]-#,##0.00", "-1234.5", "-1,234.50"),
        ("[Blue]+0.0;[Color 3]-0.0;0", "3", "+3.0"),
        ('0;"minus "0', "-4", "minus 4"),
        ("0;-0;", "0", ""),
        (";;;", "3", ""),
        ('0"x', "3", "3x"),
        ("0_)_m", "3", "3"),
        ("0*-", "4", "4"),
        ("0 ₽", "4", "4 ₽"),
        ("0°", "21", "21°"),
    ],
)
def test_literals_and_sections_for_signs_are_shown(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        (ACCOUNTING, "1250", "$1,250.00"),
        (ACCOUNTING, "-310.5", "$(310.50)"),
        (ACCOUNTING, "0", "$-"),
        (EURO_ACCOUNTING, "1250", "1,250.00 €"),
        (EURO_ACCOUNTING, "-1250", "-1,250.00 €"),
        (EURO_ACCOUNTING, "0", "- €"),
        ('_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)', "0", "-"),
        ('0.0;-0.0;"none"???', "0", "none"),
    ],
)
def test_accounting_formats_show_zero_as_a_dash(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        (SCALED, "25300", "25.3K"),
        (SCALED, "2500000", "2.5M"),
        (SCALED, "640", "640"),
        (SCALED, "-5", "-5"),
        ('[>=1000]0.0,"K"', "25300", "25.3K"),
        ('[>=1000]0.0,"K"', "5", "5"),
        ('[<1000]0" m";0.00," km"', "250", "250 m"),
        ('[<1000]0" m";0.00," km"', "12345", "12.35 km"),
        ('[=1]0" day";0" days"', "1", "1 day"),
        ('[=1]0" day";0" days"', "28", "28 days"),
        ('[=1]0" day";0" days"', "-3", "-3 days"),
        ('[<>0]0;"empty"', "0", "empty"),
        ('[>0]0;[<0](0);"nil"', "-3", "(3)"),
        ('[>0]0;[<0](0);"nil"', "0", "nil"),
        ('[>=0]0;"debt "0', "-7", "debt 7"),
        ('[<-100]"low";0', "-5", "-5"),
        ('[<-999]-0.0,"K";0', "-1500", "-1.5K"),
        ('[Red][>100]"high "0;[Blue]0', "101", "high 101"),
        ('[>1E3]"many";0', "1001", "many"),
    ],
)
def test_conditions_select_a_section(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("# ?/?", "0.5", "1/2"),
        ("# ?/?", "2.375", "2 3/8"),
        ("# ?/?", "-1.5", "-1 1/2"),
        ("# ?/?", "6", "6"),
        ("# ?/?", "0", "0"),
        ("# ?/?", "0.99", "1"),
        ("0 ?/?", "0.25", "0 1/4"),
        ("# ??/??", "1.3125", "1 5/16"),
        ("# ??/??", "3.14159265358979", "3 1/7"),
        ("# ???/???", "3.14159265358979", "3 16/113"),
        ("?/?", "2.75", "11/4"),
        ("?/?", "3", "3/1"),
        ("# ?/8", "4.375", "4 3/8"),
        ("# ?/8", "4.9999", "5"),
        ("# ??/16", "11.6875", "11 11/16"),
        ("# ?/2", "0.4", "1/2"),
        ("# ??/100", "0.5", "50/100"),
        ('# ?/?" in"', "1.5", "1 1/2 in"),
        ('"ca. "# ?/4', "2.75", "ca. 2 3/4"),
        ("# ?/?;(# ?/?)", "-0.5", "( 1/2)"),
        ("# ?/?", "0.333333333333333", "1/3"),
        # Examples in the description of the fraction formats of Excel.
        ("# ?/?", "123.456", "123 1/2"),
        ("# ??/??", "123.456", "123 26/57"),
        ("# ???/???", "123.456", "123 57/125"),
        ("# ?/2", "123.456", "123 1/2"),
        ("# ?/4", "123.456", "123 2/4"),
        ("# ?/8", "123.456", "123 4/8"),
        ("# ??/16", "123.456", "123 7/16"),
        ("# ?/10", "123.456", "123 5/10"),
        ("# ??/100", "123.456", "123 46/100"),
    ],
)
def test_fractions_are_rendered(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("(###) ###-####", "5551234567", "(555) 123-4567"),
        ("(###) ###-####", "1234567", "() 123-4567"),
        ("[<=9999999]###-####;(###) ###-####", "5551234", "555-1234"),
        ("[<=9999999]###-####;(###) ###-####", "2015550147", "(201) 555-0147"),
        ("000-00-0000", "123456789", "123-45-6789"),
        ("000-00-0000", "71009", "000-07-1009"),
        (r"00\-0000", "481623", "48-1623"),
        ("#'###'##0", "1234567", "1'234'567"),
        ("#'###'##0", "12345678901", "12345'678'901"),
        ("0000 0000 0000", "123456789012", "1234 5678 9012"),
        ('0"-"00"/"00', "12345", "1-23/45"),
        ("00.00.00", "1234", "1234.00.00"),
        ("+00 00 00", "123456", "+12 34 56"),
    ],
)
def test_literals_between_digits_keep_their_places(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("yyyy-mm-dd hh:mm", "45366.5", "2024-03-15 12:00"),
        ("dd/mm/yy", "45366", "2024-03-15"),
        ("m/d/yy h:mm", "45366.75", "2024-03-15 18:00"),
        ("d. mmmm yyyy", "1", "1900-01-01"),
        ("[$-F800]dddd, mmmm dd, yyyy", "45366", "2024-03-15"),
        ("[$-407]mmmm yyyy", "45366", "2024-03"),
        ("[$-de-DE]mmm yy", "45366", "2024-03"),
        ("[$-en-US]mmm-yy;@", "45366", "Mar-24"),
        ("[$-10409]mmm yyyy", "45366", "Mar 2024"),
        ("[$-x-sysdate]dddd, mmmm dd, yyyy", "45366", "2024-03-15"),
        ('yyyy"年"m"月"d"日"', "45366", "2024-03-15"),
        ("mmm yyyy", "45366", "Mar 2024"),
        ("mmmm", "45366", "March"),
        ("mm/yyyy", "45366", "03/2024"),
        ("yyyy", "45366", "2024"),
        ("dddd", "45366", "Friday"),
        ("ddd", "45366", "Fri"),
        ("yyyy-mm-dd", "59", "1900-02-28"),
        ("yyyy-mm-dd", "60", "1900-02-29"),
        ("yyyy-mm-dd", "61", "1900-03-01"),
        ("yyyy-mm-dd", "2958465.99", "9999-12-31"),
        ("yyyy-mm-dd", "-1", "-1"),
        ("yyyy-mm-dd", "1e9", "1000000000"),
        ("yyyy-mm-dd;@", "45366", "2024-03-15"),
    ],
)
def test_dates_are_unambiguous(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("hh:mm:ss", "0.75", "18:00:00"),
        ("h:mm", "0.3125", "7:30"),
        ("h:mm AM/PM", "0.75", "6:00 PM"),
        ("h:mm AM/PM", "0", "12:00 AM"),
        ("h A/P", "0.25", "6 A"),
        ("mm:ss.0", "0.0001157", "00:10.0"),
        ("h:mm:ss.000", "0.5000058", "12:00:00.501"),
        ('h"h"mm"m"', "0.3125", "7h30m"),
        ("[h]:mm", "1.25", "30:00"),
        ("[hh]:mm:ss", "0.05", "01:12:00"),
        ("[mm]:ss", "0.0625", "90:00"),
        ("[s]", "0.5", "43200"),
        ("[h]:mm", "-0.5", "-12:00"),
        ('[h]" hours"', "2", "48 hours"),
    ],
)
def test_times_are_displayed_as_formatted(code, value, expected):
    check(code, value, expected)


@pytest.mark.parametrize(
    ("format_id", "value", "expected"),
    [
        ("0", "5", "5"),
        ("2", "2.345", "2.35"),
        ("10", "0.5", "50.00%"),
        ("12", "2.75", "2 3/4"),
        ("13", "1.3125", "1 5/16"),
        ("14", "45366", "2024-03-15"),
        ("18", "0.75", "6:00 PM"),
        ("20", "0.75", "18:00"),
        ("37", "-5", "(5)"),
        ("41", "0", "-"),
        ("46", "1.5", "36:00:00"),
        ("48", "12345", "12.3E+3"),
        ("49", "12", "12"),
        ("999", "12", "12"),
        ("x", "12", "12"),
    ],
)
def test_built_in_formats_are_found_by_id(format_id, value, expected):
    assert get_number_format(format_id, None).format_value(value) == expected


def test_dates_from_1904_are_supported():
    assert NumberFormat("yyyy-mm-dd").format_value("43904", from_1904=True) == "2024-03-15"
    assert NumberFormat("ddd").format_value("43904", from_1904=True) == "Fri"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("0", "A7"),
        ('"Nr. "@', "Nr. A7"),
        ('0;-0;0;"<"@">"', "<A7>"),
        (";;;", ""),
        ("0;@", "A7"),
        ('@" kg"', "A7 kg"),
    ],
)
def test_text_has_its_own_section(code, expected):
    assert NumberFormat(code).format_text("A7") == expected


@pytest.mark.parametrize("code", ["0" * 255, "#,##0." + "0" * 248, "?/" + "?" * 250, "[" * 255])
@pytest.mark.parametrize("value", ["1e308", "-5e-324", "0", "123456789.987654321"])
def test_any_code_and_number_can_be_formatted(code, value):
    NumberFormat(code).format_value(value)


@pytest.mark.parametrize("code", ["0" * 256, "", "general"])
def test_longer_code_is_ignored(code):
    check(code, "2.5", "2.5")

"""Estimated number of tokens, compared with counts of Qwen2.5's tokenizer."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import pytest

from backend.ai.text.token_estimates import estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The museum is open from Tuesday to Sunday and closed on Mondays.", 13),
        ("Die Leihfrist kann zweimal verlängert werden, wenn niemand vorbestellt hat.", 22),
        ("Сколько стоит билет для взрослых в этом музее?", 15),
        ("博物馆每周二至周日开放，星期一不开放。", 13),
        ("0431 77 20 and 1987", 16),
    ],
)
def test_estimate_is_near_the_real_count(text, tokens):
    assert tokens <= estimate_tokens(text) <= 2 * tokens


def test_empty_text_has_no_tokens():
    assert estimate_tokens("") == 0

"""Prices of tokens and the cost of model responses."""

from collections.abc import Mapping
from typing import Final

# Prices of a million prompt tokens and of a million completion tokens, by model.
Prices = Mapping[str, tuple[float, float]]
_TOKENS_PER_PRICE: Final = 1_000_000


def calculate_cost(
    prices: Prices, model: str, prompt_tokens: int, completion_tokens: int
) -> float | None:
    """Return the cost of the tokens of *model*, or None if it has no price."""
    price = prices.get(model)
    if price is None:
        return None
    prompt_price, completion_price = price
    cost = prompt_tokens * prompt_price + completion_tokens * completion_price
    return cost / _TOKENS_PER_PRICE

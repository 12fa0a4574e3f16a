"""JSON objects that language models write, such as the arguments of tool calls."""

from typing import Any

from pydantic_core import from_json

from backend.security.validation import has_finite_numbers


def parse_json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in *text*.

    Raises:
        ValueError: it is no JSON object, or it contains NaN, infinity, a number that is too large
            for a float, or a lone surrogate, which no database stores.
    """
    # The json module accepts all of these. pydantic reads a number such as 1e400 as infinity.
    value = from_json(text, allow_inf_nan=False)
    if not isinstance(value, dict) or not has_finite_numbers(value):
        raise ValueError("The text is not a JSON object with finite numbers.")
    return value

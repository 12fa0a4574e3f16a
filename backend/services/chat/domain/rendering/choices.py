"""Choices: whether a channel shows them as buttons, as a list or as numbered text, and answers."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from backend.services.chat.clients.parts import ChoiceOption
from backend.services.chat.domain.rendering.limits import ChannelLimits
from backend.services.chat.domain.rendering.markdown import Run, TextBlock, clean_text

ChoiceForm = Literal["buttons", "list", "text"]

ANSWER_PERIOD: Final = timedelta(hours=24)
"""A typed number or title is an answer for this time."""
MAX_OPTIONS: Final = 100
_NUMBER: Final = re.compile(r"#?(\d{1,3})[.)]?")


def select_choice_form(options: Sequence[ChoiceOption], limits: ChannelLimits) -> ChoiceForm:
    """Return the first form, of buttons, a list and numbered text, that shows all of *options*."""
    titles = {option.title.casefold() for option in options}
    ids = {option.id for option in options}
    is_distinct = len(titles) == len(ids) == len(options)
    fits_ids = all(len(option.id.encode()) <= limits.choice_id_bytes for option in options)
    if not (options and is_distinct and fits_ids):
        return "text"
    longest = max(len(option.title) for option in options)
    has_descriptions = any(option.description for option in options)
    if len(options) <= limits.buttons and longest <= limits.button_title and not has_descriptions:
        return "buttons"
    descriptions = max(len(option.description) for option in options)
    fits_list = len(options) <= limits.rows and longest <= limits.row_title
    if fits_list and descriptions <= limits.row_description:
        return "list"
    return "text"


def list_options_as_text(options: Sequence[ChoiceOption]) -> tuple[TextBlock, ...]:
    """Return *options* as numbered lines. `match_answer` understands their numbers and titles."""
    return tuple(
        TextBlock(
            "item",
            (
                Run(
                    f"{option.title} - {option.description}" if option.description else option.title
                ),
            ),
            prefix=f"{number}. ",
            follows_closely=number > 1,
        )
        for number, option in enumerate(options, 1)
    )


def match_answer(
    text: str, options: Sequence[ChoiceOption], asked_at: datetime, now: datetime
) -> ChoiceOption | None:
    """Return the option that *text* names by its number or title, or None if it names none.

    Titles are compared without regard to case, width and punctuation at their ends. After
    ANSWER_PERIOD, a text is no answer any more.
    """
    if now - asked_at > ANSWER_PERIOD:
        return None
    number = _NUMBER.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if number is not None:
        index = int(number[1]) - 1
        return options[index] if 0 <= index < len(options) else None
    wanted = _normalize_title(text)
    matching = [option for option in options if _normalize_title(option.title) == wanted]
    return matching[0] if wanted and len(matching) == 1 else None


def read_options(values: Sequence[object]) -> tuple[ChoiceOption, ...]:
    """Return the options of a content. An option without id is identified by its number."""
    options = []
    for number, value in enumerate(values[:MAX_OPTIONS], 1):
        fields = value if isinstance(value, dict) else {"title": value}
        title = " ".join(clean_text(str(fields.get("title") or fields.get("id") or "")).split())
        description = " ".join(clean_text(str(fields.get("description") or "")).split())
        identifier = str(fields.get("id") or number)
        options.append(ChoiceOption(identifier, title or identifier, description))
    return tuple(options)


def _normalize_title(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    places = [index for index, character in enumerate(text) if character.isalnum()]
    return " ".join(text[places[0] : places[-1] + 1].split()) if places else ""

"""Schema of the settings of channel accounts."""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError

from backend.security import FiniteNumbers, Input
from backend.services.chat.domain.visitors.origins import MAX_ORIGIN_CHARACTERS, MAX_ORIGINS

_MAX_CHARACTERS = 16_384
# Shape only: a check of the account names origins that never match.
_Origin = Annotated[str, Field(min_length=1, max_length=MAX_ORIGIN_CHARACTERS, pattern=r"^\S+$")]
_Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
ShortText = Annotated[str, Field(max_length=200)]


class _ContactLimits(Input):
    """Limits of the messages of one contact that are answered."""

    contact_per_minute: Count | None = None
    contact_per_day: Count | None = None
    contact_tokens_per_day: Count | None = None


class _CommonSettings(Input):
    """Settings that accounts of all channels have. Each channel has others of its own."""

    persona: ShortText | None = None
    collection: ShortText | None = None
    cache_answers: bool | None = None
    human_agent: bool | None = None
    answer_with_speech: bool | None = None
    voice_language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] | None = None
    voice_greeting: Annotated[str, Field(max_length=1000)] | None = None
    on_busy: Literal["wait", "interrupt"] | None = None
    group_messages: Literal["all", "mentioned"] | None = None
    messages_per_second: Annotated[int, Field(ge=1, le=10_000)] | None = None
    limits: _ContactLimits | None = None
    media_hosts: Annotated[list[ShortText], Field(max_length=50)] | None = None
    # Of the widget:
    origins: Annotated[list[_Origin], Field(max_length=MAX_ORIGINS)] | None = None
    title: Annotated[str, Field(max_length=60)] | None = None
    greeting: Annotated[str, Field(max_length=500)] | None = None
    colour: _Colour | None = None


def _check_settings(settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(settings)) > _MAX_CHARACTERS:
        raise ValueError(f"The settings have more than {_MAX_CHARACTERS} characters.")
    common = {name: settings[name] for name in settings.keys() & _CommonSettings.model_fields}
    try:
        _CommonSettings.model_validate(common)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}.") from None
    return settings


SettingName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
AccountSettings = Annotated[
    dict[SettingName, JsonValue],
    Field(max_length=100),
    FiniteNumbers,
    AfterValidator(_check_settings),
]

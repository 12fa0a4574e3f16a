"""One error per mistake in values of unions."""

import json
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from backend.security import Input
from backend.security.validation_errors import describe_errors


class Circle(Input):
    kind: Literal["circle"]
    radius: float


class Box(Input):
    kind: Literal["box"]
    width: float
    height: float


class Drawing(Input):
    shapes: list[Circle | Box] = Field(default_factory=list)
    label: Annotated[str, Field(max_length=3)] | list[Annotated[str, Field(max_length=3)]] = ""
    colour: Literal["red", "blue"] | dict[str, int] = "red"
    nested: dict[str, Annotated[int, Field(ge=0)] | list[int | Circle]] = Field(
        default_factory=dict
    )
    frame: Annotated[Circle | Box, Field(discriminator="kind")] | None = None


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        ({"label": "long"}, [(("label",), "String should have at most 3 characters")]),
        ({"label": ["a", "long"]}, [(("label", 1), "String should have at most 3 characters")]),
        ({"label": 7}, [(("label",), "Input should be a valid string or a valid array")]),
        ({"colour": "green"}, [(("colour",), "Input should be 'red' or 'blue' or an object")]),
        ({"colour": {"red": "7"}}, [(("colour", "red"), "Input should be a valid integer")]),
        (
            {"shapes": [{"kind": "box", "width": 1}]},
            [(("shapes", 0, "height"), "This field is required.")],
        ),
        (
            {"shapes": [{"kind": "circle", "radius": 1}, {"kind": "circle", "radius": "x"}]},
            [(("shapes", 1, "radius"), "Input should be a valid number")],
        ),
        (
            {"nested": {"a": [{"kind": "circle"}], "b": -1}},
            [
                (("nested", "a", 0, "radius"), "This field is required."),
                (("nested", "b"), "Input should be greater than or equal to 0"),
            ],
        ),
        ({"frame": {"kind": "circle"}}, [(("frame", "radius"), "This field is required.")]),
        (
            {"label": "long", "unknown": 1},
            [
                (("label",), "String should have at most 3 characters"),
                (("unknown",), "This field is unknown. Remove it."),
            ],
        ),
    ],
)
def test_mistake_in_a_union_is_one_error_at_the_value(drawing, expected):
    with pytest.raises(ValidationError) as error:
        Drawing.model_validate_json(json.dumps(drawing))

    assert list(describe_errors(error.value, drawing)) == expected

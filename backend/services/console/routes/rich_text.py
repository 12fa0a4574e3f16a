"""Routes that prepare code and formulas of answers for display."""

from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.openapi import request_example, responds_with
from backend.security import Input, authenticated, validate_input
from backend.services.console.domain.code import tokenize_code
from backend.services.console.domain.formulas import InvalidFormula, Tree, convert_formula

MAX_BLOCKS = 32
MAX_CODE_CHARACTERS = 100_000
MAX_FORMULA_CHARACTERS = 4000

rich_text_routes = Blueprint("rich_text", __name__)


class CodeBlock(Input):
    """Source code and its language, as written after the fence in Markdown."""

    language: Annotated[str, Field(max_length=40, examples=["python"])] = ""
    text: Annotated[str, Field(max_length=MAX_CODE_CHARACTERS, examples=["print(1)"])]


class CodeRequest(Input):
    """Blocks of code, at most 32."""

    blocks: Annotated[list[CodeBlock], Field(min_length=1, max_length=MAX_BLOCKS)]


class TokenizedBlock(BaseModel):
    """Pairs of a token type (Pygments' short name) and a text; the texts joined are the code."""

    tokens: list[tuple[str, str]]


class CodeResponse(BaseModel):
    """The tokens of each block, in the order of the request."""

    blocks: list[TokenizedBlock]


class FormulaSource(Input):
    """A formula in TeX without delimiters."""

    tex: Annotated[str, Field(min_length=1, max_length=MAX_FORMULA_CHARACTERS, examples=["x^2"])]
    display: bool = False


class FormulaRequest(Input):
    """Formulas, at most 32."""

    formulas: Annotated[list[FormulaSource], Field(min_length=1, max_length=MAX_BLOCKS)]


class ConvertedFormula(BaseModel):
    """A MathML tree `[name, attributes, *children]`, or null if the TeX has an error."""

    tree: list[object] | None


class FormulaResponse(BaseModel):
    """The tree of each formula, in the order of the request."""

    formulas: list[ConvertedFormula]


@rich_text_routes.post("/code")
@authenticated
@validate_input(CodeRequest)
@responds_with(CodeResponse)
@request_example({"blocks": [{"language": "python", "text": "print(1)"}]})
def tokenize(body: CodeRequest) -> CodeResponse:
    """Split blocks of code into tokens for syntax highlighting."""
    return CodeResponse(
        blocks=[
            TokenizedBlock(tokens=tokenize_code(block.language, block.text))
            for block in body.blocks
        ]
    )


@rich_text_routes.post("/formula")
@authenticated
@validate_input(FormulaRequest)
@responds_with(FormulaResponse)
@request_example({"formulas": [{"tex": "\\frac{a}{b}", "display": True}]})
def convert(body: FormulaRequest) -> FormulaResponse:
    """Convert formulas from TeX to MathML trees, which contain only elements of a fixed list."""
    return FormulaResponse(
        formulas=[
            ConvertedFormula(tree=_convert_or_none(item.tex, item.display))
            for item in body.formulas
        ]
    )


def _convert_or_none(tex: str, display: bool) -> Tree | None:
    try:
        return convert_formula(tex, display=display)
    except InvalidFormula:
        return None

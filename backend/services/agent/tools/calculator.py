"""Tool that evaluates arithmetic expressions."""

from typing import Annotated, Final

from pydantic import Field

from backend.services.agent.clients.tool_arguments import PydanticArguments, StrictArguments
from backend.services.agent.errors import InvalidExpression, ToolFailed
from backend.services.agent.model import Tool, ToolContext, ToolResult
from backend.services.agent.tools.arithmetic import MAX_EXPRESSION_CHARACTERS, evaluate_expression

CALCULATE: Final = "calculate"


# The class name is the title of the JSON schema, which models see.
class SumArguments(StrictArguments):
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_EXPRESSION_CHARACTERS,
            description="For example (3 + 4) * 2 or sqrt(2).",
        ),
    ]


def create_calculator_tool() -> Tool:
    """Return the tool `calculate`."""

    async def run(arguments: SumArguments, _: ToolContext) -> ToolResult:
        try:
            value = evaluate_expression(arguments.expression)
        except InvalidExpression as error:
            raise ToolFailed(str(error)) from error
        return ToolResult(f"{arguments.expression} = {value}")

    return Tool(
        name=CALCULATE,
        description="Work out an arithmetic expression exactly.",
        arguments=PydanticArguments(SumArguments),
        run=run,
        is_computation=True,
    )

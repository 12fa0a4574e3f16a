"""All that can go wrong in the agent, and how a caller hears of it."""

import math
from collections.abc import Sequence
from datetime import timedelta

from backend.ai.chat_models import ModelMisbehaved, ModelTimeout, ModelUnavailable
from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import Errors

__all__ = [
    "ConversationBusy",
    "ConversationNotFound",
    "LimitReached",
    "ModelMisbehaved",
    "ModelNotFound",
    "ModelTimeout",
    "ModelUnavailable",
    "NotArithmetic",
    "NothingToDecide",
    "ToolFailed",
    "UnknownModel",
]


class NotArithmetic(ValueError):
    """An expression that has no value here; told to the model as the tool's failure."""


class ToolFailed(Exception):
    """A tool could not do its work; the message is what the model is told."""


class ToolRefused(ToolFailed):
    """A call that is not made; *reason* is a word for the operator's logs and metrics."""

    def __init__(self, reason: str, told: str) -> None:
        super().__init__(told)
        self.reason = reason


class CallMistaken(ToolRefused):
    """A call that no tool could take: never made either, but an error rather than an offence."""


class ConversationNotFound(ServiceError):
    status = 404
    code = "conversation_not_found"
    title = "No such conversation"

    def __init__(self) -> None:
        super().__init__("You have no conversation with this id.")


class CollectionNotFound(ServiceError):
    status = 404
    code = "collection_not_found"
    title = "No such collection"

    def __init__(self) -> None:
        super().__init__("There is no such collection that you may read.")


class MessageNotFound(ServiceError):
    status = 404
    code = "message_not_found"
    title = "No such message"

    def __init__(self) -> None:
        super().__init__("The conversation has no message with this id.")


class FeedbackNotFound(ServiceError):
    status = 404
    code = "feedback_not_found"
    title = "No such feedback"

    def __init__(self) -> None:
        super().__init__("You have said nothing about this message.")


class NotAnAnswer(ServiceError):
    status = 422
    code = "not_an_answer"
    title = "Not an answer"

    def __init__(self) -> None:
        super().__init__("Feedback is given on the assistant's messages; this one is yours.")


class RunNotFound(ServiceError):
    status = 404
    code = "run_not_found"
    title = "No such run"

    def __init__(self) -> None:
        super().__init__("The conversation has no run with this id.")


class AnswerBrokeOff(ServiceError):
    status = 503
    code = "answer_broke_off"
    title = "The answer broke off"

    def __init__(self) -> None:
        super().__init__(
            "The answer was not finished. The session shows what was said; regenerate it there."
        )


class NotYourRequest(ServiceError):
    status = 422
    code = "not_your_request"
    title = "Only a request can be edited"

    def __init__(self) -> None:
        super().__init__("This message is an answer. Edit the request before it, or regenerate it.")


class ConversationBusy(ServiceError):
    status = 409
    code = "conversation_busy"
    title = "The conversation is answering"

    def __init__(self) -> None:
        super().__init__(
            "An answer is being written in this conversation. Wait for it, or cancel it first."
        )

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class ApprovalChanged(ServiceError):
    status = 409
    code = "approval_changed"
    title = "Other tool calls wait"

    def __init__(self) -> None:
        super().__init__(
            "What waits is not what this approval_id was given for. Look at it anew, then decide."
        )


class ApprovalExpired(ServiceError):
    status = 409
    code = "approval_expired"
    title = "The tool calls have waited too long"

    def __init__(self) -> None:
        super().__init__("What waited was dropped, and nothing was done. Ask again.")


class NothingToDecide(ServiceError):
    status = 409
    code = "nothing_to_decide"
    title = "No tool call waits for a decision"

    def __init__(self) -> None:
        super().__init__("No tool call of this conversation waits for your decision.")


class UnknownModel(ServiceError):
    status = 422
    code = "unknown_model"
    title = "Unknown model"

    def __init__(self, known: list[str]) -> None:
        super().__init__(f"No such model is set up here; there are: {', '.join(known)}.")


class ModelNotFound(ServiceError):
    """The same, as OpenAI's clients know it."""

    status = 404
    code = "model_not_found"
    title = "Unknown model"


class LimitReached(ServiceError):
    status = 422
    code = "run_limit_reached"
    title = "The request needs more than a run may use"


class DailyTokensUsed(ServiceError):
    status = 429
    code = "daily_tokens_used"
    title = "The day's tokens are used up"

    def __init__(self, whose: str, limit: int, wait: timedelta) -> None:
        self._wait = wait
        super().__init__(
            f"There are {limit} tokens a day for {whose}, and they are used up or in use."
            " GET /usage shows by what. The day ends at midnight UTC."
        )

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(math.ceil(self._wait.total_seconds()))}


class UnknownPersona(ServiceError):
    status = 422
    code = "unknown_persona"
    title = "Unknown persona"

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(f"You have no such persona; there are: {', '.join(known)}.")


class PersonaNotFound(ServiceError):
    status = 404
    code = "persona_not_found"
    title = "No such persona"

    def __init__(self) -> None:
        super().__init__("There is no persona with this id that you could see.")


class PersonaNameTaken(ServiceError):
    status = 409
    code = "persona_name_taken"
    title = "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a persona called {name} already. Choose another name.")


class NotYourPersona(ServiceError):
    status = 403
    code = "not_your_persona"
    title = "Not yours to change"

    def __init__(self) -> None:
        super().__init__(
            "Built-in personas stay as they are, and those of the tenant are its administrators'"
            " to make and change. Make one of your own instead."
        )


class TooManyPersonas(ServiceError):
    status = 409
    code = "too_many_personas"
    title = "Too many personas"

    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} personas, which is the most. Delete one first.")


class UnsupportedSetting(ServiceError):
    status = 400
    code = "unsupported_parameter"
    title = "The model does not heed this"

    def __init__(self, name: str, model: str) -> None:
        super().__init__(f"{model} does not heed {name}. Leave it out, or ask another model.")
        self._name = name

    def errors(self) -> Errors:
        return [{"pointer": f"#/{self._name}", "detail": "Not supported by this model."}]

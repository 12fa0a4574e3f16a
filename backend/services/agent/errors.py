"""Errors of the agent service, with the HTTP status and the code that callers receive."""

import math
from collections.abc import Sequence
from datetime import timedelta

from backend.ai.chat_models import InvalidModelResponse, ModelTimeout, ModelUnavailable
from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import FieldErrors

__all__ = [
    "ConversationBusy",
    "ConversationNotFound",
    "InvalidExpression",
    "InvalidModelResponse",
    "ModelNotFound",
    "ModelTimeout",
    "ModelUnavailable",
    "NoPendingApproval",
    "RunLimitExceeded",
    "ToolFailed",
    "UndefinedResult",
    "UnknownModel",
]


class InvalidExpression(ValueError):
    """The expression cannot be evaluated. The message is returned to the model."""


class UndefinedResult(InvalidExpression):
    """The expression is valid, but its value is undefined or too large."""


class ToolFailed(Exception):
    """The tool call failed. The message is returned to the model."""


class ToolRefused(ToolFailed):
    """The tool call was rejected before execution. Logs and metrics contain *reason*."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidToolCall(ToolRefused):
    """The tool call is malformed. It is not executed and counts as an error, not as a refusal."""


class ConversationNotFound(ServiceError):
    status = 404
    code = "conversation_not_found"
    title = "Conversation not found"

    def __init__(self) -> None:
        super().__init__("You have no conversation with this ID.")


class CollectionNotFound(ServiceError):
    status = 404
    code = "collection_not_found"
    title = "Collection not found"

    def __init__(self) -> None:
        super().__init__("The collection does not exist, or you have no permission to read it.")


class MessageNotFound(ServiceError):
    status = 404
    code = "message_not_found"
    title = "Message not found"

    def __init__(self) -> None:
        super().__init__("The conversation has no message with this ID.")


class FeedbackNotFound(ServiceError):
    status = 404
    code = "feedback_not_found"
    title = "Feedback not found"

    def __init__(self) -> None:
        super().__init__("You have not submitted feedback on this message.")


class NotAnAssistantMessage(ServiceError):
    status = 422
    code = "not_an_answer"
    title = "Message is not an answer"

    def __init__(self) -> None:
        super().__init__("This message is a user message. Submit feedback on an assistant message.")


class RunNotFound(ServiceError):
    status = 404
    code = "run_not_found"
    title = "Run not found"

    def __init__(self) -> None:
        super().__init__("The conversation has no run with this ID.")


class AnswerIncomplete(ServiceError):
    status = 503
    code = "answer_broke_off"
    title = "Answer is incomplete"

    def __init__(self) -> None:
        super().__init__(
            "The answer was not completed. The session contains the text so far."
            " Regenerate the answer there."
        )


class MessageNotEditable(ServiceError):
    status = 422
    code = "not_your_request"
    title = "Only user messages can be edited"

    def __init__(self) -> None:
        super().__init__(
            "This message is an answer. Regenerate it, or edit the user message before it."
        )


class ConversationBusy(ServiceError):
    status = 409
    code = "conversation_busy"
    title = "Conversation is busy"

    def __init__(self) -> None:
        super().__init__(
            "Another answer is being generated in this conversation. Wait for it, or cancel it."
        )

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class ApprovalChanged(ServiceError):
    status = 409
    code = "approval_changed"
    title = "Pending tool calls have changed"

    def __init__(self) -> None:
        super().__init__(
            "approval_id does not match the pending tool calls. Fetch the session and decide on the"
            " current ones."
        )


class ApprovalExpired(ServiceError):
    status = 409
    code = "approval_expired"
    title = "Approval has expired"

    def __init__(self) -> None:
        super().__init__(
            "The pending tool calls have expired and were not executed. Send the request again."
        )


class NoPendingApproval(ServiceError):
    status = 409
    code = "nothing_to_decide"
    title = "No pending tool call"

    def __init__(self) -> None:
        super().__init__("No tool call of this conversation is waiting for approval.")


class UnknownModel(ServiceError):
    status = 422
    code = "unknown_model"
    title = "Unknown model"

    def __init__(self, available: list[str]) -> None:
        super().__init__(f"The model is not configured. Configured models: {', '.join(available)}.")


class ModelNotFound(ServiceError):
    """The model is not configured. This is the status and code that OpenAI clients expect."""

    status = 404
    code = "model_not_found"
    title = "Unknown model"


class RunLimitExceeded(ServiceError):
    status = 422
    code = "run_limit_reached"
    title = "Run limit exceeded"


class DailyTokensExhausted(ServiceError):
    status = 429
    code = "daily_tokens_used"
    title = "Daily token quota exceeded"

    def __init__(self, owner: str, limit: int, retry_after: timedelta) -> None:
        self._retry_after = retry_after
        super().__init__(
            f"The daily quota of {limit} tokens for {owner} is used up or reserved."
            " GET /usage shows the usage. The quota is reset at midnight UTC."
        )

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(math.ceil(self._retry_after.total_seconds()))}


class UnknownPersona(ServiceError):
    status = 422
    code = "unknown_persona"
    title = "Unknown persona"

    def __init__(self, available: Sequence[str]) -> None:
        super().__init__(f"The persona does not exist. Available personas: {', '.join(available)}.")


class PersonaNotFound(ServiceError):
    status = 404
    code = "persona_not_found"
    title = "Persona not found"

    def __init__(self) -> None:
        super().__init__("No persona with this ID is visible to you.")


class PersonaNameTaken(ServiceError):
    status = 409
    code = "persona_name_taken"
    title = "Persona name is already in use"

    def __init__(self, name: str) -> None:
        super().__init__(f"A persona named {name} already exists. Choose another name.")


class PersonaNotEditable(ServiceError):
    status = 403
    code = "not_your_persona"
    title = "Persona is read-only"

    def __init__(self) -> None:
        super().__init__(
            "Built-in personas cannot be changed, and only administrators can create and change"
            " shared personas of the tenant. Create your own persona instead."
        )


class TooManyPersonas(ServiceError):
    status = 409
    code = "too_many_personas"
    title = "Too many personas"

    def __init__(self, max_personas: int) -> None:
        super().__init__(
            f"You have {max_personas} personas, which is the maximum. Delete one first."
        )


class UnsupportedParameter(ServiceError):
    status = 400
    code = "unsupported_parameter"
    title = "Parameter not supported by the model"

    def __init__(self, name: str, model: str) -> None:
        super().__init__(f"{model} does not support {name}. Omit it, or use another model.")
        self._name = name

    def errors(self) -> FieldErrors:
        return [{"pointer": f"#/{self._name}", "detail": "Not supported by this model."}]

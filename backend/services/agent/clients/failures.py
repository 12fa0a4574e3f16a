"""What a failure of a model's server means to a caller."""

import httpx2
import openai
from langchain_openai import StreamChunkTimeoutError

from backend.chassis.problems import ServiceError
from backend.services.agent.errors import ModelMisbehaved, ModelTimeout, ModelUnavailable


def model_failure(error: Exception) -> ServiceError | None:
    """The outcome to tell, None if *error* is not the model's."""
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException() | StreamChunkTimeoutError():
            return ModelTimeout()
        case openai.RateLimitError():
            return ModelUnavailable("The model's server takes no more requests just now.")
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ModelUnavailable("The model's server refuses the key that is set up here.")
        case openai.NotFoundError():
            return ModelUnavailable("The model's server does not have the model set up here.")
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return ModelMisbehaved(
                "The model's server did not accept the request; it may be too long for it."
            )
        case openai.APIError() | httpx2.TransportError():
            return ModelUnavailable()
        case _:
            return None

"""Errors of chat models, as the services' callers see them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.chassis.web.problems import ServiceError


class ModelUnavailable(ServiceError):
    """The model server does not respond or rejects requests."""

    status = 503
    code = "model_unavailable"
    title = "Model unavailable"

    def __init__(self, reason: str = "The model server does not respond.") -> None:
        super().__init__(f"{reason} Retry in a few seconds.")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class ModelProviderNotInstalled(ModelUnavailable):
    """The optional package of a model provider is not installed."""

    def __init__(self, provider: str, extra: str) -> None:
        super().__init__(
            f"Support for {provider} models is not installed. The operator installs it with"
            f" ./start_microservices.sh install --extra {extra}."
        )


class ModelTimeout(ServiceError):
    """The model did not finish its response within the time limit of a run."""

    status = 504
    code = "model_timeout"
    title = "Model timeout"

    def __init__(self) -> None:
        super().__init__("The model did not finish its response within the time limit of a run.")


class InvalidModelResponse(ServiceError):
    """The model's response, or its rejection of the request, cannot be processed."""

    status = 502
    code = "model_misbehaved"
    title = "Invalid model response"


@contextmanager
def translate_errors(translate: Callable[[Exception], ServiceError | None]) -> Iterator[None]:
    """Replace an error with the result of *translate*; re-raise it if the result is None."""
    try:
        yield
    except Exception as error:  # *translate* decides which ones
        if (service_error := translate(error)) is None:
            raise
        raise service_error from error


def error_for_status(status: int) -> ServiceError:
    """Return the error for a model server's HTTP *status*, which is 400 or more."""
    match status:
        case 400 | 413 | 422:
            return InvalidModelResponse(
                "The model server rejected the request. The request may be too long for the model."
            )
        case 401 | 403:
            return ModelUnavailable("The model server rejects the configured API key.")
        case 404:
            return ModelUnavailable("The model server does not have the configured model.")
        case 408 | 504:
            return ModelTimeout()
        case 429:
            return ModelUnavailable("The model server's rate limit is exceeded.")
        case _:
            return ModelUnavailable()

"""What a failure of a model's server means to a caller."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.chassis.web.problems import ServiceError


class ModelUnavailable(ServiceError):
    status = 503
    code = "model_unavailable"
    title = "The model is not reachable"

    def __init__(self, reason: str = "The model's server does not answer.") -> None:
        super().__init__(f"{reason} Try again in a moment.")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class ModelNotInstalled(ModelUnavailable):
    """What speaks to a provider is an extra, and is not there."""

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"What speaks to {provider} is not installed here. The operator installs it with"
            f" ./start_microservices.sh install --extra {provider}."
        )


class ModelTimeout(ServiceError):
    status = 504
    code = "model_timeout"
    title = "The model is too slow"

    def __init__(self) -> None:
        super().__init__("The model took longer than a run may take.")


class ModelMisbehaved(ServiceError):
    status = 502
    code = "model_misbehaved"
    title = "The model's answer cannot be used"


@contextmanager
def named_failures(name: Callable[[Exception], ServiceError | None]) -> Iterator[None]:
    """Let what goes wrong inside leave as *name* calls it; what it does not know, as it is."""
    try:
        yield
    except Exception as error:
        if (failure := name(error)) is None:
            raise
        raise failure from error


def refusal(status: int) -> ServiceError:
    """What a model server's answer with an HTTP *status* of 400 or more means."""
    match status:
        case 400 | 413 | 422:
            return ModelMisbehaved(
                "The model's server did not accept the request; it may be too long for it."
            )
        case 401 | 403:
            return ModelUnavailable("The model's server refuses the key that is set up here.")
        case 404:
            return ModelUnavailable("The model's server does not have the model set up here.")
        case 408 | 504:
            return ModelTimeout()
        case 429:
            return ModelUnavailable("The model's server takes no more requests just now.")
        case _:
            return ModelUnavailable()

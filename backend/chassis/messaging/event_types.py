"""Declaration of domain events: the base class of their data.

A service declares its events in its module `events`. Nothing here or there imports SQLAlchemy, so
that the gateway can describe the events of all services.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

# Id of a user, session, document, …
Id = Annotated[str, Field(min_length=1, max_length=64)]


class EventData(BaseModel):
    """Base class of the `data` of an event. The docstring of a subclass describes the event.

    Consumers ignore unknown fields, so a new optional field is no breaking change. A breaking
    change gets a new type.

    Attributes:
        event_type: service and what happened, such as `rag.document-ready`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_type: ClassVar[str]

"""AsyncAPI 3.0 document of the events that all services publish.

`python -m backend events document` prints it.
https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from backend import __version__
from backend.chassis.catalog import CATALOG
from backend.chassis.messaging.cloud_events import CONTENT_TYPE, Event
from backend.chassis.messaging.event_types import EventData

_DESCRIPTION = """\
Events that the services publish after the commit of a change, as CloudEvents 1.0 in structured \
JSON. They are delivered at least once: a repeated event has the same `id`. Events of one source \
with the same `partitionkey` are delivered in the order of their changes. Ignore unknown fields \
and types. An event has at most 256 KB.

EVENTS_URL selects the broker. Redis: stream `{suite}:events:SERVICE`, field `event`. RabbitMQ: \
topic exchange `suite.events`, routing key = type. Kafka: topic `suite.SERVICE`, key = \
`partitionkey`."""


def load_event_types() -> Mapping[str, Sequence[type[EventData]]]:
    """Return the types of events by the service that publishes them."""
    modules = {entry.name: f"backend.services.{entry.name}.events" for entry in CATALOG}
    # Imported by name: the chassis must not depend on a service.
    return {
        name: import_module(module).EVENTS
        for name, module in modules.items()
        if find_spec(module) is not None
    }


def build_document() -> dict[str, Any]:
    """Return the document as a JSON object."""
    types = load_event_types()
    models: list[type[BaseModel]] = [Event]
    models += [data for events in types.values() for data in events]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=_SchemaGenerator,
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "AI Agent System: events",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _build_channel(name, events) for name, events in types.items()},
        "operations": {
            f"publish-{name}": {
                "action": "send",
                "summary": f"Events that {name} publishes.",
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name in types
        },
        "components": {
            "messages": {
                data.event_type: _build_message(name, data)
                for name, events in types.items()
                for data in events
            },
            "schemas": definitions["$defs"],
        },
    }


class _SchemaGenerator(GenerateJsonSchema):
    """Omits the titles that pydantic derives from the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _build_channel(service: str, events: Sequence[type[EventData]]) -> dict[str, Any]:
    return {
        "address": f"suite.{service}",
        "messages": {
            data.event_type: {"$ref": f"#/components/messages/{data.event_type}"} for data in events
        },
        "bindings": {
            "kafka": {"topic": f"suite.{service}"},
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": "suite.events", "type": "topic", "durable": True},
            },
        },
    }


def _build_message(service: str, data: type[EventData]) -> dict[str, Any]:
    attributes = {
        "source": {"const": f"/{service}"},
        "type": {"const": data.event_type},
        "data": {"$ref": f"#/components/schemas/{data.__name__}"},
    }
    return {
        "name": data.event_type,
        "summary": inspect.getdoc(data),
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Event"},
                {"type": "object", "properties": attributes},
            ]
        },
    }

"""Runs as gRPC messages: one answer, or a stream of events."""

import json
from collections.abc import Iterator
from contextlib import closing

from backend.chassis.deadlines import set_deadline
from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.errors import CallCancelled, DeadlineExceeded, Problem, RemoteProblem
from backend.chassis.rpc.messages import build_message
from backend.chassis.web.app_factory import use
from backend.rpc_schema.suite.ai.v1 import answer_pb2
from backend.services.agent.domain.answers.event_streams import (
    EventStreamService,
    StoredEvent,
    StoredEvents,
)
from backend.services.agent.domain.answers.events import Answer, IdleEvent
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.domain.conversations.run_leases import UserRequest
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import QueryRequest, QueryResponse
from backend.services.agent.routes.stream_events import to_sse_events


def start_run(query: QueryRequest, *, continues: bool = False) -> StoredEvents:
    """Start to answer *query* and return the events of the run. Closing them cancels it.

    Args:
        continues: do not end the run's calls of other services at the deadline of the call.
    """
    if continues:
        set_deadline(None)
    caller = get_caller()
    user_request = UserRequest(query.user_request, query.session_id)
    events = use(AnswerService).start_answer(caller, query.to_answer_request(user_request, "grpc"))
    return use(EventStreamService).store_events(caller, events, to_sse_events)


def read_answer(events: StoredEvents, call: Call, *, continues: bool = False) -> answer_pb2.Answer:
    """Return the answer at the end of *events*.

    Args:
        continues: complete the run even if the call is cancelled.
    """
    with closing(events):
        try:
            for event in events:
                call.check()
                match event:
                    case StoredEvent(_, Answer() as answer):
                        return build_message(answer_pb2.Answer, QueryResponse.from_answer(answer))
                    case StoredEvent(_, Exception() as error):
                        raise error
        except (CallCancelled, DeadlineExceeded):
            if continues:
                _complete_run(events, call)
            raise
    raise AssertionError("The events of a run end with an answer or an error.")


def stream_run(
    events: StoredEvents, call: Call, *, continues: bool = False
) -> Iterator[answer_pb2.ResponseEvent | None]:
    """Yield *events* as messages, and None while there is none.

    Args:
        continues: complete the run even if the call is cancelled.
    """
    with closing(events):
        try:
            for event in events:
                if isinstance(event, IdleEvent):
                    yield None
                    continue
                if isinstance(event.event, Exception):
                    raise event.event
                yield _to_message(event)
        except GeneratorExit:
            if continues:
                _complete_run(events, call)
            raise


def _complete_run(events: StoredEvents, call: Call) -> None:
    for _ in events:
        call.check_session()


def _to_message(event: StoredEvent) -> answer_pb2.ResponseEvent:
    name, data = event.record.name, json.loads(event.record.data)
    if name == "error":
        raise RemoteProblem(Problem(data["status"], data["code"], data["detail"]))
    document = {"sequence": event.record.number, name: data}
    return build_message(answer_pb2.ResponseEvent, document)

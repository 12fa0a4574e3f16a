"""Conversations and messages over gRPC, with the outcomes of HTTP."""

import grpc
import pytest

from backend.chassis.rpc.messages import to_document
from backend.services.chat.rpc.services import SERVICES
from tests.rpc import connect, run_rpc_server, to_failure


@pytest.fixture
def rpc(app):
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as client:
        yield client


def send(rpc, who, text="Hello", **fields):
    return rpc.call("SendMessage", who, content=text, **fields)


def test_message_is_answered_and_has_the_fields_of_http(rpc, client, ada):
    sent = send(rpc, ada, "What is a bill?", client_id="m-1")

    again = client.post(
        "/message", json={"content": "What is a bill?", "client_id": "m-1"}, headers=ada
    ).json
    assert sent.status == "answered"
    assert sent.answer.content["text"] == "You said: What is a bill?"
    document = to_document(sent)
    assert document["message"]["id"] == again["message"]["id"]
    assert document["message"]["content"] == again["message"]["content"]
    assert document["answer"]["citations"][0]["document_id"] == "doc_1"


def test_message_without_wait_is_accepted(rpc, ada):
    sent = send(rpc, ada, wait=0)

    assert sent.status == "accepted"
    assert not sent.HasField("answer")


def test_repeated_client_id_gets_the_stored_answer_without_waiting(rpc, ada):
    first = send(rpc, ada, client_id="m-1")

    assert send(rpc, ada, client_id="m-1", wait=0).answer.id == first.answer.id


def test_conversation_and_its_messages_are_read(rpc, ada):
    conversation_id = send(rpc, ada, "One").conversation_id
    send(rpc, ada, "Two", conversation_id=conversation_id)

    conversation = rpc.call("GetConversation", ada, conversation_id=conversation_id)
    page = rpc.call("ListMessages", ada, conversation_id=conversation_id, limit=2, after_seq=1)

    assert [message.seq for message in conversation.messages] == [1, 2, 3, 4]
    assert conversation.owner_id == "user-ada"
    assert [message.seq for message in page.items] == [2, 3]
    assert page.has_more


def test_messages_are_found_page_by_page(rpc, ada):
    for text in ("red bridge", "blue bridge"):
        send(rpc, ada, text, wait=0)

    first = rpc.call("SearchMessages", ada, q="bridge", limit=1)
    second = rpc.call("SearchMessages", ada, q="bridge", limit=1, cursor=first.next_cursor)

    found = [item.message.content["text"] for item in [*first.items, *second.items]]
    assert found == ["blue bridge", "red bridge"]


def test_watcher_gets_new_messages_with_their_numbers(rpc, ada):
    conversation_id = send(rpc, ada, "One", wait=0).conversation_id

    events = rpc.call("WatchConversation", ada, conversation_id=conversation_id, after_change_seq=0)
    opened, message = next(events), next(events)
    events.cancel()

    assert (opened.name, opened.change_seq) == ("open", 0)
    assert (message.name, message.change_seq) == ("message", 1)
    assert message.data["content"]["text"] == "One"


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetConversation", {}),
        ("ListMessages", {}),
        ("SetTyping", {}),
        ("SendMessage", {"content": "Hi"}),
    ],
)
def test_conversation_of_another_user_is_not_found(rpc, ada, bob, method, fields):
    conversation_id = send(rpc, ada, wait=0).conversation_id

    with pytest.raises(grpc.RpcError) as error:
        rpc.call(method, bob, conversation_id=conversation_id, **fields)

    assert to_failure(error.value).code == grpc.StatusCode.NOT_FOUND


def test_call_without_credentials_or_with_an_invalid_field_is_refused(rpc, ada):
    with pytest.raises(grpc.RpcError) as unauthenticated:
        send(rpc, {})
    with pytest.raises(grpc.RpcError) as invalid:
        rpc.call("ListMessages", ada, conversation_id="c", limit=0)

    assert to_failure(unauthenticated.value).code == grpc.StatusCode.UNAUTHENTICATED
    assert to_failure(invalid.value).code == grpc.StatusCode.INVALID_ARGUMENT


def test_typing_is_shown(rpc, ada):
    conversation_id = send(rpc, ada, wait=0).conversation_id

    assert to_document(rpc.call("SetTyping", ada, conversation_id=conversation_id)) == {}

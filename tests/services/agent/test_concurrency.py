"""Concurrent streams, two workers and killed workers, with real processes and connections."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from tests import servers
from tests.identities import Identities
from tests.servers import wait_until
from tests.services.agent.agent_processes import run_agents
from tests.services.agent.fakes import Reply, ScriptedModel, parse_numbered_events, run_server

STREAM_COUNT = 50


@pytest.fixture(scope="module")
def identities():
    return Identities()


@pytest.fixture(scope="module")
def model_server():
    with run_server(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="module")
def agents(tmp_path_factory, identities, model_server):
    """Two agent processes that share a database and Redis."""
    folder = tmp_path_factory.mktemp("workers")
    with (
        servers.valkey(folder) as valkey,
        run_agents(folder, identities, model_server, valkey.url, count=2) as agents,
    ):
        for agent in agents:  # the first run imports LangChain
            agent.post("/query", {"user_request": "Hello"}, identities.bearer())
        yield agents


@pytest.fixture
def ada(identities):
    return identities.bearer()


def open_stream(agent, bearer, session_id=None, **fields):
    body = {"user_request": "Talk.", "stream": True, **fields}
    if session_id is not None:
        body["session_id"] = session_id
    return agent.post("/query", body, bearer, stream=True)


def read_until_first_token(response):
    """Return the events up to the first token, and an iterator over the remaining text."""
    chunks, text = response.iter_content(None, decode_unicode=True), ""
    while "event: token" not in text:
        text += next(chunks)
    return parse_numbered_events(text), chunks


@pytest.mark.slow
def test_fifty_concurrent_streams_complete(agents, model_server, identities):
    model_server.default_reply = Reply(text="word " * 20, pause_seconds=0.02)

    def read_stream(number):
        bearer = identities.bearer(f"user-{number}")
        for _ in range(10):
            with open_stream(agents[0], bearer) as response:
                if response.status_code != 503:
                    return parse_numbered_events(response.text)
            # The database of a busy machine asks clients to retry.
            sleep(int(response.headers["Retry-After"]))
        raise AssertionError(response.text)

    with ThreadPoolExecutor(STREAM_COUNT) as pool:
        answers = list(pool.map(read_stream, range(STREAM_COUNT)))

    assert [events[-1][1] for events in answers] == ["done"] * STREAM_COUNT
    assert {events[-1][2]["response"] for events in answers} == {" ".join(["word"] * 20)}
    assert len({events[-1][2]["session_id"] for events in answers}) == STREAM_COUNT


@pytest.mark.slow
def test_disconnected_streams_leak_no_threads_or_sockets(agents, model_server, identities):
    model_server.default_reply = Reply(text="word " * 400, pause_seconds=0.05)

    def disconnect(number):
        with open_stream(agents[0], identities.bearer(f"user-{number}")) as response:
            read_until_first_token(response)

    def disconnect_many():
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(disconnect, range(20)))
        wait_until(lambda: model_server.open_stream_count == 0, 30)
        # Closed client connections are detected with a short delay.
        return agents[0].count_threads(), agents[0].count_sockets()

    before = disconnect_many()
    after = disconnect_many()

    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 5


@pytest.mark.slow
def test_requests_to_two_workers_in_one_conversation_are_serialised(agents, model_server, ada):
    model_server.default_reply = Reply(text="one two three", pause_seconds=0.1)
    session_id = agents[0].post("/query", {"user_request": "Hello"}, ada).json()["session_id"]
    requests = [
        (agents[number % 2], {"user_request": f"Q{number}", "session_id": session_id})
        for number in range(6)
    ]

    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda request: request[0].post("/query", request[1], ada), requests)
        )

    assert [answer.status_code for answer in answers] == [200] * 6
    messages = agents[1].get(f"/sessions/{session_id}", ada)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 7
    assert {message["content"] for message in messages[2::2]} == {
        f"Q{number}" for number in range(6)
    }
    assert {message["status"] for message in messages} == {"done"}
    assert all(len(message["alternatives"]) == 1 for message in messages)


@pytest.mark.slow
def test_run_is_cancelled_through_another_worker(agents, model_server, ada):
    model_server.default_reply = Reply(text="word " * 400, pause_seconds=0.05)
    with open_stream(agents[0], ada) as response:
        events, chunks = read_until_first_token(response)
        session_id = events[0][2]["session_id"]
        agents[1].post(f"/sessions/{session_id}/cancel", {}, ada)
        remaining_events = parse_numbered_events("".join(chunks))

    assert remaining_events[-1][2]["finish_reason"] == "cancelled"
    wait_until(lambda: model_server.open_stream_count == 0)


@pytest.mark.slow
def test_conversation_continues_after_a_process_was_killed(agents, model_server, ada):
    model_server.default_reply = Reply(text="word " * 400, pause_seconds=0.05)
    with open_stream(agents[0], ada) as response:
        events, _ = read_until_first_token(response)
        session_id = events[0][2]["session_id"]

        def get_answer():
            return agents[1].get(f"/sessions/{session_id}", ada)["messages"][-1]

        wait_until(lambda: get_answer()["content"])
        os.kill(agents[0].pid, signal.SIGKILL)
    wait_until(lambda: model_server.open_stream_count == 0)

    model_server.default_reply = Reply(text="Here I am.")
    body = {"user_request": "Are you there?", "session_id": session_id}
    answer = agents[1].post("/query", body, ada).json()
    interrupted = agents[1].get(f"/sessions/{session_id}", ada)["messages"][1]

    assert answer["response"] == "Here I am."
    assert interrupted["status"] == "interrupted"
    assert interrupted["content"].startswith("word word")

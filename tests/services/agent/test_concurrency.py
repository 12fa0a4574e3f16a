"""Many at once, two workers, and workers that die: over real processes and connections."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import servers
from tests.identities import Identities
from tests.servers import wait_until
from tests.services.agent.stand_ins import Reply, ScriptedModel, numbered, serving
from tests.services.agent.workers import workers

STREAMS = 50


@pytest.fixture(scope="module")
def people():
    return Identities()


@pytest.fixture(scope="module")
def talker():
    with serving(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="module")
def pair(tmp_path_factory, people, talker):
    """Two agents of one suite."""
    folder = tmp_path_factory.mktemp("workers")
    with (
        servers.valkey(folder) as valkey,
        workers(folder, people, talker, valkey.url, many=2) as running,
    ):
        for worker in running:  # what a first run imports
            worker.post("/query", {"user_request": "Hello"}, people.bearer())
        yield running


@pytest.fixture
def ada(people):
    return people.bearer()


def stream(worker, bearer, session=None, **more):
    body = {"user_request": "Talk.", "stream": True, **more}
    if session is not None:
        body["session_id"] = session
    return worker.post("/query", body, bearer, stream=True)


def until_first_word(response):
    """The events up to the first word, and what the connection goes on to say."""
    pieces, text = response.iter_content(None, decode_unicode=True), ""
    while "event: token" not in text:
        text += next(pieces)
    return numbered(text), pieces


def test_fifty_streams_at_once_all_end_well(pair, talker, people):
    talker.otherwise = Reply(text="word " * 20, pause=0.02)

    def listen(number):
        with stream(pair[0], people.bearer(f"user-{number}")) as response:
            return numbered(response.text)

    with ThreadPoolExecutor(STREAMS) as pool:
        answers = list(pool.map(listen, range(STREAMS)))

    assert [found[-1][1] for found in answers] == ["done"] * STREAMS
    assert {found[-1][2]["response"] for found in answers} == {" ".join(["word"] * 20)}
    assert len({found[-1][2]["session_id"] for found in answers}) == STREAMS


@pytest.mark.slow
def test_streams_that_are_left_leave_nothing_behind(pair, talker, people):
    talker.otherwise = Reply(text="word " * 400, pause=0.05)

    def leave(number):
        with stream(pair[0], people.bearer(f"user-{number}")) as response:
            until_first_word(response)

    def storm():
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(leave, range(20)))
        wait_until(lambda: talker.speaking == 0, 30)
        # The connections of the clients themselves take a moment to be found closed.
        return pair[0].threads(), pair[0].sockets()

    before = storm()
    after = storm()

    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 5


def test_two_workers_answer_in_one_conversation_one_after_the_other(pair, talker, ada):
    talker.otherwise = Reply(text="one two three", pause=0.1)
    session = pair[0].post("/query", {"user_request": "Hello"}, ada).json()["session_id"]
    asked = [(pair[at % 2], {"user_request": f"Q{at}", "session_id": session}) for at in range(6)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda each: each[0].post("/query", each[1], ada), asked))

    assert [each.status_code for each in answers] == [200] * 6
    shown = pair[1].get(f"/sessions/{session}", ada)["messages"]
    assert [each["role"] for each in shown] == ["user", "assistant"] * 7
    assert {each["content"] for each in shown[2::2]} == {f"Q{at}" for at in range(6)}
    assert {each["status"] for each in shown} == {"done"}
    assert all(len(each["alternatives"]) == 1 for each in shown)


def test_an_answer_is_cancelled_from_another_worker(pair, talker, ada):
    talker.otherwise = Reply(text="word " * 400, pause=0.05)
    with stream(pair[0], ada) as response:
        found, pieces = until_first_word(response)
        session = found[0][2]["session_id"]
        pair[1].post(f"/sessions/{session}/cancel", {}, ada)
        rest = numbered("".join(pieces))

    assert rest[-1][2]["finish_reason"] == "cancelled"
    wait_until(lambda: talker.speaking == 0)


@pytest.mark.slow
def test_a_killed_worker_leaves_a_conversation_that_goes_on(pair, talker, ada):
    talker.otherwise = Reply(text="word " * 400, pause=0.05)
    with stream(pair[0], ada) as response:
        found, _ = until_first_word(response)
        session = found[0][2]["session_id"]

        def kept():
            return pair[1].get(f"/sessions/{session}", ada)["messages"][-1]

        wait_until(lambda: kept()["content"])
        os.kill(pair[0].pid, signal.SIGKILL)
    wait_until(lambda: talker.speaking == 0)

    talker.otherwise = Reply(text="Here I am.")
    body = {"user_request": "Are you there?", "session_id": session}
    answer = pair[1].post("/query", body, ada).json()
    broken = pair[1].get(f"/sessions/{session}", ada)["messages"][1]

    assert answer["response"] == "Here I am."
    assert broken["status"] == "interrupted"
    assert broken["content"].startswith("word word")
    wait_until(pair[0].answers)

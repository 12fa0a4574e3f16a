"""Publications: several sent at once, and values that subscribers could not read."""

import pytest

from backend.chassis.messaging.topics import Retention
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.model import NewPublication

KEPT = Retention()


def publish_and_read(realtime, publications):
    calls = realtime.app.extensions["backend.components"][LoopCalls]
    calls.run(lambda broker: broker.publish_all(publications))
    streams = dict.fromkeys(each.stream for each in publications)
    replays = [calls.run(lambda broker, name=name: broker.read_all(name, KEPT)) for name in streams]
    return [[(each.offset, each.data) for each in replay.publications] for replay in replays]


def test_publications_are_stored_in_order(start):
    publications = [
        NewPublication("t//a", "1", KEPT),
        NewPublication("t//b", "2", KEPT),
        NewPublication("t//a", "3", KEPT),
        NewPublication("t//a", "4", None),
    ]

    assert publish_and_read(start(), publications) == [[(1, "1"), (2, "3")], [(1, "2")]]


def test_publications_are_stored_in_order_on_a_server_that_has_lost_its_scripts(start, valkey):
    realtime = start(valkey.url)
    publications = [
        NewPublication("t//a", "1", KEPT),
        NewPublication("t//a", "2", None),
        NewPublication("t//a", "3", KEPT),
    ]
    publish_and_read(realtime, publications)
    valkey.client.script_flush()

    assert publish_and_read(realtime, publications) == [[(1, "1"), (2, "3"), (3, "1"), (4, "3")]]


def test_publications_larger_than_a_batch_are_stored_in_order(start, valkey):
    publications = [NewPublication("t//a", str(number) * 400_000, KEPT) for number in range(6)]

    (stored,) = publish_and_read(start(valkey.url), publications)

    assert [data[0] for _, data in stored] == list("012345")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_publication_with_a_number_that_is_not_finite_is_rejected(realtime, identities, number):
    bearer = identities.bearer(tenant_id="t-1", permissions=["realtime:publish"])
    body = f'{{"tenant_id": "t-1", "topic": "packages", "data": {{"stops": [{number}]}}}}'

    response = realtime.app.test_client().post(
        "/publish", data=body, headers=bearer | {"Content-Type": "application/json"}
    )

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == ["#/data"]

"""A cluster in place of one server: found by its answers, and followed when a master dies."""

import pytest
from redis.exceptions import RedisError

from backend.security.limits import Charge, Limit, open_limiter
from backend.security.redis import connect, is_cluster, key
from backend.security.revocation import History, SharedRevocations, Standing, Verdict
from tests import servers
from tests.servers import wait_until

ADA = Standing("session-1", "user-ada", 0, "tenant-1", 0)
CHARGES = [Charge(name, key("limit", name), Limit.parse("3/hour")) for name in ("user", "tenant")]


@pytest.fixture
def cluster(tmp_path):
    with servers.valkey_cluster(tmp_path) as cluster:
        yield cluster


def test_what_was_decided_holds_when_the_master_that_knew_it_is_killed(cluster):
    told, asked = SharedRevocations(connect(cluster.url)), SharedRevocations(connect(cluster.url))
    told.tell_all(History([], {}, {}, 600))
    limiter = open_limiter(cluster.url)
    assert asked.verdict(ADA) is Verdict.GOOD
    assert [limiter.decide(CHARGES).allowed for _ in range(4)] == [True, True, True, False]
    told.end_session(ADA.session_id, 600)
    wait_until(lambda: asked.verdict(ADA) is Verdict.REVOKED)
    assert cluster.client.wait(1, 5000) == 1

    cluster.holder().end()

    newcomer = SharedRevocations(connect(cluster.url))
    wait_until(lambda: newcomer.verdict(ADA) is Verdict.REVOKED)
    # Another server answers now, so auth tells all again that may not have reached it.
    assert not told.knows_all()
    wait_until(lambda: not limiter.decide(CHARGES).local)
    assert not limiter.decide(CHARGES).allowed


def test_one_member_leads_to_all_others(cluster):
    for member in cluster.members:
        client = connect(member.url)
        client.set(key("word"), "runway")
        assert client.mget(key("word"), key("another")) == ["runway", None]


def test_a_replica_that_is_named_is_not_written_to(cluster):
    client = connect(cluster.members[-1].url)
    assert client.set(key("word"), "runway")
    assert cluster.holder().client.get(key("word")) == "runway"


def test_a_cluster_without_its_majority_is_no_answer_and_no_wait(cluster):
    client = connect(cluster.url)
    client.set(key("word"), "runway")
    cluster.end()
    with pytest.raises(RedisError):
        client.get(key("word"))


def test_one_server_is_no_cluster(cluster, tmp_path):
    (alone := tmp_path / "alone").mkdir()
    with servers.valkey(alone) as server:
        assert is_cluster(cluster.url)
        assert not is_cluster(server.url)

"""Redis Cluster: detection and failover of the slot master."""

import pytest
from redis.exceptions import RedisError

from backend.security.limits import Charge, Limit, open_limiter
from backend.security.redis import connect, is_cluster, redis_key
from backend.security.revocation import (
    RevocationHistory,
    SessionClaims,
    SessionStatus,
    SharedRevocations,
)
from tests import servers
from tests.servers import wait_until

ADA = SessionClaims("session-1", "user-ada", 0, "tenant-1", 0)
CHARGES = [
    Charge(name, redis_key("limit", name), Limit.parse("3/hour")) for name in ("user", "tenant")
]


@pytest.fixture
def cluster(tmp_path):
    with servers.valkey_cluster(tmp_path) as cluster:
        yield cluster


def test_revocations_and_limits_survive_the_loss_of_the_slot_master(cluster):
    publisher, reader = (
        SharedRevocations(connect(cluster.url)),
        SharedRevocations(connect(cluster.url)),
    )
    publisher.repopulate(RevocationHistory([], {}, {}, 600))
    limiter = open_limiter(cluster.url)
    assert reader.session_status(ADA) is SessionStatus.VALID
    assert [limiter.decide(CHARGES).allowed for _ in range(4)] == [True, True, True, False]
    publisher.revoke_session(ADA.session_id, 600)
    wait_until(lambda: reader.session_status(ADA) is SessionStatus.REVOKED)
    assert cluster.client.wait(1, 5000) == 1

    cluster.slot_master().end()

    new_reader = SharedRevocations(connect(cluster.url))
    wait_until(lambda: new_reader.session_status(ADA) is SessionStatus.REVOKED)
    # Another server responds now, so auth publishes all revocations again: it may lack some.
    assert not publisher.is_populated()
    wait_until(lambda: not limiter.decide(CHARGES).is_local)
    assert not limiter.decide(CHARGES).allowed


def test_any_node_leads_to_the_slot_master(cluster):
    for member in cluster.members:
        client = connect(member.url)
        client.set(redis_key("word"), "runway")
        assert client.mget(redis_key("word"), redis_key("another")) == ["runway", None]


def test_configured_replica_redirects_writes_to_the_master(cluster):
    client = connect(cluster.members[-1].url)
    assert client.set(redis_key("word"), "runway")
    assert cluster.slot_master().client.get(redis_key("word")) == "runway"


def test_cluster_without_majority_raises_an_error(cluster):
    client = connect(cluster.url)
    client.set(redis_key("word"), "runway")
    cluster.end()
    with pytest.raises(RedisError):
        client.get(redis_key("word"))


def test_is_cluster_tells_a_cluster_from_a_single_server(cluster, tmp_path):
    (alone := tmp_path / "alone").mkdir()
    with servers.valkey(alone) as server:
        assert is_cluster(cluster.url)
        assert not is_cluster(server.url)

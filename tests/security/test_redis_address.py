"""External Redis servers: ACL users, Unix sockets, TLS, full servers and invalid URLs."""

import socket

import pytest
from redis.exceptions import RedisError

from backend.chassis.redis import check_redis
from backend.chassis.settings import SettingsError
from backend.security.limits import Charge, Limit, open_limiter
from backend.security.redis import connect, parse_redis_url, redis_key
from backend.security.revocation import (
    CHANNEL,
    RevocationHistory,
    SessionClaims,
    SessionStatus,
    SharedRevocations,
)
from tests import servers, tls
from tests.servers import wait_until

ADA = SessionClaims("session-1", "user-ada", 0, "tenant-1", 0)
EMPTY_HISTORY = RevocationHistory([], {}, {}, 600)
PASSWORD = "p@ss/w:rd#"
QUOTED = "p%40ss%2Fw%3Ard%23"
# The ACL rules documented for operators in docs/operations.
ACL_RULES = "+@all -@dangerous +info +cluster|slots ~{suite}:* ~rag:* &security.* &/*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("valkey")


@pytest.fixture(scope="module")
def server(folder):
    with servers.valkey(folder, settings=["--unixsocket", str(folder / "s")]) as server:
        server.client.execute_command(
            "ACL", "SETUSER", "suite", "on", f">{PASSWORD}", *ACL_RULES.split()
        )
        yield server


def url_of(server, login):
    return server.url.replace("redis://", f"redis://{login}@")


def test_acl_user_with_documented_permissions_is_sufficient(server):
    url = url_of(server, f"suite:{QUOTED}")
    check_redis(connect(url))
    publisher, reader = SharedRevocations(connect(url)), SharedRevocations(connect(url))
    publisher.repopulate(EMPTY_HISTORY)
    assert reader.session_status(ADA) is SessionStatus.VALID
    publisher.revoke_session(ADA.session_id, 600)
    wait_until(lambda: reader.session_status(ADA) is SessionStatus.REVOKED)
    limiter = open_limiter(url)
    assert limiter.decide([Charge("one", redis_key("limit"), Limit.parse("1/hour"))]).allowed
    assert not limiter.is_local
    connect(url).xadd(redis_key("agent", "events", "c"), {"run": "r"})


def test_redis_is_reached_through_a_unix_socket(server, folder):
    client = connect(f"unix://{folder}/s?db=1&username=suite&password={QUOTED}")
    client.set(redis_key("word"), "runway")
    assert client.get(redis_key("word")) == "runway"


def test_wrong_password_is_reported_at_startup(server):
    with pytest.raises(SettingsError, match="rejects the user name or password") as error:
        check_redis(connect(url_of(server, "suite:another")))
    assert "another" not in str(error.value)


def test_redis_is_reached_over_tls_with_its_ca(server, folder):
    file = tls.certificate(folder)
    with tls.tls_proxy(server.port, file) as door:
        url = f"rediss://localhost:{door}/0"
        client = connect(f"{url}?ssl_ca_certs={file}", timeout=2)
        client.set(redis_key("word"), "tower")
        assert client.get(redis_key("word")) == "tower"
        with pytest.raises(SettingsError, match="TLS connection to Redis failed"):
            check_redis(connect(url, timeout=2))


def test_missing_database_is_reported_at_startup(server):
    with pytest.raises(SettingsError, match="no such database"):
        check_redis(connect(f"{server.url.removesuffix('/0')}/99"))


def test_unresponsive_redis_is_a_warning_at_startup(caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check_redis(connect(f"redis://127.0.0.1:{silent.getsockname()[1]}"))
    assert "Redis does not respond" in caplog.text


def test_revocation_that_a_full_redis_rejects_leaves_no_session_valid(tmp_path):
    with servers.valkey(tmp_path) as full:
        publisher, reader = (
            SharedRevocations(connect(full.url)),
            SharedRevocations(connect(full.url)),
        )
        publisher.repopulate(EMPTY_HISTORY)
        assert reader.session_status(ADA) is SessionStatus.VALID
        wait_until(lambda: full.client.pubsub_numsub(CHANNEL)[0][1])
        full.client.config_set("maxmemory", 1)
        full.client.config_set("maxmemory-policy", "noeviction")

        with pytest.raises(RedisError):
            publisher.revoke_session(ADA.session_id, 600)

        wait_until(lambda: reader.session_status(ADA) is SessionStatus.REVOKED)
        new_reader = SharedRevocations(connect(full.url))
        assert new_reader.session_status(ADA) is SessionStatus.UNKNOWN


def test_is_populated_is_false_after_evictions(tmp_path, caplog):
    with servers.valkey(tmp_path) as small:
        publisher = SharedRevocations(connect(small.url))
        publisher.repopulate(EMPTY_HISTORY)
        assert publisher.is_populated()
        small.client.config_set("maxmemory-policy", "volatile-ttl")
        for number in range(2000):
            small.client.set(f"filler-{number}", "x" * 1000, ex=600)
        small.client.config_set("maxmemory", small.client.info("memory")["used_memory"] - 100_000)
        small.client.set("one more", "x" * 1000, ex=600)

        assert not publisher.is_populated()
        check_redis(connect(small.url))
        assert "maxmemory-policy volatile-ttl" in caplog.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host", "must begin with redis://"),
        ("redis://u:p/w@host/0", "must end with a database number"),
        ("redis://host:x/0", "port in REDIS_URL is not a number"),
        ("redis://host/0?timeout=3", "unknown parameter 'timeout'"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "ssl_cert_reqs in REDIS_URL must be one of"),
    ],
)
def test_invalid_redis_url_is_explained(url, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        parse_redis_url(url)


def test_tls_checks_the_host_name_unless_disabled():
    assert parse_redis_url("rediss://h").tls_context().check_hostname
    assert not parse_redis_url("rediss://h?ssl_check_hostname=false").tls_context().check_hostname
    assert not parse_redis_url("rediss://h?ssl_cert_reqs=none").tls_context().check_hostname
    assert parse_redis_url("redis://h").tls_context() is None

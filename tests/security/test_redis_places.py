"""A Redis of somebody else's: let in by name, reached through a socket, full, or wrong."""

import socket

import pytest
from redis.exceptions import RedisError

from backend.chassis.redis import examine
from backend.chassis.settings import SettingsError
from backend.security.limits import Charge, Limit, open_limiter
from backend.security.redis import connect, key, read_url
from backend.security.revocation import CHANNEL, History, SharedRevocations, Standing, Verdict
from tests import servers, tls
from tests.servers import wait_until

ADA = Standing("session-1", "user-ada", 0, "tenant-1", 0)
NOTHING = History([], {}, {}, 600)
PASSWORD = "p@ss/w:rd#"
QUOTED = "p%40ss%2Fw%3Ard%23"
# As docs/operations/engines.md has it.
RIGHTS = "+@all -@dangerous +info +cluster|slots ~{suite}:* ~rag:* &security.* &/*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("valkey")


@pytest.fixture(scope="module")
def server(folder):
    with servers.valkey(folder, settings=["--unixsocket", str(folder / "s")]) as server:
        server.client.execute_command(
            "ACL", "SETUSER", "suite", "on", f">{PASSWORD}", *RIGHTS.split()
        )
        yield server


def url_of(server, login):
    return server.url.replace("redis://", f"redis://{login}@")


def test_a_user_with_few_rights_does_all_that_is_done(server):
    url = url_of(server, f"suite:{QUOTED}")
    examine(connect(url))
    told, asked = SharedRevocations(connect(url)), SharedRevocations(connect(url))
    told.tell_all(NOTHING)
    assert asked.verdict(ADA) is Verdict.GOOD
    told.end_session(ADA.session_id, 600)
    wait_until(lambda: asked.verdict(ADA) is Verdict.REVOKED)
    limiter = open_limiter(url)
    assert limiter.decide([Charge("one", key("limit"), Limit.parse("1/hour"))]).allowed
    assert not limiter.local
    connect(url).xadd(key("agent", "events", "c"), {"run": "r"})


def test_it_is_reached_through_a_socket(server, folder):
    client = connect(f"unix://{folder}/s?db=1&username=suite&password={QUOTED}")
    client.set(key("word"), "runway")
    assert client.get(key("word")) == "runway"


def test_who_is_not_let_in_hears_it_at_the_start(server):
    with pytest.raises(SettingsError, match="does not accept the user and password") as refused:
        examine(connect(url_of(server, "suite:another")))
    assert "another" not in str(refused.value)


def test_it_is_reached_over_tls_by_who_knows_its_authority(server, folder):
    file = tls.certificate(folder)
    with tls.in_front_of(server.port, file) as door:
        url = f"rediss://localhost:{door}/0"
        client = connect(f"{url}?ssl_ca_certs={file}", timeout=2)
        client.set(key("word"), "tower")
        assert client.get(key("word")) == "tower"
        with pytest.raises(SettingsError, match="TLS to Redis failed"):
            examine(connect(url, timeout=2))


def test_a_database_that_is_not_there_is_told_at_the_start(server):
    with pytest.raises(SettingsError, match="no such database"):
        examine(connect(f"{server.url.removesuffix('/0')}/99"))


def test_nobody_there_is_a_warning_and_no_wait(caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        examine(connect(f"redis://127.0.0.1:{silent.getsockname()[1]}"))
    assert "Redis does not answer" in caplog.text


def test_a_revocation_that_finds_no_room_leaves_no_session_good(tmp_path):
    with servers.valkey(tmp_path) as full:
        told, asked = SharedRevocations(connect(full.url)), SharedRevocations(connect(full.url))
        told.tell_all(NOTHING)
        assert asked.verdict(ADA) is Verdict.GOOD
        wait_until(lambda: full.client.pubsub_numsub(CHANNEL)[0][1])
        full.client.config_set("maxmemory", 1)
        full.client.config_set("maxmemory-policy", "noeviction")

        with pytest.raises(RedisError):
            told.end_session(ADA.session_id, 600)

        wait_until(lambda: asked.verdict(ADA) is Verdict.REVOKED)
        newcomer = SharedRevocations(connect(full.url))
        assert newcomer.verdict(ADA) is Verdict.UNKNOWN


def test_a_server_that_has_dropped_keys_does_not_know_all(tmp_path, caplog):
    with servers.valkey(tmp_path) as small:
        told = SharedRevocations(connect(small.url))
        told.tell_all(NOTHING)
        assert told.knows_all()
        small.client.config_set("maxmemory-policy", "volatile-ttl")
        for number in range(2000):
            small.client.set(f"filler-{number}", "x" * 1000, ex=600)
        small.client.config_set("maxmemory", small.client.info("memory")["used_memory"] - 100_000)
        small.client.set("one more", "x" * 1000, ex=600)

        assert not told.knows_all()
        examine(connect(small.url))
        assert "maxmemory-policy volatile-ttl" in caplog.text


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://host", "must begin with redis://"),
        ("redis://u:p/w@host/0", "must end in the number of a database"),
        ("redis://host:x/0", "names a port that is none"),
        ("redis://host/0?timeout=3", "has a parameter 'timeout'"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "ssl_cert_reqs in REDIS_URL is one of"),
    ],
)
def test_a_url_that_cannot_be_read_says_what_is_wrong(url, told):
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        read_url(url)


def test_a_certificate_is_asked_for_its_name_unless_that_is_turned_off():
    assert read_url("rediss://h").tls_context().check_hostname
    assert not read_url("rediss://h?ssl_check_hostname=false").tls_context().check_hostname
    assert not read_url("rediss://h?ssl_cert_reqs=none").tls_context().check_hostname
    assert read_url("redis://h").tls_context() is None

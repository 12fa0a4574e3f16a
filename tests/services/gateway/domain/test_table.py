"""The route table: what it may say, and how it says that it may not."""

import pytest

from backend.services.gateway.domain.table import BadTable, Limit, Route, Rule, Table, read_table

ECHO = Route("echo", "/echo", ("http://127.0.0.1:1",))


def table(tmp_path, text):
    file = tmp_path / "routes.toml"
    file.write_text(text)
    return read_table([ECHO], file)


def test_the_longest_prefix_wins():
    inner = Route("inner", "/echo/inner", ("http://127.0.0.1:2",))
    known = Table((ECHO, inner))

    assert known.find("/echo/inner/x") == (inner, "/x")
    assert known.find("/echo/innermost") == (ECHO, "/innermost")
    assert known.find("/echo") == (ECHO, "/")
    assert known.find("/ech") is None
    assert known.find("/") is None


def test_a_new_service_is_one_entry(tmp_path):
    known = table(
        tmp_path,
        """
        [routes.reports]
        prefix = "/reports"
        upstreams = ["http://10.0.0.7:5010", "http://10.0.0.8:5010"]
        public = ["/shared/*"]
        timeout = 12
        body_limit = "2MB"
        tokens = {rates = ["100/minute"], paths = ["/ask"], reserve = 10}

        [[routes.reports.limits]]
        name = "print"
        rate = "3/minute"
        by = "caller"
        paths = ["/print"]
        """,
    )
    route, inner = known.find("/reports/shared/1")

    assert (route.name, inner, len(route.upstreams)) == ("reports", "/shared/1", 2)
    assert (route.timeout, route.body_limit) == (12.0, 2 * 1024 * 1024)
    assert route.is_public("/shared/1")
    assert route.is_public("/health")
    assert not route.is_public("/print")
    assert route.rules_for("/print") == (Rule("print", Limit(3, 60, 3), "caller", ("/print",)),)
    assert route.rules_for("/other") == ()


def test_a_known_entry_is_changed_only_where_the_file_says_so(tmp_path):
    route, _ = table(tmp_path, "[routes.echo]\ntimeout = 3\nclosed = ['/inside']\n").find("/echo")

    assert (route.timeout, route.prefix, route.upstreams) == (3.0, ECHO.prefix, ECHO.upstreams)
    assert route.is_closed("/inside")
    assert route.is_closed("/metrics")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = [", "is not TOML"),
        ("other = 1", "'other' is not known"),
        ("routes = 1", r"\[routes\.<name>\]"),
        ("[routes]\necho = 1", "'echo' must be a table"),
        ("[routes.new]\nprefix = '/new'", "'new' is new and lacks upstreams"),
        ("[routes.echo]\ncolour = 'red'", "'echo' has no setting 'colour'; the settings are"),
        ("[routes.echo]\nprefix = 'echo'", "prefix 'echo' must begin with a slash"),
        ("[routes.echo]\nprefix = 7", "prefix must be a text"),
        ("[routes.echo]\nonto = 'v1'", "onto 'v1'"),
        ("[routes.echo]\nupstreams = []", "upstreams is empty"),
        ("[routes.echo]\nupstreams = 'http://a'", "must be a list"),
        ("[routes.echo]\nupstreams = ['https://a:1']", "TLS ends here"),
        ("[routes.echo]\nupstreams = ['http://a:99999']", "http://host:port"),
        ("[routes.echo]\nupstreams = ['http://a:1/x']", "more than host and port"),
        ("[routes.echo]\npublic = ['x']", "'x' must begin with a slash"),
        ("[routes.echo]\npublic = ['/*/x']", "a star may only"),
        ("[routes.echo]\ntimeout = 0", "between 0 and 3600"),
        ("[routes.echo]\nbody_limit = '5 apples'", "'10MB'"),
        ("[routes.echo]\nconcurrency = true", "above zero"),
        ("[routes.echo]\nlimits = 1", "must be a list of tables"),
        ("[routes.echo]\nlimits = [{name = 'a', rate = '1/minute'}]", "needs name, rate and by"),
        ("[routes.echo]\nlimits = [{name='a', rate='1/minute', by='moon'}]", "one of address"),
        ("[routes.echo]\nlimits = [{name='a', rate='often', by='caller'}]", "'often' is no rate"),
        ("[routes.echo]\nlimits = [{name='A B', rate='1/day', by='caller'}]", "lower-case"),
        ("[routes.echo]\ntokens = 1", "may have rates"),
        ("[routes.Echo]\nprefix='/e'\nupstreams=['http://a:1']", "lower-case"),
        ("[routes.b]\nprefix = '/echo'\nupstreams=['http://a:1']", "already the one of"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(tmp_path, text, told):
    with pytest.raises(BadTable, match=told):
        table(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadTable, match="GATEWAY_ROUTES names"):
        read_table([ECHO], tmp_path / "missing.toml")

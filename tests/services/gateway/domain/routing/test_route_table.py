"""The route table: lookup, the TOML file, and messages for invalid entries."""

from dataclasses import replace

import pytest

from backend.chassis.settings import Env
from backend.services.gateway.domain.routing.route_table import (
    MEBIBYTE,
    InvalidRouteTable,
    Limit,
    RateLimitRule,
    Route,
    RouteTable,
    load_route_table,
)
from backend.services.gateway.settings import load_routes

ECHO = Route("echo", "/echo", ("http://127.0.0.1:1",))


def load_table(tmp_path, text):
    file = tmp_path / "routes.toml"
    file.write_text(text)
    return load_route_table([ECHO], file)


def test_longest_prefix_is_used():
    inner = Route("inner", "/echo/inner", ("http://127.0.0.1:2",))
    table = RouteTable((ECHO, inner))

    assert table.find_route("/echo/inner/x") == (inner, "/x")
    assert table.find_route("/echo/innermost") == (ECHO, "/innermost")
    assert table.find_route("/echo") == (ECHO, "/")
    assert table.find_route("/ech") is None
    assert table.find_route("/") is None


def test_version_prefix_reaches_the_same_route():
    table = RouteTable((ECHO,))

    assert table.find_route("/api/v1/echo/x") == (ECHO, "/x")
    assert table.find_route("/api/v1/api/v1/echo/x") is None
    assert table.find_route("/api/v1") is None
    assert table.find_route("/api/v2/echo/x") is None


def test_chat_is_reached_by_version_2_and_webhooks_have_a_limit_by_account():
    table = load_routes(Env({}))

    message = table.find_route("/api/v2/chat/message")
    webhook = table.find_route("/webhook/telegram/acc_1")
    assert message is not None
    assert (message[0].service, message[1]) == ("chat", "/message")
    assert table.find_route("/api/v2/chat/accounts") is None
    assert webhook is not None
    route, path = webhook
    assert (route.service, path) == ("chat", "/webhook/telegram/acc_1")
    assert route.is_public(path)
    assert [rule.by for rule in route.select_rules(path)] == ["path"]
    assert route.counts_paths


def test_new_route_is_read_from_the_file(tmp_path):
    table = load_table(
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
    route, inner = table.find_route("/reports/shared/1")

    assert (route.name, inner, len(route.upstreams)) == ("reports", "/shared/1", 2)
    assert (route.timeout, route.body_limit) == (12.0, 2 * 1024 * 1024)
    assert route.is_public("/shared/1")
    assert route.is_public("/health")
    assert not route.is_public("/print")
    assert route.select_rules("/print") == (
        RateLimitRule("print", Limit(3, 60, 3), "caller", ("/print",)),
    )
    assert route.select_rules("/other") == ()


def test_long_timeout_applies_to_long_paths_and_waiting_requests():
    route = replace(ECHO, timeout=30.0, long_timeout=120.0, long_paths=("/query", "/sessions/*"))

    assert route.get_timeout("POST", "/query", "") == 120
    assert route.get_timeout("POST", "/sessions/1/resume", "") == 120
    assert route.get_timeout("POST", "/documents", "?name=a&wait=60") == 120
    assert route.get_timeout("GET", "/sessions/1", "") == 30
    assert route.get_timeout("POST", "/documents", "?await=60") == 30
    assert replace(route, timeout=300.0).get_timeout("POST", "/query", "") == 300


def test_default_concurrency_is_four_requests_per_thread(tmp_path):
    variables = {"DATA_DIR": str(tmp_path), "RAG_SERVICE_THREADS": "8", "RAG_SERVICE_WORKERS": "2"}
    routes = {route.name: route for route in load_routes(Env(variables)).routes}

    assert routes["rag"].instance_concurrency == 64
    assert routes["openai"].instance_concurrency == 4 * 96


def test_file_changes_only_the_given_settings_of_a_default_route(tmp_path):
    route, _ = load_table(
        tmp_path, "[routes.echo]\ntimeout = 3\nclosed = ['/inside']\n"
    ).find_route("/echo")

    assert (route.timeout, route.prefix, route.upstreams) == (3.0, ECHO.prefix, ECHO.upstreams)
    assert route.is_closed("/inside")
    assert route.is_closed("/metrics")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "is not valid TOML"),
        ("other = 1", "unknown key 'other'"),
        ("routes = 1", r"\[routes\.<name>\]"),
        ("[routes]\necho = 1", "'echo' must be a table"),
        ("[routes.new]\nprefix = '/new'", "'new' is new and has no upstreams"),
        ("[routes.echo]\ncolour = 'red'", "'echo' has an unknown setting 'colour'. Settings:"),
        ("[routes.echo]\nprefix = 'echo'", "prefix 'echo' must start with a slash"),
        ("[routes.echo]\nprefix = 7", "prefix must be a string"),
        ("[routes.echo]\nonto = 'v1'", "onto 'v1'"),
        ("[routes.echo]\nupstreams = []", "upstreams is empty"),
        ("[routes.echo]\nupstreams = 'http://a'", "must be a list"),
        ("[routes.echo]\nupstreams = ['https://a:1']", "does not use TLS to services"),
        ("[routes.echo]\nupstreams = ['http://a:99999']", "http://host:port"),
        ("[routes.echo]\nupstreams = ['http://a:1/x']", "more than host and port"),
        ("[routes.echo]\npublic = ['x']", "'x' must start with a slash"),
        ("[routes.echo]\npublic = ['/*/x']", "A star is allowed only"),
        ("[routes.echo]\ntimeout = 0", "between 0 and 3600"),
        ("[routes.echo]\nbody_limit = '5 apples'", "'10MB'"),
        ("[routes.echo]\nconcurrency = true", "greater than 0"),
        ("[routes.echo]\nlimits = 1", "must be a list of tables"),
        ("[routes.echo]\nlimits = [{name = 'a', rate = '1/minute'}]", "needs name, rate and by"),
        ("[routes.echo]\nlimits = [{name='a', rate='1/minute', by='moon'}]", "one of address"),
        (
            "[routes.echo]\nlimits = [{name='a', rate='often', by='caller'}]",
            "'often' is not a rate",
        ),
        ("[routes.echo]\nlimits = [{name='A B', rate='1/day', by='caller'}]", "lower-case"),
        ("[routes.echo]\ntokens = 1", "may only have rates"),
        ("[routes.Echo]\nprefix='/e'\nupstreams=['http://a:1']", "lower-case"),
        ("[routes.b]\nprefix = '/echo'\nupstreams=['http://a:1']", "is already used by"),
    ],
)
def test_invalid_entry_is_reported(tmp_path, text, message):
    with pytest.raises(InvalidRouteTable, match=message):
        load_table(tmp_path, text)


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(InvalidRouteTable, match=r"GATEWAY_ROUTES: .* cannot be read"):
        load_route_table([ECHO], tmp_path / "missing.toml")


def test_each_default_route_limits_rate_size_duration_and_concurrency():
    for route in load_routes(Env({})).routes:
        assert route.select_rules("/any/path"), route.name
        assert 0 < route.timeout <= 30, route.name
        assert route.long_timeout <= 150, route.name
        assert 0 < route.body_limit <= 201 * MEBIBYTE, route.name
        assert 0 < (route.concurrency or route.instance_concurrency) <= 20_000, route.name
        assert 0 < route.sockets_per_caller <= 64, route.name


@pytest.mark.parametrize("version", ["", "/api/v1", "/api/v2"])
def test_metrics_of_services_are_closed_under_each_prefix(version):
    table = load_routes(Env({}))
    reached = [
        (found[0].name, found[1])
        for route in table.routes
        if (found := table.find_route(f"{version}{route.prefix}/metrics"))
        and found[1] in ("/metrics", "/packages/metrics")
        and not found[0].is_closed(found[1])
    ]

    assert reached == []

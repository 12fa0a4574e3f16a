"""A real Prometheus scrapes the suite: every query of every dashboard returns data."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from backend.chassis.observability.metrics_key import MetricsKey
from tests import databases
from tests.prometheus import ROOT, RULES, Prometheus, prometheus
from tests.servers import wait_until
from tests.suite.conftest import DATA, PASSWORD, Suite, UserClient

# Slow: it scrapes a running suite and waits for an alert to fire and to clear.
pytestmark = [pytest.mark.suite, pytest.mark.slow]
TARGETS = ROOT / "deploy" / "targets"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
# Metrics that exist only with PostgreSQL, which the suite of these tests does not use.
POSTGRESQL_METRICS = {"database_server_connections", "database_server_max_connections"}
# Metrics that exist only with TLS, which the suite of these tests does not use.
TLS_METRICS = {"tls_certificate_expiry_timestamp_seconds"}
# Metrics that exist from their first event on.
EVENT_METRICS = {"agent_model_fallbacks_total", "backup_last_success_timestamp_seconds"}
# Metrics of the steps of the agent's graph, which the rule-based model of these tests does not use.
GRAPH_METRICS = {"agent_node_duration_seconds_bucket"}
NAME = re.compile(r"\b[a-z_]+:?[a-z_0-9:]*(?=[{\[)\s]|$)")


@pytest.fixture(scope="module")
def monitoring(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus that scrapes every second and fires alerts without delay."""
    databases.require_shared_vectors()  # otherwise there is no worker to scrape
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(folder, write_config(folder, suite)) as server:
        send_traffic(suite)
        targets = len(yaml.safe_load((TARGETS / "suite.yml").read_text()))
        wait_until(lambda: len(server.query("up == 1")) == targets, 30)
        scraped = 'min(count_over_time(up{job="gateway"}[1h]))'
        before = float(server.query(scraped)[0]["value"][1])
        send_traffic(suite)
        wait_until(lambda: float(server.query(scraped)[0]["value"][1]) > before + 4, 30)
        yield server


def write_config(folder: Path, suite: Suite) -> Path:
    """Write the repository's configuration with this suite's ports and short intervals."""
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    workers = {name: suite.environment[f"{name.upper()}_WORKER_PORT"] for name in ("rag", "chat")}
    ports = suite.ports | {f"{name}-worker": port for name, port in workers.items()}
    targets = yaml.safe_load((TARGETS / "suite.yml").read_text())
    for target in targets:
        target["targets"] = [f"127.0.0.1:{ports[target['labels']['job']]}"]
    (folder / "targets").mkdir()
    (folder / "targets" / "suite.yml").write_text(yaml.safe_dump(targets))
    rules = re.sub(r"for: \w+", "for: 0s", (RULES / "alerts.yml").read_text())
    (folder / "prometheus").mkdir()
    (folder / "prometheus" / "alerts.yml").write_text(rules)
    (folder / "prometheus" / "metrics-key").write_text(metrics_key(suite))
    (folder / "prometheus" / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus" / "prometheus.yml"


def metrics_key(suite: Suite) -> str:
    secret = (suite.folder / "data" / "secrets" / "SECRET_KEY").read_text().strip()
    return MetricsKey(secret).text


def send_traffic(suite: Suite) -> None:
    """Send requests of all kinds: successful, failing and rejected ones."""
    ada = suite.register_user("ada")
    ada.upload(DATA / "multi_page.pdf")
    for mode in ("hybrid", "dense", "keyword"):
        question = {"query": "typewriter", "mode": mode}
        assert ada("POST", "/rag/search", json=question).ok
    stream = {"user_request": "Who patented the typewriter in 1868?", "stream": True}
    assert "Sholes" in ada("POST", "/agent/query", json=stream).text
    send_rejected_requests(suite.url, ada)


def send_rejected_requests(url: str, ada: UserClient) -> None:
    wrong = {"username": ada.account["user"]["username"], "password": f"not {PASSWORD}"}
    assert requests.post(f"{url}/auth/login", json=wrong, timeout=30).status_code == 401
    refresh = {"refresh_token": ada.account["refresh_token"]}
    assert requests.post(f"{url}/auth/refresh", json=refresh, timeout=30).ok
    assert requests.get(f"{url}/rag/documents", timeout=30).status_code == 401
    assert ada("GET", "/auth/users").status_code == 403
    assert ada("GET", "/rag/documents/doc_unknown").status_code == 404


def read_queries(file: Path) -> Iterator[tuple[str, str]]:
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "30s").replace("$tenant", ".*")
            yield panel["title"], expression.replace("$__range", "1m")


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_dashboard_query_returns_data(monitoring, file):
    empty = [
        (title, expression)
        for title, expression in read_queries(file)
        if not monitoring.query(expression)
        and not any(name in expression for name in POSTGRESQL_METRICS | GRAPH_METRICS)
    ]

    assert empty == []


def test_every_alert_uses_existing_metrics(monitoring):
    known = set(monitoring.get("label/__name__/values"))
    groups = monitoring.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    used = {name for rule in rules for name in metric_names(rule["query"])}
    missing = TLS_METRICS | EVENT_METRICS
    if not databases.on_postgresql():
        missing |= POSTGRESQL_METRICS
    assert used - known == missing


def metric_names(expression: str) -> set[str]:
    """Return the names of the metrics in *expression*."""
    plain = re.sub(r'"[^"]*"|\{[^}]*\}|\bby \([^)]*\)', "", expression)
    return {name for name in NAME.findall(plain) if "_" in name} - {"histogram_quantile"}


def test_client_input_never_becomes_a_label(monitoring, suite):
    made_up = "made-up-by-a-caller"
    ada = suite.register_user("ada")
    ada("GET", f"/rag/{made_up}", headers={"User-Agent": made_up, "X-Request-ID": made_up})
    ada("POST", "/rag/search", json={"query": made_up, "mode": made_up})
    ada("POST", "/agent/query", json={"user_request": made_up, "model": made_up})
    ada("POST", "/rag/collections", json={"name": made_up})
    requests.request(made_up, suite.url, timeout=30)
    for port in suite.ports.values():
        requests.request(made_up, f"http://127.0.0.1:{port}/{made_up}", timeout=30)
        key = {"Authorization": f"Bearer {metrics_key(suite)}"}
        text = requests.get(f"http://127.0.0.1:{port}/metrics", headers=key, timeout=30).text
        assert "http_server" in text
        assert made_up not in text.lower()
        assert ada.account["user"]["id"] not in text


def test_unreachable_process_fires_an_alert(monitoring, suite):
    # A killed process is restarted between two scrapes.
    worker = suite.get_pid("rag-worker")
    os.killpg(worker, signal.SIGSTOP)

    def firing() -> list[dict[str, Any]]:
        alerts = monitoring.get("alerts")["alerts"]
        return [alert for alert in alerts if alert["labels"]["alertname"] == "ServiceDown"]

    try:
        wait_until(firing, 30)
    finally:
        os.killpg(worker, signal.SIGCONT)
    assert firing()[0]["labels"]["job"] == "rag-worker"
    wait_until(lambda: not firing(), 60)

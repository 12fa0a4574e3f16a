"""Monitoring files, checked without a running suite: alert rules, dashboards, runbooks."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from backend.chassis.catalog import CATALOG, COMPANIONS
from tests.commands import blocks
from tests.prometheus import ROOT, RULES, Prometheus, program, promtool
from tests.servers import free_port, process, wait_until

ALERTS = [
    rule
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
GRAFANA = ROOT / "deploy" / "grafana"
WORKERS = {"rag-worker", "chat-worker"}
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def test_promtool_accepts_the_rules():
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


@pytest.mark.slow
def test_unit_tests_of_the_rules_pass():
    promtool("test", "rules", "alerts_test.yml", "slow_alerts_test.yml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_a_severity_and_an_existing_runbook(alert):
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert section in map(anchor, headings)


def test_every_alert_is_listed_on_the_monitoring_page():
    page = (ROOT / "docs" / "operations" / "monitoring.md").read_text()

    assert [alert["alert"] for alert in ALERTS if f"`{alert['alert']}`" not in page] == []


def anchor(heading: str) -> str:
    """Return the link anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_prometheus_scrapes_every_process_with_metrics():
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    discovered = {
        job["dns_sd_configs"][0]["names"][0]: job["dns_sd_configs"][0]["port"]
        for job in config["scrape_configs"]
        if "dns_sd_configs" in job
    }
    local = {
        target["labels"]["job"]: int(target["targets"][0].rpartition(":")[2])
        for target in yaml.safe_load((ROOT / "deploy" / "targets" / "suite.yml").read_text())
    }

    expected = {entry.name: entry.port for entry in CATALOG}
    expected |= {entry.name: entry.port for entry in COMPANIONS if entry.name in WORKERS}
    assert discovered == expected
    assert {job["authorization"]["credentials_file"] for job in config["scrape_configs"]} == {
        "metrics-key"
    }
    assert local == expected


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_a_description_and_its_own_place(file):
    board = json.loads(file.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]

    assert board["uid"] == f"ai-agent-system-{file.stem}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["description"] and panel["targets"] for panel in panels)
    cells = [cell for panel in board["panels"] for cell in grid_cells(panel["gridPos"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


def test_documented_command_starts_prometheus(tmp_path):
    page = ROOT / "docs" / "operations" / "monitoring.md"
    command_text = next(block.text for block in blocks(page) if block.environment == "prometheus")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "deploy" / "prometheus" / "metrics-key").write_text("mtr_…")
    server = Prometheus(f"http://127.0.0.1:{free_port()}")
    folder = Path(program("promtool")).parent
    command_text = command_text.replace("127.0.0.1:9091", server.url.removeprefix("http://"))
    command = [
        "bash",
        "-c",
        "set -e\n" + command_text.replace("\nprometheus ", "\nexec prometheus "),
    ]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    with process(command, tmp_path / "log", cwd=tmp_path, env=environment):
        wait_until(server.is_ready)
        wait_until(lambda: jobs(server) == {entry.name for entry in CATALOG} | WORKERS)


def jobs(server: Prometheus) -> set[str]:
    return {target["labels"]["job"] for target in server.get("targets")["activeTargets"]}


def grid_cells(grid: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (x, y)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]


def test_grafana_provisions_data_source_and_dashboards():
    folder = GRAFANA / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    boards = yaml.safe_load((folder / "dashboards" / "suite.yml").read_text())

    assert source["datasources"][0]["type"] == "prometheus"
    assert boards["providers"][0]["type"] == "file"

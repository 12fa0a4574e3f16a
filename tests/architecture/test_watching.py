"""What watches the suite, as far as it shows without a suite: rules, dashboards, runbooks."""

import json
import os
import re
import runpy
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
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def test_promtool_takes_the_rules_and_each_fires_when_it_should():
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_how_bad_it_is_and_leads_to_a_runbook(alert):
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert section in map(anchor, headings)


def test_every_alert_stands_in_the_table_of_the_page():
    page = (ROOT / "docs" / "operations" / "watching.md").read_text()

    assert [alert["alert"] for alert in ALERTS if f"`{alert['alert']}`" not in page] == []


def anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_prometheus_looks_for_every_process_that_tells_its_numbers():
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    named = {
        each["dns_sd_configs"][0]["names"][0]: each["dns_sd_configs"][0]["port"]
        for each in config["scrape_configs"]
        if "dns_sd_configs" in each
    }
    here = {
        each["labels"]["job"]: int(each["targets"][0].rpartition(":")[2])
        for each in yaml.safe_load((ROOT / "deploy" / "targets" / "suite.yml").read_text())
    }

    tell = {entry.name: entry.port for entry in CATALOG}
    tell |= {entry.name: entry.port for entry in COMPANIONS if entry.probe_path == "/metrics"}
    assert named == tell
    assert here == tell


def test_the_dashboards_are_what_their_script_writes(tmp_path):
    script = runpy.run_path(str(GRAFANA / "make_dashboards.py"))
    written = {
        f"{uid}.json": script["dashboard"](uid, title, rows)
        for uid, title, rows in script["DASHBOARDS"]
    }

    assert {file.name: json.loads(file.read_text()) for file in DASHBOARDS} == written


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_is_told_of_and_has_room(file):
    board = json.loads(file.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]

    assert board["uid"] == f"ai-agent-system-{file.stem}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["description"] and panel["targets"] for panel in panels)
    taken = [place for panel in board["panels"] for place in places(panel["gridPos"])]
    assert len(taken) == len(set(taken)), "panels lie over each other"
    assert max(x for x, _ in taken) < 24


def test_what_the_page_tells_to_type_starts_prometheus(tmp_path):
    page = ROOT / "docs" / "operations" / "watching.md"
    typed = next(block.text for block in blocks(page) if block.where == "prometheus")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "deploy" / "prometheus" / "metrics-key").write_text("mtr_…")
    server = Prometheus(f"http://127.0.0.1:{free_port()}")
    folder = Path(program("promtool")).parent
    typed = typed.replace("127.0.0.1:9091", server.url.removeprefix("http://"))
    command = ["bash", "-c", "set -e\n" + typed.replace("\nprometheus ", "\nexec prometheus ")]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    with process(command, tmp_path / "log", cwd=tmp_path, env=environment):
        wait_until(server.is_ready)
        wait_until(lambda: jobs(server) == {entry.name for entry in CATALOG} | {"rag-worker"})


def jobs(server: Prometheus) -> set[str]:
    return {each["labels"]["job"] for each in server.ask("targets")["activeTargets"]}


def places(grid: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (x, y)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]


def test_grafana_finds_source_and_dashboards():
    folder = GRAFANA / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    boards = yaml.safe_load((folder / "dashboards" / "suite.yml").read_text())

    assert source["datasources"][0]["type"] == "prometheus"
    assert boards["providers"][0]["type"] == "file"

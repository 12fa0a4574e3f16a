"""Writes the dashboards: `python deploy/grafana/make_dashboards.py`.

A panel here is a line or two; as Grafana stores it, it is fifty. Change it here, run this, and
commit both.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries by what they are called, the best way to draw them, and its limits."""

    title: str
    told: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    # From where on it is yellow, and red.
    limits: tuple[float, float] | None = None
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


def stat(title: str, told: str, query: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, told, {"": query}, unit, "stat", width=more.pop("width", 4), **more)


def rate(metric: str, by: str = "", where: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{where}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', grouped, where)})"


def or_zero(query: str) -> str:
    return f"{query} or vector(0)"


def share(part: str, whole: str) -> str:
    """*part* of *whole*; 0 while there is nothing of either."""
    return f"({part} or vector(0)) / ({whole} > 0 or vector(1))"


GATEWAY = "gateway_request_duration_seconds"
UPSTREAM = "gateway_upstream_duration_seconds"
SERVER = "http_server_request_duration_seconds"
MODEL = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"
TOKENS = "gen_ai_client_token_usage"
AGENT = "gen_ai_invoke_agent_duration_seconds"
TOOL = "gen_ai_execute_tool_duration_seconds"
SIGN_INS = "auth_sign_ins_total"
# The codes of backend/security.
REFUSED = (
    "not_authenticated|not_a_member|permission_denied|invalid_(token|api_key|service_token)"
    "|session_ended|revocations_unavailable"
)
IN_MODELS = "gen_ai_request_model"

API = [
    Row(
        "Now",
        [
            stat(
                "Services up", "Of all that Prometheus knows.", "sum(up) / count(up)", "percentunit"
            ),
            stat("Requests", "A second, at the gateway.", rate(f"{GATEWAY}_count"), "reqps"),
            stat(
                "Errors",
                "Answers of the gateway that are 5xx.",
                share(rate(f"{GATEWAY}_count", where='status=~"5.."'), rate(f"{GATEWAY}_count")),
                "percentunit",
                limits=(0.005, 0.05),
            ),
            stat(
                "p99",
                "Until the head of a service's answer.",
                quantile(0.99, UPSTREAM),
                "s",
                limits=(1, 5),
            ),
            stat(
                "In flight", "Requests that services have in hand.", "sum(gateway_active_requests)"
            ),
            stat(
                "Open circuits",
                "Services that the gateway does not ask, because none of their instances answers.",
                "sum(max by (service) (gateway_circuit_open))",
                limits=(1, 1),
            ),
        ],
    ),
    Row(
        "Traffic",
        [
            Panel(
                "Requests by route",
                "As the gateway counts them; - is its own.",
                {"{{route}}": rate(f"{GATEWAY}_count", "route")},
                "reqps",
                stacked=True,
            ),
            Panel(
                "Answers by status",
                "All routes.",
                {"{{status}}": rate(f"{GATEWAY}_count", "status")},
                "reqps",
                stacked=True,
            ),
            Panel(
                "Connections and streams",
                "Clients, answers under way, WebSocket tunnels.",
                {
                    "connections": "sum(gateway_connections)",
                    "streams": "sum(gateway_open_streams)",
                    "tunnels": "sum(gateway_open_websockets)",
                },
            ),
            Panel(
                "Bytes in",
                "Bodies of requests, by route.",
                {"{{route}}": rate("gateway_received_bytes_total", "route")},
                "Bps",
            ),
            Panel(
                "Bytes out",
                "Bodies of answers, by route.",
                {"{{route}}": rate("gateway_sent_bytes_total", "route")},
                "Bps",
            ),
            Panel(
                "Requests in hand",
                "By service; a queue shows here before it shows in latencies.",
                {"{{service}}": "sum by (service) (gateway_active_requests)"},
            ),
        ],
    ),
    Row(
        "Latency",
        [
            Panel(
                "Service, median",
                "From sending a request on to the head of the answer.",
                {"{{service}}": quantile(0.5, UPSTREAM, "service")},
                "s",
            ),
            Panel(
                "Service, p99",
                "The same for the slowest hundredth.",
                {"{{service}}": quantile(0.99, UPSTREAM, "service")},
                "s",
                limits=(1, 5),
            ),
            Panel(
                "Whole answers, p99",
                "To the last byte, streams included.",
                {"{{route}}": quantile(0.99, GATEWAY, "route")},
                "s",
            ),
            Panel(
                "Slowest routes, p99",
                "As the services measure them, to the head of the answer.",
                {
                    "{{job}} {{http_route}}": "topk(10, "
                    + quantile(0.99, SERVER, "job, http_route", 'http_route!~"/health.*|/metrics"')
                    + ")"
                },
                "s",
                width=12,
            ),
            Panel(
                "Busiest routes",
                "Requests a second, as the services count them.",
                {
                    "{{job}} {{http_route}}": "topk(10, "
                    + rate(f"{SERVER}_count", "job, http_route")
                    + ")"
                },
                "reqps",
                width=12,
            ),
        ],
    ),
    Row(
        "Errors and refusals",
        [
            Panel(
                "Problems by code",
                "What callers were told, by the service that told it.",
                {"{{job}} {{code}}": rate("http_server_problems_total", "job, code")},
                "reqps",
            ),
            Panel(
                "The gateway's own answers",
                "Requests that reached no service, by reason.",
                {"{{reason}}": rate("gateway_refusals_total", "reason")},
                "reqps",
            ),
            Panel(
                "Failed attempts",
                "At services, by reason. Many of them are sent again and no caller notices.",
                {
                    "{{service}} {{reason}}": or_zero(
                        rate("gateway_upstream_errors_total", "service, reason")
                    ),
                    "sent again": rate("gateway_retries_total"),
                },
                "reqps",
            ),
            Panel(
                "Instances left alone",
                "They failed several times in a row; each is asked whether it is back.",
                {"{{service}}": "max by (service) (gateway_instances_ejected)"},
                limits=(1, 2),
            ),
            Panel(
                "Limits: refused",
                "By limit.",
                {"{{limit}}": rate("gateway_limit_decisions_total", "limit", 'outcome="refused"')},
                "reqps",
            ),
            Panel(
                "Limits: how they decide",
                "allowed_locally: Redis did not answer and each process counts for itself.",
                {"{{outcome}}": rate("gateway_limit_decisions_total", "outcome")},
                "reqps",
            ),
        ],
    ),
    Row(
        "Signing in",
        [
            Panel(
                "Let in",
                "By how they showed who they are.",
                {"{{method}}": rate(SIGN_INS, "method", 'outcome="success"')},
                "ops",
            ),
            Panel(
                "Not let in",
                "By why. too_many_attempts: locked for a while.",
                {"{{method}} {{outcome}}": rate(SIGN_INS, "method, outcome", 'outcome!="success"')},
                "ops",
            ),
            Panel(
                "Turned away with a token",
                "Tokens that are no longer good, rights that are lacking, and revocations unknown.",
                {
                    "{{code}}": rate(
                        "http_server_problems_total",
                        "code",
                        f'code=~"{REFUSED}"',
                    )
                },
                "ops",
            ),
        ],
    ),
]

LLM = [
    Row(
        "Now",
        [
            stat("Runs", "Of the agent, a second.", rate(f"{AGENT}_count"), "ops"),
            stat("Tokens", "A second, read and written.", rate(f"{TOKENS}_sum"), "short"),
            stat(
                "Tokens in the range",
                "Read and written.",
                f"sum(increase({TOKENS}_sum[$__range]))",
                "short",
            ),
            stat(
                "Failed answers",
                "Of models.",
                share(rate(f"{MODEL}_count", where='error_type!=""'), rate(f"{MODEL}_count")),
                "percentunit",
                limits=(0.05, 0.2),
            ),
            stat(
                "First word, p95",
                "From asking a model.",
                quantile(0.95, FIRST),
                "s",
                limits=(5, 20),
            ),
            stat(
                "Stand-ins",
                "Answers of another model than the one asked, a second.",
                or_zero(rate("agent_model_fallbacks_total")),
                "ops",
                limits=(0.001, 0.1),
            ),
        ],
    ),
    Row(
        "Models",
        [
            Panel(
                "Answers by model",
                "A second.",
                {f"{{{{{IN_MODELS}}}}}": rate(f"{MODEL}_count", IN_MODELS)},
                "ops",
            ),
            Panel(
                "Duration of an answer",
                "From being asked to its end.",
                {
                    f"p50 {{{{{IN_MODELS}}}}}": quantile(0.5, MODEL, IN_MODELS),
                    f"p95 {{{{{IN_MODELS}}}}}": quantile(0.95, MODEL, IN_MODELS),
                },
                "s",
            ),
            Panel(
                "First word",
                "From asking a model to the first piece of its answer.",
                {
                    f"p50 {{{{{IN_MODELS}}}}}": quantile(0.5, FIRST, IN_MODELS),
                    f"p95 {{{{{IN_MODELS}}}}}": quantile(0.95, FIRST, IN_MODELS),
                },
                "s",
                limits=(5, 20),
            ),
            Panel(
                "Tokens by model",
                "Read (input) and written (output), a second.",
                {
                    f"{{{{{IN_MODELS}}}}} {{{{gen_ai_token_type}}}}": rate(
                        f"{TOKENS}_sum", f"{IN_MODELS}, gen_ai_token_type"
                    )
                },
                width=6,
            ),
            Panel(
                "Cost",
                "An hour, in the currency of LLM_PRICES; nothing for models without a price.",
                {
                    f"{{{{{IN_MODELS}}}}}": or_zero(
                        f"3600 * {rate('agent_model_cost_total', IN_MODELS)}"
                    )
                },
                width=6,
            ),
            Panel(
                "Failures by model",
                "By the kind of failure.",
                {
                    f"{{{{{IN_MODELS}}}}} {{{{error_type}}}}": or_zero(
                        rate(f"{MODEL}_count", f"{IN_MODELS}, error_type", 'error_type!=""')
                    )
                },
                "ops",
                width=6,
            ),
            Panel(
                "Stand-ins",
                "Who answered in whose place.",
                {
                    "{{successor}} for {{model}}": or_zero(
                        rate("agent_model_fallbacks_total", "model, successor")
                    )
                },
                "ops",
                width=6,
            ),
        ],
    ),
    Row(
        "The agent",
        [
            Panel(
                "Runs",
                "By how they ended; without a word: well.",
                {"{{error_type}}": rate(f"{AGENT}_count", "error_type")},
                "ops",
            ),
            Panel(
                "Duration of a run",
                "With all its models and tools.",
                {"p50": quantile(0.5, AGENT), "p95": quantile(0.95, AGENT)},
                "s",
            ),
            Panel(
                "Steps, p95",
                "Of the agent's graph.",
                {"{{node}}": quantile(0.95, "agent_node_duration_seconds", "node")},
                "s",
            ),
            Panel(
                "Tool calls",
                "By tool.",
                {"{{gen_ai_tool_name}}": rate(f"{TOOL}_count", "gen_ai_tool_name")},
                "ops",
            ),
            Panel(
                "Tool calls, p95",
                "By tool.",
                {"{{gen_ai_tool_name}}": quantile(0.95, TOOL, "gen_ai_tool_name")},
                "s",
            ),
            Panel(
                "Failed and refused tool calls",
                "A refused call was never made.",
                {
                    "{{gen_ai_tool_name}} failed": or_zero(
                        rate(f"{TOOL}_count", "gen_ai_tool_name", 'error_type!=""')
                    ),
                    "{{tool}} refused: {{reason}}": or_zero(
                        rate("agent_tool_refusals_total", "tool, reason")
                    ),
                },
                "ops",
            ),
        ],
    ),
    Row(
        "Searching",
        [
            Panel(
                "Searches",
                "By mode.",
                {"{{mode}}": rate("rag_search_duration_seconds_count", "mode")},
                "ops",
            ),
            Panel(
                "Duration of a search",
                "By mode.",
                {
                    "p50 {{mode}}": quantile(0.5, "rag_search_duration_seconds", "mode"),
                    "p95 {{mode}}": quantile(0.95, "rag_search_duration_seconds", "mode"),
                },
                "s",
                limits=(0.5, 2),
            ),
            Panel(
                "Found nothing, or by words alone",
                "Shares of all searches: what people ask for and the library lacks, and searches "
                "without vectors.",
                {
                    "found nothing": share(
                        rate("rag_searches_empty_total"), rate("rag_search_duration_seconds_count")
                    ),
                    "by words alone": share(
                        rate("rag_searches_words_only_total"),
                        rate("rag_search_duration_seconds_count"),
                    ),
                },
                "percentunit",
                limits=(0.2, 0.5),
            ),
        ],
    ),
    Row(
        "Reading",
        [
            Panel(
                "Documents",
                "By status.",
                {"{{status}}": "max by (status) (rag_documents)"},
                width=6,
            ),
            Panel(
                "Readings",
                "By how they ended; put off: tried again later.",
                {
                    "{{result}} {{error_type}}": rate(
                        "rag_documents_read_total", "result, error_type"
                    )
                },
                "ops",
                width=6,
            ),
            Panel(
                "Stages, p95",
                "Embedding and indexing: of a batch of passages.",
                {"{{stage}}": quantile(0.95, "rag_ingestion_stage_duration_seconds", "stage")},
                "s",
                width=6,
            ),
            Panel(
                "Embedded texts",
                "Passages of documents, and questions.",
                {"{{purpose}}": rate("rag_embedded_texts_total", "purpose")},
                "ops",
                width=6,
            ),
        ],
    ),
]

SYSTEM = [
    Row(
        "Now",
        [
            Panel(
                "Up",
                "Each process that Prometheus knows.",
                {"{{job}} {{instance}}": "up"},
                "bool_on_off",
                "stat",
                width=12,
            ),
            stat(
                "Room left",
                "Where DATA_DIR lies.",
                "min(data_folder_free_bytes)",
                "bytes",
            ),
            stat(
                "Disk used",
                "Where DATA_DIR lies.",
                "max(1 - data_folder_free_bytes / data_folder_size_bytes)",
                "percentunit",
                limits=(0.8, 0.9),
            ),
            stat(
                "Restarts",
                "Of processes, in the range.",
                "sum(changes(process_start_time_seconds[$__range])) + "
                "sum(changes(service_youngest_process_start_time_seconds[$__range]))",
                limits=(1, 5),
            ),
        ],
    ),
    Row(
        "Processes",
        [
            Panel(
                "Memory",
                "All processes of a service together; what they share counts for each.",
                {"{{job}} {{instance}}": "process_resident_memory_bytes"},
                "bytes",
            ),
            Panel(
                "CPU",
                "Processors in use.",
                {"{{job}} {{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"},
                "none",
            ),
            Panel(
                "Processes and threads",
                "Of a service.",
                {
                    "{{job}} {{instance}} processes": "service_processes",
                    "{{job}} {{instance}} threads": "process_threads",
                },
            ),
            Panel(
                "Open files",
                "All processes of a service together.",
                {"{{job}} {{instance}}": "process_open_fds"},
            ),
            Panel(
                "Open files, share of the limit",
                "Of the process that has the most.",
                {"{{job}} {{instance}}": "service_open_fds_ratio"},
                "percentunit",
                limits=(0.5, 0.8),
            ),
            Panel(
                "Running for",
                "Since the service was started.",
                {"{{job}} {{instance}}": "time() - process_start_time_seconds"},
                "s",
            ),
        ],
    ),
    Row(
        "What services need",
        [
            Panel(
                "Answers",
                "1: it answers.",
                {"{{job}} needs {{name}}": "min by (job, name) (dependency_up)"},
                "bool_yes_no",
            ),
            Panel(
                "Takes to answer",
                "When it is asked whether it is well.",
                {"{{job}} needs {{name}}": "max by (job, name) (dependency_latency_seconds)"},
                "s",
                limits=(0.1, 1),
            ),
            Panel(
                "Builds",
                "Which are running.",
                {"{{service}} {{version}}": "count by (service, version) (service_build_info)"},
            ),
        ],
    ),
    Row(
        "Databases",
        [
            Panel(
                "Connections in use",
                "Of each service's pool.",
                {
                    "{{job}}": "sum by (job) (db_client_connection_count)",
                    "{{job}}, at most": "sum by (job) (db_client_connection_max)",
                },
            ),
            Panel(
                "Waiting for a session, p95",
                "For a connection; to write into SQLite, also for other writers.",
                {
                    "{{job}} {{access}}": quantile(
                        0.95, "db_client_connection_wait_time_seconds", "job, access"
                    )
                },
                "s",
                limits=(0.1, 1),
            ),
            Panel(
                "Sessions",
                "A second.",
                {
                    "{{job}} {{access}}": rate(
                        "db_client_connection_wait_time_seconds_count", "job, access"
                    )
                },
                "ops",
            ),
            Panel(
                "Size",
                "Of each service's database; in PostgreSQL they share one.",
                {"{{job}}": "max by (job) (database_size_bytes)"},
                "bytes",
            ),
            Panel(
                "PostgreSQL's connections",
                "Of all clients. Nothing is shown with SQLite.",
                {
                    "in use": "max(database_server_connections)",
                    "at most": "max(database_server_max_connections)",
                },
            ),
            Panel(
                "No connection in time",
                "Sessions that were given up.",
                {"{{job}}": rate("db_client_connection_timeouts_total", "job")},
                "ops",
                limits=(0.001, 0.1),
            ),
        ],
    ),
    Row(
        "Redis",
        [
            Panel(
                "Memory",
                "Of the Redis-compatible server; no limit: 0.",
                {
                    "used": "max(redis_memory_used_bytes)",
                    "at most": "max(redis_memory_max_bytes)",
                },
                "bytes",
            ),
            Panel(
                "Commands",
                "A second.",
                {
                    "commands": "max(rate(redis_commands_processed_total[$__rate_interval]))",
                    "evicted keys": "max(rate(redis_evicted_keys_total[$__rate_interval]))",
                },
                "ops",
            ),
            Panel(
                "Connections, and who hears what",
                "Counted locally, 1: the gateway counts limits itself, as Redis does not answer. "
                "Followed, 1: a service hears at once that a session has ended.",
                {
                    "connections": "max(redis_connected_clients)",
                    "counted locally": "max(gateway_limits_counted_locally)",
                    "{{job}} followed": "min by (job) (revocations_followed)",
                },
            ),
        ],
    ),
    Row(
        "Queue and worker",
        [
            Panel(
                "Waiting and being read",
                "Documents.",
                {"{{status}}": 'max by (status) (rag_documents{status=~"queued|processing"})'},
            ),
            Panel(
                "Longest wait",
                "Of an upload for its first reading.",
                {"age": "max(rag_oldest_waiting_document_age_seconds)"},
                "s",
                limits=(300, 900),
            ),
            Panel(
                "Reader's last sign of life",
                "Only while documents are read does it come again and again.",
                {"ago": "time() - max(rag_reader_heartbeat_timestamp_seconds > 0)"},
                "s",
            ),
        ],
    ),
]


DASHBOARDS = (
    ("api", "AI Agent System: API", API),
    ("llm", "AI Agent System: LLM", LLM),
    ("system", "AI Agent System: System", SYSTEM),
)


def main() -> None:
    for uid, title, rows in DASHBOARDS:
        text = json.dumps(dashboard(uid, title, rows), indent=2)
        (FOLDER / f"{uid}.json").write_text(f"{text}\n")


def dashboard(uid: str, title: str, rows: Sequence[Row]) -> dict[str, Any]:
    """One dashboard as Grafana stores it."""
    return {
        "uid": f"ai-agent-system-{uid}",
        "title": title,
        "tags": ["ai-agent-system"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "AI Agent System",
                "tags": ["ai-agent-system"],
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_placed(rows)),
    }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    y, number = 0, 0
    for row in rows:
        number += 1
        grid = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": grid,
            "panels": [],
        }
        x, y = 0, y + 1
        height = STAT_HEIGHT if row.panels[0].kind == "stat" else HEIGHT
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            number += 1
            yield _panel(panel, number, {"h": height, "w": panel.width, "x": x, "y": y})
            x += panel.width
        y += height


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limits is not None:
        yellow, red = panel.limits
        steps += [{"color": "yellow", "value": yellow}] if yellow < red else []
        steps += [{"color": "red", "value": red}]
    custom = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 30}
    if panel.limits is not None and panel.kind == "timeseries":
        custom |= {"thresholdsStyle": {"mode": "dashed"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "gridPos": grid,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": custom if panel.kind == "timeseries" else {},
            },
            "overrides": [],
        },
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


if __name__ == "__main__":
    main()

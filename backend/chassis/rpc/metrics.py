"""Prometheus metrics of gRPC servers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)


class RpcMetrics:
    """Durations, outcomes and number of the calls of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.durations = Histogram(
            "rpc_server_call_duration_seconds",
            "Time from the start of a call in its thread to its end.",
            ("rpc_service", "rpc_method", "rpc_grpc_status"),
            buckets=_BUCKETS_SECONDS,
            registry=registry,
        )
        self.active_calls = Gauge(
            "rpc_server_active_calls",
            "Calls in progress.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.problems = Counter(
            "rpc_server_problems",
            "Failed calls by the code of the problem.",
            ("code",),
            registry=registry,
        )

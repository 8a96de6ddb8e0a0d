"""What Prometheus reads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rankgrad.deploy.serve.batching import Run

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_COUNTS = tuple(2.0**power for power in range(13))


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("rankgrad_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "rankgrad_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "rankgrad_requests_in_progress", "Requests taken on and not yet answered.", registry=self.registry
        )
        self.documents = Counter("rankgrad_documents", "Documents and texts that came in.", registry=self.registry)
        self.tokens = Counter("rankgrad_tokens", "Tokens that went through the graph.", registry=self.registry)
        self.run_seconds = Histogram(
            "rankgrad_run_seconds", "Seconds of a run.", buckets=_SECONDS, registry=self.registry
        )
        self.run_requests = Histogram(
            "rankgrad_run_requests", "Requests that a run was shared by.", buckets=_COUNTS, registry=self.registry
        )
        self.run_rows = Histogram(
            "rankgrad_run_rows", "Pairs or texts of a run.", buckets=_COUNTS, registry=self.registry
        )

    def run(self, run: Run) -> None:
        """Count a run of the graph."""
        self.run_seconds.observe(run.seconds)
        self.run_requests.observe(run.requests)
        self.run_rows.observe(run.rows)
        self.tokens.inc(run.tokens)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

"""Telemetry: the process' logs, and metrics for Prometheus."""

from nightferry.telemetry.logs import LoggedProgress, Logs
from nightferry.telemetry.metrics import serve_metrics, write_metrics

__all__ = ["LoggedProgress", "Logs", "serve_metrics", "write_metrics"]

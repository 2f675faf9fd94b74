"""The shop's telemetry: the OpenTelemetry SDK with its stock instrumentations, exported over OTLP/HTTP.

Exports run on the SDK's own threads with bounded queues and short time-outs: when nobody listens,
telemetry is dropped and the shop goes on.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from chaos.shop.topology import InstanceSpec

EXPORT_EVERY_MS = 1000  # traces and logs
METRICS_EVERY_MS = 5000  # as a scrape would
EXPORT_TIMEOUT_S = 2  # a receiver that is away must not fill the queues
# What an operator asks about a process. The rest of the default set repeats these under older names.
PROCESS_METRICS: dict[str, list[str] | None] = {
    "process.cpu.utilization": None,
    "process.memory.usage": None,
    "process.thread.count": None,
    "process.open_file_descriptor.count": None,
    "process.context_switches": ["involuntary", "voluntary"],
}


def start(spec: InstanceSpec, app: FastAPI) -> None:
    """Set up traces, metrics and logs in this process. Call it after the fork: it starts threads."""
    resource = Resource.create(
        {
            "service.name": spec.service,
            "service.version": spec.version,
            "service.instance.id": spec.instance_id,
            "service.namespace": "shop",
            "deployment.environment.name": "demo",
        }
    )
    if spec.otlp_url:
        _export(resource, spec.otlp_url.rstrip("/"))
    logging.getLogger().setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "opentelemetry", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").propagate = False  # telemetry about telemetry would feed itself
    LoggingInstrumentor().instrument(log_handler_level=logging.INFO)
    SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument()
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="/healthz,/metrics,/debug/.*", exclude_spans=["receive", "send"]
    )


def _export(resource: Resource, url: str) -> None:
    tracer_provider = TracerProvider(resource=resource)
    spans = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    tracer_provider.add_span_processor(
        BatchSpanProcessor(spans, max_queue_size=4096, schedule_delay_millis=EXPORT_EVERY_MS)
    )
    trace.set_tracer_provider(tracer_provider)

    measurements = OTLPMetricExporter(endpoint=f"{url}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
    reader = PeriodicExportingMetricReader(measurements, export_interval_millis=METRICS_EVERY_MS)
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))

    logger_provider = LoggerProvider(resource=resource)
    lines = OTLPLogExporter(endpoint=f"{url}/v1/logs", timeout=EXPORT_TIMEOUT_S)
    logger_provider.add_log_record_processor(
        BatchLogRecordProcessor(lines, max_queue_size=4096, schedule_delay_millis=EXPORT_EVERY_MS)
    )
    set_logger_provider(logger_provider)

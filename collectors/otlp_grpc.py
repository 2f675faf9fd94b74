"""OTLP over gRPC: the same checks and the same log as over HTTP, in gRPC's words."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from collectors.http import EMPTY_RESPONSE, RETRY_AFTER_S
from collectors.otlp import accept, count_refusal
from watchkeeper.config import Config
from watchkeeper.errors import CollectorError, IngestLogError
from watchkeeper.ingest_log.segments import IngestLog, OverloadedError

SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


def serve(config: Config, log: IngestLog) -> tuple[Any, int]:
    """Start the gRPC receiver; returns the server and its port.

    Raises:
        CollectorError: the port is taken.
    """
    limit = config.ingest.max_request_mib << 20
    server = grpc.server(
        ThreadPoolExecutor(16, thread_name_prefix="grpc"),
        options=[("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", 0)],
    )
    needs_token = any("ingest" in token.scopes for token in config.tokens)

    def allowed(context: Any) -> bool:
        if not needs_token:
            return True
        given = dict(context.invocation_metadata()).get("authorization", "")
        scheme, _, token = str(given).partition(" ")
        return scheme.lower() == "bearer" and config.token_allows(token, "ingest")

    for signal, service in SERVICES.items():
        method = grpc.unary_unary_rpc_method_handler(_export(log, signal, allowed))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    try:
        port = server.add_insecure_port(f"{config.ingest.host}:{config.ingest.otlp_grpc_port}")
    except RuntimeError as error:
        raise CollectorError(f"ingest.otlp_grpc_port {config.ingest.otlp_grpc_port} cannot be used") from error
    server.start()
    return server, port


def _export(log: IngestLog, signal: str, allowed: Callable[[Any], bool]) -> Callable[[bytes, Any], bytes]:
    def export(body: bytes, context: Any) -> bytes:
        if not allowed(context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token with the scope ingest is needed")
        try:
            done = accept(log, signal, body)
            if done is not None:
                done.result()
        except (CollectorError, IngestLogError) as error:
            count_refusal(signal, error)
            if isinstance(error, OverloadedError):
                context.abort_with_status(rpc_status.to_status(_retry_later(error.message)))
            again = isinstance(error, IngestLogError)
            context.abort(grpc.StatusCode.UNAVAILABLE if again else grpc.StatusCode.INVALID_ARGUMENT, error.message)
        return EMPTY_RESPONSE[signal]

    return export


def _retry_later(text: str) -> Status:
    """RESOURCE_EXHAUSTED with RetryInfo, which tells an exporter that trying again can help."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    return Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=text, details=[detail])

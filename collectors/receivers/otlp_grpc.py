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

from collectors.ingest_log.segments import OverloadedError
from collectors.receivers.callers import Callers, Rates, described, sender_of
from collectors.receivers.http import RETRY_AFTER_S
from collectors.receivers.otlp import Intake, count_refusal, response
from collectors.receivers.rejections import BusyError, TooFastError
from collectors.source import SourceContext
from watchkeeper.config import Config
from watchkeeper.config_values import bracketed
from watchkeeper.errors import CollectorError, IngestLogError

THREADS: Final = 16  # a call waits for the disk most of its time, so more than there are cores
MOST_CALLS: Final = 1000  # each may hold ingest.max_request_mib in memory once a thread takes it
GRACE_S: Final = 2.0  # what calls in progress have at the end

SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


class OtlpGrpc:
    """OTLP over gRPC, at a port of its own."""

    section = "ingest"

    def __init__(self, context: SourceContext) -> None:
        config = context.config
        door = _Door(config)
        self._stop = context.stop
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
            interceptors=(door,),
            # A body is read when a thread is free for it: what waits beyond that is asked to retry.
            maximum_concurrent_rpcs=MOST_CALLS,
            options=[
                ("grpc.max_receive_message_length", config.ingest.max_request_mib << 20),
                ("grpc.so_reuseport", 0),
            ],
        )
        rates = Rates(config.ingest.max_sender_mib_s * (1 << 20))
        for signal, service in SERVICES.items():
            method = grpc.unary_unary_rpc_method_handler(_export(context.intake, signal, door, rates))
            generic = grpc.method_handlers_generic_handler(service, {"Export": method})
            self._server.add_generic_rpc_handlers((generic,))
        port = config.ingest.otlp_grpc_port
        try:
            bound = self._server.add_insecure_port(f"{bracketed(config.ingest.host)}:{port}")
        except RuntimeError as error:
            raise CollectorError(
                f"ingest.otlp_grpc_port {port} cannot be used; `watchkeeper doctor` names the process that uses it. "
                "Stop that process, or set ingest.otlp_grpc_port",
                retry=True,
            ) from error
        self._server.start()
        context.listening("otlp_grpc", bound)

    def run(self) -> None:
        """Serve, then finish the calls that are in progress."""
        self._stop.wait()
        self._server.stop(grace=GRACE_S).wait()


class _Door(grpc.ServerInterceptor):  # type: ignore[misc]
    """Turns away who may not export, before anything of the request is read."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._callers = Callers(config)
        self._needs_token = any("ingest" in token.scopes for token in config.tokens)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The handler of a call: the real one, or one that rejects it."""
        metadata = dict(details.invocation_metadata)
        origin = metadata.get("origin")
        if origin is not None and not self._callers.allows_origin(str(origin)):
            return _turned_away(grpc.StatusCode.PERMISSION_DENIED, "pages in a browser may not write here")
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if self._needs_token and not (scheme.lower() == "bearer" and self._config.token_allows(token, "ingest")):
            return _turned_away(grpc.StatusCode.UNAUTHENTICATED, "a bearer token with the scope ingest is needed")
        return continuation(details)

    def sender(self, context: Any) -> tuple[str, str]:
        """Who sends: to count by, and in words."""
        metadata = dict(context.invocation_metadata())
        # As ipv4:127.0.0.1:50000 or ipv6:%5B::1%5D:50000
        peer = str(context.peer()).partition(":")[2].rpartition(":")[0].replace("%5B", "").replace("%5D", "")
        sender = sender_of(self._config, peer, str(metadata.get("authorization", "")))
        return sender, described(sender, peer, str(metadata.get("user-agent", "")))


def _turned_away(code: Any, text: str) -> Any:
    # A handler of a stream reads a message when it asks for it, and this one doesn't.
    return grpc.stream_unary_rpc_method_handler(lambda _requests, context: context.abort(code, text))


def _export(intake: Intake, signal: str, door: _Door, rates: Rates) -> Callable[[bytes, Any], bytes]:
    def export(body: bytes, context: Any) -> bytes:
        try:
            sender, in_words = door.sender(context)
            rates.take(sender, len(body))
            taken = intake.take(signal, body, sender=in_words)
            taken.wait()
        except (CollectorError, IngestLogError) as error:
            count_refusal(signal, error)
            if isinstance(error, OverloadedError | TooFastError | BusyError):
                seconds = error.retry_after_s if isinstance(error, TooFastError) else RETRY_AFTER_S
                context.abort_with_status(rpc_status.to_status(_retry_later(error.message, seconds)))
            again = isinstance(error, IngestLogError)
            context.abort(grpc.StatusCode.UNAVAILABLE if again else grpc.StatusCode.INVALID_ARGUMENT, error.message)
        return bytes(response(signal, taken).SerializeToString())

    return export


def _retry_later(text: str, seconds: int) -> Status:
    """RESOURCE_EXHAUSTED with RetryInfo, which tells an exporter that trying again can help."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds)))
    return Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=text, details=[detail])

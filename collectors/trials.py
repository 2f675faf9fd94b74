"""Trials: how the conformance suite plays the other side of a source, for Watchkeeper's own sources and for others."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SEND_WITHIN_S: Final = 60.0  # for an answer; generous, the machine may be busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a source answered its sender: whether it took the request, whether to send it again, and its words."""

    accepted: bool
    retry: bool
    text: str


# Sends one body to a source by the ports that it listens at (`http` is the receivers'), and waits for the answer.
Send = Callable[[Mapping[str, int], bytes], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The trial of a source that is sent to.

    Attributes:
        send: plays a sender.
        good: a body that the source takes; another one at each call.
        malformed: bodies that it must reject.
    """

    send: Send
    good: Callable[[], bytes]
    malformed: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The trial of a source that reads a page.

    Attributes:
        config: the configuration, as the file would hold it, with which the source reads `host:port` at least once in
            two seconds.
        good: a page that the source takes.
        malformed: pages that it must report.
        content_type: of both.
    """

    config: Callable[[str], Mapping[str, Any]]
    good: bytes
    malformed: Sequence[bytes]
    content_type: str = "text/plain"


Trial = Posted | Reading


def post(path: str, content_type: str = "application/json", token: str = "") -> Send:
    """Plays a sender that posts to a path of the receivers' port."""

    def send(ports: Mapping[str, int], body: bytes) -> Answer:
        headers = {"Content-Type": content_type} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = f"http://127.0.0.1:{ports['http']}{path}"
        answer = httpx.post(url, content=body, headers=headers, timeout=SEND_WITHIN_S, trust_env=False)
        return Answer(accepted=answer.is_success, retry=answer.status_code in (429, 503), text=answer.text)

    return send


def _export_over_grpc(ports: Mapping[str, int], body: bytes) -> Answer:
    with grpc.insecure_channel(f"127.0.0.1:{ports['otlp_grpc']}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        try:
            call(body, timeout=SEND_WITHIN_S)
        except grpc.RpcError as error:
            again = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            return Answer(accepted=False, retry=again, text=str(error.details()))
    return Answer(accepted=True, retry=False, text="")


def _one_span() -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "trial"
    now = time.time_ns()
    resource.scope_spans.add().spans.add(
        trace_id=secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        name="trial",
        start_time_unix_nano=now - 1000,
        end_time_unix_nano=now,
    )
    return bytes(request.SerializeToString())


def _one_alert() -> bytes:
    labels = {"alertname": "Trial", "service": "trial", "number": secrets.token_hex(4)}
    alert = {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}
    return json.dumps({"version": "4", "alerts": [alert]}).encode()


def _one_change() -> bytes:
    return json.dumps({"kind": "deploy", "service": "trial", "title": f"Release {secrets.token_hex(4)}"}).encode()


def built_in(token: str) -> dict[str, Trial]:
    """The trials of Watchkeeper's own sources; `token` is one with every scope."""
    no_protobuf = (b"\xff" * 20, b"not a request")
    no_json = (b"", b"{", b"[]", b'{"alerts": 7}')
    return {
        "otlp-http": Posted(
            send=post("/v1/traces", "application/x-protobuf"), good=_one_span, malformed=(*no_protobuf, b"\x0a\xff")
        ),
        "otlp-grpc": Posted(send=_export_over_grpc, good=_one_span, malformed=no_protobuf),
        "alertmanager-webhook": Posted(
            send=post("/api/v1/alerts/alertmanager"), good=_one_alert, malformed=(*no_json, b'{"alerts": [{}]}')
        ),
        "change-events": Posted(
            send=post("/api/v1/changes", token=token), good=_one_change, malformed=(*no_json, b'{"kind": "party"}')
        ),
        "prometheus-scrape": Reading(
            config=lambda origin: {
                "ingest": {"scrape": [{"job": "trial", "targets": [origin], "interval_s": 0.2, "timeout_s": 1}]}
            },
            good=b"trial_total 1\n",
            malformed=(b"<html>no metrics here</html>\n", b"trial_total one\n", b"\x00\xff\n"),
        ),
    }

"""OTLP over HTTP: traces, metrics and logs, in protobuf or JSON."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from prometheus_client import Histogram

from collectors.receivers.exchange import Exchange
from collectors.receivers.http import INVALID_ARGUMENT, UNAUTHENTICATED, HttpPort, answer_status, hints, status_of
from collectors.receivers.otlp import Intake, Taken, count_refusal, response
from collectors.source import SourceContext
from watchkeeper.errors import CollectorError, IngestLogError

ACK_SECONDS = Histogram(
    "watchkeeper_otlp_ack_seconds",
    "From the whole request to the ack.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
PATHS: Final = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
# A larger body, and any JSON, is decoded beside the event loop, so that small ones needn't wait for it.
DECODED_BESIDE: Final = 256 << 10


class OtlpHttp:
    """OTLP over HTTP, at the receivers' port."""

    section = "ingest"

    def __init__(self, context: SourceContext) -> None:
        self._stop = context.stop
        for path, signal in PATHS.items():
            context.http.add(path, _OtlpRoute(signal=signal, intake=context.intake))

    def run(self) -> None:
        """The port does the work."""
        self._stop.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class _OtlpRoute:
    """Answers the export requests of one signal: 200 when they are on disk, and not before."""

    signal: str
    intake: Intake

    async def __call__(self, port: HttpPort, exchange: Exchange) -> None:
        is_json = exchange.kind == "application/json"
        if exchange.kind not in ("application/json", "application/x-protobuf"):
            shown = exchange.kind[:60] or "(none)"
            text = f"Content-Type {shown} is not OTLP; send application/x-protobuf or application/json"
            await answer_status(exchange, 415, text, INVALID_ARGUMENT, is_json=True)
            return
        if not port.allows(exchange, "ingest"):
            text = "a bearer token with the scope ingest is needed"
            await answer_status(exchange, 401, text, UNAUTHENTICATED, is_json=is_json)
            return
        clock = asyncio.get_running_loop().time
        try:
            async with port.body(exchange) as body:
                began = clock()
                if is_json or len(body) > DECODED_BESIDE:
                    taken = await asyncio.to_thread(
                        self.intake.take, self.signal, body, is_json=is_json, sender=exchange.described
                    )
                else:
                    taken = self.intake.take(self.signal, body, sender=exchange.described)
                if taken.done is not None:
                    await asyncio.wrap_future(taken.done)
        except (CollectorError, IngestLogError) as error:
            count_refusal(self.signal, error)
            status, code = status_of(error)
            await answer_status(exchange, status, error.message, code, is_json=is_json, extra=hints(error))
        else:
            ACK_SECONDS.observe(clock() - began)
            await exchange.answer(200, self._encoded(taken, is_json=is_json), kind=exchange.kind)

    def _encoded(self, taken: Taken, *, is_json: bool) -> bytes:
        answer = response(self.signal, taken)
        if is_json:
            return json.dumps(json_format.MessageToDict(answer)).encode()
        return bytes(answer.SerializeToString())

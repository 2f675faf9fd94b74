"""Thousands of damaged OTLP requests: each is taken or refused with a reason, and what is taken can be stored."""

from __future__ import annotations

import http.client
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import pytest
from otlp_payloads import SIGNALS, payload, protobuf

from bench.own_roles import OwnRoles, loader_of
from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.segments import varint
from collectors.receivers.otlp_canonical import canonical
from collectors.receivers.otlp_grpc import SERVICES
from collectors.receivers.otlp_limits import Limits
from collectors.receivers.otlp_survey import ROWS
from collectors.receivers.rejections import MalformedError
from tests.waiting import until
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.statements import RejectedError, Statements

pytestmark = pytest.mark.xdist_group("otlp-fuzz")
SEED: Final = 20261129
OVER_HTTP: Final = 2000
SENDERS: Final = 8
OVER_GRPC: Final = 600
INTO_THE_ENGINE: Final = 900
TABLES: Final = {
    "traces": ["otel_traces"],
    "logs": ["otel_logs"],
    "metrics": [f"otel_metrics_{kind}" for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary")],
}


def test_no_payload_over_http_is_a_server_error(receiving: OwnRoles) -> None:
    """Each answer is 200, or a 4xx with a reason; nothing is printed; everything acked reaches the store."""
    with ThreadPoolExecutor(SENDERS) as pool:
        answers = list(pool.map(lambda first: send(receiving, first), range(SENDERS)))
    statuses = Counter(status for each in answers for status in each)
    assert statuses.total() == OVER_HTTP
    assert statuses[200] > OVER_HTTP // 4
    assert statuses[400] > OVER_HTTP // 10
    nothing_is_left(receiving)


def send(receiving: OwnRoles, first: int) -> list[int]:
    """Send every `SENDERS`th payload over one connection; the statuses of the answers."""
    connection = http.client.HTTPConnection("127.0.0.1", receiving.config.ingest.otlp_http_port, timeout=120)
    statuses = []
    for seed in range(SEED + first, SEED + OVER_HTTP, SENDERS):
        sent = payload(seed)
        headers = {"Content-Type": sent.kind} | ({"Content-Encoding": sent.encoding} if sent.encoding else {})
        connection.request("POST", f"/v1/{sent.signal}", sent.body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 400, 413, 415), (seed, answer.status, text)
        assert answer.status == 200 or len(text) > 10, (seed, answer.status, text)
        statuses.append(answer.status)
    connection.close()
    return statuses


def test_no_payload_over_grpc_is_a_server_error(receiving: OwnRoles) -> None:
    """Each answer is OK or INVALID_ARGUMENT with a reason."""
    codes: dict[Any, int] = {}
    with grpc.insecure_channel(f"127.0.0.1:{receiving.config.ingest.otlp_grpc_port}") as channel:
        calls = {signal: channel.unary_unary(f"/{SERVICES[signal]}/Export") for signal in SIGNALS}
        for seed in range(SEED, SEED + OVER_GRPC):
            dice = random.Random(seed)
            signal = dice.choice(SIGNALS)
            answer = calls[signal].future(protobuf(signal, dice), timeout=60)
            code = answer.code()  # waits for it
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), (seed, code, answer.details())
            assert code == grpc.StatusCode.OK or answer.details()
            codes[code] = codes.get(code, 0) + 1
    assert codes[grpc.StatusCode.OK] > OVER_GRPC // 4
    nothing_is_left(receiving)


def nothing_is_left(receiving: OwnRoles) -> None:
    """Wait until the store has everything, of which nothing may be set aside, and nothing may have gone wrong."""
    folder = receiving.config.ingest_log_dir
    until(
        lambda: not (list(folder.glob("*.open")) + list(folder.glob("*.ready"))),
        moving=lambda: sorted(path.name for path in folder.iterdir()),
    )
    assert {path.name for path in folder.iterdir()} <= {"lock", "recent"}
    assert "Traceback" not in receiving.log("ingest")


def accepted() -> Iterator[tuple[int, str, bytes]]:
    """Damaged requests as they go into the log, with their seeds."""
    for seed in range(SEED, SEED + INTO_THE_ENGINE):
        dice = random.Random(seed)
        signal = dice.choice(SIGNALS)
        try:
            taken = canonical(signal, protobuf(signal, dice), Limits(value_bytes=50_000), time.time_ns())
        except MalformedError:
            continue
        yield seed, signal, taken.body


def test_whatever_is_taken_is_stored_row_by_row(receiving: OwnRoles) -> None:
    """The real engine inserts every damaged request that the validator accepts, and has every row of it."""
    store = loader_of(receiving.config)
    bodies: dict[str, list[tuple[int, bytes]]] = {signal: [] for signal in SIGNALS}
    for seed, signal, body in accepted():
        bodies[signal].append((seed, body))
    for signal, records in bodies.items():
        assert len(records) > INTO_THE_ENGINE // 12
        before = stored(receiving, signal)
        for at in range(0, len(records), 50):
            insert(store, signal, records[at : at + 50])
        expected = sum(rows(signal, body) for _, body in records)
        assert stored(receiving, signal) - before == expected


def insert(store: Statements, signal: str, records: list[tuple[int, bytes]]) -> None:
    """Insert as the loader does; where the engine refuses, say which seed it was."""
    body = b"".join(varint(len(record)) + record for _, record in records)
    try:
        for statement in inserts(Destination(database="otel", memory_mib=500), signal, secrets.token_hex(8)):
            store.run(f"{statement} FORMAT Protobuf", body)
    except RejectedError as error:
        if len(records) == 1:
            raise AssertionError(f"seed {records[0][0]}: the engine refuses what was accepted: {error}") from error
        for record in records:
            insert(store, signal, [record])
        raise AssertionError("refused together, and each alone was taken") from error


def stored(receiving: OwnRoles, signal: str) -> int:
    """How many rows the store has."""
    counts = " + ".join(f"(SELECT count() FROM {table})" for table in TABLES[signal])
    return int(receiving.telemetry.query(f"SELECT {counts} AS n")["n"][0].as_py())


def rows(signal: str, body: bytes) -> int:
    """How many rows a request becomes."""
    found: list[Any] = [MESSAGES[signal].FromString(body)]
    for name in ROWS[signal][0][:3]:
        found = [item for each in found for item in getattr(each, name)]
    if signal != "metrics":
        return len(found)
    return sum(
        len(getattr(metric, metric.WhichOneof("data")).data_points) for metric in found if metric.WhichOneof("data")
    )

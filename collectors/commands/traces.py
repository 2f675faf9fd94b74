"""`watchkeeper traces`: what arrived last, and from whom."""

from __future__ import annotations

import json
import logging
import time
from typing import Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.errors import StoreError, WatchkeeperError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ASK_EVERY_S = 0.5  # how often the store is asked while a trace is waited for


@app.command(epilog="Example: watchkeeper traces --wait 60")
def traces(
    config: ConfigPath = None,
    service: Annotated[
        str, typer.Option(help="Only traces that this service is part of; `watchkeeper-watch` too.")
    ] = "",
    minutes: Annotated[float, typer.Option(min=1, max=10080, help="How far back.")] = 60,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    wait: Annotated[float, typer.Option(min=0, max=3600, help="Wait so many seconds for the first one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The newest traces: when, which services, the first operation, how long. Exit status 1 if there is none."""
    from watchkeeper.config import load
    from watchkeeper.config_values import bracketed
    from watchkeeper.store.recent_traces import recent_traces
    from watchkeeper.store.telemetry import Telemetry

    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # a failure is reported below, once
    tree = load(config)
    telemetry = Telemetry.connect(tree)
    deadline = time.monotonic() + wait
    while True:
        try:
            found = recent_traces(telemetry, minutes=minutes, service=service, limit=limit)
        except StoreError as error:
            if not error.retry:
                raise
            if time.monotonic() >= deadline:
                advice = "is `watchkeeper up` running, with this configuration?"
                raise StoreError(f"the store at {tree.store_url} does not answer: {advice}", retry=True) from error
            found = []
        if found or time.monotonic() >= deadline:
            break
        time.sleep(ASK_EVERY_S)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    if not found:
        where = f"http://{bracketed(tree.ingest.host)}:{tree.ingest.otlp_http_port}"
        raise WatchkeeperError(
            f"no trace in the last {minutes:g} minutes. Exporters need OTEL_EXPORTER_OTLP_ENDPOINT={where}"
        )


def _print(found: list[dict[str, Any]]) -> None:
    from watchkeeper.text import one_line

    for one in found:
        services = one_line(", ".join(one["services"]), 60)
        what = f"{one['at'][:19].replace('T', ' ')}  {one['trace_id']}  {services}  {one_line(one['operation'], 60)}"
        spans = f"{one['spans']} span{'s' * (one['spans'] != 1)}"
        failed = f"  {one['errors']} failed" if one["errors"] else ""
        print(f"{what}  {one['duration_ms']:.1f} ms  {spans}{failed}")

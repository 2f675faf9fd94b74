"""The tables are those of the OpenTelemetry Collector's exporter, column for column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from watchkeeper.store.schema import LOGS, METRICS, TRACES

FACTS = Path(__file__).parents[4] / "shared" / "otel-clickhouse-tables.md"
TABLES = {"otel_traces": TRACES, "otel_logs": LOGS} | {f"otel_metrics_{kind}": held for kind, held in METRICS.items()}


def normal(kind: str) -> str:
    """A type without codec, default and spacing, with the exporter's abbreviations written out."""
    kind = re.sub(r" (CODEC|DEFAULT).*", "", kind)
    kind = re.sub(r"\bM\b", "Map(LowCardinality(String), String)", kind)
    return re.sub(r"\bLC\b", "LowCardinality(String)", kind).replace("Nested (", "Nested(")


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_the_exporters(table: str) -> None:
    """Names, order and types agree with the exporter's (for metrics, with its nanosecond layout)."""
    if not FACTS.exists():
        pytest.skip(f"the column facts are not at {FACTS}")
    section = re.search(rf"^## {table} ?(\((OLD|bloom)\))?\n\n(.*)$", FACTS.read_text(), re.MULTILINE)
    assert section is not None
    given = [column.split(" ", 1) for column in section.group(3).split(" · ")]
    assert [(name, normal(kind)) for name, kind in given] == [(n, normal(k)) for n, k in TABLES[table].items()]

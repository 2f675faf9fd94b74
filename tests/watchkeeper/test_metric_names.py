"""Metrics as a person reads them: no machine-made text, a unit, and whether they concern users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.metric_names import amount, concern, describe, describe_named, words


@pytest.mark.parametrize(
    ("metric", "attributes", "text"),
    [
        ("vm.heap.space.available_size", '{"vm.heap.space.name":"code_space"}', "available heap space (code_space)"),
        ("db.client.connection.count", '{"pool":"orders","state":"used"}', "db client connection (orders, used)"),
        ("consumer.records_lag", '{"partition":"3"}', "consumer records lag (partition 3)"),
        ("queueDepth", "{}", "queue depth"),
        ("container_memory_working_set_bytes", "", "memory working set"),
        ("bytes", "{}", "bytes"),
        ("", "not json", " (not json)"),
    ],
)
def test_a_name_is_read_as_words(metric: str, attributes: str, text: str) -> None:
    """The last words, and the attributes' values alone."""
    assert describe(metric, attributes) == text
    assert describe_named(f"{metric} {attributes}") == text or not attributes.startswith("{")


@pytest.mark.parametrize(
    ("metric", "value", "unit", "text"),
    [
        ("vm.heap.used", 83_328.0, "By", "83 kB"),
        ("process_resident_memory_bytes", 512e6, "", "512 MB"),
        ("loop.delay", 0.0102, "s", "10 ms"),
        ("loop.delay", 10.2, "ms", "10 ms"),
        ("cpu.utilization", 0.934, "1", "93 %"),
        ("cpu_percent", 93.4, "", "93 %"),
        ("queue.length", 12_345.0, "{message}", "12,345"),
        ("disk.io", 4.2e6, "By/s", "4.2 MB/s"),
        ("disk.io", float("nan"), "By", "nothing"),
        ("orders.failed", 4.1, "/s", "4.1/s"),
    ],
)
def test_a_value_has_the_unit_that_it_was_sent_with_or_that_its_name_says(
    metric: str, value: float, unit: str, text: str
) -> None:
    """Three digits at most."""
    assert amount(metric, value, unit) == text


@given(st.text(max_size=60), st.text(max_size=60), st.floats(), st.floats(), st.text(max_size=8))
def test_whatever_is_sent_is_read(metric: str, attributes: str, value: float, usual: float, unit: str) -> None:
    """Foreign names, values and units break nothing."""
    assert isinstance(describe(metric, attributes), str)
    assert amount(metric, value, unit)
    assert concern(metric, value, usual, unit) in ("errors", "duration", "queue", "saturation", "detail")
    assert all(word == word.lower() for word in words(metric))

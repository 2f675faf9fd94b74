"""A page in one of Prometheus' formats as OTLP metrics: whatever of it can be kept is kept, the rest is counted.

A page that cannot be read is rejected whole, as Prometheus does. A sample that can be read but not kept (a time before
the calendar, a count that is no number, a series that came before) costs only itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_fd_to_metric_families as parse_text

from watchkeeper.errors import CollectorError
from watchkeeper.names import storable
from watchkeeper.text import one_line

CUMULATIVE: Final = 2  # OTLP's AGGREGATION_TEMPORALITY_CUMULATIVE
# 2000-01-01: a sample's time before it is a zero time, seconds taken for milliseconds, or another number altogether.
EARLIEST_NS: Final = 946_684_800 * 10**9
AHEAD_NS: Final = 86_400 * 10**9  # a day, as for what is received (ingest.max_ahead_hours)
LONGEST_LINE: Final = 64 << 10  # characters; no series comes near it
# What one request may hold is bounded; a large page becomes several.
MOST_POINTS: Final = 20_000
LARGEST_COUNT: Final = 2**64 - 1  # OTLP's counts are fixed64
# Name and labels of a sample, whatever stands between their quotes.
_SERIES: Final = re.compile(r'[^\s{]*+[ \t]*+\{(?:[^"}]++|"(?:[^"\\]++|\\.)*+")*+\}|[^\s{]++')
_HEX: Final = re.compile(r"[+-]?0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*(?:[pP][+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """One page as a request, and how many of its samples were left out, by why, with an example of each."""

    request: ExportMetricsServiceRequest
    set_aside: Mapping[str, int]
    examples: Mapping[str, str]
    samples: int

    def summary(self) -> str:
        """One line of what was left out, or nothing."""
        return "; ".join(f"{count} {why}, such as {self.examples[why]}" for why, count in self.set_aside.items())


@dataclass(slots=True)
class _Left:
    """Counts what is left out while a page is read."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def out(self, why: str, sample: Any) -> None:
        self.counts[why] += 1
        if why not in self.examples:
            labels = ",".join(f"{key}={value}" for key, value in (sample.labels or {}).items())
            self.examples[why] = one_line(f"{sample.name}{{{labels}}}", 80)


def read_page(
    body: bytes,
    content_type: str,
    resource: Mapping[str, str],
    at_ns: int,
    go_on: Callable[[], bool] = lambda: True,
) -> Exposition:
    """A page as OTLP. `go_on` is asked between lines; when it is False, the rest is not read.

    Raises:
        CollectorError: not in a Prometheus format, or not read to its end.
    """
    text = body.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    kind = content_type.partition(";")[0].strip().lower()
    is_open = "openmetrics" in kind or ("text/plain" not in kind and text.rstrip().endswith("\n# EOF"))
    left = _Left()
    lines = _Lines(text, go_on, is_open=is_open)
    try:
        parser: Any = parse_openmetrics if is_open else parse_text  # both take any lines, not only a file's
        families = list(parser(lines))
    except CollectorError:
        raise
    except Exception as error:  # the parser raises whatever its line made it stumble over
        called = f" (Content-Type {one_line(kind or 'none', 60)})"
        why = one_line(str(error) or type(error).__name__, 160)
        raise CollectorError(f"not in a Prometheus format{called}: {why}") from error
    request = _to_otlp(families, resource, at_ns, left)
    read = sum(len(family.samples) for family in families)
    if lines.samples > read:  # the parser of OpenMetrics leaves out repeated series by itself
        left.counts["of a repeated series"] += lines.samples - read
        left.examples.setdefault("of a repeated series", "one of the page's series")
    return Exposition(request=request, set_aside=dict(left.counts), examples=left.examples, samples=read)


def empty_request(resource: Mapping[str, str]) -> ExportMetricsServiceRequest:
    """A request of a target without a metric."""
    return _to_otlp((), resource, 0, _Left())


class _Lines:
    """The page's lines as the parsers take them: without exemplars, numbers in decimal; counts the samples.

    Raises:
        CollectorError: from the iteration: a line is too long for any series, or `go_on` was False.
    """

    def __init__(self, text: str, go_on: Callable[[], bool], *, is_open: bool) -> None:
        self._text = text
        self._go_on = go_on
        self._is_open = is_open
        self.samples = 0

    def __iter__(self) -> Iterator[str]:
        # Not splitlines: a label may hold a line separator of Unicode.
        for line in self._text.removesuffix("\n").split("\n") if self._text else ():
            if len(line) > LONGEST_LINE:
                raise CollectorError(f"rejected: a line is over {LONGEST_LINE >> 10} KiB: {one_line(line, 60)}")
            if not self._go_on():
                raise CollectorError("not read to its end: it takes too long, or the role stops", retry=True)
            plain = line if self._is_open else line.strip()
            if plain and not plain.startswith("#"):
                self.samples += 1
                plain = _plain_sample(plain)
            yield plain + "\n"


def _plain_sample(line: str) -> str:
    series = _SERIES.match(line)
    if series is None:
        return line
    head, tail = line[: series.end()], line[series.end() :]
    for mark in (" #", "\t#"):
        tail = tail.partition(mark)[0]
    return head + (_decimal(tail) if "x" in tail.lower() else tail)


def _decimal(tail: str) -> str:
    """A value in hexadecimal, as Go's programs may write one, in decimal."""
    words = tail.split()
    return " " + " ".join(repr(float.fromhex(word)) if _HEX.fullmatch(word) else word for word in words)


def _to_otlp(
    families: Iterable[Any], resource: Mapping[str, str], at_ns: int, left: _Left
) -> ExportMetricsServiceRequest:
    """Metric families as one request; counters are cumulative sums, histograms keep their buckets."""
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add()
    for key, value in resource.items():
        _attribute(scoped.resource.attributes, key, value)
    metrics = scoped.scope_metrics.add()
    metrics.scope.name = "prometheus"
    families = list(families)
    cumulative = {family.name for family in families if family.type in ("counter", "histogram", "summary")}
    seen: set[tuple[Any, ...]] = set()
    for family in families:
        samples = [s for s in family.samples if _is_kept(s, cumulative, seen, at_ns, left)]
        if family.type in ("histogram", "summary"):
            _distribution(metrics, family, samples, at_ns, left)
        else:
            _numbers(metrics, family, samples, at_ns, left)
    return request


def _is_kept(sample: Any, cumulative: set[str], seen: set[tuple[Any, ...]], at_ns: int, left: _Left) -> bool:
    """Whether a sample can be kept; one that only states when a counter began is no series of its own."""
    if sample.name.endswith("_created") and sample.name.removesuffix("_created") in cumulative:
        return False
    if getattr(sample, "native_histogram", None) is not None or sample.value is None:
        left.out("in a form that is not supported (native histograms)", sample)
        return False
    if _stamp(sample, at_ns) is None:
        left.out("with a time before 2000 or over a day ahead", sample)
        return False
    at = None if sample.timestamp is None else float(sample.timestamp)
    identity = (sample.name, tuple(sorted(sample.labels.items())), at)
    if identity in seen:
        left.out("of a repeated series", sample)
        return False
    seen.add(identity)
    return True


def _numbers(metrics: Any, family: Any, samples: list[Any], at_ns: int, left: _Left) -> None:
    by_name: dict[str, list[Any]] = defaultdict(list)
    for sample in samples:
        by_name[sample.name].append(sample)
    for name, same in by_name.items():
        metric = _metric(metrics, name, family)
        if family.type == "counter":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = CUMULATIVE
        points = metric.sum.data_points if family.type == "counter" else metric.gauge.data_points
        for sample in same:
            try:
                value = float(sample.value)
            except OverflowError:
                left.out("with a value out of range", sample)
                continue
            point = points.add(as_double=value, time_unix_nano=_stamp(sample, at_ns))
            for key, text in sample.labels.items():
                _attribute(point.attributes, key, text)


def _distribution(metrics: Any, family: Any, samples: list[Any], at_ns: int, left: _Left) -> None:
    """One point per set of labels, from the `_bucket` (or quantile), `_sum` and `_count` samples."""
    groups: dict[tuple[tuple[str, str], ...], list[Any]] = defaultdict(list)
    for sample in samples:
        labels = {key: value for key, value in sample.labels.items() if key not in ("le", "quantile")}
        groups[tuple(sorted(labels.items()))].append(sample)
    points: list[tuple[tuple[tuple[str, str], ...], dict[str, Any]]] = []
    for identity, group in groups.items():
        try:
            values = _buckets(group) if family.type == "histogram" else _quantiles(group)
        except (ValueError, OverflowError, KeyError):
            left.out("of a histogram or summary whose counts or bounds are not numbers", group[0])
            continue
        points.append((identity, values | {"time_unix_nano": _stamp(group[0], at_ns)}))
    if not points:
        return
    metric = _metric(metrics, family.name, family)
    if family.type == "histogram":
        metric.histogram.aggregation_temporality = CUMULATIVE
    for identity, values in points:
        point = (metric.histogram if family.type == "histogram" else metric.summary).data_points.add(**values)
        for key, text in identity:
            _attribute(point.attributes, key, text)


def _metric(metrics: Any, name: str, family: Any) -> Any:
    description, unit = storable(family.documentation or ""), storable(family.unit or "")
    return metrics.metrics.add(name=storable(name), description=description, unit=unit)


def _buckets(group: list[Any]) -> dict[str, Any]:
    """A histogram's point: counts between bounds from counts up to bounds.

    Raises:
        ValueError: a count or a bound is no number.
    """
    below: dict[float, int] = {}
    total: dict[str, Any] = {}
    for sample in group:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            if math.isnan(bound):
                raise ValueError("a bound is no number")
            below[bound] = _count(sample.value)
        elif sample.name.endswith("_sum"):
            total["sum"] = float(sample.value)
        elif sample.name.endswith("_count"):
            total["count"] = _count(sample.value)
    if not below:
        return total
    everything = max(below.get(math.inf, 0), total.get("count", 0))
    bounds = sorted(bound for bound in below if not math.isinf(bound))
    counts, before = [], 0
    for count in [*(below[bound] for bound in bounds), everything]:
        counts.append(max(0, count - before))
        before = max(before, count)
    return {"count": everything} | total | {"explicit_bounds": bounds, "bucket_counts": counts}


def _quantiles(group: list[Any]) -> dict[str, Any]:
    """A summary's point.

    Raises:
        ValueError: a count or a quantile is no number.
    """
    values: dict[str, Any] = {"quantile_values": []}
    for sample in group:
        if "quantile" in sample.labels:
            quantile = {"quantile": float(sample.labels["quantile"]), "value": float(sample.value)}
            values["quantile_values"].append(quantile)
        elif sample.name.endswith("_sum"):
            values["sum"] = float(sample.value)
        elif sample.name.endswith("_count"):
            values["count"] = _count(sample.value)
    return values


def _count(value: float) -> int:
    if not 0 <= value <= LARGEST_COUNT:  # NaN fails this too
        raise ValueError(f"{value} is no count")
    return int(value)


def _stamp(sample: Any, at_ns: int) -> int | None:
    """A sample's time in nanoseconds, the scrape's where it has none; None where no store could keep it."""
    if sample.timestamp is None:
        return at_ns
    seconds = float(sample.timestamp)
    if not math.isfinite(seconds):
        return None
    stamp = int(seconds * 1e9)
    return stamp if EARLIEST_NS <= stamp <= at_ns + AHEAD_NS else None


def parts(request: ExportMetricsServiceRequest, most: int = MOST_POINTS) -> Iterator[ExportMetricsServiceRequest]:
    """A request in requests of at most `most` points, each with the resource; the last one ends as it does."""
    (scoped,) = request.resource_metrics
    (metrics,) = scoped.scope_metrics
    part, space = _same_scope(scoped, metrics), most
    for metric in metrics.metrics:
        kind = metric.WhichOneof("data")
        points = getattr(metric, kind).data_points
        first = 0
        while first < len(points):
            if not space:
                yield part
                part, space = _same_scope(scoped, metrics), most
            taken = part.resource_metrics[0].scope_metrics[0].metrics.add()
            if first == 0 and len(points) <= space:
                taken.CopyFrom(metric)
            else:
                taken.name, taken.description, taken.unit = metric.name, metric.description, metric.unit
                data = getattr(taken, kind)
                for name in ("is_monotonic", "aggregation_temporality"):
                    if hasattr(data, name):
                        setattr(data, name, getattr(getattr(metric, kind), name))
                data.data_points.extend(points[first : first + space])
            count = min(space, len(points) - first)
            first, space = first + count, space - count
    yield part


def _same_scope(scoped: Any, metrics: Any) -> ExportMetricsServiceRequest:
    """A request without metrics of the same resource and scope."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.CopyFrom(scoped.resource)
    resource.scope_metrics.add().scope.CopyFrom(metrics.scope)
    return request


def _attribute(attributes: Any, key: str, value: str) -> None:
    attributes.add(key=storable(key)).value.string_value = storable(value)

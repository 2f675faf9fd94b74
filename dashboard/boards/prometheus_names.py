"""Names as Prometheus writes them, found among the metrics and labels that the store has under OpenTelemetry's.

The rules are those by which OpenTelemetry exports to Prometheus: what is no letter, digit or colon becomes `_`, the
unit becomes a suffix, a counter ends with `_total`, and a histogram has `_bucket`, `_count` and `_sum`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from dashboard.reads.metric_choices import LETTERS, choice_name, conditions
from dashboard.reads.metrics import Metric
from watchkeeper.store.metric_queries import SERVICE

_UNITS: Final[Mapping[str, str]] = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "kBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "m": "meters", "V": "volts", "A": "amperes",
    "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
_SERVICES: Final = frozenset({"job", "service", "service_name", "exported_job"})
_SUFFIXES: Final = ("", "_bucket", "_count", "_sum")


def translated(
    choices: Mapping[str, str], dictionary: Sequence[Metric], labels_of: Callable[[str], Iterable[str]]
) -> dict[str, str]:
    """The choices of a panel of metrics, with the names that the store has; what it has nothing for stays as it is."""
    known = {metric.name for metric in dictionary}
    by_name: dict[str, str] = {}
    for metric in dictionary:
        for name in exported_names(metric):
            by_name.setdefault(name, metric.name)
    result = dict(choices)
    for letter in LETTERS:
        place = choice_name("metric", letter)
        asked = choices.get(place, "")
        found = asked if asked in known else by_name.get(asked)
        if not found:
            continue
        result[place] = found
        labels = {_plain(label): label for label in labels_of(found)}
        where, by = (choices.get(choice_name(name, letter), "") for name in ("where", "by"))
        if where:
            matches = conditions(where)[0]
            written = [f'{_label(match.label, labels)}{match.operator}"{match.value}"' for match in matches]
            result[choice_name("where", letter)] = ", ".join(written)
        if by:
            result[choice_name("by", letter)] = ", ".join(_label(label.strip(), labels) for label in by.split(","))
    return result


def _label(name: str, labels: Mapping[str, str]) -> str:
    if name in labels.values():
        return name
    return labels.get(name, SERVICE if name in _SERVICES else name)


def exported_names(metric: Metric) -> Iterator[str]:
    """Every name that a Prometheus may have a metric under, the likeliest first."""
    plain = _plain(metric.name)
    unit = _unit(metric.unit)
    with_unit = f"{plain}_{unit}" if unit and not plain.endswith(f"_{unit}") else plain
    ratio = f"{plain}_ratio" if metric.unit == "1" and metric.kind == "gauge" else ""
    stems = list(dict.fromkeys(stem for stem in (with_unit, ratio, plain) if stem))
    if metric.kind == "counter":
        yield from (f"{stem.removesuffix('_total')}_total" for stem in stems)
    if "histogram" in metric.kind or metric.kind == "summary":
        yield from (f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES)
    yield from stems


def _unit(unit: str) -> str:
    """The suffix of a unit: `By/s` is `bytes_per_second`; none for `1` and for what stands in braces."""
    plain, slash, per = re.sub(r"\{[^}]*\}", "", unit).partition("/")
    word = "" if plain in ("", "1") else _UNITS.get(plain, _plain(plain))
    if not slash:
        return word
    period = {"s": "second", "min": "minute", "m": "minute", "h": "hour", "d": "day"}.get(per, _plain(per))
    return f"{word}_per_{period}" if word else f"per_{period}"


def _plain(name: str) -> str:
    """A name with `_` for what Prometheus does not allow in one.

    >>> _plain("http.server.request-duration")
    'http_server_request_duration'
    """
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9:]", "_", name))
    return f"_{plain}" if plain[:1].isdigit() else plain

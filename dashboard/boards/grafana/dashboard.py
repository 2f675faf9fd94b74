"""A Grafana dashboard, in its public JSON model, as a board: what was taken, in part, or not at all, and why.

Panels of PromQL become panels of metrics, those of ClickHouse panels of log lines and traces, text stays text. How a
panel looked (thresholds, colours, units, legends) is not taken, as a board has one way to look. What would change what
a panel says is in the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from dashboard.boards.board import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    MOST_PANELS,
    USUAL_RANGE,
    Board,
    Panel,
    Width,
    read_board,
    usual_title,
)
from dashboard.boards.grafana.clickhouse import panel_of_clickhouse
from dashboard.boards.grafana.promql import Query, lost_by, query_of
from dashboard.boards.grafana.refusals import NotTaken
from dashboard.boards.grafana.variables import Variables, variables_of
from dashboard.boards.text_edits import new_text
from dashboard.reads.metric_choices import LETTERS, choice_name
from dashboard.urls import LONGEST_CHOICE, RANGES
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line
from watchkeeper.yaml_file import LARGEST_BYTES

Outcome = Literal["taken", "in part", "not taken"]
LARGEST_FILE: Final = 8 * LARGEST_BYTES
MOST_READ: Final = 500  # panels of a dashboard
PROMETHEUS: Final = ("prometheus", "grafana-amazonprometheus-datasource", "grafana-azureprometheus-datasource")
CLICKHOUSE: Final = ("grafana-clickhouse-datasource", "vertamedia-clickhouse-datasource")
# What a panel of each type is shown as instead, where that differs.
_SHOWN_AS: Final[Mapping[str, str]] = {
    "timeseries": "",
    "graph": "",
    "logs": "",
    "stat": "its lines over time and the newest value of each, not one number",
    "gauge": "its lines over time and the newest value of each, not a gauge",
    "bargauge": "its lines over time and the newest value of each, not bars",
    "table": "its lines over time and the newest value of each, not a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One panel of the dashboard, or one of its parts: what became of it."""

    title: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The board, and a report for each panel of the dashboard, in its order."""

    board: Board
    reports: tuple[Report, ...]


def imported(raw: bytes) -> Imported:
    """The board of a dashboard's JSON.

    Raises:
        ConfigError: it is no dashboard, or nothing of it can be taken.
    """
    tree = _tree(raw)
    variables = variables_of(tree.get("templating"))
    panels: list[Panel] = []
    reports: list[Report] = []
    for number, given in enumerate(_panels(tree["panels"]), start=1):
        title = one_line(given.get("title") or f"Panel {number}", LONGEST_TITLE)
        if number > MOST_READ:
            reports.append(Report(title="the panels after it", outcome="not taken", reasons=(f"{MOST_READ} are read",)))
            break
        try:
            panel, lost = _taken(given, variables)
            if len(panels) >= MOST_PANELS:
                raise NotTaken(f"a board shows at most {MOST_PANELS} panels; split the dashboard")  # noqa: TRY301
            panels.append(panel)
            reports.append(Report(title=panel.title, outcome="in part" if lost else "taken", reasons=lost))
        except NotTaken as refused:
            reports.append(Report(title=title, outcome="not taken", reasons=(refused.message,)))
    reports += _around(tree)
    if not panels:
        why = next((report.reasons[0] for report in reports if report.reasons), "it has no panel")
        raise ConfigError(f"no panel of this dashboard can be taken. The first reason: {why}")
    board = Board(
        title=one_line(tree.get("title") or "Imported dashboard", LONGEST_TITLE),
        description=one_line(tree["description"], 1000)
        if isinstance(tree.get("description"), str) and tree["description"].strip()
        else "",
        range=_range(tree.get("time")),
        panels=tuple(panels),
    )
    return Imported(board=board, reports=tuple(reports))


def _tree(raw: bytes) -> dict[str, Any]:
    if len(raw) > LARGEST_FILE:
        raise ConfigError(f"the file is larger than {LARGEST_FILE >> 20} MiB; that is no dashboard")
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else one_line(error, 120)
        raise ConfigError(f"the file is not JSON ({why}); export the dashboard's JSON model from Grafana") from error
    if isinstance(tree, dict) and isinstance(tree.get("dashboard"), dict):  # as Grafana's API answers
        tree = tree["dashboard"]
    if not isinstance(tree, dict) or not isinstance(tree.get("panels"), list):
        old = isinstance(tree, dict) and isinstance(tree.get("rows"), list)
        new = isinstance(tree, dict) and ("elements" in tree or "spec" in tree)
        why = (
            "it has `rows`: it is older than Grafana 5. Open and save it in a newer Grafana, and export it again"
            if old
            else "it is in the schema v2 of Grafana 12. Export it again as a classic dashboard"
            if new
            else "it has no `panels`. Export the dashboard's JSON model from Grafana"
        )
        raise ConfigError(f"the file is no dashboard that can be read: {why}")
    return tree


def _panels(given: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Each panel by its place on the dashboard, those of folded rows too."""
    for one in sorted(_records(given), key=_place):
        if one.get("type") == "row":
            yield from sorted(_records(one.get("panels")), key=_place)
        else:
            yield one


def _records(given: Any) -> list[dict[str, Any]]:
    """The members of a list that are records; none where it is no list."""
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _place(panel: Mapping[str, Any]) -> tuple[float, float]:
    position = panel.get("gridPos")
    place = position if isinstance(position, dict) else {}
    down, right = (value if isinstance(value := place.get(axis), (int, float)) else 0.0 for axis in ("y", "x"))
    return float(min(max(down, 0), 1e6)), float(min(max(right, 0), 1e6))


def _taken(given: Mapping[str, Any], variables: Variables) -> tuple[Panel, tuple[str, ...]]:
    """A panel, and what of it is lost. Raises NotTaken."""
    kind = given.get("type")
    if given.get("libraryPanel") and not given.get("targets"):
        raise NotTaken("it is a library panel, whose queries are not in the file")
    if kind == "text":
        panel, lost = _text(given)
    elif isinstance(kind, str) and kind in _SHOWN_AS:
        panel, lost = _queried(given, kind, variables)
    else:
        raise NotTaken(f"panels of type {one_line(kind, 40)} cannot be shown")
    title = given.get("title")
    if isinstance(title, str) and title.strip():
        named, fixed = variables.filled(title) if "$" in title or "[[" in title else (title, ())
        panel, lost = replace(panel, title=one_line(named, LONGEST_TITLE)), (*lost, *fixed)
    panel = replace(panel, width=_width(given))
    _check(panel)
    return panel, tuple(dict.fromkeys((*lost, *_left_out(given))))


def _check(panel: Panel) -> None:
    """A panel of the import is held to what a file by hand is held to."""
    try:
        read_board(Path("board"), new_text(Board(title="x", panels=(panel,))))
    except ConfigError as error:
        raise NotTaken(error.message.splitlines()[0].partition(": ")[2] or error.message) from error


def _text(given: Mapping[str, Any]) -> tuple[Panel, tuple[str, ...]]:
    options = given.get("options")
    place = options if isinstance(options, dict) else given
    content, mode = place.get("content"), place.get("mode")
    if not isinstance(content, str) or not content.strip():
        raise NotTaken("it has no text")
    lost = (
        ["its markup is shown as it is written"] if mode in ("html", "markdown", None) and _has_markup(content) else []
    )
    plain = "".join(character for character in content if character.isprintable() or character == "\n").strip()
    if len(plain) > LONGEST_TEXT:
        lost.append(f"only the first {LONGEST_TEXT:,} characters are kept")
    if not plain:
        raise NotTaken("it has no text")
    choices = {"text": plain[:LONGEST_TEXT].strip()}
    return Panel(kind="text", title=usual_title("text", choices), choices=choices), tuple(lost)


def _has_markup(content: str) -> bool:
    return any(mark in content for mark in ("<", "**", "](", "# ", "`"))


def _queried(given: Mapping[str, Any], kind: str, variables: Variables) -> tuple[Panel, tuple[str, ...]]:
    targets = _records(given.get("targets"))
    shown = [one for one in targets if not one.get("hide")]
    lost = [f"{len(targets) - len(shown)} hidden queries are left out"] if len(shown) < len(targets) else []
    if not shown:
        raise NotTaken("it has no query")
    kinds = {_source(one, given) for one in shown}
    if kinds == {"clickhouse"}:
        panel, more = panel_of_clickhouse(shown, variables, logs=kind == "logs")
        return panel, (*lost, *more)
    if kinds - {"prometheus", ""}:
        named = ", ".join(sorted(one_line(name or "none", 40) for name in kinds))
        raise NotTaken(f"its data sources are {named}; a panel is read whose queries are all PromQL or all ClickHouse")
    if kind == "logs":
        raise NotTaken("it shows log lines of a source that is not ClickHouse")
    if "" in kinds:
        lost.append("its data source is not named; its queries are read as PromQL")
    panel, more = _metrics(shown, variables)
    instead = (f"shown are {_SHOWN_AS[kind]}",) if _SHOWN_AS[kind] else ()
    return panel, (*lost, *more, *instead)


def _source(target: Mapping[str, Any], panel: Mapping[str, Any]) -> str:
    """`prometheus`, `clickhouse`, another source's type, or "" where none is named."""
    for holder in (target, panel):
        source = holder.get("datasource")
        kind = source.get("type") if isinstance(source, dict) else source if isinstance(source, str) else None
        if not isinstance(kind, str) or not kind.strip() or kind.startswith("$"):
            continue
        if kind in PROMETHEUS or (isinstance(source, str) and kind.lower().startswith("prometheus")):
            return "prometheus"
        return "clickhouse" if kind in CLICKHOUSE else kind
    return "clickhouse" if "rawSql" in target else ""


def _metrics(targets: Sequence[Mapping[str, Any]], variables: Variables) -> tuple[Panel, tuple[str, ...]]:
    """A panel of up to four queries; those that cannot be said are lost, unless none can."""
    queries: list[Query] = []
    lost: list[str] = []
    for number, target in enumerate(targets):
        name = one_line(target.get("refId") or f"{number + 1}", 10)
        expression, legend = target.get("expr"), target.get("legendFormat")
        try:
            if not isinstance(expression, str) or not expression.strip():
                raise NotTaken("it has no expression")  # noqa: TRY301
            filled, fixed = variables.filled(expression)
            query = query_of(filled, legend if isinstance(legend, str) else "")
            if len(queries) == len(LETTERS):
                raise NotTaken(f"a panel has at most {len(LETTERS)} queries")  # noqa: TRY301
            queries.append(replace(query, lost=(*query.lost, *fixed)))
        except NotTaken as refused:
            lost.append(f"query {name} is left out: {refused.message}")
    if not queries:
        first = lost[0].partition(": ")[2]
        raise NotTaken(first if len(targets) == 1 else "; ".join(lost))
    choices: dict[str, str] = {"names": "prometheus"}
    for letter, query in zip(LETTERS, queries, strict=False):
        choices |= {choice_name(name, letter): value for name, value in query.choices().items()}
    if any(len(value) > LONGEST_CHOICE for value in choices.values()):
        raise NotTaken(f"a part of its query has more than {LONGEST_CHOICE:,} characters")
    return Panel(kind="metrics", title=usual_title("metrics", choices), choices=choices), (*lost_by(queries), *lost)


def _left_out(given: Mapping[str, Any]) -> Iterator[str]:
    """What changes what a panel says, and a board does not know."""
    if given.get("transformations"):
        yield "its transformations are left out"
    if given.get("repeat"):
        yield f"it was repeated for each value of ${one_line(given['repeat'], 40)}; it stands here once"
    if given.get("timeFrom") or given.get("timeShift"):
        yield "it had a time range of its own; here it has the board's"
    if given.get("alert"):
        yield "its alert rule is not taken"


def _around(tree: Mapping[str, Any]) -> Iterator[Report]:
    """What stands beside the panels."""
    notes = tree.get("annotations")
    if any(not one.get("builtIn") for one in _records(notes.get("list") if isinstance(notes, dict) else None)):
        reason = (
            "the queries of annotations are not read; changes and incidents are marked on the pages of metrics and logs"
        )
        yield Report(title="Annotations", outcome="not taken", reasons=(reason,))
    if tree.get("links"):
        yield Report(title="Links", outcome="not taken", reasons=("a board has no links to other sites",))
    rows = [one for one in _records(tree["panels"]) if one.get("type") == "row" and one.get("title")]
    if rows:
        names = ", ".join(one_line(one["title"], 40) for one in rows[:10])
        yield Report(
            title="Rows",
            outcome="not taken",
            reasons=(f"a board has no rows; their panels are taken without the headings: {names}",),
        )


def _width(given: Mapping[str, Any]) -> Width:
    position = given.get("gridPos")
    wide = position.get("w") if isinstance(position, dict) else None
    if not isinstance(wide, (int, float)):
        return "half"
    return "third" if wide <= 8 else "half" if wide <= 16 else "full"  # of Grafana's 24 columns


def _range(given: Any) -> str:
    """The shortest of our ranges that holds the dashboard's own; the usual one for a fixed range."""
    begin = given.get("from") if isinstance(given, dict) else None
    if not isinstance(begin, str) or not begin.startswith("now-"):
        return USUAL_RANGE
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}.get(begin[-1])
    number = begin[4:-1]
    if unit is None or not number.isascii() or not number.isdecimal() or len(number) > 6:
        return USUAL_RANGE
    return next((name for name, seconds in RANGES.items() if seconds >= int(number) * unit), "7d")

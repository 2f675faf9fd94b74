"""Grafana dashboards as boards: what is taken, what is lost, and what is refused with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.boards.board import read_board
from dashboard.boards.grafana.dashboard import Report, imported
from dashboard.boards.grafana.promql import query_of
from dashboard.boards.grafana.refusals import NotTaken
from dashboard.boards.prometheus_names import exported_names, translated
from dashboard.boards.text_edits import new_text
from dashboard.reads.metrics import Metric
from watchkeeper.errors import ConfigError

PROMETHEUS = {"type": "prometheus", "uid": "p1"}
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "c1"}


def panel(kind: str = "timeseries", *expressions: str, **more: Any) -> dict[str, Any]:
    """A panel of PromQL as Grafana writes it."""
    targets = [
        {"refId": "ABCDEFG"[place], "datasource": PROMETHEUS, "expr": expression, "legendFormat": "__auto"}
        for place, expression in enumerate(expressions)
    ]
    return {
        "id": 1, "type": kind, "title": "Panel", "datasource": PROMETHEUS, "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0},
        "targets": targets, "fieldConfig": {"defaults": {"unit": "s"}, "overrides": []}, "options": {}, **more,
    }  # fmt: skip


def query(sql: str, kind: str = "timeseries") -> dict[str, Any]:
    """A panel of ClickHouse as its plugin writes it."""
    target = {"refId": "A", "datasource": CLICKHOUSE, "editorType": "sql", "rawSql": sql, "queryType": "timeseries"}
    return {"type": kind, "title": "Panel", "datasource": CLICKHOUSE, "targets": [target]}


def dashboard(*panels: Any, **more: Any) -> bytes:
    tree = {
        "title": "Shop",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "panels": list(panels),
        **more,
    }
    return json.dumps(tree).encode()


def only(*panels: Any, **more: Any) -> tuple[dict[str, str], Report]:
    """The choices of the one panel, and its report."""
    result = imported(dashboard(*panels, **more))
    (one,) = result.board.panels
    return dict(one.choices), result.reports[0]


@pytest.mark.parametrize(
    ("expression", "choices"),
    [
        ("up", {"metric": "up", "agg": "avg"}),
        ("sum(queue_length)", {"metric": "queue_length", "agg": "sum"}),
        ('max by (host, disk) (disk_used{disk!="sda", env="a b"})',
         {"metric": "disk_used", "agg": "max", "by": "host, disk", "where": 'disk!="sda", env="a b"'}),
        ("sum by (route) (rate(http_requests_total[$__rate_interval]))",
         {"metric": "http_requests_total", "show": "rate", "agg": "sum", "by": "route"}),
        ('sum(rate(x_total{route=~"/cart.*", status!~"5.*"}[5m]))',
         {"metric": "x_total", "show": "rate", "agg": "sum", "where": 'route="/cart*", status!="5*"'}),
        ('avg(x{a=~".+", b=~".*", c="", d=~"^one\\\\.two$"})',
         {"metric": "x", "agg": "avg", "where": 'a!="", c="", d="one.two"'}),
        ('sum({__name__="x.y", a="b"})', {"metric": "x.y", "agg": "sum", "where": 'a="b"'}),
        ("histogram_quantile(0.95, sum by (le, route) (rate(d_seconds_bucket[5m])))",
         {"metric": "d_seconds", "show": "p95", "by": "route"}),
        ("histogram_quantile(0.99, sum(rate(d_seconds_bucket[5m])) by (le))", {"metric": "d_seconds", "show": "p99"}),
        ("sum(rate(d_sum[5m])) / sum(rate(d_count[5m]))", {"metric": "d", "show": "mean"}),
        ("quantile(0.95, x)", {"metric": "x", "agg": "p95"}),
        ("(sum((x)))", {"metric": "x", "agg": "sum"}),
    ],
)  # fmt: skip
def test_an_expression_becomes_a_query(expression: str, choices: dict[str, str]) -> None:
    """Each in the words of the page Metrics."""
    taken, _ = only(panel("timeseries", expression))
    assert taken == {"names": "prometheus", **choices}


def test_a_whole_query_is_taken_without_a_remark() -> None:
    """The list of losses is worth reading because it is short."""
    _, report = only(panel("timeseries", 'sum by (route) (rate(x_total{a="b"}[5m]))'))
    assert report == Report(title="Panel", outcome="taken")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("increase(x_total[1h])", "growth a second"),
        ("irate(x_total[5m])", "irate is shown as the rate"),
        ("x", "each series by itself"),
        ("topk(5, sum by (a) (x))", "topk is left out"),
    ],
)
def test_what_is_lost_of_an_expression_is_said(expression: str, words: str) -> None:
    """The panel is there, in part."""
    _, report = only(panel("timeseries", expression))
    assert report.outcome == "in part"
    assert any(words in reason for reason in report.reasons)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a / b", "arithmetic (/)"),
        ("100 * x", "arithmetic (*)"),
        ("/".join(["a"] * 1900), "arithmetic (/)"),
        ("^".join(["a"] * 1900), "arithmetic (^)"),
        ("+".join(["a"] * 1900), "arithmetic (+)"),
        ("sum(rate(d_sum[5m])) / sum(rate(d_count{a='b'}[5m]))", "arithmetic"),
        ("x offset 5m", "`offset`"),
        ("x @ end()", "`offset` and `@`"),
        ("sum without (a) (x)", "`without`"),
        ("sum(avg by (a) (x))", "aggregated already"),
        ("count(x)", "count is not one of"),
        ("deriv(x[5m])", "the function deriv"),
        ("rate(x[5m:1m])", "subquery"),
        ("x[5m]", "a range without a function"),
        ("-x", "a sign before"),
        ('x{a=~"b|c"}', "the regular expression b|c"),
        ('x{a=~"b.+c"}', "`.+` in a text"),
        ('x{a="b*c"}', "a star"),
        ("x{a='\"'}", "a quotation mark"),
        ('{a="b"}', "no metric is named"),
        ('{__name__=~"x.*"}', "named in full"),
        ("histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m])))", "0.5, 0.95 and 0.99"),
        ("histogram_quantile(0.95, sum by (a) (rate(d_bucket[5m])))", "must be by le"),
        ("histogram_quantile(0.95, d_bucket)", "rate of buckets"),
        ("sum by (a, b, c, d, e) (x)", "at most 4 labels"),
        ("sum(", "not PromQL"),
        ("1", "a number"),
        ("(" * 80 + "x" + ")" * 80, "nested more than"),
        ("-" * 5000 + "x", "characters"),
        ("- " * 400 + "x", "nested more than"),
        ("sum(x{a=\"$unknown\"})", "the variable $unknown has no value"),
        ("", "no expression"),
    ],
)  # fmt: skip
def test_what_a_panel_cannot_say_is_refused_with_the_part(expression: str, words: str) -> None:
    """Never guessed: a panel that shows something else would be believed."""
    result = imported(dashboard(panel("timeseries", expression), panel("timeseries", "up")))
    assert result.reports[0].outcome == "not taken"
    assert words in result.reports[0].reasons[0]
    assert len(result.board.panels) == 1


def test_several_queries_stand_in_one_panel_and_those_that_cannot_are_named() -> None:
    """Up to four; a hidden one is left out."""
    many = panel("timeseries", "sum(a)", "a / b", "sum(c)", "sum(d)", "sum(e)", "sum(f)")
    many["targets"][2]["hide"] = True
    taken, report = only(many)
    assert [taken[name] for name in ("metric", "metric-b", "metric-c", "metric-d")] == ["a", "d", "e", "f"]
    assert "1 hidden queries are left out" in report.reasons
    assert any(reason.startswith("query B is left out: arithmetic") for reason in report.reasons)


def test_the_labels_of_a_legend_are_what_an_ungrouped_query_is_grouped_by() -> None:
    """They are what the author told its lines apart by."""
    one = panel("timeseries", "rate(x_total[5m])")
    one["targets"][0]["legendFormat"] = "{{ host }} {{disk}}"
    taken, report = only(one)
    assert (taken["by"], taken["agg"]) == ("host, disk", "sum")
    assert report.outcome == "in part"


VARIABLES = {
    "list": [
        {"name": "env", "type": "custom", "current": {"text": "prod", "value": "prod"}},
        {"name": "route", "type": "query", "current": {"text": "All", "value": ["$__all"]}, "includeAll": True},
        {"name": "hosts", "type": "query", "current": {"text": ["a", "b"], "value": ["a", "b"]}},
        {"name": "ns", "type": "constant", "query": "shop"},
        {"name": "DS", "type": "datasource", "current": {"value": "p1"}},
    ]
}


def test_variables_have_the_value_that_they_were_saved_with() -> None:
    """Each is named in the list; All drops its condition; several values at once are refused."""
    text = 'sum(x{env="$env", route=~"${route:regex}", ns="[[ns]]"})'
    one = panel("timeseries", text, title="In $env", datasource={"type": "prometheus", "uid": "${DS}"})
    taken, report = only(one, templating=VARIABLES)
    assert taken["where"] == 'env="prod", ns="shop"'
    assert {"$env is fixed to prod", "$route is fixed to all values", "$ns is fixed to shop"} <= set(report.reasons)
    assert report.title == "In prod"
    two = panel("timeseries", 'sum(x{host=~"$hosts"})')
    with pytest.raises(ConfigError, match=r"the regular expression a\|b"):
        imported(dashboard(two, templating=VARIABLES))


@pytest.mark.parametrize("kind", ["stat", "gauge", "bargauge", "table"])
def test_a_panel_of_one_number_is_shown_as_lines_and_says_so(kind: str) -> None:
    """In part."""
    _, report = only(panel(kind, "sum(x)"))
    assert report.outcome == "in part"
    assert "not" in report.reasons[-1]


def test_panels_come_in_their_order_with_their_width_and_rows_are_unfolded() -> None:
    """What stands in a folded row, too."""
    folded = {"type": "row", "title": "Folded", "collapsed": True, "gridPos": {"y": 20, "x": 0, "w": 24}, "panels": [
        panel("timeseries", "sum(c)", title="C", gridPos={"y": 21, "x": 0, "w": 24})]}  # fmt: skip
    result = imported(
        dashboard(
            folded,
            panel("timeseries", "sum(b)", title="B", gridPos={"y": 0, "x": 8, "w": 16}),
            panel("timeseries", "sum(a)", title="A", gridPos={"y": 0, "x": 0, "w": 8}),
        )
    )
    assert [(one.title, one.width) for one in result.board.panels] == [("A", "third"), ("B", "half"), ("C", "full")]
    assert any(report.title == "Rows" and "Folded" in report.reasons[0] for report in result.reports)
    assert (result.board.title, result.board.range) == ("Shop", "12h")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "piechart", "title": "Pie", "targets": []}, "panels of type piechart"),
        ({"type": "timeseries", "title": "None"}, "no query"),
        ({"type": "timeseries", "libraryPanel": {"uid": "x"}}, "library panel"),
        ({"type": "timeseries", "targets": [{"datasource": {"type": "loki"}, "expr": "{a=\"b\"}"}]}, "loki"),
        ({"type": "logs", "targets": [{"datasource": PROMETHEUS, "expr": "x"}]}, "not ClickHouse"),
        ({"type": "text", "options": {"content": " "}}, "no text"),
    ],
)  # fmt: skip
def test_a_panel_of_another_kind_is_named_with_its_reason(given: dict[str, Any], words: str) -> None:
    """And does not stop the others."""
    result = imported(dashboard(given, panel("timeseries", "sum(x)", gridPos={"y": 9, "x": 0})))
    assert words in result.reports[0].reasons[0]
    assert result.reports[1].outcome == "taken"


def test_what_stands_around_a_panel_and_changes_what_it_says_is_listed() -> None:
    """Transformations, repeats, a time range of its own; annotations and links of the dashboard."""
    one = panel("timeseries", "sum(x)", transformations=[{"id": "reduce"}], repeat="host", timeFrom="7d")
    result = imported(
        dashboard(one, annotations={"list": [{"builtIn": 1}, {"name": "Deploys"}]}, links=[{"title": "Wiki"}])
    )
    assert len(result.reports[0].reasons) == 3
    assert {report.title for report in result.reports[1:]} == {"Annotations", "Links"}


def test_a_text_panel_keeps_its_words() -> None:
    """Markup stands as it is written: nothing of it runs."""
    content = "# Read me\n<script>alert(1)</script>"
    taken, report = only({"type": "text", "title": "", "options": {"mode": "markdown", "content": content}})
    assert taken == {"text": content}
    assert report.outcome == "in part"


@pytest.mark.parametrize(
    ("sql", "kind", "choices"),
    [
        (("SELECT Timestamp as t, Body FROM otel.otel_logs WHERE $__timeFilter(Timestamp) AND ServiceName = 'cart' "
         "AND SeverityNumber >= 17 AND Body ILIKE '%timed out%' AND LogAttributes['http.route'] != '/x' "
         "ORDER BY Timestamp DESC LIMIT 100"),
         "logs", {"query": 'service:cart severity>=error "timed out" -http.route:/x'}),
        ("SELECT Body FROM otel_logs -- new\nWHERE ServiceName = '$env' AND LogAttributes['a'] = 'x--y' /* b */;",
         "logs", {"query": 'service:prod a:x--y'}),
        (("SELECT $__timeInterval(Timestamp) AS t, count() FROM \"otel_logs\" WHERE Timestamp >= $__fromTime AND "
         "Timestamp <= $__toTime GROUP BY t"), "logs", {}),
        (("SELECT quantile(0.95)(Duration) FROM otel_traces WHERE $__timeFilter(Timestamp) AND ServiceName IN ('cart') "
         "AND SpanName = 'GET /pay' AND StatusCode = 'Error' AND Duration > 250000000 AND ParentSpanId = '' "
         "AND SpanAttributes['user.tier'] = 'very gold'"),
         "traces", {"scope": "roots", "service": "cart", "op": "GET /pay", "status": "failed", "min": "250ms",
                    "attr": 'user.tier="very gold"'}),
        (("SELECT TimeUnix, avg(Value) FROM otel_metrics_gauge WHERE MetricName = 'queue.length' AND $__timeFilter("
         "TimeUnix) AND ServiceName = 'cart' AND Attributes['queue'] = 'orders' GROUP BY TimeUnix"),
         "metrics", {"metric": "queue.length", "service": "cart", "where": 'queue="orders"'}),
    ],
)  # fmt: skip
def test_a_statement_over_the_exporters_tables_becomes_a_search(sql: str, kind: str, choices: dict[str, str]) -> None:
    """By its table and conditions."""
    result = imported(dashboard(query(sql), templating=VARIABLES))
    (one,) = result.board.panels
    assert (one.kind, dict(one.choices)) == (kind, choices)
    assert result.reports[0].outcome == "in part"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1", "not one SELECT"),
        ("SELECT * FROM system.users", "not a table of OpenTelemetry"),
        ("SELECT * FROM url('http://evil.example', CSV)", "not one SELECT"),
        ("SELECT * FROM otel_logs; DROP TABLE otel_logs", "not one SELECT"),
        ("SELECT * FROM otel_logs WHERE a = 'b' AND c = 'd'", "the condition"),
        ("SELECT * FROM otel_logs WHERE ServiceName = 'b' OR ServiceName = 'd'", "joined by AND"),
        ("SELECT * FROM otel_logs WHERE ServiceName IN ('a', 'b')", "cannot be read"),
        ("SELECT * FROM otel_logs WHERE lower(Body) = 'x'", "cannot be read"),
        ("SELECT * FROM otel_logs WHERE (ServiceName = 'a')", "cannot be read"),
        ("SELECT * FROM otel_logs WHERE Body LIKE 'a%b'", "search of log lines"),
        ("SELECT * FROM otel_logs JOIN x ON 1 WHERE 1", "JOIN"),
        ("SELECT * FROM (SELECT * FROM otel_logs)", "SELECT"),
        ("WITH a AS (SELECT 1) SELECT * FROM otel_logs", "WITH"),
        ("SELECT * FROM otel_traces WHERE Duration > 'a'", "search of traces"),
        ("SELECT * FROM otel_metrics_sum", "names no metric"),
        ("SELECT * FROM otel_other", "not one that boards read"),
        ("SELECT * FROM otel_logs WHERE SeverityNumber > 17", "within a severity"),
        (f"SELECT * FROM otel_logs WHERE Body = '{'x' * 9000}'", "characters"),
        ("SELECT " + "(" * 3000, "not one SELECT"),
    ],
)  # fmt: skip
def test_a_statement_that_is_no_search_is_refused(sql: str, words: str) -> None:
    """Nothing of a file reaches the store as SQL."""
    result = imported(dashboard(query(sql), panel("timeseries", "sum(x)", gridPos={"y": 9, "x": 0})))
    assert result.reports[0].outcome == "not taken"
    assert words in result.reports[0].reasons[0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no `panels`"),
        (b"\xff\xfe", "not JSON"),
        (b'{"rows": [], "schemaVersion": 14}', "older than Grafana 5"),
        (b'{"elements": {}, "layout": {}}', "schema v2"),
        (b'{"title": "A", "panels": []}', "no panel of this dashboard can be taken"),
        (b'{"title": "A", "panels": [1, null, {"type": "x"}]}', "panels of type x"),
        (b" " * (9 << 20), "larger than"),
    ],
)
def test_a_file_that_is_no_dashboard_is_refused_in_words(raw: bytes, words: str) -> None:
    """What it is, and what to do."""
    with pytest.raises(ConfigError) as refused:
        imported(raw)
    assert words in refused.value.message


@pytest.mark.parametrize("version", range(36, 42))
def test_the_schema_versions_of_grafana_9_to_12_are_read(version: int) -> None:
    """As the JSON model, and as the API wraps it."""
    tree = json.loads(dashboard(panel("timeseries", "sum(x)"), schemaVersion=version))
    for form in (tree, {"dashboard": tree, "meta": {}}):
        assert imported(json.dumps(form).encode()).reports[0].outcome == "taken"


def test_a_dashboard_with_more_panels_than_a_board_has_is_cut_and_says_so() -> None:
    """The first ones are taken."""
    result = imported(dashboard(*[panel("timeseries", f"sum(x{number})") for number in range(30)]))
    assert len(result.board.panels) == 24
    assert [report.outcome for report in result.reports].count("not taken") == 6


KEYS = ["type", "targets", "expr", "title", "gridPos", "datasource", "options", "content", "rawSql", "panels", "w", "y"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["timeseries", "text", "row", "stat", "prometheus", "sum(x)", "SELECT a FROM otel_logs", "$a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8) | VALUES, max_size=4),
    st.dictionaries(st.sampled_from(["title", "templating", "time", "annotations", "links", "description"]), VALUES),
)
def test_any_tree_is_imported_or_refused_in_words(panels: list[Any], more: dict[str, Any]) -> None:
    """No traceback; and what is imported is a board that can be read back."""
    try:
        result = imported(json.dumps({"panels": panels, **more}).encode())
    except ConfigError as error:
        result = None
        message = error.message
    assert result or message
    if result:
        assert read_board(Path("a.yaml"), new_text(result.board)) == result.board


@settings(max_examples=300, deadline=None)
@given(st.text('abx(){}[]",=~!+-*/ 0159.sumratebyle$|\\é', max_size=60))
def test_any_expression_is_read_or_refused_in_words(text: str) -> None:
    """No traceback."""
    try:
        said = query_of(text).metric
    except NotTaken as refused:
        said = refused.message
    assert said


def metric(name: str, kind: str, unit: str) -> Metric:
    newest = datetime(2026, 1, 1, tzinfo=UTC)
    return Metric(name=name, kind=kind, unit=unit, description="", services=1, series=1, points=1, newest=newest)


@pytest.mark.parametrize(
    ("name", "kind", "unit", "exported"),
    [
        ("http.server.request.duration", "histogram", "s", "http_server_request_duration_seconds"),
        ("http.server.requests", "counter", "{request}", "http_server_requests_total"),
        ("process.memory.usage", "up-down counter", "By", "process_memory_usage_bytes"),
        ("system.network.io", "counter", "By", "system_network_io_bytes_total"),
        ("cpu.utilization", "gauge", "1", "cpu_utilization_ratio"),
        ("requests_total", "counter", "", "requests_total"),
        ("disk.speed", "gauge", "By/s", "disk_speed_bytes_per_second"),
        ("2xx", "gauge", "", "_2xx"),
    ],
)
def test_a_metric_is_found_by_the_name_that_prometheus_has_for_it(
    name: str, kind: str, unit: str, exported: str
) -> None:
    """By OpenTelemetry's own rules; no name is built in."""
    assert exported in set(exported_names(metric(name, kind, unit)))
    choices = {"metric": exported, "where": 'http_route="/x", job!="a"', "by": "http_route, other"}
    found = translated(choices, [metric(name, kind, unit)], lambda _: ["http.route"])
    assert found == {"metric": name, "where": 'http.route="/x", service!="a"', "by": "http.route, other"}


def test_a_name_that_the_store_has_stays_and_one_that_it_has_not_too() -> None:
    """A scraped metric keeps the name that Prometheus gave it."""
    dictionary = [metric("up", "gauge", ""), metric("u.p", "gauge", "")]
    assert translated({"metric": "up"}, dictionary, lambda _: [])["metric"] == "up"
    assert translated({"metric": "u_p"}, dictionary, lambda _: [])["metric"] == "u.p"
    assert translated({"metric": "nowhere", "by": "job"}, dictionary, lambda _: []) == {
        "metric": "nowhere",
        "by": "job",
    }

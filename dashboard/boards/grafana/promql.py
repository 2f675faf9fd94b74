"""A PromQL expression as a query of the page Metrics; what such a query cannot say is refused, never guessed.

Read are: a selector with =, !=, and those of =~ and !~ that are a text with `.*` in it; rate, irate and increase of
one; sum, avg, min, max and quantile of these, by labels; topk and bottomk around them; histogram_quantile of the rate
of a histogram; and the rate of a `_sum` divided by that of its `_count`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import promql_parser as promql

from dashboard.boards.grafana.refusals import NotTaken
from dashboard.boards.grafana.variables import ALL
from dashboard.reads.metric_choices import MOST_CONDITIONS, MOST_GROUPINGS
from watchkeeper.text import one_line

LONGEST: Final = 4000
DEEPEST: Final = 60  # brackets in each other: the parser is a compiled one, whose stack ends without an error
QUANTILES: Final = {0.5: "p50", 0.95: "p95", 0.99: "p99"}
AGGREGATIONS: Final = ("sum", "avg", "min", "max")
_RATES: Final = ("rate", "irate", "increase")
_LEGEND: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_PLAIN: Final = re.compile(r"(?:[^.*+?()\[\]{}|^$\\]|\\[^A-Za-z0-9])*")
_PARTS: Final = re.compile(r"(\.\*|\.\+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query in the words of the page Metrics. `lost` says what of the expression it leaves out."""

    metric: str
    where: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    show: str = ""
    agg: str = ""
    lost: tuple[str, ...] = ()

    def losing(self, words: str) -> Query:
        """The same query, with one more thing left out."""
        return replace(self, lost=(*self.lost, words))

    def choices(self) -> dict[str, str]:
        """The choices of the page's address."""
        named = {"metric": self.metric, "where": ", ".join(self.where), "by": ", ".join(self.by)}
        return {name: value for name, value in {**named, "show": self.show, "agg": self.agg}.items() if value}


def query_of(expression: str, legend: str = "") -> Query:
    """The query of an expression whose variables are filled in. `legend` names labels as `{{label}}`.

    Raises:
        NotTaken: it cannot be said as a query, or is no PromQL; says which part.
    """
    if len(expression) > LONGEST:
        raise NotTaken(f"the expression has {len(expression):,} characters, and at most {LONGEST:,} are read")
    if _depth(expression) > DEEPEST:
        raise NotTaken(f"the expression is nested more than {DEEPEST} deep")
    try:
        tree = promql.parse(expression)
    except ValueError as error:
        raise NotTaken(f"this is not PromQL: {one_line(error, 120)}") from error
    query = _read(tree)
    if len(query.where) > MOST_CONDITIONS or len(query.by) > MOST_GROUPINGS:
        raise NotTaken(
            f"a query has at most {MOST_CONDITIONS} conditions and groups by at most {MOST_GROUPINGS} labels"
        )
    if not query.agg and query.show in ("", "rate"):
        labels = tuple(dict.fromkeys(_LEGEND.findall(legend)))[:MOST_GROUPINGS]
        how = "sum" if query.show == "rate" else "avg"
        words = f"grouped by {', '.join(labels)} as in its legend" if labels else "without a group"
        query = replace(query, by=labels, agg=how)
        return query.losing(f"it drew each series by itself; here they are {words}, the {how} of each group")
    return query


def _depth(expression: str) -> int:
    depth = deepest = 0
    for character in expression:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    # Signs and operators nest too, without a bracket.
    return deepest + max((len(run) for run in re.findall(r"[-+\s]*[-+]", expression)), default=0)


def _read(tree: Any) -> Query:
    if isinstance(tree, promql.ParenExpr):
        return _read(tree.expr)
    if isinstance(tree, promql.VectorSelector):
        return _selected(tree)
    if isinstance(tree, promql.Call):
        return _called(tree)
    if isinstance(tree, promql.AggregateExpr):
        return _aggregated(tree)
    if isinstance(tree, promql.BinaryExpr):
        return _divided(tree)
    kinds = {
        promql.NumberLiteral: "a number",
        promql.StringLiteral: "a text",
        promql.SubqueryExpr: "a subquery",
        promql.UnaryExpr: "a sign before a series",
        promql.MatrixSelector: "a range without a function",
    }
    raise NotTaken(f"{kinds.get(type(tree), 'this')} cannot be shown as a query")


def _selected(tree: Any) -> Query:
    if tree.offset is not None or tree.at is not None:
        raise NotTaken("`offset` and `@` move a series in time, which a panel cannot")
    if tree.matchers.or_matchers:
        raise NotTaken("`or` between matchers cannot be written as conditions")
    metric, where = tree.name or "", []
    for matcher in tree.matchers.matchers:
        if matcher.name == "__name__":
            if matcher.op != promql.MatchOp.Equal or metric:
                raise NotTaken("a metric must be named in full, not by a pattern of __name__")
            metric = matcher.value
        elif condition := _condition(matcher):
            where.append(condition)
    if not metric:
        raise NotTaken("no metric is named")
    return Query(metric=metric, where=tuple(where))


def _condition(matcher: Any) -> str:
    """A matcher as a condition of the page; "" for one that holds for every series."""
    name, value = matcher.name, matcher.value
    is_pattern = matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
    negated = matcher.op in (promql.MatchOp.NotEqual, promql.MatchOp.NotRe)
    if ALL in value and not negated:
        if value == ALL:
            return ""
        if not is_pattern:
            raise NotTaken(f"{name}: a variable that stands for all values is a part of a text")
        value = value.replace(ALL, ".*")
    if is_pattern:
        if value == ".*" and not negated:
            return ""
        if value == ".+":  # that the label is there
            value, negated = "", not negated
        else:
            value = _wildcard(name, value)
    elif "*" in value:
        raise NotTaken(f"{name}: a condition cannot hold a star as a character")
    if '"' in value:
        raise NotTaken(f"{name}: a condition cannot hold a quotation mark")
    return f'{name}{"!=" if negated else "="}"{value}"'


def _wildcard(name: str, pattern: str) -> str:
    """A regular expression that is a text with any text in it, as the page writes that."""
    parts = _PARTS.split(pattern.removeprefix("^").removesuffix("$"))
    if not all(_PLAIN.fullmatch(part) for part in parts[::2]) or "*" in "".join(parts[::2]):
        shown = one_line(pattern, 60)
        raise NotTaken(f"{name}: the regular expression {shown} is more than a text with .* in it")
    if ".+" in parts:
        raise NotTaken(f"{name}: `.+` in a text cannot be written; write `.*`")
    return "".join("*" if place % 2 else re.sub(r"\\(.)", r"\1", part) for place, part in enumerate(parts))


def _called(tree: Any) -> Query:
    name = tree.func.name
    if name == "histogram_quantile":
        return _quantile(tree)
    if name not in _RATES:
        raise NotTaken(f"the function {name} is not one that a panel can show")
    (range_of,) = tree.args
    if not isinstance(range_of, promql.MatrixSelector):
        raise NotTaken(f"{name} of a subquery cannot be shown")
    query = replace(_selected(range_of.vector_selector), show="rate")
    if name == "increase":
        return query.losing("increase is shown as growth a second")
    return query.losing("irate is shown as the rate over a point's step") if name == "irate" else query


def _aggregated(tree: Any) -> Query:
    how = str(tree.op)
    inner = _read(tree.expr)
    if how in ("topk", "bottomk") and tree.modifier is None:
        return inner.losing(f"{how} is left out; a panel shows the groups with the highest values")
    if inner.agg or inner.show not in ("", "rate"):
        raise NotTaken(f"{how} of what is aggregated already cannot be shown")
    if how == "quantile" and isinstance(tree.param, promql.NumberLiteral) and tree.param.val == 0.95:
        how = "p95"
    elif how not in AGGREGATIONS:
        raise NotTaken(f"{how} is not one of {', '.join(AGGREGATIONS)}")
    return replace(inner, by=_groups(tree), agg=how)


def _groups(tree: Any) -> tuple[str, ...]:
    if tree.modifier is None:
        return ()
    if tree.modifier.type != promql.AggModifierType.By:
        raise NotTaken("`without` groups by labels that are not named; write `by`")
    return tuple(tree.modifier.labels)


def _quantile(tree: Any) -> Query:
    ratio, inner = tree.args
    if not isinstance(ratio, promql.NumberLiteral) or ratio.val not in QUANTILES:
        raise NotTaken("histogram_quantile: of quantiles, 0.5, 0.95 and 0.99 can be shown")
    query = _read(inner)
    if query.show != "rate" or query.agg not in ("", "sum"):
        raise NotTaken("histogram_quantile is read of the rate of buckets, or of the sum of that by le")
    name = query.metric.removesuffix("_bucket")
    if query.agg and name != query.metric and "le" not in query.by:
        raise NotTaken("histogram_quantile: the sum must be by le")
    by = tuple(label for label in query.by if label != "le")
    bare = () if query.agg else ("it drew each series by itself; here all are one",)
    return replace(query, metric=name, by=by, show=QUANTILES[ratio.val], agg="", lost=(*query.lost, *bare))


def _divided(tree: Any) -> Query:
    """The mean of a histogram or a summary: the growth of its sum over that of its count."""
    refused = NotTaken(f"arithmetic ({tree.op}) cannot be shown, except a rate of a _sum over that of its _count")
    is_chain = any(isinstance(side, promql.BinaryExpr) for side in (tree.lhs, tree.rhs))
    if str(tree.op) != "/" or tree.modifier is not None or is_chain:
        raise refused
    above, below = _read(tree.lhs), _read(tree.rhs)
    name = above.metric.removesuffix("_sum")
    if (name == above.metric or below.metric != f"{name}_count" or above.show != "rate") or (
        (above.where, above.by, above.agg, above.show) != (below.where, below.by, below.agg, below.show)
        or above.agg not in ("", "sum")
    ):
        raise refused
    bare = () if above.agg else ("it drew each series by itself; here all are one",)
    return replace(above, metric=name, show="mean", agg="", lost=(*above.lost, *bare))


def lost_by(queries: Sequence[Query]) -> tuple[str, ...]:
    """What several queries of one panel leave out, each once."""
    return tuple(dict.fromkeys(words for query in queries for words in query.lost))

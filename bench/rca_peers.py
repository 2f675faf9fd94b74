"""Published methods from RCAEval on the same cases, where that library and what it needs is installed (extra `peers`).

They take a table of metrics and the time of the fault, and rank its columns; a service stands where its first column
does. They know no traces, logs or call graph. RCD draws random numbers: its seed is fixed.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from rca.case import Case, Series

Method = Callable[..., Any]


def installed() -> dict[str, Method]:
    """The methods that can be imported, by name; none where RCAEval is not installed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            methods = import_module("RCAEval.e2e")
            baro = import_module("RCAEval.e2e.baro").baro
    except ImportError:
        return {}
    return {"RCAEval BARO": baro, "RCAEval N-sigma": methods.nsigma}


def ranking(method: Method, case: Case) -> list[str]:
    """Candidates in the method's order; those without a metric, or all where it fails, come last by name."""
    last = list(case.candidates)
    if case.series is None or not len(case.series.time):
        return last
    table, owner = wide(case.series)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = method(table, inject_time=case.onset, dataset=None)
        names = [owner[column] for column in found["ranks"] if column in owner]
    except (ValueError, KeyError, IndexError):
        names = []  # a method that cannot take a case ranks nothing
    return list(dict.fromkeys([*names, *last]))


def wide(series: Series) -> tuple[pd.DataFrame, dict[str, str]]:
    """One row a time, one column a node's metric, gaps filled with the last value; and whose each column is."""
    columns = np.array([f"{node}_{metric}" for node, metric in zip(series.node, series.metric, strict=True)])
    owner = dict(zip(columns.tolist(), series.node.tolist(), strict=True))
    frame = pd.DataFrame({"time": series.time, "column": columns, "value": series.value})
    table = frame.pivot_table(index="time", columns="column", values="value", aggfunc="mean")
    return table.ffill().bfill().fillna(0.0).reset_index(), owner

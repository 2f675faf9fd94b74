"""A run's report is one flat JSON document, and a table."""

from __future__ import annotations

import json

import pytest

from chaos.demo.report import FaultReport, Measured, Report
from chaos.demo.screen import print_report

REPORT = Report(
    seed=1,
    faults=(
        FaultReport(
            fault="kill",
            target="cart",
            mechanism="killed",
            injected_at="2026-03-02T09:00:00Z",
            took_effect=True,
            effect="gone",
            detected_s=11.4,
        ),
    ),
    control={"minutes": 2.0, "pages": 0},
    models={},
    scorecard={},
    extra_pages=0,
    measured=Measured(
        seconds=540.0,
        peak_rss_mib={"store": 480},
        roles_together_mib=1250,
        shop_mib=420,
        role_restarts={},
        human_refusals=(),
        data_dir="/tmp",
    ),
)


def test_the_json_is_flat() -> None:
    """What was measured stands beside what happened, and all of it is JSON."""
    tree = json.loads(json.dumps(REPORT.as_json()))
    assert (tree["seed"], tree["seconds"], tree["peak_rss_mib"]) == (1, 540.0, {"store": 480})
    assert "measured" not in tree
    assert tree["faults"][0]["mechanism"] == "killed"


def test_the_table_shows_the_times_and_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault with its times, the control window, and the memory."""
    print_report(REPORT)
    output = capsys.readouterr().out
    assert "11.4 s" in output
    assert "0 pages in 2.0 minutes" in output
    assert "1250 MiB; 540 s" in output

"""The whole loop, once, with every role real: shop, fault, page, acknowledgement, runbook, recovery, labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.demo import settings
from chaos.demo.report import FaultReport
from chaos.demo.stage import perform
from chaos.demo.story import Plan, Story
from chaos.journal import outcomes
from chaos.registry import faults
from chaos.truth import OPENS_WITHIN, settle
from watchkeeper.clock import SystemClock
from watchkeeper.problems import Problems
from watchkeeper.state.labels import labels
from watchkeeper.vocabulary import Label

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.xdist_group("loop")]


def test_a_killed_service_is_paged_repaired_and_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted human on call presses Slack's buttons; everything else is what an installation runs."""
    monkeypatch.setenv(settings.TARGET_TOKEN_ENV, "")  # the demo sets it: take it out again
    written: list[Label] = []
    became: list[str | None] = []

    def play(story: Story) -> FaultReport:
        story.warm_up(0.0)  # until each service has a baseline
        report = story.break_one(Plan(fault=faults()["kill"], service="cart"))
        settle(story.loop.db, SystemClock().now() + OPENS_WITHIN, Problems(None))
        written.extend(labels(story.loop.db))
        became.extend(outcomes(story.loop.db).values())
        return report

    report, measured = perform(tmp_path, 1, print, play)
    assert report.took_effect, report.effect
    assert (report.rank_of_truth, report.mechanism_named) == (1, "killed")
    times = (report.detected_s, report.paged_s, report.acknowledged_s, report.recovered_s, report.resolved_s)
    assert None not in times
    assert list(times) == sorted(times, key=lambda seconds: seconds or 0.0)
    assert (report.runbook, report.remediated, report.steady_again) == ("start-service", True, True)
    assert report.postmortem
    judged = {label.source: (label.incident_id, label.warranted, label.cause, label.mechanism) for label in written}
    assert judged == dict.fromkeys(("human", "chaos"), (report.incident, True, "cart", "killed"))
    assert became == ["found"]
    assert (measured.human_refusals, set(measured.role_restarts.values())) == ((), set())

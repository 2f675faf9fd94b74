"""The scorecard counts what happened and nothing else."""

from __future__ import annotations

from chaos.scorecard import Scored, coverage, score


def _row(fault: str, target: str, **changes: object) -> Scored:
    row = {
        "fault": fault,
        "target": target,
        "took_effect": True,
        "detected_s": 8.0,
        "paged_s": 12.0,
        "rank_of_truth": 1,
        "mechanism": "killed",
        "mechanism_named": "killed",
        "resolved_s": 40.0,
    }
    return Scored.read(row | changes)


def test_a_fault_without_effect_is_counted_but_not_scored() -> None:
    """Missing a fault that never took effect is no miss."""
    card = score([_row("kill", "cart"), _row("hang", "cart", took_effect=False, detected_s=None, rank_of_truth=None)])
    assert (card.faults, card.took_effect, card.detected) == (2, 1, 1.0)


def test_a_mechanism_counts_when_the_first_suspect_names_it() -> None:
    """The explanation is right where it says what was really done."""
    card = score([_row("kill", "cart"), _row("hang", "cart", mechanism="hung", mechanism_named="latency")])
    assert (card.first, card.mechanism) == (1.0, 0.5)


def test_medians_ignore_what_never_happened() -> None:
    """A missed fault lowers recall and leaves the median time to detect alone."""
    card = score([_row("kill", "cart"), _row("hang", "cart", detected_s=None, paged_s=None, rank_of_truth=None)])
    assert (card.detected, card.median_detected_s, card.first) == (0.5, 8.0, 0.5)


def test_coverage_shows_the_worst_that_was_seen() -> None:
    """Cells are untested, detected, missed or wrong cause; a later success does not hide a miss."""
    rows = [_row("kill", "cart", detected_s=None), _row("kill", "cart"), _row("hang", "cart", rank_of_truth=4)]
    table = coverage(rows, services=["cart", "web"], faults=["kill", "hang"])
    assert table == {
        "cart": {"kill": "missed", "hang": "wrong cause"},
        "web": {"kill": "untested", "hang": "untested"},
    }

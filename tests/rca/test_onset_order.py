"""Who moved first gets the credit, where samples are fine enough to tell."""

from __future__ import annotations

import numpy as np

from rca.case import Case, Series
from rca.evidence.onset_order import onset_order

STEP_S = 5.0


def _case(moves_at: dict[str, int | None]) -> Case:
    """Each node's latency is steady for thirty steps; from its step after the onset on it is tripled."""
    dice = np.random.default_rng(1)
    steps = 45
    values = []
    for at in moves_at.values():
        value = np.exp(0.02 * dice.normal(size=steps))
        if at is not None:
            value[30 + at :] *= 3
        values.append(value)
    return Case(
        id="order",
        onset=30 * STEP_S,
        end=steps * STEP_S,
        candidates=tuple(moves_at),
        series=Series(
            time=np.tile(np.arange(steps) * STEP_S, len(moves_at)),
            node=np.repeat(np.array(list(moves_at), dtype=object), steps),
            metric=np.array(["latency_seconds"] * steps * len(moves_at), dtype=object),
            value=np.concatenate(values),
        ),
    )


def test_the_first_to_move_gets_most_of_the_credit() -> None:
    """The database moves at the onset, its callers ten and twenty seconds later; who never moves is not named."""
    terms = {term.candidate: term for term in onset_order(_case({"web": 4, "api": 2, "db": 0, "other": None}))}
    assert set(terms) == {"web", "api", "db"}
    assert terms["db"].strength > 2 * terms["api"].strength > 2 * terms["web"].strength
    assert "20 s before the last of 3 nodes" in terms["db"].sentence


def test_who_moves_within_one_step_shares() -> None:
    """Samples too coarse to tell give nobody an advantage."""
    strengths = {term.strength for term in onset_order(_case({"web": 1, "api": 1, "db": 1}))}
    assert len(strengths) == 1


def test_one_alone_is_no_order() -> None:
    """Where only one node moved there is nothing to be first of."""
    assert onset_order(_case({"web": None, "db": 1})) == []

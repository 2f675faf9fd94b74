"""Whether users felt an experiment: by what entries served, whatever happened behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chaos.calls import Observed, Phases, Traffic
from chaos.felt import felt_recall, was_felt
from chaos.journal import ExperimentTruth, Outcome
from chaos.scored import ScoredExperiment

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def traffic(per_s: float, *, errors: float = 0.0, mean_s: float = 0.02, seconds: float = 40.0) -> Traffic:
    calls = int(per_s * seconds)
    return Traffic(calls=calls, errors=int(calls * errors), busy_s=calls * mean_s, longest_s=mean_s, seconds=seconds)


def phases(during: Traffic, per_s: float = 10.0) -> Phases:
    return {"before": traffic(per_s, seconds=60), "during": during, "after": traffic(per_s, seconds=30)}


def seen(web: Phases, cart: Phases, identity: str = "e1") -> Observed:
    """Users call web, and web calls the cart, which was broken."""
    truth = ExperimentTruth(
        id=identity, target="/shop", fault="hang", service="cart", mechanism="hung", services=("cart", "web"),
        began=BEGAN, ended=BEGAN + timedelta(seconds=40), took_effect=True, effect_at=BEGAN,
    )  # fmt: skip
    return Observed(truth=truth, calls={("web", "cart"): cart}, served={"web": web, "cart": cart})


WELL, BROKEN = phases(traffic(10)), phases(traffic(10, errors=1.0))


@pytest.mark.parametrize(
    ("web", "felt"),
    [
        (WELL, False),
        (BROKEN, True),
        (phases(traffic(10, errors=0.04)), False),
        (phases(traffic(10, mean_s=0.11)), False),
        (phases(traffic(10, mean_s=0.2)), True),
        (phases(traffic(1)), True),
        (phases(traffic(0)), True),
        (phases(traffic(0.01), per_s=0.01), None),
    ],
)
def test_the_entry_decides(web: Phases, felt: bool | None) -> None:
    """Not the broken service, which fails in each of these."""
    assert was_felt(seen(web, BROKEN)) is felt


def test_the_recall_is_of_what_users_felt() -> None:
    """One was felt and found, one felt and missed, one found and not felt; the telemetry of a fourth is gone."""

    def scored(identity: str, outcome: Outcome) -> ScoredExperiment:
        return ScoredExperiment(truth=seen(WELL, BROKEN, identity).truth, outcome=outcome, version="1")

    known = [scored("a", "found"), scored("b", "missed"), scored("c", "found"), scored("d", "missed")]
    observed = [seen(BROKEN, BROKEN, "a"), seen(BROKEN, BROKEN, "b"), seen(WELL, BROKEN, "c")]
    share = felt_recall(known, observed)
    assert (share.right, share.count) == (1, 2)

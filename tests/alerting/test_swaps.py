"""Shifts that people swap: nothing changes before an answer, and an accepted swap is what everything shows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.oncall import swaps
from alerting.oncall.schedule import stored_overrides, who_has_it
from alerting.oncall.swaps import Swap, answer, ask
from watchkeeper.clock import SystemClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

PEOPLE = tuple(
    PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben", "eve")
)
ANA, BEN, EVE = (Actor(name=person.name, via="dashboard") for person in PEOPLE)
BOSS = Actor(name="root", via="cli")
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
# Ana has Mondays, Ben Tuesdays, Eve Wednesdays, and so on.
ONCALL = OnCallConfig(
    people=PEOPLE,
    schedules=(
        ScheduleConfig(
            id="primary", layers=(LayerConfig(people=("ana", "ben", "eve"), start="2026-03-02T09:00", turn_hours=24),)
        ),
    ),
    escalation=(EscalationStep(after_s=0, notify="primary"),),
)
NOW = MONDAY - timedelta(days=2)


def day(number: int, hours: float = 24) -> Window:
    start = MONDAY + timedelta(days=number)
    return Window(start=start, end=start + timedelta(hours=hours))


def holder(db: Database, number: float) -> str:
    found = who_has_it(ONCALL, "primary", MONDAY + timedelta(days=number), stored_overrides(db))[0]
    return found.id if found else ""


def asked(db: Database, *, returned: Window | None = None, actor: Actor = ANA) -> str:
    """Ana asks Ben to take her Monday."""
    swap = Swap(schedule="primary", asker="ana", taker="ben", window=day(0), returned=returned)
    return ask(db, ONCALL, swap, NOW, actor)


def test_a_swap_is_in_force_once_it_is_accepted_and_not_before(db: Database) -> None:
    """Both shifts change hands together."""
    swap_id = asked(db, returned=day(1))
    assert (holder(db, 0.5), holder(db, 1.5)) == ("ana", "ben")
    done = answer(db, ONCALL, swap_id, "accepted", NOW, BEN)
    assert (done.state, done.answered_by) == ("accepted", "Ben")
    assert (holder(db, 0.5), holder(db, 1.5), holder(db, 2.5)) == ("ben", "ana", "eve")
    assert [entry.action for entry in audit_trail(db)] == [
        "swap.accepted",
        "override.add",
        "override.add",
        "swap.ask",
    ]


def test_only_who_was_asked_accepts_and_only_who_asked_cancels(db: Database) -> None:
    """Whoever is no person of the rota, such as root on the host, may do either."""
    swap_id = asked(db)
    for actor in (ANA, EVE):
        with pytest.raises(StateError, match="may not answer"):
            answer(db, ONCALL, swap_id, "accepted", NOW, actor)
    with pytest.raises(StateError, match="may not answer"):
        answer(db, ONCALL, swap_id, "cancelled", NOW, BEN)
    with pytest.raises(StateError, match="may not ask for Ana"):
        asked(db, actor=EVE)
    assert answer(db, ONCALL, swap_id, "accepted", NOW, BOSS).state == "accepted"


@pytest.mark.parametrize("given", ["declined", "cancelled"])
def test_a_swap_that_was_declined_or_cancelled_changes_nothing_any_more(db: Database, given: swaps.Answer) -> None:
    """A late answer is refused, and says who was first."""
    swap_id = asked(db)
    answer(db, ONCALL, swap_id, given, NOW, BOSS)
    with pytest.raises(StateError, match=f"was {given} already by root"):
        answer(db, ONCALL, swap_id, "accepted", NOW, BEN)
    assert holder(db, 0.5) == "ana"


def test_of_two_answers_at_once_one_counts(db: Database) -> None:
    """Accepted or cancelled, and never both."""
    swap_id = asked(db)

    def give(given: swaps.Answer) -> str:
        try:
            return answer(db, ONCALL, swap_id, given, NOW, BOSS).state
        except StateError:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(give, ["accepted", "cancelled", "accepted", "cancelled"]))
    assert results.count("refused") == 3
    (swap,) = swaps.swaps(db)
    assert swap.state in results
    assert (holder(db, 0.5) == "ben") == (swap.state == "accepted")
    assert len(stored_overrides(db)) == (swap.state == "accepted")


def test_a_shift_that_changed_hands_meanwhile_is_not_swapped(db: Database) -> None:
    """Ana gave her Monday to Eve after she had asked Ben: his yes does not take it from Eve."""
    first = asked(db)
    second = ask(db, ONCALL, Swap(schedule="primary", asker="ana", taker="eve", window=day(0)), NOW, ANA)
    answer(db, ONCALL, second, "accepted", NOW, EVE)
    with pytest.raises(StateError, match="Eve is on call in 'primary', not Ana"):
        answer(db, ONCALL, first, "accepted", NOW, BEN)
    assert holder(db, 0.5) == "eve"
    assert [swap.state for swap in swaps.swaps(db, "asked")] == ["asked"]


def test_a_swap_that_is_accepted_late_counts_from_then_on(db: Database) -> None:
    """What was stays as it was; when the shift is over, there is nothing to accept."""
    swap_id = asked(db)
    late = MONDAY + timedelta(hours=6)
    answer(db, ONCALL, swap_id, "accepted", late, BEN)
    assert (holder(db, 0.1), holder(db, 0.3)) == ("ana", "ben")
    other = ask(db, ONCALL, Swap(schedule="primary", asker="ana", taker="eve", window=day(3)), late, ANA)
    with pytest.raises(StateError, match="has passed"):
        answer(db, ONCALL, other, "accepted", day(3).end, EVE)


@pytest.mark.parametrize(
    ("swap", "why"),
    [
        (Swap(schedule="primary", asker="ana", taker="ana", window=day(0)), "cannot swap with themselves"),
        (Swap(schedule="primary", asker="ana", taker="ben", window=day(0, 25)), "Ben is on call"),
        (Swap(schedule="primary", asker="ana", taker="ben", window=day(0), returned=day(2)), "Eve is on call"),
        (Swap(schedule="primary", asker="ana", taker="ben", window=day(-9)), "has passed"),
        (Swap(schedule="primary", asker="ana", taker="ben", window=day(0, 24 * 90)), "62 days at most"),
    ],
)
def test_what_cannot_be_swapped_is_refused_when_it_is_asked(db: Database, swap: Swap, why: str) -> None:
    """With the reason, and nothing is kept."""
    with pytest.raises(StateError, match=why):
        ask(db, ONCALL, swap, NOW, BOSS)
    assert swaps.swaps(db) == ()


def test_who_is_unknown_cannot_be_asked(db: Database) -> None:
    """A person, or a schedule, that is not configured."""
    for swap in (
        Swap(schedule="primary", asker="ana", taker="bob", window=day(0)),
        Swap(schedule="nights", asker="ana", taker="ben", window=day(0)),
    ):
        with pytest.raises(NotFound):
            ask(db, ONCALL, swap, NOW, BOSS)


def test_the_commands_ask_list_and_answer(tmp_path: Path) -> None:
    """As somebody types them, on a file."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(
        f"""
data_dir: {tmp_path}/data
oncall:
  people: [{{id: ana, name: Ana, addresses: {{slack: UANA}}}}, {{id: ben, name: Ben, addresses: {{slack: UBEN}}}}]
  schedules: [{{id: primary, layers: [{{people: [ana]}}]}}]
  escalation: [{{after_s: 0, notify: primary}}]
""",
        encoding="utf-8",
    )

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["swap", *arguments, "--config", str(file)], catch_exceptions=False)
        return done.stdout

    tomorrow = SystemClock().now() + timedelta(days=1)
    span = ["--from", tomorrow.isoformat(), "--to", (tomorrow + timedelta(hours=8)).isoformat()]
    swap_id = run("ask", "ana", "ben", *span).partition(":")[0]
    assert "ben for ana in primary" in run("list")
    assert "accepted" in run("accept", swap_id)
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["id"], listed["state"]) == (swap_id, "accepted")
    at = (tomorrow + timedelta(hours=1)).isoformat()
    shown = CliRunner().invoke(app, ["who", "--config", str(file), "--at", at], catch_exceptions=False).stdout
    assert "Ben  at once  (on call in 'primary' by an override" in shown

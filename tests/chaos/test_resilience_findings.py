"""Weaknesses are kept once, tested again by later experiments, and decided about by people."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert, select
from test_resilience import BEGAN, WELL, phases, seen, traffic

from chaos.calls import Observed
from chaos.findings import decide, keep, stored_findings
from tests.front_door import front_door
from watchkeeper.errors import ChaosError, NotFound
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.state.schema import resilience_findings
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="cli")
NOW = BEGAN + timedelta(days=30)
FAILING = phases(traffic(10, errors=0.9))


def shows(experiment: str, day: int = 0, **truth: Any) -> Observed:
    """Orders fails with payments: no fallback, no circuit breaker, and customers of web feel it."""
    return dated(seen(FAILING, FAILING, FAILING), experiment, day, **truth)


def bears(experiment: str, day: int = 0, **truth: Any) -> Observed:
    """Orders answers without payments."""
    return dated(seen(FAILING, WELL), experiment, day, **truth)


def dated(one: Observed, experiment: str, day: int, **truth: Any) -> Observed:
    at = timedelta(days=day)
    values = {"id": experiment, "began": one.truth.began + at, "ended": one.truth.ended + at} | truth
    return replace(one, truth=replace(one.truth, **values))


def states(db: Database) -> dict[str, tuple[str, str]]:
    return {one.kind: (one.state, one.retested_by) for one in stored_findings(db)}


def test_a_weakness_is_kept_once_with_what_showed_it(db: Database) -> None:
    """The newest experiment that shows it, and since when; the same experiment again changes nothing."""
    keep(db, shows("e1"), NOW)
    first = stored_findings(db)
    kinds = [one.kind for one in first]
    assert kinds == ["single point of failure", "cascade", "no fallback", "no circuit breaker", "no retry"]
    assert "Let orders answer without payments" in first[2].proposal
    keep(db, bears("e1", 5), NOW)
    assert stored_findings(db) == first
    keep(db, shows("e2", 2), NOW)
    second = stored_findings(db)
    assert [one.id for one in second] == [one.id for one in first]
    assert [(one.experiment, one.first_seen, one.last_seen - one.first_seen) for one in second] == [
        ("e2", one.first_seen, timedelta(days=2)) for one in first
    ]


def test_an_older_experiment_that_is_read_late_says_only_since_when(db: Database) -> None:
    """What it showed is not the newest."""
    keep(db, shows("e2", 2), NOW)
    keep(db, bears("e1", 1), NOW)
    keep(db, shows("e0", 0), NOW)
    (one, *_) = stored_findings(db)
    assert (one.experiment, one.last_seen - one.first_seen, one.retested_by) == ("e2", timedelta(days=2), "")


def test_a_later_experiment_that_no_longer_shows_it_is_named(db: Database) -> None:
    """Only one with the same fault that could have shown it; shown again, it stands as before."""
    keep(db, shows("e1"), NOW)
    keep(db, bears("other fault", 1, fault="kill"), NOW)
    nobody = phases(traffic(0.1), per_s=0.1)
    keep(db, dated(seen(nobody, nobody, nobody), "too few calls", 1), NOW)
    assert states(db)["no fallback"] == ("open", "")
    keep(db, bears("e2", 2), NOW)
    assert states(db)["no fallback"] == ("open", "e2")
    assert "no longer shown by e2 on 2026-03-03" in next(
        o.status for o in stored_findings(db) if o.kind == "no fallback"
    )
    keep(db, shows("e3", 3), NOW)
    assert states(db)["no fallback"] == ("open", "")


def test_people_decide_and_a_repaired_one_that_comes_back_is_open(db: Database) -> None:
    """Accepted stays accepted; each decision is audited."""
    keep(db, shows("e1"), NOW)
    by_kind = {one.kind: one.id for one in stored_findings(db)}
    fixed = decide(db, by_kind["no fallback"][:8], "repaired", ANA, "answers from a cache", NOW)
    assert fixed.status == "repaired by Ana (answers from a cache)"
    decide(db, by_kind["cascade"], "accepted", ANA, "", NOW)
    keep(db, shows("e2", 2), NOW)
    now = {one.kind: one for one in stored_findings(db)}
    assert (now["no fallback"].state, now["no fallback"].note) == ("open", "shown again after Ana repaired it")
    assert (now["cascade"].state, now["cascade"].decided_by) == ("accepted", "Ana")
    assert [one.kind for one in stored_findings(db)][-1] == "cascade"
    assert [entry.action for entry in audit_trail(db)] == ["resilience.decide"] * 2
    with pytest.raises(NotFound, match="there is no finding 'zz'"):
        decide(db, "zz", "open", ANA, "", NOW)
    with pytest.raises(NotFound):
        decide(db, "", "open", ANA, "", NOW)


def test_an_id_that_several_begin_with_is_refused(db: Database) -> None:
    """Nothing is decided then."""
    keep(db, shows("e1"), NOW)
    with db.write() as connection:
        (row, *_) = connection.execute(select(resilience_findings)).all()
        for name in ("same-1", "same-2"):
            connection.execute(insert(resilience_findings).values(**{**row._mapping, "id": name}))
    with pytest.raises(ChaosError, match="2 findings begin with 'same'; write more of the id"):
        decide(db, "same", "accepted", ANA, "", NOW)
    assert {one.state for one in stored_findings(db)} == {"open"}
    assert decide(db, "same-1", "accepted", ANA, "", NOW).status == "accepted by Ana"


def test_the_command_lists_and_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while the store is away: then what is kept is listed, and that is said."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "store": {"url": "http://127.0.0.1:9"}}))
    run = front_door(monkeypatch, capsys)
    assert run("chaos", "report", "--resilience", "--config", str(path))[1] == "No experiment has shown a weakness.\n"
    db = Database.open(f"sqlite:///{tmp_path / 'data' / 'state.db'}")
    keep(db, shows("e1"), NOW)
    db.close()
    out = run("chaos", "report", "--resilience", "--config", str(path))[1]
    assert "no fallback of orders towards payments: open" in out
    assert "Let orders answer without payments" in out
    rows = json.loads(run("chaos", "report", "--resilience", "--json", "--config", str(path))[1])
    one = next(row for row in rows if row["kind"] == "no fallback")
    status, out, _ = run("chaos", "decide", one["id"][:10], "accepted", "--as", "Ana", "--config", str(path))
    assert (status, out) == (0, f"{one['id'][:8]}  no fallback of orders: accepted by Ana\n")
    status, _, err = run("chaos", "decide", one["id"], "mended", "--config", str(path))
    assert (status, "'mended' is none of open, accepted, repaired" in err) == (2, True)

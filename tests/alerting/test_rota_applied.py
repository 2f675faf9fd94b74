"""A new rota comes into force while roles run: planned, compared, owned, and never half."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from protocol import EDGES, Recorder, finding, turn
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.incidents.commands import Incidents
from alerting.oncall.applying import bring_into_force, expect, plan_edit, plan_file, start_with_file
from alerting.oncall.in_force import RotaInForce
from alerting.oncall.ownership import Owners
from alerting.oncall.versions import newest, record_version, versions
from tests.front_door import front_door
from tests.waiting import until
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import Config, EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, load
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.problems import Problems
from watchkeeper.state.audit import audit_trail, verify_audit
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="api")
BOSS = Actor(name="boss", via="cli")
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
FILE = "/etc/watchkeeper.yaml"
NIGHT = {"layers": [{"people": ["ben"]}]}


def rota(*names: str, second_after_s: float = 300) -> OnCallConfig:
    """The first has the schedule, the second comes next."""
    people = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in names)
    return OnCallConfig(
        people=people,
        schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=names[:1]),)),),
        escalation=(
            EscalationStep(after_s=0, notify=("primary",)),
            EscalationStep(after_s=second_after_s, notify=names[-1:]),
        ),
    )


def config_of(oncall: OnCallConfig) -> Config:
    return Config(oncall=oncall)


def apply(db: Database, oncall: OnCallConfig, now: datetime = NOW) -> bool:
    return bring_into_force(db, plan_file(db, config_of(oncall), FILE), now, BOSS)


def edit(db: Database, kind: Any, name: str, value: Any, now: datetime = NOW) -> bool:
    """Ana puts an object in its place through the API."""
    return bring_into_force(db, plan_edit(db, config_of(rota("ana", "ben")), kind, name, value, ANA), now, ANA)


def in_force(db: Database) -> tuple[OnCallConfig, Owners]:
    version = newest(db)
    assert version is not None
    return version.oncall, version.owners


def test_of_two_who_apply_at_once_one_is_told_whose_came_first(db: Database) -> None:
    """Both planned against the same version; nothing of the loser's is kept."""
    apply(db, rota("ana"))
    plans = [plan_file(db, config_of(rota(name)), FILE) for name in ("ben", "eve", "kim", "zoe")]

    def bring(number: int) -> str:
        try:
            bring_into_force(db, plans[number], LATER, Actor(name=f"boss {number}", via="cli"))
        except Conflict as error:
            return error.message
        return ""

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(bring, range(4)))
    winner = told.index("")
    assert [told.count(""), len(versions(db))] == [1, 2]
    assert in_force(db)[0] == plans[winner].oncall
    assert all(f"by boss {winner}" in text for text in told if text)


def test_a_version_that_was_looked_at_and_is_gone_is_refused(db: Database) -> None:
    """`--version`, and `version` in the API."""
    apply(db, rota("ana"))
    seen = newest(db)
    assert seen is not None
    apply(db, rota("ben"), LATER)
    with pytest.raises(Conflict, match=rf"version {seen.id} of the rota is not the one in force .*by boss"):
        expect(plan_file(db, config_of(rota("eve")), FILE), seen.id)


def test_what_others_made_stays_when_the_file_is_applied(db: Database) -> None:
    """A schedule and a policy of the API's; the policy is looked at before those of the file."""
    apply(db, rota("ana", "ben"))
    edit(db, "schedules", "night", NIGHT)
    edit(db, "policies", "pay", {"services": ["pay-*"], "steps": [{"after_s": 0, "notify": ["night"]}]})
    edit(db, "teams", "money", ["pay-*"])
    changed = rota("ana", "ben", second_after_s=60)
    assert apply(db, changed, LATER)
    oncall, owners = in_force(db)
    assert [each.id for each in oncall.schedules] == ["primary", "night"]
    assert [each.id for each in oncall.policies] == ["pay"]
    assert oncall.teams == {"money": ("pay-*",)}
    assert oncall.escalation == changed.escalation
    assert set(owners.others) == {"schedules/night", "policies/pay", "teams/money"}
    assert not apply(db, changed, LATER)


def test_what_the_file_owns_is_changed_there_and_nowhere_else(db: Database) -> None:
    """The refusal says where."""
    apply(db, rota("ana", "ben"))
    for kind, name, value in (("people", "ana", {"name": "Ann"}), ("schedules", "primary", NIGHT)):
        for given in (value, None):
            with pytest.raises(Conflict, match=f"is owned by {FILE}: change it there"):
                edit(db, kind, name, given)


def test_an_object_that_the_file_takes_over_is_the_file_s(db: Database) -> None:
    edit(db, "people", "eve", {"name": "Eve", "addresses": {"slack": "UEVE"}})
    apply(db, rota("ana", "eve"), LATER)
    oncall, owners = in_force(db)
    assert owners.others == {}
    assert oncall == rota("ana", "eve")


@pytest.mark.parametrize(
    ("kind", "name", "value", "what"),
    [
        ("schedules", "night", {"layers": [{"people": ["nobody"]}]}, "names 'nobody'"),
        ("people", "eve", {"name": "Eve", "addresses": {"phone": "+49"}}, "not among `channels:`"),
        ("people", "eve", {"name": "Eve"}, "has no address"),
        ("people", "eve", {"name": "Eve", "admin": True}, "no such key"),
        ("policies", "p", {"steps": []}, "must not be empty"),
        ("teams", "x", [""], "teams.x"),
    ],
)
def test_a_value_that_could_not_page_is_refused(db: Database, kind: str, name: str, value: Any, what: str) -> None:
    apply(db, rota("ana", "ben"))
    with pytest.raises(ConfigError, match=what):
        edit(db, kind, name, value)
    assert len(versions(db)) == 1


def test_what_is_still_named_is_not_removed(db: Database) -> None:
    apply(db, rota("ana", "ben"))
    edit(db, "people", "eve", {"name": "Eve", "addresses": {"slack": "UEVE"}})
    edit(db, "schedules", "night", {"layers": [{"people": ["eve"]}]})
    with pytest.raises(ConfigError, match=r"the person 'eve' cannot be removed: .*names 'eve'"):
        edit(db, "people", "eve", None)
    edit(db, "schedules", "night", None)
    edit(db, "people", "eve", None)
    assert in_force(db) == (rota("ana", "ben"), Owners(file=FILE))
    with pytest.raises(NotFound, match="there is no person 'eve'"):
        edit(db, "people", "eve", None)


def test_a_file_that_does_not_fit_what_others_made_leaves_the_version_in_force(db: Database) -> None:
    """At the start of a role that is reported, and pages go on as before; `apply` refuses."""
    apply(db, rota("ana", "ben"))
    edit(db, "schedules", "night", NIGHT)
    before, problems = in_force(db), Problems(None)
    with pytest.raises(ConfigError, match=r"does not fit the file: .*'ben'"):
        apply(db, rota("ana"))
    start_with_file(db, config_of(rota("ana")), FILE, LATER, BOSS, problems)
    assert in_force(db) == before
    (problem,) = problems.current()
    assert "the version before stays in force" in problem.reason
    start_with_file(db, config_of(rota("ana", "ben", "eve")), FILE, LATER, BOSS, problems)
    assert len(in_force(db)[0].people) == 3


def test_roles_that_run_use_a_new_version_and_a_chain_that_runs_keeps_its_steps(
    db: Database, clock: FrozenClock
) -> None:
    """Who is on call is asked anew; whom a later step names, and when, stays as it began."""
    config = config_of(rota("ana", "ben"))
    apply(db, config.oncall, clock.now())
    follower = RotaInForce(db, config)
    assert follower.look()
    assert not follower.look()
    incidents, channel = Incidents.configured(config, db, clock), Recorder()
    (running,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(running)
    apply(db, rota("eve", "ana", "ben", second_after_s=60), clock.now())
    assert follower.look()
    (later,) = incidents.observe([finding(clock.now(), "cart"), finding(clock.now(), "blog")], edges=EDGES)
    incidents.page(later)
    clock.advance(61)
    for _ in range(2):
        turn(db, incidents, config.oncall, channel, clock.now())
    assert [page.mention for page in channel.pages(running)] == ["Uana"]
    assert [page.mention for page in channel.pages(later)] == ["Ueve", "Uben"]
    clock.advance(240)
    turn(db, incidents, config.oncall, channel, clock.now())
    assert [page.mention for page in channel.pages(running)] == ["Uana", "Uben"]


def test_a_role_follows_within_seconds(db: Database) -> None:
    """As the web role does: a thread that looks."""
    config, stopping = config_of(rota("ana")), threading.Event()
    RotaInForce(db, config).follow(stopping)
    try:
        apply(db, rota("ben"))
        until(lambda: config.oncall == rota("ben"))
    finally:
        stopping.set()


def test_a_version_of_another_watchkeeper_changes_nothing_and_is_reported(db: Database) -> None:
    config, problems = config_of(rota("ana")), Problems(None)
    record_version(db, rota("ben"), NOW, BOSS)
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE rota_versions SET body = '{\"people\": 3}'")
    assert not RotaInForce(db, config, problems).look()
    assert config.oncall == rota("ana")
    assert [problem.loop for problem in problems.current()] == ["rota"]


def test_each_change_is_in_the_audit_log(db: Database) -> None:
    apply(db, rota("ana", "ben"))
    edit(db, "schedules", "night", NIGHT)
    assert [(e.actor.name, e.action) for e in audit_trail(db)] == [("Ana", "rota.change"), ("boss", "rota.change")]
    verify_audit(db)


def test_the_commands_show_what_would_change_and_bring_it_into_force(tmp_path: Path) -> None:
    """Diff, a dry run, apply, and the note where a file is not in force."""
    file = tmp_path / "watchkeeper.yaml"

    def write(*names: str) -> None:
        tree = rota(*names).model_dump(mode="json")
        file.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "oncall": tree}))

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "--config", str(file)])
        return done.exit_code, done.stdout, done.stderr

    write("ana", "ben")
    assert run("apply")[1].endswith("UTC.\n")
    assert run("apply")[1] == "The file's rota is in force.\n"
    write("eve", "ben")
    code, shown, _ = run("diff")
    assert (code, "+  - eve" in shown or "+    - eve" in shown) == (1, True)
    assert "`watchkeeper oncall apply --version 1` brings this into force." in shown
    assert run("apply", "--dry-run")[1].endswith("This would come into force; nothing was kept.\n")
    who = run("who")
    assert who[1].startswith("Ana")
    assert "a rota that is not in force" in who[2]
    refused = run("apply", "--version", "7")
    assert refused[0] != 0
    assert run("who")[1].startswith("Ana")
    assert run("apply", "--version", "1")[0] == 0
    assert run("who")[1:] == (run("who")[1], "")
    assert run("who")[1].startswith("Eve")
    db = Database.open(load(file))
    plan = plan_edit(db, load(file), "schedules", "night", NIGHT, ANA)
    bring_into_force(db, plan, datetime.now(UTC), ANA)
    db.close()
    assert "# schedules/night is not owned by the file: Ana (api) made it" in run("export")[1]
    assert "note: schedules/night stays as it is" in run("apply", "--dry-run")[1]


def test_questions_and_the_status_page_know_the_rota_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ask` names who the roles page; a text for the public names nobody of the rota that the file lacks."""
    file = tmp_path / "watchkeeper.yaml"
    page = {"components": [{"id": "checkout", "name": "Checkout", "services": ["payments"]}]}
    tree = {"data_dir": str(tmp_path / "data"), "oncall": rota("ana").model_dump(mode="json"), "status_page": page}
    file.write_text(yaml.safe_dump(tree))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(file))
    run = front_door(monkeypatch, capsys)
    db = Database.open(load(file))
    apply(db, rota("zoe"), datetime.now(UTC))
    (opened,) = Incidents(db, SystemClock(), rota("zoe")).observe([finding(SystemClock().now(), "payments")])
    db.close()
    told = run("ask", "who is on call?")[1]
    assert ("Zoe" in told, "Ana" in told) == (True, False)
    status, _, why = run("status", "post", opened, "Zoe is on it", "--audience", "public")
    assert (status, "Zoe" in why) == (4, True)

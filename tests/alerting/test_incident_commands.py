"""`watchkeeper incident`, `oncall` and `postmortem` as a human and a script use them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from protocol import EDGES, finding

from alerting.incidents.commands import Incidents
from collectors.webhooks.alert_episodes import record_alerts
from tests.front_door import Run, front_door
from watchkeeper.clock import SystemClock
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import AlertNotice, Diagnosis, Proposal


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command through the front door: exit status, stdout, stderr."""
    config = tmp_path / "watchkeeper.yaml"
    config.write_text("data_dir: data\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(config))
    monkeypatch.chdir(tmp_path)

    return front_door(monkeypatch, capsys)


@pytest.fixture
def opened(run: Run, tmp_path: Path) -> str:
    """An incident that was paged."""
    config = load(tmp_path / "watchkeeper.yaml")
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    (incident_id,) = incidents.observe([finding(SystemClock().now(), "payments")], edges=EDGES)
    incidents.page(incident_id)
    db.close()
    return incident_id


def test_a_night_on_the_command_line(run: Run, opened: str) -> None:
    """List, acknowledge, note, resolve with a label, read the postmortem."""
    assert opened in run("incident", "list")[1]
    assert run("incident", "ack", opened, "--as", "Ana") == (0, f"{opened}: Ana acknowledged\n", "")
    assert run("incident", "note", opened, "called the bank")[0] == 0
    resolved = run("incident", "resolve", opened, "--as", "Ana", "--cause", "payments", "--warranted", "--json")
    assert json.loads(resolved[1])["incident"]["human_state"] == "resolved"
    text = run("postmortem", "show", opened)[1]
    assert "called the bank" in text
    assert "| true cause | payments |" in text
    assert json.loads(run("postmortem", "new", opened, "--json")[1])["label"]["cause"] == "payments"


def test_a_late_command_says_who_was_first_and_exits_4(run: Run, opened: str) -> None:
    """A script notices, a human understands."""
    run("incident", "ack", opened, "--as", "Ana")
    status, out, _ = run("incident", "ack", opened, "--as", "Ben")
    assert status == 4
    assert "already acknowledged by Ana at" in out


def test_the_same_key_twice_is_one_command(run: Run, opened: str) -> None:
    """A script may repeat itself; a label is kept once."""
    arguments = ("incident", "label", opened, "--cause", "none", "--unwarranted", "--key", "cron-7")
    assert run(*arguments)[0] == 0
    assert run(*arguments)[0] == 4
    shown = json.loads(run("incident", "show", opened, "--json")[1])
    assert [(label["cause"], label["warranted"]) for label in shown["labels"]] == [(None, False)]


def test_not_sure_is_an_answer_on_the_command_line(run: Run, opened: str) -> None:
    """It takes the place of the same person's earlier answer."""
    assert run("incident", "label", opened, "--as", "Ana", "--warranted", "--cause", "payments")[0] == 0
    assert run("incident", "label", opened, "--as", "Ana", "--unsure")[0] == 0
    assert run("incident", "label", opened, "--as", "Ana", "--unsure")[0] == 4
    assert run("incident", "label", opened, "--unsure", "--warranted")[0] == 2
    shown = json.loads(run("incident", "show", opened, "--json")[1])
    assert [(label["cause"], label["warranted"]) for label in shown["labels"]] == [(None, None)]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("incident", "show", "inc-nope"), 3, "watchkeeper incident list"),
        (("incident", "list", "--state", "odd"), 2, "must be one of open"),
        (("postmortem", "show", "inc-nope"), 3, "no incident inc-nope"),
        (("oncall", "schedule", "--schedule", "odd"), 3, "there are: primary"),
        (("oncall", "who", "--at", "noon"), 2, "is not a time"),
        (("oncall", "who", "--at", "9999-12-31T23:59"), 2, "the year must be"),
        (("oncall", "who", "--at", "0001-01-01T00:00+14:00"), 2, "the year must be"),
        (("oncall", "schedule", "--from", "9999-12-30"), 2, "the year must be"),
        (("oncall", "swap", "ask", "oncall", "zoe", "--from", "2100-01-01", "--to", "2100-01-02"), 3, "no person"),
        (("oncall", "swap", "accept", "none"), 3, "swap list"),
        (("oncall", "feed", "revoke", "none"), 3, "feed list"),
        (("oncall", "feed", "new"), 2, "name one of --schedule and --person"),
        (("oncall", "override", "zoe", "--from", "2026-01-01", "--to", "2026-01-02"), 3, "there are: oncall"),
        (("oncall", "override", "oncall", "--from", "2026-01-02", "--to", "2026-01-01"), 2, "must end after"),
    ],
)
def test_a_mistake_is_one_clear_line(run: Run, arguments: tuple[str, ...], status: int, message: str) -> None:
    """No traceback; what to do."""
    left, _, err = run(*arguments)
    assert left == status
    assert message in err
    assert err.count("\n") == 1


def test_a_listed_alert_can_be_ended_by_the_key_that_is_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However narrow the terminal is, the key is whole."""
    monkeypatch.setenv("COLUMNS", "40")
    now = SystemClock().now()
    db = Database.open(load(tmp_path / "watchkeeper.yaml"))
    notice = AlertNotice(finding=finding(now, "payments"), resolved=False, started=now, ends_at=None)
    record_alerts(db, [notice], now, timedelta(hours=1))
    db.close()
    heads, row = run("alerts", "list")[1].splitlines()
    assert heads.split()[:2] == ["Key", "State"]
    assert "ended." in run("alerts", "end", row.split()[0])[1]
    assert "No alert" in run("alerts", "list")[1]


def test_an_override_that_is_over_says_that_it_changes_nothing(run: Run) -> None:
    """A year typed wrong leaves the rotation as it was, and nobody would see it."""
    status, _, err = run("oncall", "override", "oncall", "--from", "2020-01-01", "--to", "2020-01-02")
    assert (status, "that time is over" in err) == (0, True)


def test_who_is_on_call_says_when_the_usual_file_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--config` the people of the file in this folder are not asked."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG")
    status, _, err = run("oncall", "who")
    assert (status, "watchkeeper.yaml in this folder is not used" in err) == (0, True)


def test_who_is_on_call_and_why(run: Run) -> None:
    """For a human, for a script, and after an override."""
    assert "by rotation; step 1 of 3" in run("oncall", "who")[1]
    status, output, _ = run("oncall", "override", "oncall", "--from", "2026-01-01", "--to", "2100-01-01")
    assert (status, "to 2100-01-01" in output.partition("On call is on call in 'primary' from ")[2]) == (0, True)
    steps = json.loads(run("oncall", "who", "--json")[1])["steps"]
    assert [step["person"] for step in steps] == ["oncall"] * 3
    assert "by an override" in steps[0]["why"]
    listed = json.loads(run("oncall", "schedule", "--json")[1])
    assert run("oncall", "remove-override", listed["overrides"][0]["id"])[0] == 0
    assert run("oncall", "ical")[1].startswith("BEGIN:VCALENDAR")


def test_a_yes_on_the_command_line_names_what_was_read(run: Run, opened: str, tmp_path: Path) -> None:
    """A script must name the proposal; another than the current one is refused; `show` tells the id and the steps."""
    config = load(tmp_path / "watchkeeper.yaml")
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    now = SystemClock().now()
    diagnosis = Diagnosis(onset=now, made_at=now, suspects=(), abstained=True, reason="thin", engine_version="1")
    proposal = Proposal(
        runbook="restart", title="Restart payments", service="payments", steps=("go",), blast_radius="one", undo="none"
    )
    incidents.diagnosed(opened, diagnosis, proposal, "d")
    db.close()
    status, _, errors = run("incident", "approve", opened, "--as", "Ana")
    assert (status, "--proposal is missing" in errors) == (2, True)
    status, output, _ = run("incident", "approve", opened, "--as", "Ana", "--proposal", "0123456789abcdef")
    assert (status, "look again" in output) == (4, True)
    assert f"approve {opened} --proposal {proposal.id}" in run("incident", "show", opened)[1]
    assert run("incident", "approve", opened, "--as", "Ana", "--proposal", proposal.id)[0] == 0


def test_an_incident_is_handed_over_on_the_command_line(run: Run, opened: str, tmp_path: Path) -> None:
    """Snooze, assign, merge and split: each answers in a line, and a refusal is exit status 4."""
    ana = "{id: ana, name: Ana, addresses: {slack: U1}}"
    people = f"oncall: {{people: [{ana}], schedules: [], escalation: [{{after_s: 0, notify: ana}}]}}\n"
    (tmp_path / "watchkeeper.yaml").write_text("data_dir: data\n" + people)
    status, out, _ = run("incident", "snooze", opened, "--for", "2h", "--as", "Ben")
    assert (status, out.startswith(f"{opened}: Ben snoozed it until 20")) == (0, True)
    assert "snoozed until" in run("incident", "list")[1]
    assert run("incident", "snooze", opened, "--for", "soon")[0] == 2
    assert run("incident", "assign", opened, "ana", "--as", "Ben") == (0, f"{opened}: Ben assigned it to Ana\n", "")
    assert run("incident", "assign", opened, "ana", "--as", "Ben")[0] == 4
    assert run("incident", "merge", opened, "--into", opened)[0] == 4
    assert run("incident", "split", opened)[0] == 4
    shown = json.loads(run("incident", "list", "--json")[1])
    assert [(one["human_state"], one["assigned_to"]) for one in shown] == [("paged", "ana")]


def test_a_question_is_answered_on_the_command_line(run: Run, opened: str) -> None:
    """With what was read for it; one that is not understood is exit status 4, with others to ask."""
    status, out, _ = run("ask", "what is open?")
    assert (status, opened in out) == (0, True)
    assert "  watchkeeper incident list --state open --limit 500" in out
    tree = json.loads(run("ask", "who", "is", "on", "call", "--json")[1])
    assert (tree["intent"], tree["understood"]) == ("who", True)
    status, out, _ = run("ask", "hello")
    assert (status, "watchkeeper ask 'what is open?'" in out) == (4, True)


def test_somebody_is_paged_by_name_on_the_command_line(run: Run, opened: str, tmp_path: Path) -> None:
    """An incident of its own; the same key is the same page, and a mistake says what to write."""
    (tmp_path / "watchkeeper.yaml").write_text("data_dir: data\n")
    status, out, _ = run("incident", "page", "oncall", "cards fail", "--service", "bank", "--as", "Ben", "--key", "k")
    assert (status, out.endswith(": Ben paged On call\n")) == (0, True)
    assert run("incident", "page", "oncall", "cards fail", "--key", "k")[0] == 4
    assert run("incident", "page", "zoe", "cards fail")[0] == 3
    assert run("incident", "page", "oncall", "  ")[0] == 2
    shown = json.loads(run("incident", "list", "--json")[1])
    assert [one["service"] for one in shown if one["id"] != opened] == ["bank"]


def test_silences_are_made_listed_and_ended_on_the_command_line(run: Run) -> None:
    """A script reads them as JSON."""
    assert run("silence", "list")[1] == "No silence.\n"
    status, out, _ = run("silence", "add", "--service", "shop-*", "--for", "2h", "--reason", "move", "--as", "Ana")
    assert (status, "service shop-*, until" in out) == (0, True)
    (made,) = json.loads(run("silence", "list", "--json")[1])
    assert (made["owner"], made["reason"], made["service"]) == ("Ana", "move", "shop-*")
    assert "ends in 2 h" in run("silence", "list")[1]
    assert run("silence", "end", made["id"]) == (0, f"{made['id']}: ended\n", "")
    assert run("silence", "end", made["id"])[0] != 0
    assert run("silence", "add", "--for", "2h", "--reason", "move")[0] == 2


def test_what_merges_taught_is_listed_and_forgotten_on_the_command_line(run: Run, tmp_path: Path) -> None:
    """A person reads the merges that count; a script reads them as JSON."""
    assert run("grouping", "list")[1] == "Nothing was learned from merges yet.\n"
    now, incidents = SystemClock().now(), _incidents(tmp_path)
    cart, blog = incidents.observe([finding(now, "cart"), finding(now, "blog")], edges=EDGES)
    assert run("incident", "merge", blog, "--into", cart, "--as", "Ana")[0] == 0
    (known,) = json.loads(run("grouping", "list", "--json")[1])
    assert (known["grouped"], [merge["by"] for merge in known["merges"]]) == (False, ["Ana"])
    listed = run("grouping", "list")[1]
    assert "1 more merge needed" in listed
    assert "errors of blog with errors of cart" in listed
    assert run("grouping", "forget", known["pair"], "--as", "Ben")[1].startswith(f"{known['pair']}: forgotten: ")
    assert run("grouping", "list")[1] == "Nothing was learned from merges yet.\n"
    assert json.loads(run("grouping", "list", "--all", "--json")[1])[0]["forgotten"][0]["forgotten_by"] == "Ben"
    assert "had been forgotten before" in run("grouping", "forget", known["pair"])[1]
    assert run("grouping", "forget", "nonsense")[0] == 3


def _incidents(folder: Path) -> Incidents:
    config = load(folder / "watchkeeper.yaml")
    return Incidents(Database.open(config), SystemClock(), config.oncall)

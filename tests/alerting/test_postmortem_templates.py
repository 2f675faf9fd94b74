"""What a postmortem asks for by severity: sections, what a publication needs, and reviewers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from protocol import finding
from sqlalchemy import text

from alerting.incidents.commands import Incidents
from alerting.postmortems.document import SECTIONS
from alerting.postmortems.editing import Postmortems
from alerting.postmortems.rendering import to_html, to_markdown
from alerting.postmortems.templates import DEFAULTS, template_of
from tests.front_door import Run, front_door
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig, PersonConfig, load
from watchkeeper.config_oncall import PostmortemConfig
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Level

ANA, BEN, KIM = (Actor(name=name, via="cli") for name in ("Ana", "Ben", "Kim"))
SHORT = {"summary": "Checkout failed.", "root_cause": "A lock.", "warranted": "yes"}
FULL = SHORT | {"impact": "Nobody could pay.", "contributing": "A deploy.", "to_improve": "Watch locks."}


@pytest.fixture
def rota(oncall: OnCallConfig, incidents: Incidents) -> OnCallConfig:
    """Three people. A test changes it as a new version in force does."""
    kim = PersonConfig(id="kim", name="Kim", addresses={"slack": "UKIM"})
    oncall.__dict__["people"] = (*oncall.people, kim)
    return oncall


@pytest.fixture
def postmortems(db: Database, clock: FrozenClock, incidents: Incidents, rota: OnCallConfig) -> Postmortems:
    return Postmortems(db, clock, incidents, rota)


def resolved(incidents: Incidents, clock: FrozenClock, level: Level) -> str:
    """An incident that had a severity, and is over."""
    clock.advance(3600)
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")])
    incidents.set_severity(incident_id, ANA, level, "so it is", "s")
    incidents.resolve(incident_id, ANA, "r")
    return incident_id


def submitted(postmortems: Postmortems, incident_id: str, fields: dict[str, str]) -> int:
    """Written and submitted by Ana; its revision."""
    postmortems.begin(incident_id)
    postmortems.edit(incident_id, ANA, "e", 1, fields)
    return postmortems.submit(incident_id, ANA, "s").stored.version


def test_sev1_needs_two_reviewers_who_are_not_its_author(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """The second of them publishes it, though the first review came after they looked; nobody counts twice."""
    incident_id = resolved(incidents, clock, "SEV1")
    seen = submitted(postmortems, incident_id, FULL)
    with pytest.raises(Conflict, match="Ana submitted it; somebody else reviews"):
        postmortems.publish(incident_id, ANA, "p0", seen)
    first = postmortems.publish(incident_id, BEN, "p1", seen)
    assert (first.stored.state, first.stored.reviewed_by) == ("in review", ("Ben",))
    assert first.message == "Reviewed: 1 of 2 reviews; somebody else reviews and publishes it."
    assert not postmortems.publish(incident_id, BEN, "p1", seen).changed
    with pytest.raises(Conflict, match="Ben reviewed it already; somebody else must, too"):
        postmortems.publish(incident_id, Actor(name="UBEN", via="slack"), "p2", seen)
    last = postmortems.publish(incident_id, KIM, "p3", seen)
    assert (last.stored.state, last.stored.reviewed_by) == ("published", ("Ben", "Kim"))
    assert last.stored.published is not None
    assert "reviewed by Ben and Kim" in last.stored.published.markdown
    newest_first = [entry.action for entry in audit_trail(db) if entry.action.startswith("postmortem.")]
    assert newest_first == ["postmortem.publish", "postmortem.review"]


def test_an_edit_ends_the_reviews_so_far(postmortems: Postmortems, incidents: Incidents, clock: FrozenClock) -> None:
    """Ben reviewed another text; and so does to send it back."""
    incident_id = resolved(incidents, clock, "SEV1")
    seen = submitted(postmortems, incident_id, FULL)
    postmortems.publish(incident_id, BEN, "p1", seen)
    edited = postmortems.edit(incident_id, ANA, "e2", seen + 1, {"summary": "Checkout and search failed."})
    assert edited.stored.reviewed_by == ()
    with pytest.raises(Conflict, match=r"It is not published\. .*Ana changed Summary"):
        postmortems.publish(incident_id, KIM, "p2", seen)
    postmortems.publish(incident_id, KIM, "p3", edited.stored.version)
    assert postmortems.send_back(incident_id, BEN, "b").stored.reviewed_by == ()


def test_sev1_needs_more_to_be_filled_in(postmortems: Postmortems, incidents: Incidents, clock: FrozenClock) -> None:
    """Named, each by its heading; SEV2 is published with a summary and a cause."""
    incident_id = resolved(incidents, clock, "SEV1")
    seen = submitted(postmortems, incident_id, SHORT)
    with pytest.raises(Conflict, match="not complete: Impact, Contributing factors, What to improve missing"):
        postmortems.publish(incident_id, BEN, "p", seen)
    other = resolved(incidents, clock, "SEV2")
    seen = submitted(postmortems, other, SHORT)
    assert postmortems.publish(other, BEN, "p", seen).stored.state == "published"


def test_sev4_is_published_by_its_author(postmortems: Postmortems, incidents: Incidents, clock: FrozenClock) -> None:
    """Nobody reviews it; what it needs, it needs."""
    incident_id = resolved(incidents, clock, "SEV4")
    postmortems.begin(incident_id)
    with pytest.raises(Conflict, match="Summary, Root cause missing"):
        postmortems.publish(incident_id, ANA, "p0", 1)
    postmortems.edit(incident_id, ANA, "e", 1, {"summary": "A leak.", "root_cause": "A cache."})
    assert postmortems.publish(incident_id, ANA, "p1", 2).stored.state == "published"
    with pytest.raises(Conflict, match="the postmortem is published"):
        postmortems.publish(incident_id, ANA, "p2", 3)


def test_a_small_team_reviews_with_everybody_else(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, rota: OnCallConfig
) -> None:
    """Of two people, one is left to review SEV1."""
    rota.__dict__["people"] = rota.people[:2]
    incident_id = resolved(incidents, clock, "SEV1")
    seen = submitted(postmortems, incident_id, FULL)
    assert postmortems.publish(incident_id, BEN, "p", seen).stored.state == "published"


def test_what_is_written_keeps_its_template(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, rota: OnCallConfig
) -> None:
    """A new version of the file applies to what nobody has written in, and to what comes."""
    written, untouched = resolved(incidents, clock, "SEV2"), resolved(incidents, clock, "SEV2")
    postmortems.edit(written, ANA, "e", 1, {"went_well": "The runbook."})
    rota.__dict__["postmortems"] = {"SEV2": PostmortemConfig(sections=("summary", "impact"), required=("impact",))}
    for incident_id in (written, untouched):
        postmortems.begin(incident_id)
    assert postmortems.get(written).template == DEFAULTS["SEV2"]
    assert postmortems.get(untouched).template.sections == ("summary", "impact")
    postmortems.edit(untouched, ANA, "e", 1, {"went_well": "Luck."})
    for shown in (to_markdown(postmortems.report(untouched)), to_html(postmortems.report(untouched))):
        assert "Luck." in shown
        assert "Root cause" not in shown


def test_a_postmortem_from_before_templates_stays_as_it_was(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """Of an installation that was upgraded: one reviewer, a summary and a cause, whatever its severity."""
    incident_id = resolved(incidents, clock, "SEV1")
    seen = submitted(postmortems, incident_id, SHORT)
    with db.write() as connection:
        connection.execute(text("UPDATE postmortem_documents SET template = '', reviewed_by = ''"))
    assert postmortems.publish(incident_id, BEN, "p", seen).stored.state == "published"


@pytest.mark.parametrize(
    ("given", "sections", "required", "reviewers"),
    [
        ({}, 7, 5, 2),
        ({"reviewers": 0}, 7, 5, 0),
        ({"sections": ["summary", "impact"]}, 2, 2, 2),
        ({"required": []}, 7, 0, 2),
        ({"sections": ["impact", "summary"], "required": ["impact"]}, 2, 1, 2),
    ],
)
def test_what_is_left_out_stays_as_by_default(
    given: dict[str, object], sections: int, required: int, reviewers: int
) -> None:
    """And sections come in the order of the document."""
    oncall = OnCallConfig(postmortems={"SEV1": PostmortemConfig.model_validate(given)})
    made = template_of(oncall, "SEV1")
    assert (len(made.sections), len(made.required), made.reviewers) == (sections, required, reviewers)
    assert list(made.sections) == [name for name in SECTIONS if name in made.sections]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{SEV1: {sections: [summary], required: [impact]}}", "requires impact, which is not among its sections"),
        ("{SEV1: {sections: [summmary]}}", "summary"),
        ("{SEV5: {}}", "SEV4"),
        ("{SEV1: {reviewers: 6}}", "5"),
        ("{SEV1: {sections: []}}", "must not be empty: add an item"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, given: str, expected: str) -> None:
    """Before anything happens."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(f"data_dir: data\noncall:\n  postmortems: {given}\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert f"{path}:3: oncall.postmortems" in raised.value.message
    assert expected in raised.value.message


def test_the_command_line_shows_and_enforces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The template in JSON; a review, and who is still to come; `diff` and `export` know it."""
    path = tmp_path / "watchkeeper.yaml"
    people = ", ".join(
        f"{{id: {name}, name: {name.title()}, addresses: {{slack: U{name}}}}}" for name in ("ana", "ben")
    )
    path.write_text(
        f"data_dir: data\noncall:\n  people: [{people}, {{id: kim, name: Kim, addresses: {{slack: Ukim}}}}]\n"
        "  schedules: [{id: primary, layers: [{people: [ana]}]}]\n  postmortems: {SEV2: {reviewers: 2, required: []}}\n"
    )
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    assert run("oncall", "apply")[0] == 0
    assert "reviewers: 2" in run("oncall", "export")[1]
    assert run("incident", "page", "ana", "cards fail", "--service", "payments", "--as", "ben")[0] == 0
    (incident,) = json.loads(run("incident", "list", "--json")[1])
    level = ("incident", "severity", incident["id"], "SEV2", "--because", "so it is")
    assert run(*level)[0] in (0, 4)
    assert run("incident", "resolve", incident["id"], "--warranted", "--as", "ana")[0] == 0
    shown = json.loads(run("postmortem", "show", incident["id"], "--json")[1])
    assert (shown["template"]["reviewers"], shown["template"]["required"], shown["reviewed_by"]) == (2, [], [])
    assert run("postmortem", "submit", incident["id"], "--as", "ana")[0] == 0
    revision = str(shown["revision"] + 1)
    status, output, _ = run("postmortem", "publish", incident["id"], "--revision", revision, "--as", "ben")
    assert (status, "1 of 2 reviews" in output) == (0, True)
    assert run("postmortem", "publish", incident["id"], "--revision", revision, "--as", "kim")[0] == 0
    assert json.loads(run("postmortem", "show", incident["id"], "--json")[1])["state"] == "published"

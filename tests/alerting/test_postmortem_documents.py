"""Postmortems as documents: revisions, two editors at once, labels, review, and files that hold no foreign markup."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from protocol import EDGES, finding
from sqlalchemy import insert, text

from alerting.incidents import journal
from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.postmortems.document import SECTIONS
from alerting.postmortems.editing import Postmortems
from alerting.postmortems.rendering import to_html, to_markdown
from tests.front_door import Run, front_door
from tests.hostile import HOSTILE
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import OnCallConfig, load
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.codec import dump
from watchkeeper.state.database import Database, to_micros, upgrade
from watchkeeper.state.labels import labels, record_label
from watchkeeper.state.schema import incidents as incident_rows
from watchkeeper.state.schema import metadata
from watchkeeper.vocabulary import Actor, Diagnosis, Label, Suspect

ANA = Actor(name="Ana", via="dashboard")
BEN = Actor(name="Ben", via="dashboard")
WHOLE = {"summary": "Checkout failed.", "root_cause": "A lock.", "warranted": "yes", "cause": "payments"}


@pytest.fixture
def postmortems(db: Database, clock: FrozenClock, incidents: Incidents, oncall: OnCallConfig) -> Postmortems:
    return Postmortems(db, clock, incidents, oncall)


@pytest.fixture
def resolved(incidents: Incidents, clock: FrozenClock) -> str:
    """A page that Ana resolved without an answer."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    incidents.page(incident_id)
    incidents.resolve(incident_id, ANA, "r")
    return incident_id


def test_a_resolve_writes_the_first_revision(postmortems: Postmortems, resolved: str, incidents: Incidents) -> None:
    """By the machine, with the first bad time; drafting again adds none."""
    postmortems.begin(resolved)
    (first,) = postmortems.history(resolved)
    assert (first.version, first.actor.name, first.state) == (1, "Watchkeeper", "draft")
    assert first.document.first_bad_at == incidents.get(resolved).onset


def test_an_older_draft_becomes_a_first_revision(
    db: Database, incidents: Incidents, clock: FrozenClock, postmortems: Postmortems
) -> None:
    """Of an installation that was upgraded: with the cause that somebody gave then."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r", Judgement(warranted=True, cause="bank", mechanism="latency"))
    body, at = dump(incidents.get(incident_id)), to_micros(clock.now())
    with db.engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        upgrade(connection, "0015")
        row = {"id": incident_id, "version": 1, "system_state": "firing", "human_state": "resolved", "body": body}
        connection.execute(insert(incident_rows).values(**row, opened_at=at, updated_at=at))
        connection.execute(
            text("INSERT INTO postmortems (incident_id, at, markdown) VALUES (:id, :at, '# old')"),
            {"id": incident_id, "at": at},
        )
        upgrade(connection)
    stored = postmortems.get(incident_id)
    document = stored.document
    assert (stored.version, stored.state, stored.service) == (1, "draft", "payments")
    assert (document.cause, document.mechanism, document.warranted) == ("bank", "latency", "yes")
    assert [one.incident_id for one in postmortems.search("PAYMENTS")] == [incident_id]
    assert postmortems.edit(incident_id, BEN, "k", 1, {"summary": "x"}).changed


def test_two_people_edit_different_fields_at_once(postmortems: Postmortems, resolved: str, clock: FrozenClock) -> None:
    """Both are kept, and the second reads what the first changed."""
    assert postmortems.edit(resolved, ANA, "a", 1, {"summary": "Checkout failed."}).changed
    clock.advance(60)
    second = postmortems.edit(resolved, BEN, "b", 1, {"root_cause": "A lock."})
    assert second.changed
    assert "Ana changed Summary at 03:00 UTC (revision 2)." in second.message
    document = postmortems.get(resolved).document
    assert (document.summary, document.root_cause) == ("Checkout failed.", "A lock.")


def test_two_people_edit_one_field_at_once(postmortems: Postmortems, resolved: str) -> None:
    """The second is told who and what; nothing is overwritten before they have looked, and nothing is lost after."""
    postmortems.edit(resolved, ANA, "a", 1, {"summary": "of Ana"})
    with pytest.raises(Conflict, match=r"Nothing was saved\. Ana changed Summary at .* \(revision 2\)"):
        postmortems.edit(resolved, BEN, "b", 1, {"summary": "of Ben", "went_well": "the runbook"})
    assert postmortems.get(resolved).document.summary == "of Ana"
    postmortems.edit(resolved, BEN, "b", 2, {"summary": "of Ben", "went_well": "the runbook"})
    assert [one.document.summary for one in postmortems.history(resolved)] == ["", "of Ana", "of Ben"]


def test_many_editors_in_threads_lose_nothing(postmortems: Postmortems, resolved: str, clock: FrozenClock) -> None:
    """Eight lines by hand at the same time are eight lines."""

    def add(number: int) -> None:
        for _ in range(20):
            try:
                postmortems.add_entry(resolved, ANA, f"k{number}", clock.now(), f"line {number}")
            except Conflict:
                continue
            return

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.text for one in postmortems.get(resolved).document.added) == [f"line {n}" for n in range(8)]
    assert len(postmortems.history(resolved)) == 9


def test_the_same_key_saves_once(postmortems: Postmortems, resolved: str) -> None:
    """A request that is repeated because its answer was lost is one revision."""
    assert postmortems.edit(resolved, ANA, "k", 1, {"summary": "x"}).changed
    assert not postmortems.edit(resolved, ANA, "k", 1, {"summary": "x"}).changed
    assert len(postmortems.history(resolved)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blame": "Ben"}, "blame: a postmortem has no such field"),
        ({"warranted": "maybe"}, "warranted: must be yes, no, unsure, or empty"),
        ({"mechanism": "gremlins"}, "mechanism: must be one of"),
        ({"first_bad_at": "noon"}, "must be a time such as"),
        ({"summary": "x" * 20_001}, "summary: has 20001 characters"),
        ({"summary": 5}, "summary: must be a text"),
    ],
)
def test_a_wrong_field_is_one_sentence(
    postmortems: Postmortems, resolved: str, changes: dict[str, object], message: str
) -> None:
    """It names the field and what it may be; nothing is saved."""
    with pytest.raises(ConfigError, match=message):
        postmortems.edit(resolved, ANA, "k", 1, changes)
    assert postmortems.get(resolved).version == 1


def test_what_the_postmortem_says_is_a_label(
    postmortems: Postmortems, resolved: str, incidents: Incidents, db: Database
) -> None:
    """By the path of every label; a correction takes its place, and the incident's events keep both."""
    incidents.judge(resolved, ANA, "j", Judgement(warranted=True, cause="cart", note="it was the cart"))
    seen = postmortems.get(resolved)
    assert (seen.document.cause, seen.document.warranted) == ("cart", "yes")
    postmortems.edit(resolved, ANA, "a", seen.version, {"cause": "payments", "mechanism": "latency"})
    postmortems.edit(resolved, ANA, "b", seen.version + 1, {"warranted": "no"})
    (label,) = labels(db)
    assert (label.cause, label.mechanism, label.warranted) == ("payments", "latency", False)
    assert (label.author, label.note, label.model_version) == ("Ana", "it was the cart", "detectors 0")
    with db.read() as connection:
        given = [event.label for event in journal.events(connection, resolved) if event.label]
    assert [(one.cause, one.warranted) for one in given] == [("cart", True), ("payments", True), ("payments", False)]
    assert len(postmortems.history(resolved)) == 4


def test_a_save_without_a_judgement_makes_no_label(postmortems: Postmortems, resolved: str, db: Database) -> None:
    """A text teaches nothing."""
    postmortems.edit(resolved, ANA, "a", 1, {"summary": "x", "first_bad_at": "2026-03-01T02:50:00"})
    assert labels(db) == ()


def test_a_failed_label_saves_nothing(postmortems: Postmortems, resolved: str, db: Database) -> None:
    """The revision and the label are one transaction."""
    with db.write() as connection:
        connection.execute(text("UPDATE incidents SET body = '{}' WHERE id = :id"), {"id": resolved})
    with pytest.raises(Exception, match="cannot be read"):
        postmortems.edit(resolved, ANA, "a", 1, {"cause": "cart"})
    with db.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM postmortem_revisions")) == 1


def test_it_is_reviewed_by_somebody_else_and_published(postmortems: Postmortems, resolved: str) -> None:
    """Complete, as the reviewer saw it, and not by whoever submitted it."""
    with pytest.raises(Conflict, match="submit it for review first"):
        postmortems.publish(resolved, BEN, "p0", 1)
    postmortems.submit(resolved, ANA, "s")
    with pytest.raises(Conflict, match="Summary, Root cause, Was the page warranted missing"):
        postmortems.publish(resolved, BEN, "p1", 2)
    postmortems.edit(resolved, ANA, "e", 2, WHOLE)
    with pytest.raises(Conflict, match=r"It is not published\. Ana changed Summary"):
        postmortems.publish(resolved, BEN, "p2", 2)
    with pytest.raises(Conflict, match="Ana submitted it; somebody else reviews"):
        postmortems.publish(resolved, Actor(name="ana", via="cli"), "p3", 3)
    assert postmortems.publish(resolved, BEN, "p4", 3).stored.state == "published"
    assert not postmortems.publish(resolved, BEN, "p4", 3).changed


def test_what_was_published_stays_while_it_is_corrected(postmortems: Postmortems, resolved: str) -> None:
    """A correction is a draft beside it."""
    postmortems.edit(resolved, ANA, "e", 1, WHOLE)
    postmortems.submit(resolved, ANA, "s")
    postmortems.publish(resolved, BEN, "p", 3)
    postmortems.edit(resolved, ANA, "e2", 4, {"summary": "Checkout and search failed."})
    stored = postmortems.get(resolved)
    assert (stored.state, stored.submitted_by) == ("draft", "")
    assert stored.published is not None
    assert "Checkout failed." in stored.published.markdown
    assert "search" not in stored.published.html
    assert stored.published.version == 4


def test_a_review_can_be_sent_back(postmortems: Postmortems, resolved: str) -> None:
    """It is a draft again."""
    postmortems.submit(resolved, ANA, "s")
    assert postmortems.send_back(resolved, BEN, "b").stored.state == "draft"
    with pytest.raises(Conflict, match="only one in review"):
        postmortems.send_back(resolved, BEN, "b2")


def test_the_timeline_is_typed_marked_and_completed_by_hand(
    postmortems: Postmortems, resolved: str, clock: FrozenClock
) -> None:
    """A line of one's own stands in its place by time, and can be removed again; the incident's own lines stay."""
    early = clock.now() - timedelta(hours=1)
    postmortems.add_entry(resolved, ANA, "1", early, "a customer called", "detection")
    (first, *rest) = postmortems.report(resolved).lines
    assert (first.text, first.kind, first.by_hand) == ("a customer called", "detection", True)
    assert {line.kind for line in rest} >= {"detection", "response"}
    postmortems.mark(resolved, BEN, "2", first.id)
    assert "**a customer called**" in to_markdown(postmortems.report(resolved))
    with pytest.raises(Conflict, match="no line e99"):
        postmortems.mark(resolved, BEN, "3", "e99")
    with pytest.raises(Conflict, match="that was added by hand"):
        postmortems.remove_entry(resolved, BEN, "4", rest[0].id)
    postmortems.remove_entry(resolved, BEN, "5", first.id)
    assert postmortems.report(resolved).lines == tuple(rest)


def test_a_ticket_has_a_short_template(postmortems: Postmortems, incidents: Incidents, clock: FrozenClock) -> None:
    """Nobody was paged: no question whether that was right."""
    (ticket,) = incidents.observe([finding(clock.now(), "stock", severity="ticket", ago=300)])
    with pytest.raises(NotFound, match="no postmortem yet"):
        postmortems.get(ticket)
    postmortems.begin(ticket)
    shown = to_markdown(postmortems.report(ticket))
    assert "## Root cause" in shown
    assert "## Signals missed" not in shown
    postmortems.edit(ticket, ANA, "e", 1, {"summary": "A leak.", "root_cause": "A cache without a bound."})
    postmortems.submit(ticket, ANA, "s")
    assert postmortems.publish(ticket, BEN, "p", 3).stored.state == "published"


def test_templates_name_nobody_to_blame() -> None:
    """Their prompts ask for systems and decisions."""
    prompts = " ".join(one.prompt for one in SECTIONS.values())
    assert "not who is to blame" in prompts
    assert "fault of" not in prompts


def test_where_human_and_machine_disagree_is_shown(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """The suspect that was wrong, the page that was not warranted, two people who differ, and chaos truth."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    suspects = tuple(
        Suspect(service=name, score=2.0, probability=share, mechanism="deploy")
        for name, share in (("cart", 0.7), ("bank", 0.2))
    )
    diagnosis = Diagnosis(
        onset=clock.now(), made_at=clock.now(), suspects=suspects, abstained=False, reason="r", engine_version="v"
    )
    incidents.diagnosed(incident_id, diagnosis, None, "d")
    incidents.page(incident_id)
    incidents.resolve(incident_id, ANA, "r", Judgement(warranted=True, cause="cart"))
    assert "disagree" not in to_markdown(postmortems.report(incident_id))
    clock.advance(1)
    seen = postmortems.get(incident_id).version
    postmortems.edit(incident_id, BEN, "e", seen, {"cause": "bank", "warranted": "no"})
    for shown in (to_markdown(postmortems.report(incident_id)), to_html(postmortems.report(incident_id))):
        assert "Ben names bank as the cause; the machine suspected cart first (70%)" in shown
        assert "in place 2" in shown
        assert "The machine paged; Ben judges that the page was not warranted." in shown
        assert "Ben names bank as the cause; Ana names cart." in shown
    truth = Label(
        id="c", incident_id=incident_id, source="chaos", author="chaos", at=clock.now(), warranted=True, cause="cart"
    )
    record_label(db, truth)
    shown = to_markdown(postmortems.report(incident_id))
    assert "Ben judges the page not warranted; the experiment shows it warranted." in shown
    assert "Ben names bank as the cause; the experiment names cart." in shown


def test_a_search_finds_what_people_wrote(postmortems: Postmortems, resolved: str) -> None:
    """All of the words, in any case, and what looks like a pattern is a text."""
    postmortems.edit(resolved, ANA, "e", 1, {"contributing": "100% of the Pool_size was in use"})
    assert [one.incident_id for one in postmortems.search("pool_SIZE 100%")] == [resolved]
    for words in ("pool_size absent", "poolxsize", "100_", "pool%use"):
        assert postmortems.search(words) == ()
    assert postmortems.search(state="published") == ()


TAGS = frozenset(
    ["html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "table", "tbody", "tr", "td", "pre"]
)


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.shown = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.shown += data


@pytest.mark.parametrize("which", sorted(HOSTILE))
def test_foreign_text_is_no_markup_in_a_published_file(
    postmortems: Postmortems, incidents: Incidents, clock: FrozenClock, which: str
) -> None:
    """In the title, a note, a field, a line of the timeline: whatever stands there is only shown."""
    name = f"{HOSTILE[which][:2000]}</pre></title><script src=http://x.example></script>"
    (incident_id,) = incidents.observe([finding(clock.now(), name, signal=name)])
    incidents.note(incident_id, Actor(name=name, via="cli"), name, "n")
    incidents.resolve(incident_id, ANA, "r", Judgement(cause=name, warranted=True))
    seen = postmortems.get(incident_id).version
    postmortems.edit(incident_id, ANA, "e", seen, {"summary": name, "root_cause": name})
    postmortems.add_entry(incident_id, ANA, "t", clock.now(), name)
    page = Tags()
    page.feed(to_html(postmortems.report(incident_id)))
    assert page.tags <= TAGS
    assert {attribute for attribute, _ in page.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class"
    }  # fmt: skip
    assert "<script" in page.shown
    markdown = to_markdown(postmortems.report(incident_id))
    assert "<script" not in markdown.replace("\\<", "")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    config = tmp_path / "watchkeeper.yaml"
    config.write_text("data_dir: data\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(config))
    return front_door(monkeypatch, capsys)


def test_from_a_draft_to_a_publication_on_the_command_line(run: Run, tmp_path: Path) -> None:
    """As its user types it, with the mistakes that they make."""
    config = load(tmp_path / "watchkeeper.yaml")
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    (opened,) = incidents.observe([finding(SystemClock().now(), "payments")])
    incidents.resolve(opened, ANA, "r")
    db.close()
    (tmp_path / "cause.txt").write_text("A lock.\nIt was held.\n")
    assert "--revision is missing: the newest is 1" in run("postmortem", "edit", opened, "--set", "summary=x")[2]
    values = ["--set", "summary=Checkout failed.", "--set", f"root_cause=@{tmp_path / 'cause.txt'}"]
    answers = ["--set", "warranted=yes", "--set", "cause=payments"]
    saved = run("postmortem", "edit", opened, "--revision", "1", *values, *answers, "--as", "Ana")
    assert saved == (0, f"{opened}: Saved as revision 2.\n", "")
    status, _, err = run("postmortem", "edit", opened, "--revision", "1", "--set", "summary=y", "--as", "Ben")
    assert status == 4
    assert "Ana changed Summary" in err
    assert run("postmortem", "timeline", opened, "--add", "a customer called", "--kind", "detection")[0] == 0
    assert "a customer called" in run("postmortem", "timeline", opened, "--kind", "detection")[1]
    assert run("postmortem", "submit", opened, "--as", "Ana")[0] == 0
    assert run("postmortem", "publish", opened, "--revision", "4", "--as", "Ben")[0] == 0
    shown = run("postmortem", "show", opened, "--published")[1]
    assert "A lock.  \nIt was held." in shown
    assert run("postmortem", "show", opened, "--html")[1].startswith("<!doctype html>")
    assert opened in run("postmortem", "search", "held", "--state", "published")[1]
    assert "no postmortem holds" in run("postmortem", "search", "absent")[1]
    assert [row["revision"] for row in json.loads(run("postmortem", "history", opened, "--json")[1])] == [1, 2, 3, 4, 5]
    assert run("postmortem", "edit", opened, "--revision", "5", "--set", "summary")[0] == 2

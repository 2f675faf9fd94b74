"""A human judgement of an incident: one label, however it was given, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from protocol import EDGES, finding
from sqlalchemy import insert

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement, read_form
from detectors.learning.examples import examples
from watchkeeper.clock import FrozenClock
from watchkeeper.state.codec import dump
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.labels import labels
from watchkeeper.state.models import put_model, stage
from watchkeeper.state.schema import labels as table
from watchkeeper.vocabulary import Actor, Label

ANA = Actor(name="Ana", via="slack")
BEN = Actor(name="Ben", via="api")
RIGHT = Judgement(warranted=True, cause="payments", mechanism="latency", note="a report held a lock")


def opened(incidents: Incidents, clock: FrozenClock) -> str:
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    return incident_id


def test_the_same_answer_of_one_person_is_one_label(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """On the page, then on the command line with another key and later: nothing changes, and the answer is that."""
    incident_id = opened(incidents, clock)
    assert incidents.resolve(incident_id, ANA, "slack:1", RIGHT).changed
    (first,) = labels(db)
    clock.advance(60)
    again = incidents.judge(incident_id, Actor(name="Ana", via="cli"), "cli:2", RIGHT)
    assert not again.changed
    assert again.message.startswith("Ana answered so already: cause was payments")
    assert labels(db) == incidents.get(incident_id).labels == (first,)


def test_a_later_judgement_takes_the_place_of_the_same_persons(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """Also back to the first words, and beside somebody else's, which stays."""
    incident_id = opened(incidents, clock)
    wrong = Judgement(warranted=False)
    for number, (who, judgement) in enumerate([(ANA, RIGHT), (BEN, RIGHT), (ANA, wrong), (ANA, RIGHT), (ANA, wrong)]):
        clock.advance(1)
        assert incidents.judge(incident_id, who, str(number), judgement).changed
    assert [(label.author, label.warranted) for label in labels(db)] == [("Ben", True), ("Ana", False)]
    assert incidents.get(incident_id).labels == labels(db)


def test_not_sure_takes_back_an_answer(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Nothing is learned any more from a judgement that its author has withdrawn."""
    incident_id = opened(incidents, clock)
    incidents.judge(incident_id, ANA, "1", RIGHT)
    assert len(examples(db)) == 1
    clock.advance(1)
    incidents.judge(incident_id, ANA, "2", Judgement())
    assert [label.warranted for label in labels(db)] == [None]
    assert examples(db) == ()


def test_a_clock_that_goes_back_does_not_revive_a_judgement(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """The last answer counts, by the order of answers and not by the clock."""
    incident_id = opened(incidents, clock)
    incidents.judge(incident_id, ANA, "1", RIGHT)
    clock.advance(-3600)
    incidents.judge(incident_id, ANA, "2", Judgement(warranted=False))
    assert [label.warranted for label in labels(db)] == [False]


def test_a_label_names_the_version_that_decided_then(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """What was promoted after the page is not what was judged; a canary beside it is named, too."""
    versions: list[str] = []
    for content in (b"one", b"two"):
        version = put_model(db, "detectors", content, {}, clock.now()).version
        (incident_id,) = incidents.observe([finding(clock.now(), f"shop-{version}")])
        clock.advance(1)
        stage(db, "detectors", version, "canary", actor="Ana", now=clock.now(), record={})
        clock.advance(1)
        (during,) = incidents.observe([finding(clock.now(), f"bank-{version}")], judged=lambda _: False)
        clock.advance(1)
        stage(db, "detectors", version, "serving", actor="Ana", now=clock.now(), record={})
        for judged in (incident_id, during):
            incidents.judge(judged, ANA, "1", RIGHT)
            versions += [label.model_version for label in incidents.get(judged).labels]
    assert versions == ["detectors 0", "detectors 0, canary 1", "detectors 1", "detectors 1, canary 2"]


def test_labels_of_older_versions_are_read(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Several of one person's for one incident, with other ids: the newest counts, until they say something else."""
    incident_id = opened(incidents, clock)
    with db.write() as connection:
        for number, warranted in enumerate((True, False)):
            at = clock.now() + timedelta(seconds=number)
            old = Label(
                id=f"label-{number}", incident_id=incident_id, source="human", author="Ana", at=at, warranted=warranted
            )
            row = {"id": old.id, "incident_id": incident_id, "source": "human", "at": to_micros(at), "body": dump(old)}
            connection.execute(insert(table).values(**row))
    assert [label.id for label in labels(db)] == ["label-1"]
    incidents.judge(incident_id, ANA, "1", RIGHT)
    assert [(label.author, label.warranted) for label in labels(db)] == [("Ana", True)]


def test_a_form_without_an_answer_is_no_judgement() -> None:
    """A form that is sent empty says nothing, and what a form cannot have offered is not taken for an answer."""
    assert read_form(None, None, None, " ") is None
    assert read_form("", "", "", "") is None
    assert read_form("maybe", None, "witchcraft", "n") == Judgement(note="n")
    assert read_form("no", None, None, None) == Judgement(warranted=False)

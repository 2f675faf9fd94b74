"""A picture of the evidence follows the page: once, in its thread, and never in the way of anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from alerting.channels.slack.channel import SlackChannel
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.pictures import showing
from alerting.pictures.drawing import SIGNATURE
from alerting.pictures.plot import Plot
from alerting.pictures.showing import Showing
from tests.alerting.channels.slack.running_site import Site, finding
from watchkeeper.clock import SystemClock
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Diagnosis, Evidence, Suspect

PNG = SIGNATURE + b"a picture whose pixels do not matter here"
SENTENCE = "fails 31 % of requests; <!channel> its callers fail after it"


def plot(incident: Incident, _: Any = None) -> Plot:
    """Half an hour in which errors begin."""
    values = (*([0.002, 0.004] * 40), *([0.31] * 40))
    return Plot(
        title=f"orders-db: failed requests $x$ of {incident.service}",
        sentence=SENTENCE,
        unit="ratio",
        start=incident.onset - timedelta(minutes=20),
        step_s=15,
        values=values,
        onset=incident.onset,
        usual=(0.002, 0.004),
    )


def diagnosis(site: Site, signal: str = "errors", service: str = "orders-db") -> Diagnosis:
    evidence = (
        Evidence(kind="errors", weight=2.0, sentence=SENTENCE, signal=signal),
        Evidence(kind="reach", weight=3.0, sentence="most of what fails calls it"),
    )
    suspect = Suspect(service=service, score=9.0, probability=0.8, mechanism="database", evidence=evidence)
    return Diagnosis(
        onset=site.now(), made_at=site.now(), suspects=(suspect,), abstained=False, reason="errors", engine_version="1"
    )


def page(site: Site, service: str = "payments") -> str:
    (incident_id,) = site.incidents.observe([finding(service)], judged=lambda _: False)
    site.incidents.diagnosed(incident_id, diagnosis(site), None, f"first:{service}")
    site.incidents.page(incident_id)
    site.send()
    return incident_id


def worker(site: Site, problems: Problems | None = None, **how: Callable[..., Any]) -> Showing:
    """A new process's worker."""
    given: dict[str, Callable[..., Any]] = {"read": plot, "draw": lambda _: PNG} | how
    channel = SlackChannel(site.config)
    return Showing(site.db, site.incidents, "slack", channel, problems=problems or Problems(None), **given)  # type: ignore[arg-type]


def files(site: Site) -> list[dict[str, Any]]:
    """What is shown in the thread of the only message."""
    return [file for reply in site.message()["replies"] for file in reply.get("files") or ()]


@pytest.fixture
def site(site: Site, db: Database) -> Site:
    """The same Slack, with incidents and outbox in a state database of each kind."""
    return replace(site, db=db, incidents=Incidents(db, SystemClock(), site.config.oncall))


def test_one_picture_follows_the_page(site: Site) -> None:
    """In its thread, with the sentence for whoever cannot see it; no second round and no new process repeats it."""
    incident_id = page(site)
    assert worker(site).run(site.now()) == 1
    (file,) = files(site)
    assert file["name"].startswith(incident_id)
    assert file["alt_txt"] == f"orders-db: {SENTENCE}"
    assert site.slack.get(f"/files/{file['id']}").content == PNG
    (reply,) = [reply for reply in site.message()["replies"] if reply.get("files")]
    assert "<!channel>" not in reply["text"]
    site.incidents.observe([finding(kind="latency", summary="payments: slow")], judged=lambda _: False)
    site.send(later_s=30)
    again = worker(site)
    assert [again.run(site.now(later_s=60)) for _ in range(3)] == [0, 0, 0]
    assert len(files(site)) == 1


def test_a_diagnosis_that_rests_on_something_else_gets_one_too(site: Site) -> None:
    """Few for an incident, however often the machine changes its mind."""
    incident_id = page(site)
    showed = worker(site)
    for number, service in enumerate(["orders-db", "bus", "bus", "dns", "cache", "orders-db"]):
        site.incidents.diagnosed(incident_id, diagnosis(site, service=service), None, f"again:{number}")
        showed.run(site.now(later_s=60.0 * number))
    assert len(files(site)) == showing.MOST


def test_nothing_is_shown_before_the_page(site: Site) -> None:
    """The incident has no message yet; its picture comes when it has."""
    (incident_id,) = site.incidents.observe([finding()], judged=lambda _: False)
    site.incidents.diagnosed(incident_id, diagnosis(site), None, "first")
    showed = worker(site)
    assert showed.run(site.now()) == 0
    site.incidents.page(incident_id)
    site.send()
    assert showed.run(site.now(later_s=10)) == 1


def test_a_kill_after_the_share_shows_no_second_one(site: Site) -> None:
    """Slack has it, and we never hear of it: the next try finds the file's name in the thread."""
    page(site)
    site.slack.post("/standin/trouble", json={"method": "files.completeUploadExternal", "kind": "lost_answer"})
    with capture_logs():
        assert worker(site).run(site.now()) == 0
    assert len(files(site)) == 1
    assert worker(site).run(site.now(later_s=60)) == 1
    assert len(files(site)) == 1


def test_what_fails_is_tried_again_a_few_times_and_left(site: Site) -> None:
    """Pages and edits go on meanwhile."""
    incident_id = page(site)
    problems = Problems(None)

    def away(*_: Any) -> Plot:
        raise StoreError("the store cannot be reached", retry=True)

    showed = worker(site, problems, read=away)
    with capture_logs():
        for number in range(10):
            assert showed.run(site.now(later_s=120.0 * number)) == 0
    (problem,) = problems.current()
    assert "messages go out all the same" in problem.reason
    assert problem.count == showing.TRIES
    assert worker(site).run(site.now(later_s=5000)) == 0
    site.incidents.page(incident_id)
    site.send(later_s=60)
    assert site.incidents.get(incident_id).delivered


def test_an_incident_that_cannot_be_drawn_keeps_no_other(site: Site) -> None:
    """Whatever it dies of."""
    first = page(site)
    (second,) = site.incidents.observe([finding("ledger")], judged=lambda _: False, edges=[])
    site.incidents.diagnosed(second, diagnosis(site), None, "second")
    site.incidents.page(second)
    site.send(later_s=1)

    def read(incident: Incident, _: Any) -> Plot:
        if incident.id == first:
            raise ZeroDivisionError
        return plot(incident)

    showed = worker(site, read=read)
    with capture_logs():
        assert [showed.run(site.now(later_s=2)) for _ in range(2)] in ([0, 1], [1, 0])


@pytest.mark.parametrize("error", ["missing_scope", "not_in_channel"])
def test_a_refusal_that_a_human_must_repair_is_said_once(site: Site, error: str) -> None:
    """An app from before the scope: doctor shows what to do, and Slack is left alone for an hour."""
    page(site)
    trouble = {"method": "files.getUploadURLExternal", "kind": "refused", "error": error, "times": 50}
    site.slack.post("/standin/trouble", json=trouble)
    problems = Problems(None)
    showed = worker(site, problems)
    with capture_logs():
        for number in range(5):
            showed.run(site.now(later_s=120.0 * number))
    (problem,) = problems.current()
    assert (problem.loop, problem.subject, problem.count) == ("pictures", "slack", 1)
    assert error in problem.reason
    assert "watchkeeper doctor" in problem.reason


def test_a_gathered_message_shows_no_pictures(site: Site) -> None:
    """Twenty pictures below one message would help nobody."""
    opened = [
        site.incidents.observe([finding(f"s{number:02}")], judged=lambda _: False, edges=[])[0] for number in range(8)
    ]
    for number, incident_id in enumerate(opened):
        site.incidents.diagnosed(incident_id, diagnosis(site, service=f"s{number:02}"), None, "first")
    site.incidents.page_all(opened)
    site.send()
    site.send(later_s=4)
    showed = worker(site)
    for second in range(12):
        showed.run(site.now(later_s=5.0 + second))
    (gathered,) = [message for message in site.board()["messages"] if "incidents, " in message["text"]]
    assert not [reply for reply in gathered["replies"] if reply.get("files")]

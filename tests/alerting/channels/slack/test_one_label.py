"""One answer is one label, whether it comes from Slack, the API, the command line or the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from alerting.incidents.human_labels import ANSWERS, Judgement, read_form
from dashboard.commands import Command
from dashboard.dialogs import resolve as dialog
from tests.alerting.channels.slack.running_site import Site
from tests.front_door import Run, front_door
from watchkeeper.state.labels import labels
from watchkeeper.vocabulary import Actor, Label

NOTE = "a report took the lock"


@pytest.fixture
def run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command through the front door, with the running site's configuration."""
    file = tmp_path / "w.yaml"
    people = [person.model_dump() for person in site.config.oncall.people]
    file.write_text(yaml.safe_dump({"data_dir": str(site.config.data_dir), "oncall": {"people": people}}))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(file))
    return front_door(monkeypatch, capsys)


def by_slack(site: Site, _: Run, incident_id: str, answer: str) -> None:
    """Through the form, by Ana."""
    view = site.press("resolve").json()["view"]
    site.submit(view, {"warranted": answer, "cause": "orders-db", "mechanism": "database", "note": NOTE})
    site.until(lambda: site.incidents.get(incident_id).labels)


def by_api(site: Site, _: Run, incident_id: str, answer: str) -> None:
    """By a token, whose name is the author's."""
    label = {"warranted": warranted(answer), "cause": "orders-db", "mechanism": "database", "note": NOTE}
    path = f"/api/v1/incidents/{incident_id}/resolve"
    assert site.web.post(path, json={"label": label}, headers=site.token()).status_code == 200


def by_command_line(_: Site, run: Run, incident_id: str, answer: str) -> None:
    """With the flags of the same names."""
    flag = {"yes": "--warranted", "no": "--unwarranted", "unsure": "--unsure"}[answer]
    answers = ("--cause", "orders-db", "--mechanism", "database", "--note", NOTE, flag)
    status, _, errors = run("incident", "resolve", incident_id, "--as", "Ana", *answers)
    assert status == 0, errors


def by_dashboard(site: Site, _: Run, incident_id: str, answer: str) -> None:
    """As the dialog's callback gives it."""
    judgement = read_form(answer, "orders-db", "database", NOTE)
    command = Command(name="resolve", incident_id=incident_id, key="dashboard:1", judgement=judgement)
    command.run(site.incidents, Actor(name="Ana", via="dashboard"))


def warranted(answer: str) -> bool | None:
    return {"yes": True, "no": False, "unsure": None}[answer]


@pytest.mark.parametrize("answer", [answer for answer, _ in ANSWERS])
@pytest.mark.parametrize("give", [by_slack, by_api, by_command_line, by_dashboard])
def test_every_answer_is_kept_the_same_way(
    site: Site, run: Run, give: Callable[[Site, Run, str, str], None], answer: str
) -> None:
    """Yes, no and not sure; with the version that decided; and given again by the same person, nothing changes."""
    incident_id = site.page()
    give(site, run, incident_id, answer)
    (label,) = kept(site)
    assert (label.warranted, label.cause, label.mechanism) == (warranted(answer), "orders-db", "database")
    assert (label.note, label.source, label.model_version) == (NOTE, "human", "detectors 0")
    judgement = Judgement(warranted=warranted(answer), cause="orders-db", mechanism="database", note=NOTE)
    again = site.incidents.judge(incident_id, Actor(name=label.author, via="cli"), "another key", judgement)
    assert not again.changed
    assert [same.id for same in kept(site)] == [label.id]


def kept(site: Site) -> list[Label]:
    return list(labels(site.db))


def test_nothing_is_preselected_in_the_dialog() -> None:
    """No field of the dashboard's dialog has a value before somebody chooses one, and it offers every answer."""
    parts = list(_walk(dialog.dialog()))
    fields = {part.id: part for part in parts if str(getattr(part, "id", "")).startswith("label-")}
    assert set(fields) == {"label-cause", "label-mechanism", "label-warranted", "label-note"}
    assert [getattr(field, "value", None) for field in fields.values()] == [None] * 4
    radios = [part.value for part in parts if type(part).__name__ == "Radio"]
    assert radios == [answer for answer, _ in ANSWERS]
    assert not any(getattr(part, "checked", None) for part in parts)


def _walk(part: object) -> Iterator[object]:
    if isinstance(part, list | tuple):
        for child in part:
            yield from _walk(child)
    elif part is not None and not isinstance(part, str | int | float):
        yield part
        yield from _walk(getattr(part, "children", None))

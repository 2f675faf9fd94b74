"""Addresses of calendars: each shows one schedule or one person, and ends alone when it is revoked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from icalendar import Calendar
from sqlalchemy import select
from typer.testing import CliRunner

from alerting.channels.slack.standin.served import serving
from alerting.commands.oncall import app
from alerting.oncall.feeds import feed_of, feeds, make_feed, revoke_feed
from alerting.oncall.ical import person_feed
from alerting.oncall.schedule import Override, who_has_it
from alerting.oncall.versions import Part
from watchkeeper.config import Config, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, load
from watchkeeper.errors import NotFound, StateError
from watchkeeper.roles.web import build
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.state.schema import calendar_feeds
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor, Window

BOSS = Actor(name="root", via="cli")
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PEOPLE = tuple(
    PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben", "zoe")
)
DAYS = LayerConfig(people=("ana", "ben"), start="2026-03-02T09:00", turn_hours=24)
NIGHTS = LayerConfig(people=("ben",), hours="22:00-06:00")
ONCALL = OnCallConfig(
    people=PEOPLE,
    schedules=(
        ScheduleConfig(
            id="primary", layers=(DAYS,), shadows=(LayerConfig(people=("zoe",), hours="09:00-17:00"),), fallback="zoe"
        ),
        ScheduleConfig(
            id="second", timezone="Europe/Berlin", layers=(LayerConfig(people=("ben",), hours="22:00-06:00"),)
        ),
    ),
    escalation=(),
)


def calendar_of(person: str, window: Window, now: datetime = NOW, cover: tuple[Override, ...] = ()) -> bytes:
    """One person's calendar, by a rota that was never edited."""
    return person_feed((Part(window=window, oncall=ONCALL),), person, cover, now)


def events(file: bytes) -> list[tuple[str, datetime, datetime]]:
    return [
        (str(event["summary"]), event["dtstart"].dt, event["dtend"].dt)
        for event in Calendar.from_ical(file).walk("VEVENT")
    ]


def test_a_persons_calendar_is_when_any_schedule_has_them() -> None:
    """Hour by hour, overrides included, in every schedule; and when they shadow."""
    cover = Override(schedule="primary", person="zoe", start=NOW, end=NOW + timedelta(hours=5))
    window = Window(start=NOW - timedelta(days=3), end=NOW + timedelta(days=10))
    for person in ("ana", "ben", "zoe"):
        shifts = [e for e in events(calendar_of(person, window, NOW, (cover,))) if "shadows" not in e[0]]
        at = window.start
        while at < window.end:
            wanted = sorted(
                schedule.id
                for schedule in ONCALL.schedules
                if (found := who_has_it(ONCALL, schedule.id, at, (cover,))[0]) and found.id == person
            )
            shown = sorted(text.partition("(")[2][:-1] for text, start, end in shifts if start <= at < end)
            assert shown == wanted, (person, at)
            at += timedelta(hours=1)
    shadows = [e for e in events(calendar_of("zoe", window)) if "shadows" in e[0]]
    assert {(start.hour, end.hour) for _, start, end in shadows} == {(9, 17)}
    assert 13 <= len(shadows) <= 14


def test_an_entry_of_a_persons_calendar_is_the_same_tomorrow() -> None:
    """Its uid, begin and end, shadows included."""
    seen: dict[str, tuple[datetime, datetime]] = {}
    for hour in range(0, 24 * 5, 7):
        now = NOW + timedelta(hours=hour)
        window = Window(start=now, end=now + timedelta(days=20))
        for event in Calendar.from_ical(calendar_of("zoe", window, now)).walk("VEVENT"):
            times = (event["dtstart"].dt, event["dtend"].dt)
            assert seen.setdefault(str(event["uid"]), times) == times
    assert len(set(seen.values())) == len(seen)


def test_a_feed_ends_alone_when_it_is_revoked(db: Database) -> None:
    """The others go on; who made and who ended it is in the audit log, and no secret is kept."""
    first, secret = make_feed(db, ONCALL, "person", "ana", NOW, BOSS)
    _, other = make_feed(db, ONCALL, "schedule", "second", NOW, BOSS)
    revoke_feed(db, first, NOW, BOSS)
    assert feed_of(db, secret) is None
    assert feed_of(db, "") is None
    known = feed_of(db, other)
    assert known is not None
    assert (known.kind, known.subject, known.made_by) == ("schedule", "second", "root")
    assert [bool(each.revoked_at) for each in sorted(feeds(db), key=lambda each: each.kind)] == [True, False]
    with pytest.raises(StateError, match="revoked already"):
        revoke_feed(db, first, NOW, BOSS)
    with pytest.raises(NotFound):
        revoke_feed(db, "none", NOW, BOSS)
    with pytest.raises(NotFound):
        make_feed(db, ONCALL, "person", "bob", NOW, BOSS)
    assert [entry.action for entry in audit_trail(db)] == ["calendar.revoke", "calendar.add", "calendar.add"]
    with db.read() as connection:
        kept = str(connection.execute(select(calendar_feeds)).all())
    assert secret not in kept
    assert other not in kept


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, Config, httpx.Client]]:
    """A web role with two people, its file, and a browser."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(
        f"""
data_dir: {tmp_path}/data
oncall:
  people: [{{id: ana, name: Ana, addresses: {{slack: UANA}}}}, {{id: ben, name: Ben, addresses: {{slack: UBEN}}}}]
  schedules: [{{id: primary, layers: [{{people: [ana, ben], turn_hours: 24}}]}}]
  escalation: [{{after_s: 0, notify: primary}}]
""",
        encoding="utf-8",
    )
    config = load(file)
    db = Database.open(config)
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(build(config, Telemetry.connect(config), db), listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield file, config, client
    db.close()


def command(file: Path, *arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--config", str(file)], catch_exceptions=False).stdout


def test_calendars_and_swaps_over_http(site: tuple[Path, Config, httpx.Client]) -> None:
    """A feed's address works until it is revoked; a swap is asked and answered with a token, and shown."""
    file, config, web = site
    made = command(file, "feed", "new", "--person", "ana")
    path = "/calendar/" + made.split("/calendar/")[1].split()[0]
    assert {name for name, _, _ in events(web.get(path).content)} == {"Ana is on call (primary)"}
    command(file, "feed", "revoke", made.strip().rsplit(" ", 1)[1])
    assert web.get(path).status_code == 404
    assert web.get(f"/calendar/{config.secret('calendar')}.ics").status_code == 200

    (primary,) = web.get("/api/v1/oncall").json()
    owner, other = (primary["person"], "ben" if primary["person"] == "ana" else "ana")
    # The shift that the owner has two days from now: the same as today, in turns of a day.
    start = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)
    owner = next(each.id for each in [who_has_it(config.oncall, "primary", start, ())[0]] if each)
    other = "ben" if owner == "ana" else "ana"
    shift = {"start": start.isoformat(), "end": (start + timedelta(hours=2)).isoformat()}
    body = {"asker": owner, "taker": other, "shift": shift}
    assert web.post("/api/v1/oncall/swaps", json=body).status_code == 401
    headers = {"Authorization": f"Bearer {config.secret('commands')}"}
    answer = web.post("/api/v1/oncall/swaps", json=body, headers=headers)
    assert answer.status_code == 201
    swap_id = answer.json()["id"]
    assert web.post(f"/api/v1/oncall/swaps/{swap_id}/accept").status_code == 401
    accepted = web.post(f"/api/v1/oncall/swaps/{swap_id}/accept", headers=headers)
    assert (accepted.status_code, accepted.json()["state"]) == (200, "accepted")
    again = web.post(f"/api/v1/oncall/swaps/{swap_id}/decline", headers=headers)
    assert (again.status_code, "accepted already" in again.json()["error"]) == (409, True)
    assert [swap["state"] for swap in web.get("/api/v1/oncall/swaps?state=accepted").json()] == ["accepted"]
    wrong = [
        ({**body, "taker": "bob"}, 404),
        ({**body, "shift": {"start": shift["end"], "end": shift["start"]}}, 422),
        ({**body, "shift": {"start": "0001-01-01T00:00:00+14:00", "end": shift["end"]}}, 422),
        ({**body, "shift": {"start": "2026-03-01T00:00:00", "end": shift["end"]}}, 422),
        ({**body, "more": 1}, 422),
    ]
    for sent, status in wrong:
        assert web.post("/api/v1/oncall/swaps", json=sent, headers=headers).status_code == status

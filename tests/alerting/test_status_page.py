"""Status updates and the public status page: approved texts and configured names leave, and nothing else."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import finding

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.status_page.history import public_page
from alerting.status_page.publication import as_html, as_json, publish
from alerting.status_page.updates import Content, StatusUpdate, StatusUpdates
from tests.front_door import Run, front_door
from tests.hostile import HOSTILE
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import Config, load
from watchkeeper.config_sections import ComponentConfig, StatusPageConfig
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Diagnosis, Evidence, Suspect, utc

ANA = Actor(name="Ana Sousa", via="cli")
COMPONENTS = (
    ComponentConfig(id="checkout", name="Checkout", services=("orders-api", "payments-eu1")),
    ComponentConfig(id="search", name="Search", services=("finder-v2",)),
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    page = StatusPageConfig(title="Shop status", components=COMPONENTS)
    return Config(data_dir=tmp_path / "data", status_page=page)


@pytest.fixture
def updates(db: Database, clock: FrozenClock, config: Config) -> StatusUpdates:
    return StatusUpdates(db, clock, config)


@pytest.fixture
def incident_id(incidents: Incidents, clock: FrozenClock) -> str:
    (opened,) = incidents.observe([finding(clock.now(), "payments-eu1")])
    return opened


def written(updates: StatusUpdates, config: Config, clock: FrozenClock, folder: Path) -> str:
    """All that a publication wrote, in one text."""
    publish(updates, config, folder, clock.now())
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()))


SECRETS = {
    "access key": "AKIAIOSFODNN7EXAMPLE",
    "slack token": "xoxb-not-a-real-token",
    "github token": "ghp_0123456789abcdefghij",
    "signed token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig",
    "private key": "-----BEGIN RSA PRIVATE KEY-----",
    "password": "db_password=hunter2",
    "json password": '"password": "hunter2"',
    "bearer": "Authorization: Bearer abcdefghijklmnop",
    "dsn": "postgresql://shop:hunter2@db/orders",
    "random word": "3f9a8c7b6d5e4f3a2b1c0d9e8f7a6b5c",
    "ip address": "10.4.3.2",
    "ipv6 address": "fd00:1:2:3::17",
    "internal host": "db-7.prod.internal",
    "cluster host": "orders.shop.svc",
    "path": "/etc/shop/keys.yaml",
    "traceback": "Traceback (most recent call last)",
    "direction mark": "all good\u202e",
}


def test_nothing_of_a_hostile_incident_leaves(
    incidents: Incidents, updates: StatusUpdates, clock: FrozenClock, config: Config, tmp_path: Path
) -> None:
    """Secrets and names in its title, findings, diagnosis, notes and labels; drafts, internal and withdrawn updates."""
    opened = []
    for number, secret in enumerate([*SECRETS.values(), *HOSTILE.values()]):
        bad = f"{secret[:500]} marker{number}x"
        (incident_id,) = incidents.observe(
            [finding(clock.now(), bad, signal=bad), finding(clock.now(), "finder-v2")], edges=((bad, "finder-v2"),)
        )
        evidence = Evidence(kind="logs", weight=1.0, sentence=bad)
        suspect = Suspect(
            service=bad, score=1.0, probability=0.9, mechanism="deploy", evidence=(evidence,), instance=bad
        )
        diagnosis = Diagnosis(
            onset=clock.now(), made_at=clock.now(), suspects=(suspect,), abstained=False, reason=bad, engine_version="1"
        )
        incidents.diagnosed(incident_id, diagnosis, None, "d")
        incidents.note(incident_id, Actor(name=bad, via="cli"), bad, "n")
        updates.post(incident_id, ANA, "internal", "internal", Content(text=bad, components=("search",)))
        draft = updates.draft(incident_id, Actor(name=bad, via="cli"), "draft", Content(components=("search",)))
        with pytest.raises(Conflict, match=r"must not leave|The public knows"):
            updates.approve(draft.id, ANA, f"It is {bad}")
        assert updates.approve(draft.id, ANA).is_public
        incidents.resolve(incident_id, ANA, "r", Judgement(warranted=True, cause=bad, note=bad))
        waiting = updates.draft(incident_id, ANA, "second", Content(text=f"not yet {bad}", components=("search",)))
        assert not waiting.is_public
        opened.append(incident_id)
        clock.advance(7200)
        incidents.observe([])
    shown = written(updates, config, clock, tmp_path / "site")
    assert "We are investigating a problem with Search." in shown
    internal = [
        *SECRETS.values(),
        *opened,
        "marker",
        "finder-v2",
        "payments-eu1",
        "orders-api",
        "Ana",
        "not yet",
        "upd-",
    ]
    assert [text for text in internal if text in shown] == []
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"index.html", "status.json"}


@pytest.mark.parametrize("which", sorted(SECRETS))
def test_a_secret_is_refused_even_on_purpose(updates: StatusUpdates, incident_id: str, which: str) -> None:
    """Nobody can confirm it away, and the message does not repeat a secret."""
    text = f"Checkout is slow, see {SECRETS[which]} for more"
    with pytest.raises(Conflict, match="must not leave") as refused:
        updates.post(incident_id, ANA, "k", "public", Content(text=text), names_too=True)
    assert "hunter2" not in refused.value.message
    assert "AKIA" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "Checkout is slow for some customers. We are working on it, and write again by 16:30 UTC.",
        "Between 10:00 and 10:45 UTC about 2.5 % of orders failed. No data was lost.",
        "See https://status.example.com/help for what you can do; call +44 20 7946 0000.",
        "Wir untersuchen ein Problem mit dem Checkout.",
    ],
)
def test_ordinary_words_may_leave(updates: StatusUpdates, incident_id: str, text: str) -> None:
    """A check that refuses what people write would be switched off."""
    assert updates.post(incident_id, ANA, text, "public", Content(text=text)).is_public


def test_a_name_of_ours_leaves_on_purpose_only(updates: StatusUpdates, incident_id: str) -> None:
    """A service, or a person; the name of a component is everybody's."""
    for text in ("PAYMENTS-EU1 fails", "orders-api is down", "On call is looking into it"):
        with pytest.raises(Conflict, match="The public knows the names of components"):
            updates.post(incident_id, ANA, text, "public", Content(text=text))
        assert updates.post(incident_id, ANA, f"on purpose {text}", "public", Content(text=text), names_too=True)
    assert updates.post(incident_id, ANA, "k", "public", Content(text="Checkout fails")).is_public


def test_a_draft_names_components_alone(
    updates: StatusUpdates, incident_id: str, incidents: Incidents, clock: FrozenClock
) -> None:
    """Of the incident's services, or as named; its state follows the incident's."""
    draft = updates.draft(incident_id, ANA, "1", Content())
    assert draft.text == "We are investigating a problem with Checkout. Some requests may fail or be slow."
    assert (draft.state, draft.impact, draft.components, draft.is_public) == (
        "investigating",
        "degraded",
        ("checkout",),
        False,
    )
    clock.advance(1)
    incidents.resolve(incident_id, ANA, "r")
    over = updates.draft(incident_id, ANA, "2", Content(components=("checkout", "search")))
    assert (over.text, over.impact) == ("Checkout and Search: the problem is resolved.", "none")
    with pytest.raises(ConfigError, match=r"'chekout' is not configured; did you mean checkout\?"):
        updates.draft(incident_id, ANA, "3", Content(components=("chekout",)))
    (other,) = incidents.observe([finding(clock.now() + timedelta(hours=1), "batch-jobs")])
    with pytest.raises(ConfigError, match="no component of `status_page` has a service of this incident"):
        updates.draft(other, ANA, "4", Content())
    with pytest.raises(NotFound):
        updates.draft("inc-nope", ANA, "5", Content())


def test_an_update_is_public_once_somebody_approved_it(
    updates: StatusUpdates, incident_id: str, clock: FrozenClock, config: Config, tmp_path: Path
) -> None:
    """At the time of the approval, and until it is withdrawn."""
    draft = updates.draft(incident_id, ANA, "1", Content())
    assert "investigating" not in written(updates, config, clock, tmp_path / "site")
    clock.advance(600)
    updates.approve(draft.id, ANA, "Checkout is slow.")
    shown = written(updates, config, clock, tmp_path / "site")
    assert "Checkout is slow." in shown
    assert json.loads((tmp_path / "site" / "status.json").read_text())["components"][0]["state"] == "degraded"
    assert "2026-03-01 03:10 UTC" in shown
    with pytest.raises(Conflict, match="Ana Sousa approved it already"):
        updates.approve(draft.id, ANA)
    updates.withdraw(draft.id, ANA)
    assert "Checkout is slow." not in written(updates, config, clock, tmp_path / "site")
    with pytest.raises(Conflict, match="is not public"):
        updates.withdraw(draft.id, ANA)
    assert (
        updates.post(incident_id, ANA, "same", "internal", Content(text="x")).id
        == updates.post(incident_id, ANA, "same", "internal", Content(text="y")).id
    )


def test_components_have_a_state_now_and_of_each_of_ninety_days(
    updates: StatusUpdates, incident_id: str, clock: FrozenClock, config: Config
) -> None:
    """The worst of each day in UTC, from the first update until it is resolved; what is older is gone."""
    began = clock.now()
    updates.post(incident_id, ANA, "1", "public", Content(text="Down.", impact="outage"))
    clock.advance(86_400)
    updates.post(incident_id, ANA, "2", "public", Content(text="Slow.", state="identified", impact="degraded"))
    clock.advance(86_400)
    updates.post(incident_id, ANA, "3", "public", Content(text="Over.", state="resolved"))
    clock.advance(3 * 86_400)

    def page() -> object:
        return public_page(config.status_page, updates.public(clock.now() - timedelta(days=90)), clock.now())

    shown = page()
    assert hasattr(shown, "components")
    checkout, search = shown.components
    assert (checkout.now, search.now, len(checkout.days)) == ("none", "none", 90)
    bad = [(str(day), impact) for day, impact in checkout.days if impact != "none"]
    assert bad == [("2026-03-01", "outage"), ("2026-03-02", "outage"), ("2026-03-03", "degraded")]
    assert {impact for _, impact in search.days} == {"none"}
    assert began.date() == checkout.days[84][0]
    clock.advance(100 * 86_400)
    later = page()
    assert hasattr(later, "incidents")
    assert later.incidents == ()


WORDS = "html head meta title style body main h1 h2 h3 p section div ul li strong span time"
TAGS = frozenset(WORDS.split())


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses |= {
            value or "" for name, value in attrs if name in ("href", "src", "action", "onerror", "style")
        }


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=60).filter(str.strip))
def test_whatever_text_is_approved_is_only_shown(text: str, name: str) -> None:
    """No markup of it becomes markup; and the JSON can be read back."""
    page = StatusPageConfig.model_construct(
        title=name, components=(ComponentConfig.model_construct(id="c", name=name),)
    )
    at = utc(1_700_000_000)
    update = StatusUpdate(
        id="u", incident_id="i", audience="public", state="investigating", impact="outage", components=("c",),
        text=text, at=at, author="a", via="cli", approved_at=at, approved_by="a",
    )  # fmt: skip
    shown = public_page(page, [update], at)
    parsed = _Tags()
    parsed.feed(as_html(shown))
    assert parsed.tags <= TAGS
    assert parsed.addresses == set()
    assert json.loads(as_json(shown))["incidents"][0]["updates"][0]["text"] == text


def test_the_page_loads_nothing(updates: StatusUpdates, clock: FrozenClock, config: Config, tmp_path: Path) -> None:
    """No script, no style sheet, no picture: it works where everything else is down."""
    written(updates, config, clock, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert not re.search(r"<(script|link|img|iframe)|url\(|@import|https?:", page)
    assert "All systems are operational" in page
    assert (tmp_path / "site" / "index.html").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_written_is_one_sentence(
    updates: StatusUpdates, clock: FrozenClock, config: Config, tmp_path: Path
) -> None:
    """It names the folder; what was there stays."""
    place = tmp_path / "file"
    place.write_text("x")
    with pytest.raises(ConfigError, match="the status page cannot be written to"):
        publish(updates, config, place, clock.now())
    assert place.read_text() == "x"


def test_the_status_page_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a draft to a page."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text("data_dir: data\nstatus_page:\n  components: [{id: checkout, name: Checkout, services: [pay]}]\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    tree = load(path)
    db = Database.open(tree)
    (opened,) = Incidents(db, SystemClock(), tree.oncall).observe([finding(SystemClock().now(), "pay")])
    db.close()
    drafted = json.loads(run("status", "draft", opened, "--json")[1])
    assert not drafted["public"]
    assert "draft    investigating, degraded (checkout)" in run("status", "list")[1]
    assert run("status", "approve", drafted["id"])[0] == 0
    assert run("status", "post", opened, "the pay service leaks", "--audience", "public")[0] == 4
    assert run("status", "post", opened, "for you", "--audience", "everybody")[0] == 2
    assert run("status", "publish")[0] == 2
    assert "1 incidents" in run("status", "publish", "--to", str(tmp_path / "out"))[1]
    assert "Checkout" in (tmp_path / "out" / "index.html").read_text()
    assert run("status", "withdraw", drafted["id"])[0] == 0


def test_two_components_of_one_id_or_name_are_refused(tmp_path: Path) -> None:
    """With file, line and key."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text("status_page:\n  components:\n  - {id: a, name: A}\n  - {id: a, name: B}\n")
    with pytest.raises(
        ConfigError, match=r"watchkeeper\.yaml:4: status_page\.components\.1\.id: 'a' is the id of item 0"
    ):
        load(path)

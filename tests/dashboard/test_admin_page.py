"""The page Admin: nothing secret is shown, every value names where it comes from, and a broken chain shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plotly.io.json import to_json_plotly
from sqlalchemy import update

from alerting.incidents.commands import Incidents
from collectors.commands.token import SCOPES
from dashboard.components.escaping import inert
from dashboard.page import PageRequest
from dashboard.pages.admin import CHECKED, PAGE
from dashboard.reads.audit import AuditReads
from dashboard.reads.cache import Cache
from dashboard.reads.settings import HIDDEN, settings
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import viewer
from tests.dashboard.values import NOW
from watchkeeper.clock import FrozenClock
from watchkeeper.config import TokenConfig, load
from watchkeeper.errors import BrokenTrail
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.state.schema import audit
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

FILE = """\
data_dir: data
state:
  url: postgresql://wk:hunter2@db.internal/wk
store:
  retention_days: 3
  password_env: OUR_STORE_PASSWORD
channels:
  slack: {}
oncall:
  people:
    - {id: ana, name: Ana Sousa, addresses: {slack: U0PRIVATE}}
  schedules:
    - {id: primary, layers: [{people: [ana]}]}
  escalation: [{after_s: 0, notify: primary}]
tokens:
  - {name: ci, person: ana, sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, scopes: [changes]}
targets:
  shop: {kind: control-api, url: "http://shop.internal/secret-path"}
"""
SECRETS = ("hunter2", "0123456789abcdef", "U0PRIVATE", "secret-path", "the-password")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file with a secret in every place where there may be one."""
    monkeypatch.setenv("OUR_STORE_PASSWORD", "the-password")
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def sources(file: Path, db: Database, clock: FrozenClock) -> Sources:
    config = load(file)
    return Sources(
        telemetry=Telemetry(url="http://127.0.0.1:9", database="otel", user="", password=""),
        incidents=Incidents(db, clock, config.oncall),
        db=db,
        config=config,
        clock=clock,
        config_path=file,
    )


def shown(sources: Sources, view: View | None = None) -> str:
    """The page as it goes to the browser."""
    reader = viewer({"scheme": "light", "zone": "UTC"}, NOW)
    request = PageRequest(sources=sources, view=view or View(path=PAGE.path), viewer=reader)
    return json.dumps(json.loads(str(to_json_plotly(inert(PAGE.render(request))))))


def test_every_value_names_where_it_comes_from(file: Path) -> None:
    """The file with its line, the environment's variable, or the default."""
    by_key = {one.key: one for one in settings(load(file), file)}
    days = by_key["store.retention_days"]
    assert (days.value, days.origin, days.place) == ("3", "file", "watchkeeper.yaml:5")
    assert (by_key["store.port"].value, by_key["store.port"].origin) == ("8123", "default")
    password = by_key["store.password_env"]
    assert (password.value, password.origin) == ("OUR_STORE_PASSWORD is set", "environment")
    assert by_key["state.url"].value == "postgresql://…@db.internal/wk"
    assert by_key["tokens.0.sha256"].value == HIDDEN
    assert by_key["tokens.0.name"].value == "ci"
    assert by_key["targets.shop.url"].value == "http://shop.internal/…"


def test_nothing_secret_is_shown(sources: Sources) -> None:
    """Neither a digest of a token, a password in a URL, an address of a person, nor a variable's content."""
    page = shown(sources)
    assert [secret for secret in SECRETS if secret in page] == []
    assert "empty trouble" not in page
    for words in ("Ana Sousa", "on call: primary", "ci", "unbroken"):
        assert words in page


def test_a_changed_entry_of_the_trail_shows(sources: Sources, db: Database) -> None:
    """Who changed what is listed, and an entry that was changed later breaks the chain."""
    ana = Actor(name="Ana Sousa", via="dashboard")
    with db.write() as connection:
        record_audit(connection, NOW, ana, "silence.create", "payments", "deploy window")
        record_audit(connection, NOW, ana, "override.create", "primary")
    page = shown(sources)
    assert "deploy window" in page
    assert "2 entries, none changed" in page
    with db.write() as connection:
        connection.execute(update(audit).where(audit.c.subject == "payments").values(detail="nothing"))
    sources.audit._slow_cache.clear()
    broken = shown(sources)
    assert "broken" in broken
    assert "was changed at entry 1" in broken


def test_the_trail_and_the_keys_are_searched(sources: Sources, db: Database) -> None:
    """Filters stand in the address."""
    with db.write() as connection:
        record_audit(connection, NOW, Actor(name="Ana", via="cli"), "silence.create", "payments")
    assert "No entry about" in shown(sources, View(path=PAGE.path, words="cart"))
    page = shown(sources, View(path=PAGE.path, choices={"key": "retention", "origin": "all"}))
    assert "store.retention_days" in page
    assert "store.port" not in page


def test_every_scope_of_a_token_is_explained(sources: Sources) -> None:
    """Those that `watchkeeper token new` makes, and the configuration takes."""
    assert tuple(CHECKED) == SCOPES
    TokenConfig(name="all", sha256="0" * 64, scopes=SCOPES)
    assert "to change people, teams, schedules and escalation policies" in shown(sources)


def test_a_broken_chain_is_read_once_a_minute_like_another(db: Database) -> None:
    """The page is rendered again every five seconds, and the check reads every entry."""
    with db.write() as connection:
        record_audit(connection, NOW, Actor(name="Ana", via="cli"), "silence.create", "payments")
        connection.execute(update(audit).values(detail="nothing"))
    reads = AuditReads(db, Cache(5))
    told = []
    for detail in ("nothing", "something else"):
        with db.write() as connection:
            connection.execute(update(audit).values(detail=detail, action=f"silence.{detail[:4]}"))
        with pytest.raises(BrokenTrail) as broken:
            reads.verified()
        told.append(broken.value.message)
    assert told[0] == told[1], "the second look read the trail again"

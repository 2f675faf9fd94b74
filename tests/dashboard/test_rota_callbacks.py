"""The dialog that edits the rota, by the requests that a browser sends to the web role, with a real session."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dash import get_app

from alerting.oncall.versions import newest
from dashboard.web.credentials import fingerprints
from dashboard.web.session import COOKIE, Sessions
from watchkeeper.config import Config, OnCallConfig, PersonConfig, TokenConfig
from watchkeeper.roles.web import build
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

WEAK = hashlib.sha256(b"weak").hexdigest()
PERSON = {"id": "eve", "name": "Eve Li", "timezone": "Asia/Tokyo", "address.slack": "UEVE"}


class Browser:
    """Sends what the dialog's callbacks get."""

    def __init__(self, folder: Path) -> None:
        person = PersonConfig(id="ana", name="Ana Sousa", addresses={"slack": "UANA"})
        oncall = OnCallConfig.model_validate(
            {
                "people": [person.model_dump()],
                "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                "escalation": [{"after_s": 0, "notify": "primary"}],
            }
        )
        token = TokenConfig(name="weak", sha256=WEAK, scopes=("commands",))
        self.config = Config(data_dir=folder, oncall=oncall, tokens=(token,))
        self.db = Database.open(self.config)
        self.app = build(self.config, Telemetry.connect(self.config), self.db)
        self.callbacks = get_app().callback_map
        local = next(iter(fingerprints(self.config, "rota")))
        self.cookie = Sessions(self.config).cookie("ana", local)

    def press(self, output: str, pressed: str, values: dict[str, Any]) -> dict[str, Any]:
        """What a callback answers: that with an output of this kind and with this input."""
        name, entry = next(
            (name, each)
            for name, each in self.callbacks.items()
            if "callback" in each and output in name and any(pressed in one["id"] for one in each["inputs"])
        )
        given = [[self._filled(one, values) for one in entry[part]] for part in ("inputs", "state")]
        first = next(one for one in entry["inputs"] if pressed in one["id"])
        item = self._filled(first, values)
        of = item[0] if isinstance(item, list) else item
        label = of["id"] if isinstance(of["id"], str) else json.dumps(of["id"], sort_keys=True, separators=(",", ":"))
        changed = [f"{label}.{of['property']}"]
        body = {"output": name, "outputs": [], "inputs": given[0], "state": given[1], "changedPropIds": changed}
        return asyncio.run(self._post(body))

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        transport = httpx.ASGITransport(app=self.app)
        cookies = {COOKIE: self.cookie} if self.cookie else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=cookies) as client:
            answer = await client.post("/_dash-update-component", json=body)
        assert answer.status_code == 200, answer.text
        response: dict[str, Any] = answer.json()["response"]
        return response

    def _filled(self, place: dict[str, str], values: dict[str, Any]) -> Any:
        if "rota_open" in place["id"]:
            return [{"id": {"rota_open": values["open"]}, "property": "n_clicks", "value": 1}]
        if place["id"].startswith("{"):
            typed = values.get("typed", {})
            return [
                {"id": {"rota": key}, "property": place["property"], "value": {"rota": key} if is_id else what}
                for is_id in (place["property"] == "id",)
                for key, what in typed.items()
            ]
        clicks = 1 if place["property"] == "n_clicks" else None
        return {"id": place["id"], "property": place["property"], "value": values.get(place["id"], clicks)}

    def open(self, what: str) -> dict[str, Any]:
        return self.press("rota-dialog.opened", "rota_open", {"open": what})

    def save(self, asked: Any, **values: Any) -> dict[str, Any]:
        return self.press("rota-dialog.opened", "rota-submit", {"asked": asked, **values})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path)
    yield opened
    opened.db.close()


def told(answer: dict[str, Any]) -> str:
    return str(answer["notices"]["sendNotifications"][0]["message"])


def test_a_person_is_made_changed_and_removed(browser: Browser) -> None:
    """Each step is a version with its maker, in the audit trail; a removal is asked for twice."""
    asked = browser.open("people/")["asked"]["data"]
    shown = browser.press("rota-preview.children", "rota-yaml", {"asked": asked, "typed": PERSON})
    assert "+ name: Eve Li" in json.dumps(shown)
    assert newest(browser.db) is None  # a preview keeps nothing
    assert browser.save(asked, typed=PERSON)["rota-dialog"]["opened"] is False
    version = newest(browser.db)
    assert version is not None
    assert version.owners.of("people", "eve") == "Ana Sousa (dashboard)"
    assert browser.config.oncall.person("eve") == version.oncall.person("eve")
    asked = browser.open("people/eve")["asked"]["data"] | {"as": "yaml"}
    wrong = "name: Eva\naddresses: {slack: UEVE}\ntimezone: Asia/Tokio\n"
    shown = browser.save(asked, **{"rota-yaml": wrong})
    assert "line 3: timezone: is no time zone" in json.dumps(shown)
    assert "did you mean Asia" in json.dumps(shown)
    browser.save(asked, **{"rota-yaml": wrong.replace("Tokio", "Tokyo")})
    assert browser.config.oncall.named("Eva") is not None
    asked = browser.open("people/eve")["asked"]["data"]
    question = browser.press("rota-dialog.opened", "rota-remove", {"asked": asked})
    assert "Press Remove again" in json.dumps(question)
    assert browser.config.oncall.person("eve") is not None
    words = question["rota-question"]["children"]
    typed = browser.press("rota-preview.children", "rota-yaml", {"asked": asked, "typed": PERSON})
    assert typed["rota-question"]["children"] == ""  # after a change it is asked for anew
    done = browser.press("rota-dialog.opened", "rota-remove", {"asked": asked, "rota-question": words})
    assert told(done) == "The person eve was removed."
    assert browser.config.oncall.person("eve") is None
    actors = [each.actor.name for each in audit_trail(browser.db) if each.action == "rota.change"]
    assert actors == ["Ana Sousa"] * 3


def test_of_two_who_edit_at_once_the_second_sees_what_changed(browser: Browser) -> None:
    """Nothing of theirs is kept, and the same text can be saved again."""
    browser.save(browser.open("people/")["asked"]["data"], typed=PERSON)
    asked = browser.open("people/eve")["asked"]["data"] | {"as": "yaml"}
    browser.save(browser.open("teams/")["asked"]["data"], typed={"id": "money", "services": ["pay-*"]})
    text = "name: Eva\naddresses: {slack: UEVE}\n"
    refused = browser.save(asked, **{"rota-yaml": text})
    assert "rota-dialog" not in refused
    assert "Ana Sousa changed the rota meanwhile" in json.dumps(refused)
    assert "team money" in json.dumps(refused)
    assert browser.config.oncall.named("Eva") is None
    browser.save(refused["asked"]["data"], **{"rota-yaml": text})
    assert browser.config.oncall.named("Eva") is not None


def test_what_changed_before_the_first_version_is_shown_too(browser: Browser) -> None:
    """A dialog that was opened with the file's rota names what the first version holds beyond it."""
    asked = browser.open("people/")["asked"]["data"]
    browser.save(browser.open("teams/")["asked"]["data"], typed={"id": "money", "services": ["pay-*"]})
    refused = browser.save(asked, typed=PERSON)
    assert "team money" in json.dumps(refused["rota-preview"])
    assert "Ana Sousa was faster" in told(refused)
    assert browser.config.oncall.person("eve") is None


def test_who_may_not_edit_is_told_why(browser: Browser) -> None:
    """Without a session, without the scope of the API, and what the file owns: nothing is kept."""
    asked = browser.open("people/")["asked"]["data"]
    locked = browser.save(asked | {"name": "ana", "as": "yaml"}, **{"rota-yaml": "name: Ann\naddresses: {slack: UA}\n"})
    assert "is owned by the configuration file: change it there" in told(locked)
    browser.cookie = Sessions(browser.config).cookie("ana", next(iter(fingerprints_of_weak(browser.config))))
    assert "lacks the scope rota" in told(browser.open("people/"))
    assert "lacks the scope rota" in told(browser.save(asked, typed=PERSON))
    browser.cookie = ""
    assert "has no session" in told(browser.open("people/"))
    assert "has no session" in told(browser.save(asked, typed=PERSON))
    assert newest(browser.db) is None


def fingerprints_of_weak(config: Config) -> set[str]:
    """Those of tokens that may give commands, and not edit the rota."""
    return set(fingerprints(config, "commands")) - set(fingerprints(config, "rota"))

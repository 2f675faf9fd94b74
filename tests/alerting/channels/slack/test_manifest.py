"""The app's manifest asks for what is used, and for nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from alerting.channels.slack import scopes
from alerting.channels.slack.home import EVENT
from alerting.channels.slack.shortcut import ADD
from alerting.channels.slack.slash import COMMAND
from alerting.channels.slack.standin.app import StandIn
from tests.alerting.channels.slack.running_site import Site

PACKAGE = Path(scopes.__file__).parent
# How the SDK spells a method of the Web API: chat_postMessage is chat.postMessage.
CALLS = re.compile(r"(auth|chat|conversations|files|users|views)_[a-zA-Z_]+")


def called() -> set[str]:
    """Every method of Slack's that the code calls; the stand-in aside."""
    names = set()
    for path in (path for path in PACKAGE.rglob("*.py") if "standin" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and CALLS.fullmatch(node.func.attr):
                family, _, rest = node.func.attr.partition("_")
                names.add(f"{family}.{rest}")
    doctor = (PACKAGE.parents[2] / "watchkeeper" / "roles" / "doctor.py").read_text()
    return names | set(re.findall(r"(?:auth|conversations|users)\.\w+(?=[\"'])", doctor))


def asked() -> set[str]:
    return set(scopes.manifest()["oauth_config"]["scopes"]["bot"])


def test_the_scopes_are_those_of_the_methods_that_are_called() -> None:
    """One too few, and a call fails at night; one too many, and the app may do what it need not."""
    assert called() <= set(scopes.SCOPE_OF), "name the scope of a new method in scopes.py"
    needed = {scope for method in called() if (scope := scopes.SCOPE_OF[method])}
    assert asked() == needed | {"commands"}


def test_the_documentation_names_every_scope() -> None:
    """The table of operating.md has a row for each."""
    text = (PACKAGE.parents[2] / "docs" / "operating.md").read_text()
    table = text[text.index("| Scope |") : text.index("In a private channel")]
    assert set(re.findall(r"^\| `([a-z:]+)`", table, re.MULTILINE)) == asked()


def test_the_command_and_every_address_lead_to_the_one_endpoint() -> None:
    """The command is the one that the code listens to; whoever installs it replaces one name."""
    tree = scopes.manifest()
    (command,) = tree["features"]["slash_commands"]
    assert command["command"] == COMMAND
    assert command["should_escape"] is True
    (shortcut,) = tree["features"]["shortcuts"]
    assert (shortcut["type"], shortcut["callback_id"]) == ("message", ADD)
    assert tree["settings"]["event_subscriptions"]["bot_events"] == [EVENT]
    assert tree["features"]["app_home"]["home_tab_enabled"] is True
    addresses = set(re.findall(r"https://\S+", scopes.MANIFEST.read_text()))
    assert addresses == {"https://YOUR-HOST/slack/events"}


def test_the_stand_in_serves_what_is_called(site: Site) -> None:
    """And no method without a scope that is known."""
    stand_in: StandIn = site.stand_in
    assert called() <= set(stand_in._methods)
    assert set(stand_in._methods) <= set(scopes.SCOPE_OF)


def test_a_call_without_its_scope_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Slack refuses it: so a scope that the manifest lacks fails in every test, not at night."""
    monkeypatch.setattr(scopes, "manifest", lambda: {"oauth_config": {"scopes": {"bot": ["chat:write"]}}})
    headers = {"Authorization": f"Bearer {site.config.slack_token()}"}
    answer = site.slack.post("/api/users.info", json={"user": "UANA"}, headers=headers).json()
    assert (answer["error"], answer["needed"]) == ("missing_scope", "users:read")
    assert site.slack.post("/api/auth.test", json={}, headers=headers).json()["ok"]

"""Names and notes from outside in Slack: whatever they hold, the message is taken, and does nothing but say it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alerting.channels.slack import blocks as slack_blocks
from alerting.channels.slack.form import resolve_view
from alerting.channels.slack.standin.rules import check_blocks, check_view
from alerting.incidents.machine import Command, Event, Incident, begin, decide, fold
from tests.alerting.channels.slack.running_site import PROPOSAL, Site, diagnosis, finding
from tests.hostile import EVERY, HOSTILE
from watchkeeper.names import storable
from watchkeeper.vocabulary import Actor

LINK = r"<https://w\.example/incidents/[\w-]+\|Open [\w-]+ in Watchkeeper>"
OURS = re.compile(LINK + r"|<@UANA>|<!date\^\d+\^\{time_secs\}\|[\d:]+ UTC>")


def hostile(name: str) -> Incident:
    """An incident in which everything that somebody else names is named so, at the end of its night."""
    now = datetime.now(UTC)
    who = Actor(name=name, via="slack")
    summary = name if name.strip() else f"{name}: fails"
    seen = finding(name, summary=summary, operation=name, signal=name, unit=name[:50])
    incident = begin("inc-1", Event(type="opened", at=now, actor=who, key="o", finding=seen))
    other = finding(f"{name}2", summary=summary)
    diagnosed = diagnosis(name, f"{name}2", reason=summary)
    evidence = replace(diagnosed.suspects[0].evidence[0], sentence=summary)
    diagnosed = replace(diagnosed, suspects=tuple(replace(s, evidence=(evidence,) * 8) for s in diagnosed.suspects))
    proposal = replace(PROPOSAL, title=name, service=name, steps=(name,) * 15, blast_radius=name, undo=name)
    commands: list[dict[str, Any]] = [
        {"type": "joined", "finding": other},
        {"type": "diagnosed", "diagnosis": diagnosed},
        {"type": "proposed", "proposal": proposal},
        {"type": "paged", "person": name},
        {"type": "approved", "seen": proposal.id},
        {"type": "acknowledged"},
    ]
    for number, values in enumerate(commands):
        event = decide(incident, Command(at=now, actor=who, key=str(number), **values))
        assert isinstance(event, Event), event
        incident = fold(incident, event)
    return incident


def texts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every text object of some blocks."""
    if isinstance(tree, list):
        for item in tree:
            yield from texts(item)
    elif isinstance(tree, dict):
        if tree.get("type") in ("mrkdwn", "plain_text"):
            yield tree
        for value in tree.values():
            yield from texts(value)


def assert_inert(text: str, *, marked: bool = True) -> None:
    rest = OURS.sub("", text)
    assert "<" not in rest, rest
    assert ">" not in rest, rest
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", rest)
    if not marked:
        return  # such text has no markup
    assert "`" not in rest, rest
    for line in rest.split("\n"):
        assert line.count("*") in (0, 2), line
        assert not line.startswith("&gt;"), line


@pytest.mark.parametrize("which", sorted(EVERY))
@pytest.mark.parametrize("over", [False, True])
def test_a_message_only_shows_foreign_names(which: str, over: bool) -> None:
    """Header, title, facts, cause, runbook, notes, details, form and notification: taken by Slack's rules, inert."""
    name = EVERY[which]
    incident = hostile(name)
    if over:
        gone = Command(type="resolved", at=datetime.now(UTC), actor=Actor(name=name, via="slack"), key="r")
        event = decide(incident, gone)
        assert isinstance(event, Event)
        incident = fold(incident, event)
    waiting = replace(incident, proposal_state="proposed", human_state="paged", approved_by=None)
    for shown in (incident, waiting):
        blocks = slack_blocks.message(
            shown, url="https://w.example/incidents/inc-1", mention="UANA", record=name, names={name: name}
        )
        details = slack_blocks.details(shown)
        view = resolve_view(shown, question=name)
        check_blocks(blocks)
        check_blocks(details)
        check_view(view)
        for text in texts([blocks, details, view]):
            assert text["text"].strip()
            assert_inert(text["text"], marked=text["type"] == "mrkdwn")
        for line in (slack_blocks.fallback(shown), slack_blocks.line(name)):
            assert "\n" not in line
            assert len(line) <= 3000
            assert_inert(line)
        assert len(json.dumps(blocks)) < 40_000


@pytest.mark.parametrize("which", ["a blank", "mention all", "a hundred thousand letters", "NUL", "HTML", "lines"])
def test_the_whole_way_with_a_foreign_name(site: Site, which: str) -> None:
    """A real page is delivered; its form names the service as it is, so the label does, too."""
    name = HOSTILE[which]
    (incident_id,) = site.incidents.observe([finding(name, summary=f"{name}: errors")])
    proposal = replace(PROPOSAL, service=name, title=f"Restart {name}")
    site.incidents.diagnosed(incident_id, diagnosis(name), proposal, "first")
    site.incidents.page(incident_id)
    site.send()
    assert site.incidents.get(incident_id).delivered
    site.press("acknowledge")
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)
    view = site.press("resolve").json()["view"]
    cause = next(block for block in view["blocks"] if block["block_id"] == "cause")["element"]["options"][0]["value"]
    answer = site.submit(view, {"warranted": "yes", "cause": cause, "mechanism": "database", "note": "n"})
    assert answer.status_code == 200, answer.text
    label = site.until(lambda: site.incidents.get(incident_id).labels)[0]
    assert label.cause == storable(name)

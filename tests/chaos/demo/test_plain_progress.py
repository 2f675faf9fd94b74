"""What the demo tells where no terminal is: every line once, as soon as it is new."""

from __future__ import annotations

from chaos.demo.screen import PlainProgress
from tests.alerting.channels.slack.test_foreign_names_in_slack import hostile

LINKS = {"Dashboard": "http://127.0.0.1:8050/"}


def test_each_line_is_told_once_and_at_once() -> None:
    """The addresses come first, before anything is known of an incident."""
    plain = PlainProgress()
    assert plain.new("Warming up", None, LINKS, []) == ["Dashboard: http://127.0.0.1:8050/", "Warming up"]
    assert plain.new("Warming up", None, LINKS, []) == []
    assert plain.new("A fault", None, LINKS, ["took effect"]) == ["A fault", "took effect"]
    incident = hostile("cart")
    told = plain.new("A fault", incident, LINKS, ["took effect"])
    assert told[0] == f"inc-1: {incident.title}"
    assert len(told) == len(set(told)) > len(incident.timeline) / 2
    assert told[-1].startswith("Likely cause: cart (")
    assert plain.new("A fault", incident, LINKS, ["took effect"]) == []

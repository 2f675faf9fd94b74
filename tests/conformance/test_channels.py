"""Every registered channel passes the suite, and the suite refuses channels that break its rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import conformance
from alerting.channels.channel import ChannelPart, Digest, Message, Thread, Trial
from alerting.incidents.machine import Incident
from watchkeeper.conformance import channel_suite
from watchkeeper.errors import DeliveryError

TestChannels = channel_suite()


class Board:
    """A sheet of paper in a file: each incident is one entry, with the keys that it shows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> Thread:
        """Write, or rewrite, the incident's entry."""
        return self._show(message.incident.id, message.key, _text(message.incident), message.mention, message.kind)

    def send_digest(self, digest: Digest) -> Thread:
        """Write, or rewrite, the entry of many incidents."""
        text = f"{len(digest.incidents)} incidents"
        return self._show(digest.key, digest.part, text, digest.mention, "page" if digest.mention else "update")

    def send_test(self, address: str, text: str) -> Thread:
        """Write a test page."""
        return self._show("test", text, text, address, "page")

    def unreachable(self, mention: str) -> str | None:
        """Whoever looks can read it."""
        return None

    def _show(self, name: str, key: str, text: str, mention: str, kind: str) -> Thread:
        entries = self.entries()
        entry = entries.setdefault(name, {"lines": [], "keys": []})
        fresh = key not in entry["keys"]
        entry["keys"] += [key] if fresh else []
        if kind == "page" and fresh:
            entry["lines"].append(f"@{mention} {text}")
        elif kind == "update":
            entry["lines"][:1] = [text]
        self.write(entries)
        return Thread(conversation="board", ts=name)

    def entries(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}  # type: ignore[no-any-return]

    def write(self, entries: dict[str, Any]) -> None:
        """Raises DeliveryError: somebody holds the sheet."""
        if self._path.with_suffix(".away").exists():
            raise DeliveryError("somebody holds the sheet", retry=True, unsent=True)
        self._path.write_text(json.dumps(entries))


def _text(incident: Incident) -> str:
    by = f" acknowledged by {incident.acknowledged_by.name}" if incident.acknowledged_by else ""
    return f"{incident.title}{by}"


def part_of(kind: type[Board]) -> ChannelPart:
    @contextmanager
    def trial(folder: Path) -> Iterator[Trial]:
        file = folder / "board.json"

        @contextmanager
        def away() -> Iterator[None]:
            file.with_suffix(".away").touch()
            yield
            file.with_suffix(".away").unlink()

        def shown() -> Sequence[str]:
            return [line for entry in Board(file).entries().values() for line in entry["lines"]]

        yield Trial(open=lambda: kind(file), address="ana@example.org", shown=shown, away=away)

    return ChannelPart(
        open=lambda context: kind(Path(context.settings["file"])), trial=trial, described_by=kind, describe=lambda _: ""
    )


TestBoard = channel_suite({"board": part_of(Board)})


class Forgetful(Board):
    """Shows a key again whenever it is sent again."""

    def _show(self, name: str, key: str, text: str, mention: str, kind: str) -> Thread:
        return super()._show(name, f"{key}:{len(self.entries().get(name, {}).get('keys', []))}", text, mention, kind)


class Silent(Board):
    """Names nobody."""

    def _show(self, name: str, key: str, text: str, mention: str, kind: str) -> Thread:
        return super()._show(name, key, text, "somebody" if mention else "", kind)


class Piling(Board):
    """Adds an entry for each update."""

    def send(self, message: Message) -> Thread:
        name = message.incident.id if message.kind == "page" else message.key
        self._show(name, message.key, _text(message.incident), message.mention, message.kind)
        return Thread(conversation="board", ts=message.incident.id)


class Stale(Board):
    """Ignores updates."""

    def send(self, message: Message) -> Thread:
        if message.kind == "update" and message.thread:
            return message.thread
        return super().send(message)


class Careless(Board):
    """Lets its own errors through, and swallows others."""

    def write(self, entries: dict[str, Any]) -> None:
        if self._path.with_suffix(".away").exists():
            raise OSError("somebody holds the sheet")
        super().write(entries)


class Hopeless(Board):
    """Gives up at once."""

    def write(self, entries: dict[str, Any]) -> None:
        try:
            super().write(entries)
        except DeliveryError as error:
            raise DeliveryError(error.message, retry=False) from error


class Swallowing(Board):
    """Takes a page for delivered that went nowhere."""

    def write(self, entries: dict[str, Any]) -> None:
        if not self._path.with_suffix(".away").exists():
            super().write(entries)


class Ascii(Board):
    """Knows one alphabet."""

    def _show(self, name: str, key: str, text: str, mention: str, kind: str) -> Thread:
        return super()._show(name, key, text.encode("ascii").decode(), mention, kind)


class Unsure(Board):
    """Takes everybody for unreachable."""

    def unreachable(self, mention: str) -> str | None:
        return f"{mention} may be asleep"


class Repeating(Board):
    """A digest is a new message each time."""

    def send_digest(self, digest: Digest) -> Thread:
        return super().send_digest(replace(digest, part=f"{digest.part}:{len(str(self.entries()))}"))


BROKEN = {
    Forgetful: "a_key_that_was_sent_shows_nothing_new",
    Silent: "a_page_shows_the_incident_and_mentions_the_address",
    Piling: "an_update_edits_what_is_there",
    Stale: "an_update_edits_what_is_there",
    Careless: "a_channel_that_is_away_raises_a_delivery_error",
    Hopeless: "a_channel_that_is_away_raises_a_delivery_error",
    Swallowing: "a_channel_that_is_away_raises_a_delivery_error",
    Ascii: "it_takes_whatever_things_are_called",
    Unsure: "an_address_that_it_reaches_is_reachable",
    Repeating: "a_digest_shows_its_incidents_and_mentions_the_address",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_the_suite_refuses_a_channel_that_breaks_a_rule(kind: type[Board], tmp_path: Path) -> None:
    """Each broken channel fails the check that is about it."""
    check = getattr(conformance, BROKEN[kind])
    with pytest.raises((AssertionError, OSError, UnicodeError)):
        check(part_of(kind), tmp_path)


def test_every_rule_refuses_some_channel() -> None:
    """A check that no broken channel fails would show nothing."""
    refused = {*BROKEN.values(), *MUTE_BREAKS, "it_is_described"}
    assert refused == {check.__name__ for check in conformance.CHECKS}


def test_a_channel_without_a_docstring_is_refused(tmp_path: Path) -> None:
    """`watchkeeper parts` would have nothing to show."""
    with pytest.raises(AssertionError, match="no docstring"):
        conformance.it_is_described(replace(part_of(Board), described_by=lambda: None), tmp_path)


class Mute(Board):
    """Shows neither tests nor what others paged."""

    def send_test(self, address: str, text: str) -> Thread:
        return Thread(conversation="board", ts="test")

    def send(self, message: Message) -> Thread:
        if message.kind == "update" and message.thread is None:
            return Thread(conversation="board", ts=message.incident.id)
        return super().send(message)


MUTE_BREAKS = ("an_update_of_an_incident_that_is_not_there_yet_shows_it", "a_test_page_mentions_the_address")


@pytest.mark.parametrize("name", MUTE_BREAKS)
def test_a_channel_that_shows_nothing_is_refused(name: str, tmp_path: Path) -> None:
    """Taken, and seen by nobody."""
    with pytest.raises(AssertionError):
        getattr(conformance, name)(part_of(Mute), tmp_path)

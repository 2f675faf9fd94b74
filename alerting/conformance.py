"""What every alert channel must do, as a suite of tests: for built-in channels and for those of other packages.

Each check opens a channel by its part's own `trial`, in an empty folder, and looks at what humans would see there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from alerting.channels.channel import ChannelPart, Digest, Message, Thread, Trial
from alerting.incidents.machine import Command, Event, Incident, begin, decide, fold
from watchkeeper.errors import DeliveryError
from watchkeeper.vocabulary import Actor, Finding

Check = Callable[[ChannelPart, Path], None]
# What a service, an alert or a log line may be called: a channel must take it, and it must page nobody.
HOSTILE: Final = (
    "a\nb",
    "x" * 5_000,
    "<!channel> <@U0SOMEBODY> @everyone @here",
    "*_~`[](){}&amp;<a href='x'>",
    "\u202elive\u200b",
    "%s %(x)s {0} {x}",
    "💥 李雷",
    " ",
)
WHY: Final = "paged Ana: on call in 'primary' by rotation; step 1 of 3"


def channel_suite(parts: Mapping[str, ChannelPart] | None = None) -> type:
    """The tests that every channel must pass, over `parts` by name or over all that are registered."""
    import pytest

    from alerting.channels.registry import channel_registry

    channels = channel_registry().values() if parts is None else dict(parts)

    class ChannelSuite:
        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        @pytest.mark.parametrize("name", sorted(channels))
        def test_channel(self, name: str, check: Check, tmp_path: Path) -> None:
            check(channels[name], tmp_path)

    return ChannelSuite


def it_is_described(part: ChannelPart, _: Path) -> None:
    """It has a docstring, whose first line `watchkeeper parts` shows."""
    assert (inspect.getdoc(part.described_by) or "").strip(), "what it is described by has no docstring"


def a_page_shows_the_incident_and_mentions_the_address(part: ChannelPart, folder: Path) -> None:
    """What fires, and whom it pages; afterwards the channel knows where the incident is."""
    with part.trial(folder) as trial:
        thread = trial.open().send(page(trial))
        text = "\n".join(trial.shown())
        assert trial.address in text, "the page does not show the address that it mentions"
        assert "payments" in text, "the page does not name the service"
        assert isinstance(thread, Thread), "send returns no Thread"
        assert thread.conversation, "the thread names no conversation"


def a_key_that_was_sent_shows_nothing_new(part: ChannelPart, folder: Path) -> None:
    """The role may be killed between a send and its record: a new process sends the same message again."""
    with part.trial(folder) as trial:
        first = page(trial)
        thread = trial.open().send(first)
        before = len(trial.shown())
        for again in (first, replace(first, thread=thread)):
            assert trial.open().send(again) == thread, "a repeated page has another thread"
            assert len(trial.shown()) == before, "a key that was sent before shows something new"
        if part.states_only:
            return
        trial.open().send(replace(first, key="inc-7f3a01:9:trial", thread=thread, text="no answer; paged Ana"))
        assert len(trial.shown()) > before, "a page with a new key shows nothing"


def an_update_edits_what_is_there(part: ChannelPart, folder: Path) -> None:
    """The incident stays where it is, and its message is current."""
    if not part.shows_updates:
        return
    with part.trial(folder) as trial:
        channel = trial.open()
        thread = channel.send(page(trial))
        first = Message(key="inc-7f3a01:3:trial:show", kind="update", incident=incident(), thread=thread)
        channel.send(first)  # which may bring the details that no page has
        before = len(trial.shown())
        taken = acknowledged(incident())
        update = Message(key="inc-7f3a01:4:trial", kind="update", incident=taken, thread=thread)
        assert channel.send(update) == thread, "an update moves the incident to another thread"
        shown = trial.shown()
        assert any("acknowledged" in text.casefold() for text in shown), (
            "an update does not show that it is acknowledged"
        )
        assert len(shown) == before, "an update without news adds a message instead of editing"
        assert trial.open().send(update) == thread, "a repeated update has another thread"
        assert len(trial.shown()) == before, "a repeated update shows something new"


def an_update_of_an_incident_that_is_not_there_yet_shows_it(part: ChannelPart, folder: Path) -> None:
    """It was paged by another channel: here it is shown, and mentions nobody."""
    if not part.shows_updates:
        return
    with part.trial(folder) as trial:
        trial.open().send(Message(key="inc-7f3a01:2:trial", kind="update", incident=incident(), first_try=True))
        text = "\n".join(trial.shown())
        assert "payments" in text, "the update does not show the incident"
        assert trial.address not in text, "an update mentions somebody"


def a_digest_shows_its_incidents_and_mentions_the_address(part: ChannelPart, folder: Path) -> None:
    """Many pages as one message; sent again, or shown anew, it stays one."""
    with part.trial(folder) as trial:
        channel = trial.open()
        incidents = tuple(incident(f"inc-{number:06x}", service=f"service-{number}") for number in range(12))
        digest = Digest(key="batch-1", part="batch-1", incidents=incidents, mention=trial.address, text=WHY)
        thread = channel.send_digest(digest)
        before = trial.shown()
        text = "\n".join(before)
        assert trial.address in text, "the digest does not show the address that it mentions"
        assert "12" in text or all(one.service in text for one in incidents), "the digest does not show its incidents"
        assert trial.open().send_digest(digest) == thread, "a repeated digest has another thread"
        assert len(trial.shown()) == len(before), "a part that was sent before shows something new"
        if part.shows_updates:
            anew = replace(digest, incidents=tuple(map(acknowledged, incidents)), mention="", text="", thread=thread)
            assert channel.send_digest(anew) == thread, "a digest that is shown anew has another thread"
            assert len(trial.shown()) == len(before), "a digest that is shown anew adds a message"


def a_channel_that_is_away_raises_a_delivery_error(part: ChannelPart, folder: Path) -> None:
    """With `retry` set, so that the outbox tries again; afterwards everything is delivered once."""
    with part.trial(folder) as trial:
        channel = trial.open()
        with trial.away():
            sends: Sequence[Callable[[], object]] = (
                lambda: channel.send(page(trial)),
                lambda: channel.send_digest(
                    Digest(key="batch-1", part="batch-1", incidents=(incident(),), mention=trial.address)
                ),
                lambda: channel.send_test(trial.address, "Test page\nnothing is wrong"),
            )
            for send in sends:
                _fails_to_deliver(send)
            channel.unreachable(trial.address)  # it may not know, and must not raise
        assert not trial.shown(), "something is shown although the send failed"
        channel.send(page(trial))
        assert any(trial.address in text for text in trial.shown()), "it does not recover"


def _fails_to_deliver(send: Callable[[], object]) -> None:
    refused: DeliveryError | None = None
    try:
        send()
    except DeliveryError as error:
        refused = error
    assert refused is not None, "a send to a place that is away raises no DeliveryError"
    assert refused.message.strip(), "the error has no message"
    assert refused.retry, "the place is away: trying again can help, so `retry` must be true"


def it_takes_whatever_things_are_called(part: ChannelPart, folder: Path) -> None:
    """Names and lines come from outside: they are shown somehow, and stop no page."""
    with part.trial(folder) as trial:
        channel = trial.open()
        for number, name in enumerate(HOSTILE):
            seen = incident(f"inc-{number:06x}", service=name, summary=f"{name}: errors")
            channel.send(page(trial, seen, key=f"{seen.id}:3:trial", text=f"paged {name}: {name}"))
            assert any(trial.address in text for text in trial.shown()), f"the page of {name[:20]!r} mentions nobody"
            if part.shows_updates:
                channel.send(Message(key=f"{seen.id}:4:trial", kind="update", incident=acknowledged(seen), text=name))
        many = tuple(incident(f"inc-9{number:05x}", service=name) for number, name in enumerate(HOSTILE * 30))
        channel.send_digest(
            Digest(key="batch-2", part="batch-2", incidents=many, mention=trial.address, text="x" * 9_000)
        )


def an_address_that_it_reaches_is_reachable(part: ChannelPart, folder: Path) -> None:
    """`unreachable` gives a reason only where nobody would be paged; the address passes the part's own check."""
    with part.trial(folder) as trial:
        part.check_address(trial.address)
        reason = trial.open().unreachable(trial.address)
        assert reason is None, f"the trial's own address counts as unreachable: {reason}"


def a_test_page_mentions_the_address(part: ChannelPart, folder: Path) -> None:
    """`watchkeeper test-page` shows that a page would arrive."""
    with part.trial(folder) as trial:
        thread = trial.open().send_test(trial.address, "Test page for Ana\nnothing is wrong")
        text = "\n".join(trial.shown())
        assert trial.address in text, "the test page does not show the address"
        assert "Test page for Ana" in text, "the test page does not show its text"
        assert thread.conversation, "the thread names no conversation"


CHECKS: Final[tuple[Check, ...]] = (
    it_is_described,
    a_page_shows_the_incident_and_mentions_the_address,
    a_key_that_was_sent_shows_nothing_new,
    an_update_edits_what_is_there,
    an_update_of_an_incident_that_is_not_there_yet_shows_it,
    a_digest_shows_its_incidents_and_mentions_the_address,
    a_channel_that_is_away_raises_a_delivery_error,
    it_takes_whatever_things_are_called,
    an_address_that_it_reaches_is_reachable,
    a_test_page_mentions_the_address,
)


def incident(incident_id: str = "inc-7f3a01", *, service: str = "payments", summary: str = "") -> Incident:
    """An incident that fires and is paged."""
    at = datetime.now(UTC).replace(microsecond=0)
    finding = Finding(
        detector="errors",
        detector_version="1",
        kind="errors",
        service=service,
        summary=summary or f"{service}: errors 31 % (usually 0.2 %)",
        onset=at - timedelta(seconds=20),
        seen_at=at,
        score=0.9,
    )
    machine = Actor(name="Watchkeeper", via="system")
    opened = Event(type="opened", at=at, actor=machine, key="opened", text=finding.summary, finding=finding)
    paged = Command(type="paged", at=at, actor=machine, key="paged", person="ana", text=WHY)
    return _after(begin(incident_id, opened), paged)


def acknowledged(before: Incident) -> Incident:
    """The incident after somebody took it."""
    actor = Actor(name="Ben", via="cli")
    return _after(before, Command(type="acknowledged", at=before.opened_at, actor=actor, key="ack"))


def page(trial: Trial, about: Incident | None = None, *, key: str = "inc-7f3a01:3:trial", text: str = WHY) -> Message:
    """A page to the trial's address, which may be a repeat."""
    return Message(key=key, kind="page", incident=about or incident(), mention=trial.address, text=text)


def _after(before: Incident, command: Command) -> Incident:
    event = decide(before, command)
    assert isinstance(event, Event)
    return fold(before, event)
